package integration

import (
	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

// NewWith is New with providers of the test's own.
func NewWith(d actors.Deps, c Config, providers map[string]*manifest.Provider) (*Actor, error) {
	a, err := New(d, c)
	if err != nil {
		return nil, err
	}
	a.shelf.now.Store(&stock{providers: providers})
	return a, nil
}
