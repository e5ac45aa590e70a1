package manifest

import (
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// LoadFS loads every *.yaml file of a folder and returns the providers by id. faults holds the errors of files that could
// not be loaded, by file name; they do not affect other files. err is an error of listing the folder.
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

func loadFrom(folder fs.FS, file string) (p *Provider, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	source, err := fs.ReadFile(folder, file)
	if err != nil {
		return nil, fmt.Errorf("reading manifest: %w", err)
	}
	return LoadFile(path.Base(file), source)
}

// LoadFile loads the manifest of a file, whose name must be the provider's id and .yaml.
func LoadFile(name string, source []byte) (*Provider, error) {
	return loadFile(name, source, false)
}

// LoadTrusted is LoadFile for a file that is known to be valid, such as the manifests that weft ships. It skips validation
// and compiles expressions and schemas on first use.
func LoadTrusted(name string, source []byte) (*Provider, error) {
	return loadFile(name, source, true)
}

func loadFile(name string, source []byte, trusted bool) (*Provider, error) {
	m, err := parse(source, trusted)
	if err != nil {
		return nil, err
	}
	if m.ID != strings.TrimSuffix(name, ".yaml") {
		return nil, Faults{m.positions.at("/id", "must be the file name without .yaml")}
	}
	return compile(m, trusted)
}
