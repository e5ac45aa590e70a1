package manifest

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// LoadFS loads every *.yaml of a folder. A faulty file costs its own provider and no other: faults holds, by
// file name, why it is not there. The error is the folder's own.
func LoadFS(folder fs.FS) (providers map[string]*Provider, faults map[string]error, err error) {
	files, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		return nil, nil, fmt.Errorf("listing manifests: %w", err)
	}
	providers, faults = make(map[string]*Provider, len(files)), map[string]error{}
	for _, file := range files {
		source, err := fs.ReadFile(folder, file)
		if err != nil {
			faults[file] = fmt.Errorf("reading manifest: %w", err)
			continue
		}
		p, err := Load(source)
		if err == nil && p.ID != strings.TrimSuffix(path.Base(file), ".yaml") {
			err = Faults{{Pointer: "/id", Message: "must be the file's name without .yaml"}}
		}
		if err != nil {
			faults[file] = err
			continue
		}
		providers[p.ID] = p
	}
	return providers, faults, nil
}
