package actors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// guardTrials returns WEFT_GUARD_TRIALS, or how many trials a normal run makes.
func guardTrials(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WEFT_GUARD_TRIALS")
	if text == "" {
		return 100
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("WEFT_GUARD_TRIALS is %q, and must be a positive number", text)
	}
	return n
}

// TestGuardTrials: in no trial does anything start once a revocation has returned, whatever happens to the processes: paused for longer than
// their lease, cut off, killed, restarted, or with barriers dropped. What each process started and refused under a scope, together with the
// grants and revocations of it, is linearizable. A revocation takes no longer than the lease, unless processes fail one after another.
func TestGuardTrials(t *testing.T) {
	t.Parallel()
	var total trialCounts
	began := time.Now()
	trials := guardTrials(t)
	runTrials(t, trials, func(seed uint64, w *trialWorld) {
		total.add(w.counts())
		if fault := w.check(); fault != "" {
			t.Errorf("seed %d: %s", seed, fault)
		}
	}, guardedEnforcer)
	t.Logf("%d trials in %s: %s", trials, time.Since(began).Round(time.Millisecond), &total)
	if total.starts.Load() == 0 || total.refusals.Load() == 0 || total.revocations.Load() == 0 || total.bounded.Load() == 0 {
		t.Error("the trials had no effect")
	}
}

// TestGuardTrialsFindFaultyGuards: the trials that hold for the guard fail for one that watches the bucket, without acknowledgements and
// lease, and for guards that lack a part of the protocol.
func TestGuardTrialsFindFaultyGuards(t *testing.T) {
	t.Parallel()
	for name, enforcer := range map[string]func(*trialProcess) enforcer{
		"a watch of the bucket": watchingEnforcer,
		"a guard without lease": func(p *trialProcess) enforcer {
			g := guardOf(p)
			g.live = func() bool { p.gate(); return true }
			return g
		},
		"a guard that does not wait for what is pending": func(p *trialProcess) enforcer {
			g := guardOf(p)
			p.onRevoked = func(_ context.Context, b mesh.Barrier) error { return g.consentRenewed(context.Background(), b) }
			return g
		},
		"a guard that keeps what it has read": func(p *trialProcess) enforcer {
			g := guardOf(p)
			p.onRevoked = func(ctx context.Context, b mesh.Barrier) error {
				return g.cancelPending(ctx, stateKey(b.UserID, b.Scope), errRevoked)
			}
			return g
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var late, refuted atomic.Int64
			runTrials(t, 60, func(_ uint64, w *trialWorld) {
				late.Add(w.late.Load())
				if w.check() != "" {
					refuted.Add(1)
				}
			}, enforcer)
			if late.Load() == 0 || refuted.Load() == 0 {
				t.Errorf("%d late starts, %d histories refuted: the trials cannot tell", late.Load(), refuted.Load())
			}
		})
	}
}

// runTrials runs trials of seeds from 1, each in a bubble of its own with a clock of its own.
func runTrials(t *testing.T, trials int, done func(seed uint64, w *trialWorld), build func(*trialProcess) enforcer) {
	t.Helper()
	var next atomic.Uint64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), trials) {
		workers.Go(func() {
			for seed := next.Add(1); seed <= uint64(trials) && !t.Failed(); seed = next.Add(1) {
				synctest.Test(t, func(*testing.T) {
					w := newTrialWorld(seed, build)
					w.run()
					done(seed, w)
				})
			}
		})
	}
	workers.Wait()
}

type trialCounts struct{ starts, refusals, unavailable, revocations, bounded, faults atomic.Int64 }

func (c *trialCounts) add(o *trialCounts) {
	c.starts.Add(o.starts.Load())
	c.refusals.Add(o.refusals.Load())
	c.unavailable.Add(o.unavailable.Load())
	c.revocations.Add(o.revocations.Load())
	c.bounded.Add(o.bounded.Load())
	c.faults.Add(o.faults.Load())
}

func (c *trialCounts) String() string {
	return fmt.Sprintf("%d starts, %d refusals, %d unavailable, %d revocations (%d of them waited for a lease), %d faults",
		c.starts.Load(), c.refusals.Load(), c.unavailable.Load(), c.revocations.Load(), c.bounded.Load(), c.faults.Load())
}

// enforcer decides what may start in a process.
type enforcer interface {
	Do(ctx context.Context, grant mesh.Grant, scope string, start func(ctx context.Context, started func()) error) error
}

// Scopes and user of a trial. trialEnd is when its faults are over, in the trial's own time.
const (
	trialUser = "u"
	trialEnd  = 12 * time.Second
)

var trialScopes = []string{"a", "b"}

// trialWorld is one trial: the server, the processes, and what has happened, in the order of a counter, because many events have one time.
type trialWorld struct {
	trialCounts

	random *rand.Rand // of the goroutine that plans the trial
	build  func(*trialProcess) enforcer
	clock  atomic.Int64
	late   atomic.Int64
	// losing counts the processes that lose barriers now.
	losing atomic.Int64
	// slowest is the longest revocation of those during which no further fault began and no process lost barriers.
	slowest time.Duration

	mu        sync.Mutex
	states    map[consentKey]subjects.ConsentState
	leases    map[*trialProcess]time.Time
	processes []*trialProcess
	history   []porcupine.Operation
	// returned has the scopes whose revocation has returned, and that were not granted since.
	returned map[string]bool
	running  sync.WaitGroup
}

func newTrialWorld(seed uint64, build func(*trialProcess) enforcer) *trialWorld {
	return &trialWorld{
		random: rand.New(rand.NewPCG(seed, 18)), build: build,
		states: map[consentKey]subjects.ConsentState{}, leases: map[*trialProcess]time.Time{}, returned: map[string]bool{},
	}
}

func (w *trialWorld) counts() *trialCounts { return &w.trialCounts }

// run runs the trial: two enforcers under random load and faults, while consents to two scopes are granted, renewed and revoked.
func (w *trialWorld) run() {
	for _, scope := range trialScopes {
		w.grant(scope, 1)
	}
	slots := []*trialSlot{{w: w, number: 0}, {w: w, number: 1}}
	for _, s := range slots {
		s.start()
	}
	var users sync.WaitGroup
	for _, scope := range trialScopes {
		random := rand.New(rand.NewPCG(w.random.Uint64(), 1))
		users.Go(func() { w.use(scope, random) })
	}
	for _, s := range slots {
		random := rand.New(rand.NewPCG(w.random.Uint64(), 2))
		users.Go(func() { s.fail(random) })
	}
	users.Wait()
	time.Sleep(time.Second) // what was held back may start late now
	for _, s := range slots {
		s.process.kill()
	}
	w.running.Wait()
	time.Sleep(time.Second) // guards look for pending starts once more
}

// use grants, renews and revokes one scope until the end.
func (w *trialWorld) use(scope string, random *rand.Rand) {
	began := time.Now()
	for consent := 2; time.Since(began) < trialEnd; consent++ {
		time.Sleep(time.Duration(random.Int64N(int64(2500 * time.Millisecond))))
		if random.IntN(3) == 0 {
			w.grant(scope, consent)
			continue
		}
		w.revoke(scope)
		time.Sleep(time.Duration(random.Int64N(int64(6 * time.Second))))
		w.grant(scope, consent)
	}
}

// trialCall is the input of an operation on one scope: a grant of a consent, the call or the return of a revocation, or a start under a consent, 0
// for any.
type trialCall struct {
	process, scope string
	kind           string
	consent        int
}

const (
	callGrant    = "grant"
	callRevoking = "revoking"
	callRevoke   = "revoke"
	callStart    = "start"
)

func (w *trialWorld) now() int64 { return w.clock.Add(1) }

func (w *trialWorld) record(call trialCall, output bool, from, to int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, porcupine.Operation{Input: call, Output: output, Call: from, Return: to})
}

// grant does what grant_consent does: it writes the state and waits for the guards where it renews.
func (w *trialWorld) grant(scope string, consent int) {
	from := w.now()
	w.mu.Lock()
	old, known := w.states[stateKey(trialUser, scope)]
	next := subjects.ConsentState{ConsentID: strconv.Itoa(consent), Status: subjects.ConsentActive, Version: int64(consent)}
	renews := known && old.Status == subjects.ConsentActive
	if renews {
		next.Continues = append([]string{old.ConsentID}, old.Continues...)
	}
	w.states[stateKey(trialUser, scope)] = next
	w.returned[scope] = false
	w.mu.Unlock()
	w.publish()
	if renews {
		w.barrier(mesh.Barrier{Kind: mesh.BarrierConsentRenewed, UserID: trialUser, Scope: scope})
	}
	w.record(trialCall{scope: scope, kind: callGrant, consent: consent}, true, from, w.now())
}

// revoke does what revoke_consent does: it writes the state and waits for the guards.
func (w *trialWorld) revoke(scope string) {
	from, began, faults, losing := w.now(), time.Now(), w.faults.Load(), w.losing.Load()
	w.record(trialCall{scope: scope, kind: callRevoking}, true, from, from)
	w.mu.Lock()
	state := w.states[stateKey(trialUser, scope)]
	state.Status, state.Continues = subjects.ConsentRevoked, nil
	w.states[stateKey(trialUser, scope)] = state
	w.mu.Unlock()
	w.publish()
	w.barrier(mesh.Barrier{Kind: mesh.BarrierConsent, UserID: trialUser, Scope: scope})
	w.mu.Lock()
	w.returned[scope] = true
	took := time.Since(began)
	if losing == 0 && faults == w.faults.Load() {
		w.slowest = max(w.slowest, took)
	}
	w.mu.Unlock()
	at := w.now()
	w.record(trialCall{scope: scope, kind: callRevoke}, true, at, at)
	w.revocations.Add(1)
	if took > time.Second {
		w.bounded.Add(1)
	}
}

// publish tells the watches that a state has changed.
func (w *trialWorld) publish() {
	w.mu.Lock()
	states := make(map[consentKey]bool, len(w.states))
	for key, state := range w.states {
		states[key] = state.Status == subjects.ConsentActive
	}
	processes := w.processes
	w.mu.Unlock()
	for _, p := range processes {
		w.running.Go(func() {
			if p.deliver() {
				p.watched(states)
			}
		})
	}
}

// barrier is mesh.RaiseBarrier: it asks the processes with a lease until each has acknowledged or has no lease any more.
func (w *trialWorld) barrier(b mesh.Barrier) {
	acknowledged := map[*trialProcess]bool{}
	for {
		w.mu.Lock()
		var live []*trialProcess
		for p, until := range w.leases {
			if time.Now().Before(until) {
				live = append(live, p)
			}
		}
		all := w.processes
		w.mu.Unlock()
		replies := make(chan *trialProcess, len(all))
		for _, p := range all {
			w.running.Go(func() { p.answer(b, replies) })
		}
		again := time.After(250 * time.Millisecond)
		for waiting := true; waiting; {
			missing := false
			for _, p := range live {
				missing = missing || !acknowledged[p]
			}
			if !missing {
				return
			}
			select {
			case p := <-replies:
				acknowledged[p] = true
			case <-again:
				waiting = false
			}
		}
	}
}

// trialState is the state of one scope: the consents under which something may start, from the first of a chain of renewals to the last. Between
// the call of a revocation and its return a start may be made or refused.
type trialState struct {
	first, last int
	revoking    bool
}

// trialModel is that of one scope and process. A start is made at one moment, at which it is permitted, or refused at some moment of its call at
// which it is not.
var trialModel = porcupine.Model{
	Init: func() any { return trialState{} },
	Step: func(state, input, output any) (bool, any) {
		now, call := state.(trialState), input.(trialCall) //nolint:forcetypeassert // the trial's own
		switch call.kind {
		case callGrant:
			if now.first == 0 {
				now.first = call.consent
			}
			now.last = call.consent
			return true, now
		case callRevoking:
			now.revoking = true
			return true, now
		case callRevoke:
			return true, trialState{}
		}
		permitted := now.first > 0 && (call.consent == 0 || now.first <= call.consent && call.consent <= now.last)
		return permitted == output || permitted && now.revoking, state
	},
}

// check returns what is wrong with a trial: a history of a process and a scope that is not linearizable, a late start, or a revocation that took
// longer than the lease.
func (w *trialWorld) check() string {
	type part struct{ process, scope string }
	parts := map[part][]porcupine.Operation{}
	var changes []porcupine.Operation
	for _, o := range w.history {
		if c := o.Input.(trialCall); c.process == "" { //nolint:forcetypeassert // the trial's own
			changes = append(changes, o)
		} else {
			parts[part{c.process, c.scope}] = append(parts[part{c.process, c.scope}], o)
		}
	}
	for p, history := range parts {
		for _, o := range changes {
			if o.Input.(trialCall).scope == p.scope { //nolint:forcetypeassert // the trial's own
				history = append(history, o)
			}
		}
		for i := range history {
			history[i].ClientId = i
		}
		if !porcupine.CheckOperations(trialModel, history) {
			return fmt.Sprintf("the history of process %s and scope %s is not linearizable (%d late starts):\n%s", p.process, p.scope, w.late.Load(), describe(history))
		}
	}
	if n := w.late.Load(); n > 0 {
		return fmt.Sprintf("%d starts after a revocation had returned", n)
	}
	if w.slowest > mesh.LeaseLength+500*time.Millisecond {
		return fmt.Sprintf("a revocation took %s", w.slowest)
	}
	return ""
}

// describe lists a history in the order in which its operations returned.
func describe(history []porcupine.Operation) string {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	var text strings.Builder
	for _, o := range history {
		fmt.Fprintf(&text, "  [%d, %d] %+v %v\n", o.Call, o.Return, o.Input, o.Output)
	}
	return text.String()
}

// errTrialStart is the error of a start that a trial lets fail.
var errTrialStart = errors.New("the start failed")

// errTrialCut is the error of a process that cannot reach the server.
var errTrialCut = fmt.Errorf("%w: cut off", kv.ErrUnavailable)
