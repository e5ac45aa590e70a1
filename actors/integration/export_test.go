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
	only := stock{providers: map[string]loader{}}
	for id, p := range providers {
		only.providers[id] = loaded(p)
	}
	a.shelf.now.Store(&only)
	return a, nil
}
