package providers_test

import (
	"slices"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
)

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
