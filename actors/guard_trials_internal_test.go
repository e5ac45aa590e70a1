package actors

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/mesh"
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
	for name, enforcer := range map[string]func(*trialProcess) enforce{
		"a watch of the bucket": watchingEnforcer,
		"a guard without lease": func(p *trialProcess) enforce {
			g := guardOf(p)
			g.live = func() bool { p.step(); return true }
			return g.Do
		},
		"a guard that does not wait for what is pending": func(p *trialProcess) enforce {
			g := guardOf(p)
			p.onRevoked = func(_ context.Context, b mesh.Barrier) error { return g.consentRenewed(context.Background(), b) }
			return g.Do
		},
		"a guard that keeps what it has read": func(p *trialProcess) enforce {
			g := guardOf(p)
			p.onRevoked = func(ctx context.Context, b mesh.Barrier) error {
				return g.cancelPending(ctx, stateKey(b.UserID, b.Scope), errRevoked)
			}
			return g.Do
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
func runTrials(t *testing.T, trials int, done func(seed uint64, w *trialWorld), build func(*trialProcess) enforce) {
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
