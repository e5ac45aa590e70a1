package providers_test

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
)

// loadAll loads every manifest once for all tests.
var loadAll = sync.OnceValues(func() (map[string]*manifest.Provider, error) {
	loaded, _, err := manifest.LoadFS(providers.FS)
	return loaded, err
})

func TestManifestsLoad(t *testing.T) {
	t.Parallel()
	loaded, faults, err := manifest.LoadFS(providers.FS)
	if err != nil {
		t.Fatal(err)
	}
	for file, fault := range faults {
		t.Errorf("%s:\n%v", file, fault)
	}
	for id, p := range loaded {
		if p.Health.Method != "GET" && p.Health.Method != "POST" {
			t.Errorf("%s: the method of the health probe is %s, want GET or POST", id, p.Health.Method)
		}
	}
}

// TestCasesHaveManifests finds cases that are left of a removed or renamed manifest. TestCases finds manifests without a case.
func TestCasesHaveManifests(t *testing.T) {
	t.Parallel()
	ids := providerIDs(t)
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if id := strings.TrimSuffix(filepath.Base(file), ".yaml"); !slices.Contains(ids, id) {
			t.Errorf("%s is the case of no manifest", file)
		}
	}
}

// source returns the text of a manifest.
func source(t *testing.T, provider string) string {
	t.Helper()
	file, err := providers.FS.Open(provider + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
