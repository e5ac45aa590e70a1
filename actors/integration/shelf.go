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
)

// shelfPoll is how often the operator's folder is looked at. Looking costs a listing; a file is read when its size or
// time has changed.
const shelfPoll = time.Second

// maxShelf bounds the operator's files, in number and each in bytes.
const (
	maxShelf        = 1000
	maxManifestFile = 1 << 20
)

// shelf holds the providers that there are: those that weft ships and, over them, those of the operator's folder. A faulty
// file disables its own provider, also one that weft ships, and no other. What weft ships has been checked when it was built:
// it is read when it is first asked for, so that it costs neither time at the start nor memory where nobody uses it.
type shelf struct {
	folder  string
	log     *zap.Logger
	shipped stock
	now     atomic.Pointer[stock]
	// files is what the folder held at the last look; it belongs to whoever looks.
	files map[string]shelved
}

// stock is what a shelf holds at one time. It is not changed.
type stock struct {
	providers map[string]loader
	// faults say, by provider's id, why it is not there.
	faults map[string]string
}

// loader is a provider that is read when it is first asked for.
type loader func() (*manifest.Provider, error)

func loaded(p *manifest.Provider) loader {
	return func() (*manifest.Provider, error) { return p, nil }
}

// shelved is a file of the folder as it was read.
type shelved struct {
	size  int64
	time  time.Time
	ready *manifest.Provider
	fault string
}

// openShelf lists what weft ships and loads what the folder holds now; a folder that is not there is an error.
func openShelf(folder string, log *zap.Logger) (*shelf, error) {
	shipped, err := fs.Glob(providers.FS, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing providers: %w", err)
	}
	s := &shelf{
		folder: folder, log: log, files: map[string]shelved{},
		shipped: stock{providers: make(map[string]loader, len(shipped)), faults: map[string]string{}},
	}
	for _, file := range shipped {
		s.shipped.providers[strings.TrimSuffix(file, ".yaml")] = sync.OnceValues(func() (*manifest.Provider, error) {
			source, err := fs.ReadFile(providers.FS, file)
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", file, err)
			}
			return manifest.LoadTrusted(file, source)
		})
	}
	s.now.Store(&s.shipped)
	if folder == "" {
		return s, nil
	}
	return s, s.look()
}

// watch keeps the shelf in step with the folder until ctx ends.
func (s *shelf) watch(ctx context.Context) error {
	if s.folder == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(shelfPoll)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		// A folder that cannot be read changes nothing: what was there stays.
		if err := s.look(); err != nil && err.Error() != said {
			said = err.Error()
			s.log.Error("looking through the folder of providers", zap.Error(err))
		} else if err == nil {
			said = ""
		}
	}
}

// look reads what has changed in the folder since the last time.
func (s *shelf) look() error {
	entries, err := os.ReadDir(s.folder)
	if err != nil {
		return fmt.Errorf("reading integration.providers_dir: %w", err)
	}
	found, changed := make(map[string]shelved, len(entries)), false
	for _, entry := range entries {
		name := entry.Name()
		if filepath.Ext(name) != ".yaml" || strings.HasPrefix(name, ".") {
			continue
		}
		if len(found) == maxShelf {
			return fmt.Errorf("reading integration.providers_dir: there are more than %d files", maxShelf)
		}
		info, err := os.Stat(filepath.Join(s.folder, name)) // of what a link leads to
		if err != nil || info.IsDir() {
			continue
		}
		had, there := s.files[name]
		if there && had.size == info.Size() && had.time.Equal(info.ModTime()) {
			found[name] = had
			continue
		}
		changed = true
		found[name] = s.read(name, info)
	}
	if !changed && len(found) == len(s.files) {
		return nil
	}
	for name := range s.files {
		if _, there := found[name]; !there {
			s.log.Info("a provider's file is gone", zap.String("file", name))
		}
	}
	s.files = found
	s.arrange()
	return nil
}

func (s *shelf) read(name string, info fs.FileInfo) shelved {
	file := shelved{size: info.Size(), time: info.ModTime()}
	if info.Size() > maxManifestFile {
		file.fault = "the file is larger than 1 MiB"
		return file
	}
	ready, err := LoadManifest(filepath.Join(s.folder, name))
	if err != nil {
		file.fault = err.Error()
		s.log.Error("a provider is disabled: its file is faulty", zap.String("file", name), zap.Error(err))
		return file
	}
	s.log.Info("a provider's file is in effect", zap.String("file", name))
	file.ready = ready
	return file
}

// arrange puts the folder's files over what weft ships.
func (s *shelf) arrange() {
	next := stock{providers: maps.Clone(s.shipped.providers), faults: maps.Clone(s.shipped.faults)}
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		id, file := strings.TrimSuffix(name, ".yaml"), s.files[name]
		delete(next.providers, id)
		delete(next.faults, id)
		if file.ready != nil {
			next.providers[id] = loaded(file.ready)
		} else {
			next.faults[id] = name + ": " + file.fault
		}
	}
	s.now.Store(&next)
}

// ids are those of the providers that there are, sorted. None is read for it.
func (s *shelf) ids() []string { return slices.Sorted(maps.Keys(s.now.Load().providers)) }

// has reports whether there is a provider that is not disabled.
func (s *shelf) has(id string) bool { return s.now.Load().providers[id] != nil }

// get finds a provider, nil where there is none; fault says why it is disabled, where it is.
func (s *shelf) get(id string) (p *manifest.Provider, fault string) {
	now := s.now.Load()
	load := now.providers[id]
	if load == nil {
		return nil, now.faults[id]
	}
	p, err := load()
	if err != nil {
		return nil, err.Error()
	}
	return p, ""
}

// all are the providers that there are, by id. Those that have not been read yet are read at once.
func (s *shelf) all() []*manifest.Provider {
	ids := s.ids()
	found := make([]*manifest.Provider, len(ids))
	var reading errgroup.Group
	reading.SetLimit(runtime.GOMAXPROCS(0))
	for i, id := range ids {
		reading.Go(func() error {
			found[i], _ = s.get(id)
			return nil
		})
	}
	_ = reading.Wait() // none fails
	return slices.DeleteFunc(found, func(p *manifest.Provider) bool { return p == nil })
}

// knows reports whether there is a provider, disabled or not.
func (s *shelf) knows(id string) bool { return s.has(id) || s.now.Load().faults[id] != "" }

// LoadManifest loads a provider's file, which bears the provider's id as its name. The error names each fault on a line of
// its own, with line and column.
func LoadManifest(path string) (*manifest.Provider, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading manifest: %w", err)
	}
	return manifest.LoadFile(filepath.Base(path), source)
}
