package integration

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// registryPoll is how often the operator's folder is listed. A file is read again when its size or modification time has
// changed.
const registryPoll = time.Second

// Bounds of the operator's folder.
const (
	maxManifestFiles = 1000
	maxManifestBytes = 1 << 20
)

// registry holds the providers: those that weft ships and, in their place or besides, those of the operator's folder. An
// invalid file disables the provider that it is named after and no other. A shipped manifest is parsed when it is first
// used, which saves time at startup and memory.
type registry struct {
	folder  string
	log     *zap.Logger
	shipped snapshot
	current atomic.Pointer[snapshot]
	// files is what the last scan found. Only the goroutine that scans uses it.
	files map[string]manifestFile
}

// snapshot is the registry's content at one time. It is immutable.
type snapshot struct {
	providers map[string]loader
	// faults are the reasons why providers are disabled, by provider id.
	faults map[string]string
}

// loader returns a provider, which it parses when it is first called.
type loader func() (*manifest.Provider, error)

func loaded(p *manifest.Provider) loader {
	return func() (*manifest.Provider, error) { return p, nil }
}

// manifestFile is a file of the operator's folder: its provider, or why it is invalid.
type manifestFile struct {
	size     int64
	modified time.Time
	provider *manifest.Provider
	fault    string
}

// openRegistry lists the shipped providers and loads the operator's folder. It fails if there is a folder that cannot be
// read.
func openRegistry(folder string, log *zap.Logger) (*registry, error) {
	shipped, err := fs.Glob(providers.FS, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing providers: %w", err)
	}
	r := &registry{
		folder: folder, log: log, files: map[string]manifestFile{},
		shipped: snapshot{providers: make(map[string]loader, len(shipped)), faults: map[string]string{}},
	}
	for _, file := range shipped {
		r.shipped.providers[strings.TrimSuffix(file, ".yaml")] = sync.OnceValues(func() (*manifest.Provider, error) {
			source, err := fs.ReadFile(providers.FS, file)
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", file, err)
			}
			return manifest.LoadTrusted(file, source)
		})
	}
	r.current.Store(&r.shipped)
	if folder == "" {
		return r, nil
	}
	return r, r.scan()
}

// watch applies changes of the folder until ctx ends. While the folder cannot be read the registry keeps its content; each
// new error is logged once.
func (r *registry) watch(ctx context.Context) error {
	if r.folder == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(registryPoll)
	defer tick.Stop()
	logged := ""
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := r.scan(); err != nil && err.Error() != logged {
			logged = err.Error()
			r.log.Error("reading the provider folder", zap.Error(err))
		} else if err == nil {
			logged = ""
		}
	}
}

// scan reads the files of the folder that have changed since the last scan.
func (r *registry) scan() error {
	entries, err := os.ReadDir(r.folder)
	if err != nil {
		return fmt.Errorf("reading integration.providers_dir: %w", err)
	}
	found, changed := make(map[string]manifestFile, len(entries)), false
	for _, entry := range entries {
		name := entry.Name()
		if filepath.Ext(name) != ".yaml" || strings.HasPrefix(name, ".") {
			continue
		}
		if len(found) == maxManifestFiles {
			return fmt.Errorf("reading integration.providers_dir: there are more than %d files", maxManifestFiles)
		}
		info, err := os.Stat(filepath.Join(r.folder, name)) // follows links
		if err != nil || info.IsDir() {
			continue
		}
		known, ok := r.files[name]
		if ok && known.size == info.Size() && known.modified.Equal(info.ModTime()) {
			found[name] = known
			continue
		}
		changed = true
		found[name] = r.read(name, info)
	}
	if !changed && len(found) == len(r.files) {
		return nil
	}
	for name := range r.files {
		if _, ok := found[name]; !ok {
			r.log.Info("provider file removed", zap.String("file", name))
		}
	}
	r.files = found
	r.rebuild()
	return nil
}

func (r *registry) read(name string, info fs.FileInfo) manifestFile {
	file := manifestFile{size: info.Size(), modified: info.ModTime()}
	if info.Size() > maxManifestBytes {
		file.fault = "the file is larger than 1 MiB"
		return file
	}
	p, err := LoadManifest(filepath.Join(r.folder, name))
	if err != nil {
		file.fault = err.Error()
		r.log.Error("provider disabled: its file is invalid", zap.String("file", name), zap.Error(err))
		return file
	}
	r.log.Info("provider file loaded", zap.String("file", name))
	file.provider = p
	return file
}

// rebuild makes a new snapshot of the shipped providers, overridden by the folder's files.
func (r *registry) rebuild() {
	next := snapshot{providers: maps.Clone(r.shipped.providers), faults: maps.Clone(r.shipped.faults)}
	for _, name := range slices.Sorted(maps.Keys(r.files)) {
		id, file := strings.TrimSuffix(name, ".yaml"), r.files[name]
		delete(next.providers, id)
		delete(next.faults, id)
		if file.provider != nil {
			next.providers[id] = loaded(file.provider)
		} else {
			next.faults[id] = name + ": " + file.fault
		}
	}
	r.current.Store(&next)
}

// ids are the ids of the enabled providers, sorted. It parses no manifest.
func (r *registry) ids() []string { return slices.Sorted(maps.Keys(r.current.Load().providers)) }

// enabled reports whether there is a provider of that id that is not disabled.
func (r *registry) enabled(id string) bool { return r.current.Load().providers[id] != nil }

// knows reports whether there is a provider of that id, disabled or not.
func (r *registry) knows(id string) bool { return r.enabled(id) || r.current.Load().faults[id] != "" }

// get returns a provider, or nil if there is none. fault is the reason why it is disabled, if it is.
func (r *registry) get(id string) (p *manifest.Provider, fault string) {
	current := r.current.Load()
	load := current.providers[id]
	if load == nil {
		return nil, current.faults[id]
	}
	p, err := load()
	if err != nil {
		return nil, err.Error()
	}
	return p, ""
}

// find is get with a coded error: CodeConflict for a disabled provider, CodeNotFound for an unknown one.
func (r *registry) find(id string) (*manifest.Provider, error) {
	p, fault := r.get(id)
	switch {
	case p != nil:
		return p, nil
	case fault != "":
		return nil, subjects.Errorf(subjects.CodeConflict, "the provider %s is disabled, its manifest is invalid: %s", id, fault)
	}
	return nil, subjects.Errorf(subjects.CodeNotFound, "there is no provider %s", id)
}

// action returns an action of a provider. Errors: find's, and CodeNotFound if the provider has no such action.
func (r *registry) action(provider, id string) (*manifest.Action, error) {
	p, err := r.find(provider)
	if err != nil {
		return nil, err
	}
	action, ok := p.Action(id)
	if !ok {
		return nil, subjects.Errorf(subjects.CodeNotFound, "%s has no action %s", provider, id)
	}
	return action, nil
}

// all returns the enabled providers by id. It parses those that have not been used yet, concurrently.
func (r *registry) all() []*manifest.Provider {
	ids := r.ids()
	found := make([]*manifest.Provider, len(ids))
	var loading errgroup.Group
	loading.SetLimit(runtime.GOMAXPROCS(0))
	for i, id := range ids {
		loading.Go(func() error {
			return mesh.Recovered(func() error {
				found[i], _ = r.get(id)
				return nil
			})
		})
	}
	_ = loading.Wait() // a manifest that makes the loader panic is left out
	return slices.DeleteFunc(found, func(p *manifest.Provider) bool { return p == nil })
}

// LoadManifest loads a manifest file, whose name without .yaml is the provider's id. The error lists every fault on a line
// of its own, with line and column.
func LoadManifest(path string) (*manifest.Provider, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading manifest: %w", err)
	}
	return manifest.LoadFile(filepath.Base(path), source)
}
