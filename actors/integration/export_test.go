package integration

import (
	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

// NewWith is New with a registry that has the given providers only.
func NewWith(d actors.Deps, c Config, providers map[string]*manifest.Provider) (*Actor, error) {
	a, err := New(d, c)
	if err != nil {
		return nil, err
	}
	only := snapshot{providers: map[string]loader{}}
	for id, p := range providers {
		only.providers[id] = loaded(p)
	}
	a.registry.current.Store(&only)
	return a, nil
}
