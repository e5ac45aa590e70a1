package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// TestTimers: timers come due in the order of their times, each once, and none before its time.
func TestTimers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := timers{wake: wait.NewSignal()}
		now := time.Unix(1000, 0)
		type one struct {
			at int64
			id string
		}
		set := map[one]bool{}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") {
				at := now.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "in")) * time.Second)
				id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")
				all.add(at, id)
				set[one{at.UnixNano(), id}] = true
				continue
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "later")) * time.Second)
			var due []string
			for id, ok := all.due(now); ok; id, ok = all.due(now) {
				due = append(due, id)
			}
			var want []string
			for timer := range set {
				if timer.at <= now.UnixNano() {
					want = append(want, timer.id)
					delete(set, timer)
				}
			}
			slices.Sort(due)
			slices.Sort(want)
			if !slices.Equal(due, want) {
				t.Fatalf("due are %q, want %q", due, want)
			}
		}
		earliest := time.Time{}
		for timer := range set {
			if at := time.Unix(0, timer.at); earliest.IsZero() || at.Before(earliest) {
				earliest = at
			}
		}
		if next, ok := all.next(); ok != (len(set) > 0) || ok && !next.Equal(earliest) {
			t.Fatalf("the next is at %s, %v, want %s", next, ok, earliest)
		}
		if len(all.set) != len(set) || len(all.heap) != len(set) {
			t.Fatalf("%d and %d timers are set, want %d", len(all.set), len(all.heap), len(set))
		}
	})
}

// TestTimersOfExecutions fires a short wait in memory and a long one of an evicted execution, both at their times.
func TestTimersOfExecutions(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		short, long := p.started("short"), p.started("long")
		time.Sleep(time.Second)
		p.flush()
		if p.isLoaded(long) {
			t.Error("an execution that waits for two seconds is loaded")
		}
		for range 8 {
			time.Sleep(time.Second)
			p.flush()
		}
		p.want(short, machine.Completed)
		p.want(long, machine.Completed)
		for _, id := range []string{short, long} {
			e := p.w.ledger.execution(id)
			for i, event := range e.events {
				if event.Type == machine.TimerFired {
					if late := event.At.Sub(e.timers[event.Timer]); late < 0 || late > 20*time.Millisecond {
						t.Errorf("event %d: a timer fires %s late", i, late)
					}
				}
			}
		}
	})
}

// TestTimersAreReadAgain: timers that cannot be read are read by the next pass.
func TestTimersAreReadAgain(t *testing.T) {
	t.Parallel()
	onProcess(t, func(p *profile) { p.Calm = false }, func(t *testing.T, first *testProcess) {
		id := first.started("long")
		time.Sleep(100 * time.Millisecond)
		first.flush()
		first.kill()
		second := newTestProcess(t, first.w)
		second.hooks.on("due", failTimes(20))
		second.acquireAll()
		for range 10 {
			time.Sleep(time.Second)
			second.flush()
		}
		second.want(id, machine.Completed)
	})
}

// TestEvictedTimersWaitForSlots: executions whose timers are due are loaded only as there are slots.
func TestEvictedTimersWaitForSlots(t *testing.T) {
	t.Parallel()
	onProcess(t, func(p *profile) { p.MaxConcurrent = 1 }, func(t *testing.T, p *testProcess) {
		var ids []string
		for range 5 {
			ids = append(ids, p.started("long"))
		}
		for range 30 {
			time.Sleep(time.Second)
			p.flush()
		}
		for _, id := range ids {
			p.want(id, machine.Completed)
		}
	})
}
