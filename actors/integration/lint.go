package integration

import (
	"errors"
	"maps"
	"slices"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// Lint checks a manifest as the actor does when it loads it, and returns its faults; nil if it is valid. file is the
// file's name, which must be the provider's id with the suffix .yaml; an empty name is not checked.
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

// ActionInputs returns a function that finds the JSON Schemas of the inputs of a provider's actions, by name, among the
// shipped providers and those of a folder of manifests. If there is no provider of that id, or it is disabled, inputs are nil
// and known are the ids of all.
func ActionInputs(folder string) (func(id string) (inputs map[string]map[string]any, known []string), error) {
	r, err := openRegistry(folder, zap.NewNop())
	if err != nil {
		return nil, err
	}
	return func(id string) (map[string]map[string]any, []string) {
		p, _ := r.get(id)
		if p == nil {
			return nil, r.ids()
		}
		inputs := make(map[string]map[string]any, len(p.Actions))
		for _, action := range p.Actions {
			inputs[action.ID] = action.Input
		}
		return inputs, nil
	}, nil
}

// ListedProvider is a provider as ListProviders returns it.
type ListedProvider struct {
	ID string
	// Provider is nil if the provider is disabled; Fault is the reason then.
	Provider *manifest.Provider
	Fault    string
	// File is the provider's file in the operator's folder; empty for a provider that weft ships.
	File string
}

// ListProviders lists the shipped providers and those of a folder of manifests by id, disabled ones included. An empty
// folder name is no folder.
func ListProviders(folder string) ([]ListedProvider, error) {
	r, err := openRegistry(folder, zap.NewNop())
	if err != nil {
		return nil, err
	}
	ids := slices.AppendSeq(r.ids(), maps.Keys(r.current.Load().faults))
	slices.Sort(ids)
	listed := make([]ListedProvider, 0, len(ids))
	for _, id := range slices.Compact(ids) {
		l := ListedProvider{ID: id}
		l.Provider, l.Fault = r.get(id)
		if _, own := r.files[id+".yaml"]; own {
			l.File = id + ".yaml"
		}
		listed = append(listed, l)
	}
	return listed, nil
}
