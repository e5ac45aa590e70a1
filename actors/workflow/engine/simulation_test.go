package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

const (
	// simulationBudget is the real time that TestSimulation takes at most, unless WEFT_SIMULATION_SEEDS says how many seeds to run.
	simulationBudget = 10 * time.Second
	// maxTraceLines bounds the lines of a trace that a failure prints.
	maxTraceLines = 400
)

// TestSimulation runs seeded schedules of one to three processes with faults, in virtual time, and checks that everything that was
// acknowledged holds, that nothing is done twice, and that nothing is left over.
//
// WEFT_SIMULATION_SEEDS=first-last or =count runs those seeds, whatever time that takes. WEFT_TORTURE_DURATION=duration runs new seeds for
// that long. Goroutines of a schedule run in any order, so that a seed does not always fail again: the trace of a failure is complete.
func TestSimulation(t *testing.T) {
	first, last, budget := uint64(1), uint64(100_000), simulationBudget
	if testing.Short() {
		budget = time.Second
	}
	if text := os.Getenv("WEFT_SIMULATION_SEEDS"); text != "" {
		first, last, budget = seedRange(t, text)
	}
	if text := os.Getenv("WEFT_TORTURE_DURATION"); text != "" {
		duration, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("WEFT_TORTURE_DURATION: %v", err)
		}
		first, last, budget = uint64(time.Now().UnixNano()), math.MaxUint64, duration
	}
	start := time.Now()
	count, effects := 0, 0
	for seed := first; seed <= last && (budget == 0 || time.Since(start) < budget); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := simulate(t, seed, "")
			effects += w.ledger.effects
			reportSchedule(t, w)
		})
		if count++; t.Failed() {
			break
		}
	}
	t.Logf("%d schedules with %d effects, %.0f schedules a second", count, effects, float64(count)/time.Since(start).Seconds())
}

// TestSimulationFindsFaults lets the log accept appends of former owners, and expects a schedule to notice.
func TestSimulationFindsFaults(t *testing.T) {
	for seed := range uint64(300) {
		if len(simulate(t, seed, "no fence").violations) > 0 {
			return
		}
	}
	t.Error("no schedule notices it")
}

func seedRange(t *testing.T, text string) (first, last uint64, budget time.Duration) {
	t.Helper()
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		from, to = "1", text
	}
	first, err := strconv.ParseUint(from, 10, 64)
	if err == nil {
		last, err = strconv.ParseUint(to, 10, 64)
	}
	if err != nil {
		t.Fatalf("WEFT_SIMULATION_SEEDS=%s: %v", text, err)
	}
	return first, last, 0
}

// simulate runs one schedule and returns what it was.
func simulate(t *testing.T, seed uint64, mutation string) *world {
	t.Helper()
	var w *world
	synctest.Test(t, func(*testing.T) {
		r := rand.New(rand.NewPCG(seed, 0))
		w = newWorld(seed, newProfile(r))
		w.mutation = mutation
		w.run(r)
	})
	return w
}

// run is one schedule: an active time with faults, then a healed one in which everything comes to rest.
func (w *world) run(r *rand.Rand) {
	for range w.profile.Processes {
		w.spawn()
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
	}
	time.Sleep(time.Second)
	until := time.Now().Add(w.profile.Active)
	var active sync.WaitGroup
	for i := range w.profile.Users {
		c := &client{w: w, r: w.random("user " + strconv.Itoa(i)), user: "u" + strconv.Itoa(i)}
		active.Go(func() { c.run(until) })
	}
	disturb := func(count int, what func(r *rand.Rand)) {
		for range count {
			seed := r.Uint64()
			active.Go(func() {
				r := rand.New(rand.NewPCG(w.seed, seed))
				time.Sleep(time.Duration(r.Int64N(int64(w.profile.Active))))
				what(r)
			})
		}
	}
	disturb(w.profile.Crashes, w.crash)
	disturb(w.profile.Pauses, w.pause)
	disturb(w.profile.Stops, w.stop)
	active.Wait()
	w.heal()
	if w.settle(false) {
		w.end()
	}
	w.ledger.checkRates()
	w.shutdown()
}

func (w *world) pick(r *rand.Rand) *process {
	live := w.live()
	if len(live) == 0 {
		return nil
	}
	return live[r.IntN(len(live))]
}

// crash kills a process and starts another one in its place.
func (w *world) crash(r *rand.Rand) {
	if p := w.pick(r); p != nil {
		p.kill()
	}
	time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
	w.spawn()
}

// pause holds a process for longer than the others wait for it, or not quite.
func (w *world) pause(r *rand.Rand) {
	p := w.pick(r)
	if p == nil {
		return
	}
	resume := p.pause()
	time.Sleep(time.Duration(100+r.IntN(4000)) * time.Millisecond)
	resume()
}

// stop stops a process in order and starts another one in its place.
func (w *world) stop(r *rand.Rand) {
	if p := w.pick(r); p != nil {
		p.stop()
	}
	w.spawn()
}

// heal ends all faults.
func (w *world) heal() {
	w.tracef("healed")
	w.mu.Lock()
	w.healed = true
	w.mu.Unlock()
	w.ledger.mu.Lock()
	w.ledger.healedAt = time.Now()
	w.ledger.mu.Unlock()
	if len(w.live()) == 0 {
		w.spawn()
	}
}

// end cancels what still waits, and checks that nothing is left over.
func (w *world) end() {
	w.tracef("everything is cancelled")
	w.ledger.mu.Lock()
	clear(w.ledger.suspended)
	w.ledger.mu.Unlock()
	p := w.live()[0]
	for _, id := range w.ledger.ids() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if row, err := p.engine.Current(ctx, id); err != nil {
			w.violatef("reading %s: %v", id, err)
		} else if reply, err := p.engine.Cancel(ctx, row, "the end"); err != nil && !IsNotFound(err) {
			w.violatef("cancelling %s: %v", id, err)
		} else if reply.Status == machine.Suspended { // it was suspended while it compensates, which a cancellation does not change
			if _, err := p.engine.Resume(ctx, row); err != nil && !IsNotFound(err) {
				w.violatef("resuming %s: %v", id, err)
			}
		}
		cancel()
	}
	w.settle(true)
}

// shutdown stops all processes, so that no goroutine is left.
func (w *world) shutdown() {
	for _, p := range w.live() {
		p.kill()
	}
	for _, p := range w.processes {
		p.loops.Wait()
		p.engine.background.Wait()
	}
	time.Sleep(2 * time.Minute) // requests without an answer end
}
