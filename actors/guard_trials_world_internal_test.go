package actors

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// enforce decides what may start in a process, as Guard.Do does.
type enforce func(ctx context.Context, grant mesh.Grant, scope string, start func(ctx context.Context, started func()) error) error

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
	build  func(*trialProcess) enforce
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

func newTrialWorld(seed uint64, build func(*trialProcess) enforce) *trialWorld {
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
	<-time.After(time.Second) // what was held back may start late now
	for _, s := range slots {
		s.process.kill()
	}
	w.running.Wait()
	<-time.After(time.Second) // guards look for pending starts once more
}

// use grants, renews and revokes one scope until the end.
func (w *trialWorld) use(scope string, random *rand.Rand) {
	began := time.Now()
	for consent := 2; time.Since(began) < trialEnd; consent++ {
		<-time.After(time.Duration(random.Int64N(int64(2500 * time.Millisecond))))
		if random.IntN(3) == 0 {
			w.grant(scope, consent)
			continue
		}
		w.revoke(scope)
		<-time.After(time.Duration(random.Int64N(int64(6 * time.Second))))
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
