package actors

import (
	"context"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// guardedEnforcer is the guard of a process.
func guardedEnforcer(p *trialProcess) enforce { return guardOf(p).Do }

// guardOf makes the guard of a process, and connects it to the process's barriers and lease.
func guardOf(p *trialProcess) *Guard {
	g := newGuard(guardInputs{
		live:    func() bool { p.step(); return p.valid() },
		blocked: func(string) bool { return false },
		read:    p.read,
		now:     func() time.Time { p.step(); return time.Now() },
	})
	p.onRevoked, p.onRenewed, p.onRejoin = g.consentRevoked, g.consentRenewed, g.rejoined
	return g
}

// watchingEnforcer is a guard that watches the bucket of states and does nothing else.
func watchingEnforcer(p *trialProcess) enforce {
	p.watch = &watching{p: p, active: p.w.active()}
	return p.watch.do
}

type watching struct {
	p      *trialProcess
	mu     sync.Mutex
	active map[consentKey]bool
}

func (g *watching) do(ctx context.Context, grant mesh.Grant, scope string, start func(context.Context, func()) error) error {
	g.p.step()
	g.mu.Lock()
	active := g.active[stateKey(grant.UserID, scope)]
	g.mu.Unlock()
	if !active {
		return consentRequired(scope, "revoked")
	}
	return start(ctx, func() {})
}

func (w *trialWorld) active() map[consentKey]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	states := map[consentKey]bool{}
	for key, state := range w.states {
		states[key] = state.Status == subjects.ConsentActive
	}
	return states
}

// trialSlot is where one process runs after another.
type trialSlot struct {
	w          *trialWorld
	number     int
	generation int
	process    *trialProcess
}

// trialProcess is a process with an enforcer. Everything that it does calls step, which blocks while it is paused and ends the goroutine once it was
// killed.
type trialProcess struct {
	w      *trialWorld
	name   string
	random *rand.Rand
	do     enforce
	// watch is set in a process that watches the bucket.
	watch *watching

	onRevoked, onRenewed func(context.Context, mesh.Barrier) error
	onRejoin             func(context.Context) error

	mu     sync.Mutex
	resume chan struct{} // not nil while it is paused
	killed chan struct{}
	dead   atomic.Bool
	cut    atomic.Bool
	// lossy means that barriers and their acknowledgements may be lost, as those of a slow consumer.
	lossy atomic.Bool
	// entered and ended count the barriers whose handling has, by scope.
	entered, ended [2]atomic.Int64
	// renewed is when the last renewal of the lease was sent that has succeeded.
	renewed atomic.Pointer[time.Time]
}

// start starts a process in the slot.
func (s *trialSlot) start() {
	s.generation++
	p := &trialProcess{
		w: s.w, name: strconv.Itoa(s.number) + "." + strconv.Itoa(s.generation), killed: make(chan struct{}),
		random:    rand.New(rand.NewPCG(s.w.random.Uint64(), 3)),
		onRevoked: func(context.Context, mesh.Barrier) error { return nil },
		onRenewed: func(context.Context, mesh.Barrier) error { return nil },
		onRejoin:  func(context.Context) error { return nil },
	}
	s.w.mu.Lock()
	s.w.processes = append(s.w.processes[:len(s.w.processes):len(s.w.processes)], p)
	s.w.mu.Unlock()
	s.process, p.do = p, s.w.build(p)
	p.goDo(p.holdLease)
	for range 2 {
		random := rand.New(rand.NewPCG(s.w.random.Uint64(), 4))
		p.goDo(func() { p.serve(random) })
	}
}

// goDo runs f as a goroutine of the process, which ends when the process is killed.
func (p *trialProcess) goDo(f func()) { p.w.running.Go(f) }

// step precedes everything that the process does.
func (p *trialProcess) step() {
	for {
		if p.dead.Load() {
			runtime.Goexit()
		}
		p.mu.Lock()
		resume := p.resume
		p.mu.Unlock()
		if resume == nil {
			return
		}
		select {
		case <-resume:
		case <-p.killed:
		}
	}
}

func (p *trialProcess) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resume = make(chan struct{})
}

func (p *trialProcess) unpause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.resume)
	p.resume = nil
}

func (p *trialProcess) kill() {
	p.dead.Store(true)
	close(p.killed)
}

// sleep takes some time of the process.
func (p *trialProcess) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-p.killed:
	}
	p.step()
}

// latency is that of one message.
func latency() time.Duration { return time.Duration(20+rand.Int64N(400)) * time.Microsecond }

// deliver reports whether a message of the server reaches the process, after its latency.
func (p *trialProcess) deliver() bool {
	p.sleep(latency())
	return !p.cut.Load() && (!p.lossy.Load() || rand.IntN(2) == 0)
}

// call makes a request to the server; do is what the server does. A process that is cut off waits for its timeout.
func (p *trialProcess) call(ctx context.Context, do func()) error {
	for range 2 {
		wait := latency()
		if p.cut.Load() {
			wait = mesh.LeaseLength / 2
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.killed:
		}
		p.step()
		if p.cut.Load() {
			return errTrialCut
		}
		if do != nil {
			do()
		}
		do = nil
	}
	return nil
}

// read reads a state from the server.
func (p *trialProcess) read(ctx context.Context, userID, scope string) (state subjects.ConsentState, err error) {
	known := false
	err = p.call(ctx, func() {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		state, known = p.w.states[stateKey(userID, scope)]
	})
	if err == nil && !known {
		err = kv.ErrNotFound
	}
	return state, err
}

// watched sets what a watch has seen.
func (p *trialProcess) watched(active map[consentKey]bool) {
	if p.watch != nil {
		p.watch.mu.Lock()
		defer p.watch.mu.Unlock()
		p.watch.active = active
	}
}

// answer handles a barrier and acknowledges it.
func (p *trialProcess) answer(b mesh.Barrier, replies chan<- *trialProcess) {
	if !p.deliver() {
		return
	}
	handle := p.onRevoked
	if b.Kind == mesh.BarrierConsentRenewed {
		handle = p.onRenewed
	}
	ctx, cancel := context.WithTimeout(context.Background(), mesh.LeaseLength)
	defer cancel()
	p.entered[scopeNumber(b.Scope)].Add(1)
	err := handle(ctx, b)
	p.ended[scopeNumber(b.Scope)].Add(1)
	p.step()
	if err == nil && p.deliver() {
		replies <- p
	}
}

// valid is kv.Lease.Valid.
func (p *trialProcess) valid() bool {
	renewed := p.renewed.Load()
	return renewed != nil && time.Since(*renewed) < mesh.LeaseLength-mesh.LeaseLength/5
}

// holdLease renews the lease every quarter of its length, and sooner after a failure, as kv.Lease does.
func (p *trialProcess) holdLease() {
	for {
		p.step()
		expired, sent := !p.valid(), time.Now()
		err := p.call(context.Background(), func() {
			p.w.mu.Lock()
			defer p.w.mu.Unlock()
			p.w.leases[p] = time.Now().Add(mesh.LeaseLength)
		})
		if err == nil {
			if expired || !p.valid() {
				_ = p.onRejoin(context.Background())
				p.step()
			}
			p.renewed.Store(&sent)
		}
		next := mesh.LeaseLength / 4
		if err != nil {
			next = mesh.LeaseLength / 20
		}
		p.sleep(next)
	}
}
