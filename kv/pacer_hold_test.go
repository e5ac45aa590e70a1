package kv_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/kv"
)

// TestStatementsOfAnEnforcerDoNotMerge: "none for two seconds" and "three thousand for half an hour" are two statements. The wait is
// that of the first, and what is admitted after it that of the second, in whatever order they arrive.
func TestStatementsOfAnEnforcerDoNotMerge(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	type statement struct {
		left  int
		lasts time.Duration
	}
	for i, order := range [][]statement{
		{{0, 2 * time.Second}, {3000, 30 * time.Minute}}, {{3000, 30 * time.Minute}, {0, 2 * time.Second}},
		{{3000, 30 * time.Minute}, {0, 2 * time.Second}, {2999, 29 * time.Minute}, {3001, time.Minute}},
	} {
		key := fmt.Sprint("key ", i)
		p := pacer(t, js)
		for _, s := range order {
			must(t, p.Hold(ctx, key, 5000, time.Hour, s.left, s.lasts))
		}
		for _, p := range []*kv.Pacer{p, pacer(t, js)} {
			got, err := p.Take(ctx, key, 5000, time.Hour)
			if err != nil || got.Allowed || got.Wait <= 0 || got.Wait > 2*time.Second {
				t.Errorf("statements %v: %+v, %v", order, got, err)
			}
		}
	}
}

// TestHoldsSimulated: whatever is said and taken, nothing is admitted beyond any statement that is still valid, and a wait never
// exceeds what the statements that admit nothing say.
func TestHoldsSimulated(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const period = time.Hour
		limit := rapid.IntRange(1, 200).Draw(t, "limit")
		s := kv.NewPaceSimulation(limit, period)
		at := rapid.Int64Range(1e18, 1e18+int64(period)).Draw(t, "start")
		type said struct {
			until int64
			left  int
		}
		var all []said
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			at += rapid.Int64Range(0, int64(period)/10).Draw(t, "later")
			if rapid.Bool().Draw(t, "hold") {
				h := said{at + rapid.Int64Range(1, int64(period)).Draw(t, "lasts"), rapid.IntRange(0, limit).Draw(t, "left")}
				s.Hold(at, h.left, time.Duration(h.until-at))
				all = append(all, h)
				continue
			}
			got := s.Take(at, rapid.IntRange(1, 20).Draw(t, "wanted"))
			for i := range all {
				if all[i].until > at {
					if all[i].left -= got; all[i].left < 0 {
						t.Fatalf("%d more than a statement admits", -all[i].left)
					}
				}
			}
		}
	})
}

// TestNothingInHandIsSpentAfterHold: once Hold has returned, no process admits a call, although it has tokens that it took in advance.
func TestNothingInHandIsSpentAfterHold(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	const limit = 10_000
	for round := range 5 {
		key := fmt.Sprint("key ", round)
		holder := pacer(t, js)
		var held atomic.Bool
		var late, before atomic.Int64
		var working sync.WaitGroup
		stop := make(chan struct{})
		for range 3 {
			p := pacer(t, js)
			working.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					after := held.Load()
					got, err := p.Take(ctx, key, limit, time.Hour)
					switch {
					case err != nil:
						t.Error(err)
						return
					case got.Allowed && after:
						late.Add(1)
					case got.Allowed:
						before.Add(1)
					}
				}
			})
		}
		eventually(t, "tokens are taken", func() bool { return before.Load() > 300 })
		must(t, holder.Hold(ctx, key, limit, time.Hour, 0, time.Minute))
		held.Store(true)
		for range 200 {
			if got, err := holder.Take(ctx, key, limit, time.Hour); err != nil || got.Allowed {
				t.Errorf("the holder itself: %+v, %v", got, err)
			}
		}
		close(stop)
		working.Wait()
		if n := late.Load(); n > 0 {
			t.Errorf("%d calls were admitted after Hold had returned", n)
		}
	}
}

// TestGivenBackTokenIsNotSpentAfterHold: a token that was taken before a hold cannot be given back after it.
func TestGivenBackTokenIsNotSpentAfterHold(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx, p := deadline(t), pacer(t, js)
	taken, err := p.Take(ctx, "k", 10, time.Hour)
	must(t, err)
	must(t, pacer(t, js).Hold(ctx, "k", 10, time.Hour, 0, time.Minute))
	p.GiveBack("k", time.Hour, taken)
	if got, err := p.Take(ctx, "k", 10, time.Hour); err != nil || got.Allowed {
		t.Errorf("after the hold: %+v, %v", got, err)
	}
}
