package integration

import (
	"errors"
	"maps"
	"slices"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// Lint tells what is wrong with a manifest, as weft would find it; nil if nothing is. file is the name that it has in the
// folder of providers, which its id must agree with; "" has no say.
func Lint(file string, source []byte) manifest.Faults {
	var err error
	if file == "" {
		_, err = manifest.Load(source)
	} else {
		_, err = manifest.LoadFile(file, source)
	}
	var faults manifest.Faults
	if err != nil && !errors.As(err, &faults) {
		faults = manifest.Faults{{Message: err.Error()}}
	}
	return faults
}

// ListedProvider is a provider as weft has it.
type ListedProvider struct {
	ID string
	// Provider is nil where it is disabled; Fault says why then.
	Provider *manifest.Provider
	Fault    string
	// File is the one in the folder of providers that it is from; "" is one that weft ships.
	File string
}

// ListProviders lists the providers that a weft with this folder of manifests has, by id; "" is no folder.
func ListProviders(folder string) ([]ListedProvider, error) {
	s, err := openShelf(folder, zap.NewNop())
	if err != nil {
		return nil, err
	}
	now := s.now.Load()
	ids := slices.Sorted(maps.Keys(now.providers))
	for id := range now.faults {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	listed := make([]ListedProvider, 0, len(ids))
	for _, id := range slices.Compact(ids) {
		l := ListedProvider{ID: id}
		l.Provider, l.Fault = s.get(id)
		if _, own := s.files[id+".yaml"]; own {
			l.File = id + ".yaml"
		}
		listed = append(listed, l)
	}
	return listed, nil
}
