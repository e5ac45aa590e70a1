package engine

import (
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/subjects"
)

// TestPlan follows the plan from any assignment: it ends with every partition owned by one process and shares that differ by at most
// one, and then moves nothing.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shares := map[string][]int{}
		for number := range subjects.WorkflowPartitions {
			if name := rapid.SampledFrom([]string{"", "a", "b", "c", "d"}).Draw(t, "owner"); name != "" {
				shares[name] = append(shares[name], number)
			}
		}
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"e", "f", "g"}), rapid.ID[string]).Draw(t, "joiners") {
			shares[name] = nil
		}
		if len(shares) == 0 {
			return
		}
		rounds := 0
		for moved := true; moved; rounds++ {
			if rounds > 3*subjects.WorkflowPartitions {
				t.Fatalf("the plan does not settle: %v", shares)
			}
			moved = false
			next := map[string][]int{}
			for name := range shares {
				take, give := plan(name, shares)
				own := append(slices.Clone(shares[name]), take...)
				own = slices.DeleteFunc(own, func(number int) bool { return number == give })
				moved = moved || len(take) > 0 || give >= 0
				next[name] = own
			}
			shares = next
		}
		var all []int
		least, most := subjects.WorkflowPartitions, 0
		for _, own := range shares {
			all = append(all, own...)
			least, most = min(least, len(own)), max(most, len(own))
		}
		slices.Sort(all)
		if !slices.Equal(all, []int{0, 1, 2, 3, 4, 5, 6, 7}) || most-least > 1 {
			t.Fatalf("settled as %v", slices.Collect(maps.Values(shares)))
		}
	})
}

// TestASlowTakeoverIsNotOvertaken: a process that takes long to restore a partition announces it as its own meanwhile, so that no other
// takes it over, which would have them take it from one another for ever.
func TestASlowTakeoverIsNotOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1, profile{
			Calm: true, Processes: 2, MaxConcurrent: 100, MaxSteps: 100, MaxQueued: 100, ShortWait: 100 * time.Millisecond, CutAfter: 1000, MessageLimit: 60_000, PerUser: 100,
		})
		var takeovers atomic.Int32
		for range 2 {
			b := newTestProcess(t, w)
			b.hooks.on("live", func() error {
				takeovers.Add(1)
				time.Sleep(3 * peerTimeout)
				return nil
			})
			b.start()
		}
		time.Sleep(20 * peerTimeout)
		synctest.Wait()
		owned := 0
		for _, p := range w.live() {
			owned += len(p.engine.owned())
		}
		if int(takeovers.Load()) != len(w.log.parts) || owned != len(w.log.parts) {
			t.Errorf("%d takeovers of %d partitions, of which %d are owned", takeovers.Load(), len(w.log.parts), owned)
		}
		w.shutdown()
	})
}
