package manifest

import (
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"strings"
	"sync"
)

// LoadFS loads every *.yaml of a folder. A faulty file costs its own provider and no other: faults holds, by
// file name, why it is not there. The error is the folder's own.
func LoadFS(folder fs.FS) (providers map[string]*Provider, faults map[string]error, err error) {
	files, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		return nil, nil, fmt.Errorf("listing manifests: %w", err)
	}
	providers, faults = make(map[string]*Provider, len(files)), map[string]error{}
	var mu sync.Mutex
	var loading sync.WaitGroup
	next := make(chan string)
	for range min(runtime.GOMAXPROCS(0), len(files)) {
		loading.Go(func() {
			for file := range next {
				p, err := loadFrom(folder, file)
				mu.Lock()
				if err != nil {
					faults[file] = err
				} else {
					providers[p.ID] = p
				}
				mu.Unlock()
			}
		})
	}
	for _, file := range files {
		next <- file
	}
	close(next)
	loading.Wait()
	return providers, faults, nil
}

func loadFrom(folder fs.FS, file string) (*Provider, error) {
	source, err := fs.ReadFile(folder, file)
	if err != nil {
		return nil, fmt.Errorf("reading manifest: %w", err)
	}
	return LoadFile(path.Base(file), source)
}

// LoadFile is Load for a file of a name: the provider's id and .yaml.
func LoadFile(name string, source []byte) (*Provider, error) {
	return loadFile(name, source, false)
}

// LoadTrusted is LoadFile for a file that LoadFile is known to take, such as one that weft ships: it costs a reading, and
// no more. What has been checked is not checked again; an expression or a schema is compiled when it is first used.
func LoadTrusted(name string, source []byte) (*Provider, error) {
	return loadFile(name, source, true)
}

func loadFile(name string, source []byte, trusted bool) (*Provider, error) {
	m, err := parse(source, trusted)
	if err != nil {
		return nil, err
	}
	if m.ID != strings.TrimSuffix(name, ".yaml") {
		return nil, Faults{m.positions.at("/id", "must be the file's name without .yaml")}
	}
	return compile(m, trusted)
}
