package engine

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// testProcess is a simulated process without faults, for tests of its parts one by one. Its projector does not run: tests flush.
type testProcess struct {
	*process
	t     *testing.T
	hooks *hookedStore
	log   *hookedLog
}

// onProcess runs a test in virtual time with a process that owns every partition.
func onProcess(t *testing.T, change func(p *profile), test func(t *testing.T, p *testProcess)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := profile{
			Calm: true, Processes: 1, MaxConcurrent: 100, MaxSteps: 100, MaxQueued: 100, ShortWait: 100 * time.Millisecond, CutAfter: 1000, MessageLimit: 60_000, PerUser: 100,
		}
		if change != nil {
			change(&p)
		}
		w := newWorld(1, p)
		b := newTestProcess(t, w)
		b.acquireAll()
		test(t, b)
		w.shutdown()
		reportSchedule(t, w)
	})
}

// newTestProcess makes another process of a world, which owns nothing.
func newTestProcess(t *testing.T, w *world) *testProcess {
	b := &testProcess{process: w.newProcess(), t: t}
	b.hooks = &hookedStore{store: b.engine.store, hooks: map[string]func() error{}}
	b.log = &hookedLog{logStore: b.engine.log}
	b.engine.store, b.engine.log = b.hooks, b.log
	return b
}

func (p *testProcess) acquireAll() {
	p.t.Helper()
	for number := range len(p.w.log.parts) {
		if err := p.engine.acquire(p.t.Context(), number); err != nil {
			p.t.Fatal(err)
		}
	}
}

// started starts an execution and returns its id.
func (p *testProcess) started(workflow string) string {
	p.t.Helper()
	row, started, err := p.begin(p.t.Context(), order{userID: "ada", workflow: workflow}, nil)
	if err != nil || !started {
		p.t.Fatalf("starting %s: %v, %v", workflow, started, err)
	}
	return row.ID
}

func (p *testProcess) flush() {
	p.t.Helper()
	if err := p.engine.flush(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// status is an execution's status after everything that is going on has come to rest, and its row then.
func (p *testProcess) status(id string) machine.Status {
	p.t.Helper()
	for range 3 {
		time.Sleep(time.Second)
		p.flush()
	}
	row, ok := p.w.store.row(id)
	if !ok {
		p.t.Fatalf("execution %s is not stored", id)
	}
	return machine.Status(row.Status)
}

func (p *testProcess) want(id string, status machine.Status) {
	p.t.Helper()
	if got := p.status(id); got != status {
		p.t.Errorf("execution %s is %s, want %s\n%s", id, got, status, p.w.report())
	}
}

// home is the partition of an execution.
func (p *testProcess) home(id string) *partition { return p.engine.partition(PartitionOf(id)) }

// hookedStore calls a hook after a method has read and before it returns; the hook's error is the method's.
type hookedStore struct {
	store
	mu    sync.Mutex
	hooks map[string]func() error
	// projecting replaces project where it is not nil.
	projecting func(ctx context.Context, batches ...projectionBatch) error
}

func (s *hookedStore) project(ctx context.Context, batches ...projectionBatch) error {
	s.mu.Lock()
	project := s.projecting
	s.mu.Unlock()
	if project == nil {
		project = s.store.project
	}
	return project(ctx, batches...)
}

// on sets the hook of a method; nil: none.
func (s *hookedStore) on(method string, hook func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks[method] = hook
}

// after returns a method's error, or the hook's.
func (s *hookedStore) after(method string, err error) error {
	s.mu.Lock()
	hook := s.hooks[method]
	s.mu.Unlock()
	if err != nil || hook == nil {
		return err
	}
	return hook()
}

func (s *hookedStore) live(ctx context.Context, number int) ([]Row, error) {
	rows, err := s.store.live(ctx, number)
	return rows, s.after("live", err)
}

func (s *hookedStore) due(ctx context.Context, number int, until time.Time) ([]dueRow, error) {
	rows, err := s.store.due(ctx, number, until)
	return rows, s.after("due", err)
}

func (s *hookedStore) listening(ctx context.Context, number int, userID string) ([]string, error) {
	ids, err := s.store.listening(ctx, number, userID)
	return ids, s.after("listening", err)
}

func (s *hookedStore) open(ctx context.Context, number int, userID string) ([]string, error) {
	ids, err := s.store.open(ctx, number, userID)
	return ids, s.after("open", err)
}

func (s *hookedStore) uncompletedParents(ctx context.Context, number int) ([]Row, error) {
	rows, err := s.store.uncompletedParents(ctx, number)
	return rows, s.after("uncompletedParents", err)
}

func (s *hookedStore) history(ctx context.Context, id string) ([]json.RawMessage, error) {
	raw, err := s.store.history(ctx, id)
	return raw, s.after("history", err)
}

func (s *hookedStore) execution(ctx context.Context, id string) (Row, error) {
	row, err := s.store.execution(ctx, id)
	return row, s.after("execution", err)
}

// failTimes is a hook that fails a number of times.
func failTimes(count int64) func() error {
	var calls atomic.Int64
	return func() error {
		if calls.Add(1) <= count {
			return errNetwork
		}
		return nil
	}
}

// hookedLog holds appends back while it is blocked.
type hookedLog struct {
	logStore
	mu      sync.Mutex
	blocked chan struct{}
}

func (l *hookedLog) append(ctx context.Context, number int, data []byte, after uint64) (uint64, error) {
	l.mu.Lock()
	blocked := l.blocked
	l.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return l.logStore.append(ctx, number, data, after)
}

// block holds the appends of the process back until release is called.
func (l *hookedLog) block() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	blocked := make(chan struct{})
	l.blocked = blocked
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.blocked = nil
		close(blocked)
	}
}

// unprojectedBytes is the size of the events of a partition that SQL does not have.
func (p *testProcess) unprojectedBytes(number int) int {
	one := p.engine.partition(number)
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.unprojectedBytes
}

// isLoaded reports whether an execution is in memory.
func (p *testProcess) isLoaded(id string) bool {
	one := p.home(id)
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.executions[id] != nil
}
