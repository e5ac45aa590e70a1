package extension

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/subjects"
)

const (
	// refreshEvery is the interval at which every extension is asked, saveEvery that at which an unchanged state is stored.
	refreshEvery = 10 * time.Second
	saveEvery    = time.Minute
	// refreshAtOnce is how many extensions are asked at the same time.
	refreshAtOnce = 8
	// parsedSize is how many declarations of functions are cached.
	parsedSize = 2048
)

// Stored is the state of an extension as it is stored. Declarations are its functions, JSON of the registry's own.
type Stored struct {
	Name         string
	Versions     []string
	Copies       int
	Fault        string
	Declarations json.RawMessage
	SeenAt       time.Time
}

// Options are what a Registry works with; all are required.
type Options struct {
	Config Config
	Conn   *mesh.Conn
	Log    *zap.Logger
	Now    func() time.Time
	// Load returns what is stored of extensions, Save stores what is known of one.
	Load func(ctx context.Context) ([]Stored, error)
	Save func(ctx context.Context, s Stored) error
}

// Registry knows the enrolled extensions and their functions. It asks them for these, at intervals and when a caller needs to know.
type Registry struct {
	Options
	parsed *lru.Cache[string, *Function]

	mu sync.Mutex
	// enrolled are the extensions as they were read at enrolledAt.
	enrolled   map[string]mesh.Enrolled
	enrolledAt time.Time
	states     map[string]*State
	saved      map[string]savedState
	// unsaved is what is to be stored; wake has Run store it.
	unsaved map[string]Stored
	wake    wait.Signal
	// reading is held by the caller that reads the list of the enrolled extensions.
	reading chan struct{}
	asking  map[string]chan struct{}
	loaded  bool
}

// savedState is what was stored of an extension last.
type savedState struct {
	text string
	at   time.Time
}

// NewRegistry returns a registry. It asks at intervals while Run runs.
func NewRegistry(o Options) *Registry {
	parsed, err := lru.New[string, *Function](parsedSize)
	if err != nil {
		panic("extension: a cache's size must be positive")
	}
	return &Registry{
		Options: o, parsed: parsed, states: map[string]*State{}, saved: map[string]savedState{},
		unsaved: map[string]Stored{}, wake: wait.NewSignal(), reading: make(chan struct{}, 1), asking: map[string]chan struct{}{},
	}
}

// Run asks every extension at intervals, until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		if _, err := r.All(ctx, refreshEvery/2); err != nil && ctx.Err() == nil {
			r.Log.Warn("looking for extensions failed", zap.Error(err))
		}
		for asked := false; !asked; {
			r.save(ctx)
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				asked = true
			case <-r.wake.C():
			}
		}
	}
}

// All returns the states of all enrolled extensions, in the order of their names, none older than age.
func (r *Registry) All(ctx context.Context, age time.Duration) ([]*State, error) {
	names, err := r.names(ctx, age)
	if err != nil {
		return nil, err
	}
	states := make([]*State, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(refreshAtOnce)
	for i, name := range names {
		group.Go(func() error {
			state, err := r.Find(ctx, name, age)
			states[i] = state
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(states, func(s *State) bool { return s == nil }), nil
}

// names returns the names of the enrolled extensions, sorted, from a list that is not older than age.
func (r *Registry) names(ctx context.Context, age time.Duration) ([]string, error) {
	if err := r.readEnrolled(ctx, age); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.enrolled)), nil
}

// readEnrolled reads the list of the enrolled extensions, unless it is not older than age, and at first what is stored of them.
func (r *Registry) readEnrolled(ctx context.Context, age time.Duration) error {
	if fresh, _ := r.isFresh(age); fresh {
		return nil
	}
	select { // one reads for all that wait
	case r.reading <- struct{}{}:
		defer func() { <-r.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	fresh, loaded := r.isFresh(age)
	if fresh {
		return nil
	}
	if !loaded {
		if err := r.load(ctx); err != nil {
			return err
		}
	}
	at := r.Now()
	list, err := mesh.FetchEnrolled(ctx, r.Conn.JS)
	if err != nil {
		return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the enrolled extensions cannot be read", RetryAfter: subjects.RetrySoon, Cause: err}
	}
	enrolled := map[string]mesh.Enrolled{}
	for _, one := range list {
		if one.Kind == subjects.KindExtension {
			enrolled[one.Name] = one
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enrolled, r.enrolledAt = enrolled, at
	return nil
}

// isFresh reports whether the list of the enrolled extensions is not older than age, and whether what is stored of them was read.
func (r *Registry) isFresh(age time.Duration) (fresh, loaded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.loaded && r.enrolled != nil && r.Now().Sub(r.enrolledAt) < age, r.loaded
}

// Find returns the state of an extension, not older than age; nil if none of the name is enrolled. The error is CodeUnavailable while that
// cannot be found out.
func (r *Registry) Find(ctx context.Context, name string, age time.Duration) (*State, error) {
	for {
		if err := r.readEnrolled(ctx, max(age, enrolledAge)); err != nil {
			return nil, err
		}
		r.mu.Lock()
		enrolled, ok := r.enrolled[name]
		state := r.states[name]
		if !ok {
			delete(r.states, name)
			stale := r.Now().Sub(r.enrolledAt) > enrolledFreshness
			r.mu.Unlock()
			if stale {
				if err := r.readEnrolled(ctx, enrolledFreshness); err != nil {
					return nil, err
				}
				continue
			}
			return nil, nil
		}
		if state != nil && r.Now().Sub(state.asked) < age && state.EnrolledAt.Equal(enrolled.At) {
			r.mu.Unlock()
			return state, nil
		}
		asking := r.asking[name]
		if asking == nil {
			asking = make(chan struct{})
			r.asking[name] = asking
			r.mu.Unlock()
			err := r.refresh(ctx, enrolled)
			r.mu.Lock()
			delete(r.asking, name)
			state = r.states[name]
			r.mu.Unlock()
			close(asking)
			return state, err
		}
		r.mu.Unlock()
		select {
		case <-asking:
			age = max(age, maxAsking) // what was found out meanwhile is recent enough
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// enrolledAge is how old the list of the enrolled extensions may be at least, and enrolledFreshness how old for a name that is not in it.
const (
	enrolledAge       = time.Second
	enrolledFreshness = 250 * time.Millisecond
)

// maxAsking is more than asking an extension takes.
const maxAsking = 3 * time.Second

// refresh asks an extension and keeps what it answers.
func (r *Registry) refresh(ctx context.Context, enrolled mesh.Enrolled) error {
	asked := r.Now()
	r.mu.Lock()
	before := r.states[enrolled.Name]
	r.mu.Unlock()
	known := 0
	if before != nil {
		known = before.Copies
	}
	copies, more, err := ask(ctx, r.Conn, enrolled.Name, known)
	if err != nil {
		return err
	}
	state := &State{Name: enrolled.Name, EnrolledAt: enrolled.At, asked: asked}
	if before != nil && !before.SeenAt.Before(enrolled.At) { // else they are those of an extension that had the name before
		state.Versions, state.Functions, state.SeenAt, state.Fault = before.Versions, before.Functions, before.SeenAt, before.Fault
	}
	if len(copies) > 0 {
		list, fault := declarationsOf(enrolled.Name, copies)
		if more {
			fault = fmt.Sprintf("the extension has more than %d copies, of which the others are not read", MaxCopies)
		}
		functions, err := r.read(ctx, enrolled.Name, list)
		if err != nil {
			return err
		}
		state.Up, state.Copies, state.SeenAt, state.Functions, state.Fault = true, len(copies), asked, functions, fault
		state.Versions = versionsOf(copies)
		if err := r.note(state, list); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states[enrolled.Name] = state
	return nil
}

// versionsOf returns the versions of copies, the newest first.
func versionsOf(copies []copyInfo) []string {
	var versions []string
	for _, c := range copies {
		if version := text(c.Version, 64); !slices.Contains(versions, version) {
			versions = append(versions, version)
		}
	}
	slices.SortFunc(versions, func(a, b string) int { return -compareVersions(a, b) })
	return versions
}

// read reads declarations. Those that were read before are in a cache.
func (r *Registry) read(ctx context.Context, namespace string, list []declaration) (functions []*Function, err error) {
	functions = functionsOf(list, func(name string, metadata map[string]string) *Function {
		id := namespace + "\x00" + identityOf(name, metadata)
		if known, ok := r.parsed.Get(id); ok {
			return known
		}
		f := &Function{}
		err = errors.Join(err, compute.Default.Do(ctx, namespace, func() {
			f = parseFunction(namespace, name, metadata, r.Config.MaxDuration)
		}))
		if err == nil {
			r.parsed.Add(id, f)
		}
		return f
	})
	return functions, err
}
