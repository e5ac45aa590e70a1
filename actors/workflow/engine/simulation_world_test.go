package engine

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// errDead is the error of every port of a process that was killed, errNetwork of a port that a fault has hit.
var (
	errDead    = &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the process was killed"}
	errNetwork = &subjects.Error{Code: subjects.CodeUnavailable, Detail: "simulated fault"}
)

// profile is how much goes wrong in one schedule. Rates are probabilities for each use of a port.
type profile struct {
	Calm                                 bool
	Processes, Users                     int
	Active                               time.Duration
	AppendFault, ReadFault, StoreFault   float64
	RequestFault, HeartbeatFault, Slow   float64
	Crashes, Pauses, Stops               int
	MaxConcurrent, MaxSteps, MaxQueued   int
	ShortWait                            time.Duration
	CutAfter                             uint64
	MessageLimit                         int
	FaultyCalls, TerminateUser, Schedule bool
	// Quarantines: executions are expected to be quarantined, which is logged as an error.
	Quarantines bool
	// InPool: all decisions are made without the lock. PerUser is how many slots of each kind a user may have.
	InPool bool
	// LogRate is the log rate in bytes a second; 0: as usual.
	LogRate float64
	// BatchBytes bounds a transaction of a projection; 0: as usual.
	BatchBytes int
	PerUser    int
}

func newProfile(r *rand.Rand) profile {
	rates := []float64{0, 0.01, 0.05, 0.2}
	rate := func() float64 { return rates[r.IntN(len(rates))] }
	p := profile{
		Processes: 1 + r.IntN(3), Users: 1 + r.IntN(3), Active: time.Duration(3+r.IntN(6)) * time.Second,
		AppendFault: rate(), ReadFault: rate(), StoreFault: rate(), RequestFault: rate(), HeartbeatFault: rate(), Slow: rate() / 4,
		Crashes: r.IntN(3), Pauses: r.IntN(3), Stops: r.IntN(2),
		MaxConcurrent: 1 + r.IntN(8), MaxSteps: 1 + r.IntN(6), MaxQueued: 2 + r.IntN(60),
		ShortWait: time.Duration(r.IntN(3)) * 200 * time.Millisecond, CutAfter: uint64(1 + r.IntN(30)), MessageLimit: []int{1500, 3000, 10_000, 60_000}[r.IntN(4)],
		FaultyCalls: r.IntN(4) > 0, TerminateUser: r.IntN(6) == 0, Schedule: r.IntN(3) == 0, InPool: r.IntN(3) == 0, PerUser: 1 + r.IntN(8), BatchBytes: []int{0, 1, 2000}[r.IntN(3)],
	}
	if r.IntN(5) == 0 {
		p.Calm, p.AppendFault, p.ReadFault, p.StoreFault, p.RequestFault, p.HeartbeatFault, p.Slow = true, 0, 0, 0, 0, 0, 0
		p.Crashes, p.Pauses, p.Stops, p.MaxConcurrent, p.MaxSteps, p.MaxQueued, p.PerUser = 0, 0, 0, 100, 100, 1000, 100
	} else {
		p.LogRate = []float64{0, 0, 30_000, 100_000}[r.IntN(4)]
	}
	return p
}

// world is one schedule: the processes, what they share, and what is known of it from outside.
type world struct {
	seed    uint64
	profile profile
	epoch   time.Time
	log     *memoryLog
	store   *memoryStore
	bus     *memoryBus
	ledger  *ledger
	// mutation breaks the harness or a port on purpose, for the tests of the harness itself.
	mutation string

	mu         sync.Mutex
	sources    map[string]*rand.Rand
	trace      []traceLine
	violations []string
	healed     bool
	processes  []*process
	spawned    int
	paused     map[string]bool // schedules
}

type traceLine struct {
	at     time.Duration
	format string
	args   []any
}

func newWorld(seed uint64, p profile) *world {
	w := &world{seed: seed, profile: p, epoch: time.Now(), sources: map[string]*rand.Rand{}, paused: map[string]bool{}}
	w.ledger = newLedger(w)
	w.log = &memoryLog{w: w}
	w.store = newMemoryStore(w)
	w.bus = &memoryBus{w: w, servers: map[int][]*busServer{}}
	return w
}

// random is the source of one place's decisions, which do not depend on the order of other places' decisions.
func (w *world) random(place string) *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.sources[place]
	if r == nil {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(place))
		r = rand.New(lockedSource{&sync.Mutex{}, rand.NewPCG(w.seed, hash.Sum64())})
		w.sources[place] = r
	}
	return r
}

type lockedSource struct {
	mu  *sync.Mutex
	pcg *rand.PCG
}

func (s lockedSource) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pcg.Uint64()
}

// faulty draws whether a fault with a probability hits a place now.
func (w *world) faulty(r *rand.Rand, rate float64) bool {
	if rate == 0 {
		return false
	}
	w.mu.Lock()
	healed := w.healed
	w.mu.Unlock()
	return !healed && r.Float64() < rate
}

// latency draws how long a port takes, half of it before its effect.
func (w *world) latency(r *rand.Rand, most time.Duration) time.Duration {
	d := time.Duration(r.Int64N(int64(most)))
	if w.faulty(r, w.profile.Slow) {
		d += time.Duration(r.Int64N(int64(2 * time.Second)))
	}
	return d / 2
}

func (w *world) tracef(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, traceLine{time.Since(w.epoch), format, args})
}

// violatef records that an invariant does not hold.
func (w *world) violatef(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.tracef("VIOLATION %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.violations) < 20 && !slices.Contains(w.violations, text) {
		w.violations = append(w.violations, text)
	}
}

// report is the schedule as text: the last lines of its trace, and those that mention what the violations do.
func (w *world) report() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %+v\n", w.seed, w.profile)
	for _, v := range w.violations {
		fmt.Fprintf(&b, "violation: %s\n", v)
	}
	lines := w.trace[max(0, len(w.trace)-maxTraceLines):]
	for _, line := range lines {
		fmt.Fprintf(&b, "%9.4f %s\n", line.at.Seconds(), fmt.Sprintf(line.format, line.args...))
	}
	return b.String()
}

// process is one simulated process: an engine whose ports can be cut or held.
type process struct {
	w      *world
	name   string
	engine *Engine
	ctx    context.Context //nolint:containedctx // the process's life
	cancel context.CancelFunc
	loops  sync.WaitGroup

	mu       sync.Mutex
	dead     bool
	stopping bool
	resumed  chan struct{} // not nil while paused
	ids      uint64
}

// spawn starts a process.
func (w *world) spawn() *process {
	p := w.newProcess()
	p.start()
	return p
}

// newProcess makes a process whose engine owns nothing and runs no loops.
func (w *world) newProcess() *process {
	w.mu.Lock()
	w.spawned++
	p := &process{w: w, name: fmt.Sprintf("p%d", w.spawned)}
	w.mu.Unlock()
	p.ctx, p.cancel = context.WithCancel(context.Background())
	config := DefaultConfig()
	config.MaxConcurrent, config.MaxSteps, config.ShortWait, config.CutAfter = w.profile.MaxConcurrent, w.profile.MaxSteps, w.profile.ShortWait, w.profile.CutAfter
	config.StepTimeout, config.StepRetryDelay, config.MaxQueued = 2*time.Second, 100*time.Millisecond, w.profile.MaxQueued
	config.MaxQueuedPerUser = max(1, w.profile.MaxQueued/2)
	config.MaxConcurrentPerUser, config.MaxStepsPerUser = w.profile.PerUser, w.profile.PerUser
	p.engine = newEngine(Options{
		Config: config, Log: zap.New(traceCore{p}), Metrics: prometheus.NewRegistry(), Now: time.Now, NewID: p.newID,
		Definition:  func(_ context.Context, id string, _ int) (*language.Workflow, error) { return simulated[id].def, nil },
		Environment: func(*language.Workflow, string) machine.Environment { return machine.Environment{} },
		Dispatch:    p.dispatch,
		PendingCalls: func(_ context.Context, executions []string) (map[string][]string, error) {
			return w.store.pendingCalls(executions), nil
		},
		ScheduleAllows: func(_ context.Context, schedule, _ string) (bool, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return !w.paused[schedule], nil
		},
		Guarded: func(ctx context.Context, _ Row, start func(context.Context, func() bool) error) error {
			return start(ctx, func() bool { return true })
		},
		AwaitUnblocked: func(context.Context, <-chan struct{}, string) bool { return true },
	}, w.profile.MessageLimit)
	p.engine.alwaysInPool = w.profile.InPool
	if w.profile.LogRate > 0 {
		p.engine.logRate.rate = w.profile.LogRate
	}
	if w.profile.BatchBytes > 0 {
		p.engine.batchBytes = w.profile.BatchBytes
	}
	p.engine.log, p.engine.store, p.engine.bus = processLog{p}, processStore{p}, processBus{p}
	w.mu.Lock()
	w.processes = append(w.processes, p)
	w.mu.Unlock()
	return p
}

// start runs the engine's loops.
func (p *process) start() {
	p.w.tracef("%s starts", p.name)
	p.loops.Go(func() { _ = p.engine.awaitStop(p.ctx) })
	p.loops.Go(func() { _ = p.engine.runProjector(p.ctx) })
	p.loops.Go(func() {
		if err := p.engine.runOwnership(p.ctx); err != nil {
			p.w.tracef("%s: ownership: %v", p.name, err)
		}
	})
}

// newID makes a UUID from the process's name and a counter.
func (p *process) newID() string {
	hash := fnv.New64a()
	p.mu.Lock()
	p.ids++
	_, _ = fmt.Fprintf(hash, "%s/%d/%d", p.name, p.w.seed, p.ids)
	p.mu.Unlock()
	sum := hash.Sum64()
	return fmt.Sprintf("%08x-%04x-7000-8000-%012x", uint32(sum>>32), uint16(sum>>16), sum&0xffffffffffff)
}

// enter waits while the process is paused. It returns an error once the process is dead.
func (p *process) enter() error {
	for {
		p.mu.Lock()
		dead, resumed := p.dead, p.resumed
		p.mu.Unlock()
		switch {
		case dead:
			return errDead
		case resumed == nil:
			return nil
		}
		<-resumed
	}
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// serving reports whether clients send requests to the process.
func (p *process) serving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead && !p.stopping
}

// kill cuts the process's ports: nothing that it does afterwards has an effect.
func (p *process) kill() {
	p.w.tracef("%s is killed", p.name)
	p.mu.Lock()
	p.dead = true
	if p.resumed != nil {
		close(p.resumed)
		p.resumed = nil
	}
	p.mu.Unlock()
	p.w.bus.drop(p)
	p.cancel()
	for _, one := range p.engine.owned() {
		one.close(nil)
	}
}

// pause holds the process's ports until it is resumed or killed.
func (p *process) pause() (resume func()) {
	p.w.tracef("%s is paused", p.name)
	resumed := make(chan struct{})
	p.mu.Lock()
	if p.dead || p.resumed != nil {
		p.mu.Unlock()
		return func() {}
	}
	p.resumed = resumed
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.resumed == resumed {
			close(resumed)
			p.resumed = nil
			p.w.tracef("%s continues", p.name)
		}
	}
}

// stop ends the process in order: it hands its partitions over.
func (p *process) stop() {
	p.w.tracef("%s stops", p.name)
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	p.cancel()
	p.loops.Wait()
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.w.bus.drop(p)
	p.w.tracef("%s has stopped", p.name)
}

// live are the processes that take requests.
func (w *world) live() (list []*process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.processes {
		if p.serving() {
			list = append(list, p)
		}
	}
	return list
}

// traceCore writes a process's log messages to the trace.
type traceCore struct{ p *process }

func (c traceCore) Enabled(l zapcore.Level) bool      { return l >= zapcore.InfoLevel }
func (c traceCore) With([]zapcore.Field) zapcore.Core { return c }
func (c traceCore) Sync() error                       { return nil }
func (c traceCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(e, c)
}

func (c traceCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	encoder := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(encoder)
	}
	c.p.w.tracef("%s logs %s: %s %v", c.p.name, e.Level, e.Message, encoder.Fields)
	if e.Level >= zapcore.ErrorLevel && !c.p.isDead() && (!c.p.w.profile.Quarantines || !strings.HasPrefix(e.Message, "execution quarantined")) {
		c.p.w.violatef("%s logs an error: %s %v", c.p.name, e.Message, encoder.Fields)
	}
	return nil
}

// reportSchedule fails the test with what a schedule violated.
func reportSchedule(t *testing.T, w *world) {
	t.Helper()
	if len(w.violations) > 0 {
		t.Error(w.report())
	}
}
