package providers_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
)

// loadAll is every manifest, loaded once: fifty take a while.
var loadAll = sync.OnceValues(func() (map[string]*manifest.Provider, error) {
	loaded, _, err := manifest.LoadFS(providers.FS)
	return loaded, err
})

func TestEveryManifestLoads(t *testing.T) {
	t.Parallel()
	loaded, faults, err := manifest.LoadFS(providers.FS)
	if err != nil {
		t.Fatal(err)
	}
	for file, fault := range faults {
		t.Errorf("%s:\n%v", file, fault)
	}
	for _, id := range slices.Concat([]string{"slack", "github", "http"}, googleProviders, microsoftProviders) {
		if loaded[id] == nil {
			t.Errorf("there is no provider %s", id)
		}
	}
}
