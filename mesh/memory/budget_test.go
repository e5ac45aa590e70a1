package memory_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/mesh/memory"
	"github.com/weftmesh/weft/subjects"
)

// hold reserves n bytes that are free.
func hold(t *testing.T, b *memory.Budget, owner string, n int64) *memory.Reservation {
	t.Helper()
	r := b.Reserve(owner)
	if err := r.Grow(t.Context(), n); err != nil {
		t.Fatalf("%s: %d bytes: %v", owner, n, err)
	}
	return &r
}

func wantRefusal(t *testing.T, err error, code subjects.Code, reason subjects.Reason) {
	t.Helper()
	e, is := err.(*subjects.Error) //nolint:errorlint // it is returned as it is
	if !is || e.Code != code || e.Reason != reason || e.RetryAfter <= 0 {
		t.Errorf("got %v, want %s (%s) with a time to retry", err, code, reason)
	}
}

func TestAnOwnerHoldsAQuarterOfABudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var refused []string
		b := memory.NewBudget("tests", 1000, 2*time.Second, func(why string) { refused = append(refused, why) })
		first := hold(t, b, "a", 200)
		second := b.Reserve("a")
		start := time.Now()
		wantRefusal(t, second.Grow(t.Context(), 100), subjects.CodeRateLimited, subjects.ReasonMemoryShare)
		if waited := time.Since(start); waited != 2*time.Second {
			t.Errorf("it waited %s", waited)
		}
		hold(t, b, "b", 700) // more than a share, of an owner that holds nothing
		third := b.Reserve("c")
		wantRefusal(t, third.Grow(t.Context(), 101), subjects.CodeUnavailable, subjects.ReasonOverloaded)
		first.Release()
		if err := second.Grow(t.Context(), 250); err != nil {
			t.Error(err)
		}
		if b.Used() != 950 || len(refused) != 2 || refused[0] != "share" || refused[1] != "full" {
			t.Errorf("%d bytes are used, refused %v", b.Used(), refused)
		}
	})
}

func TestAReservationWaitsForFreeBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.NewBudget("tests", 1000, 2*time.Second, nil)
		holds := []*memory.Reservation{hold(t, b, "a", 250), hold(t, b, "b", 250), hold(t, b, "c", 250), hold(t, b, "d", 250)}
		var order []string
		var mu sync.Mutex
		var waiting sync.WaitGroup
		for _, owner := range []string{"a", "e", "f"} {
			waiting.Go(func() {
				r := b.Reserve(owner)
				err := r.Grow(t.Context(), 200)
				mu.Lock()
				defer mu.Unlock()
				if order = append(order, owner); err != nil {
					t.Errorf("%s: %v", owner, err)
				}
			})
			synctest.Wait()
		}
		holds[1].Release() // a has its share, and e is next
		synctest.Wait()
		holds[2].Shrink(40)
		synctest.Wait()
		holds[0].Release()
		waiting.Wait()
		if len(order) != 3 || order[0] != "e" || order[1] != "f" || order[2] != "a" {
			t.Errorf("they were served in the order %v", order)
		}
	})
}

func TestAReservationThatGivesUpLetsOthersPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memory.NewBudget("tests", 1000, time.Hour, nil)
		hold(t, b, "a", 900)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var both sync.WaitGroup
		both.Go(func() {
			large := b.Reserve("b")
			wantRefusal(t, large.Grow(ctx, 500), subjects.CodeUnavailable, subjects.ReasonOverloaded)
		})
		synctest.Wait()
		start := time.Now()
		hold(t, b, "c", 50) // waits behind b, although 100 bytes are free
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("it waited %s", waited)
		}
		both.Wait()
	})
}

func TestABudgetIsNeverExceeded(t *testing.T) {
	t.Parallel()
	const size = 10_000
	b := memory.NewBudget("tests", size, 50*time.Millisecond, nil)
	var used atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 300 {
				r := b.Reserve(string(rune('a' + i%5)))
				n := random.Int64N(2000)
				if r.Grow(t.Context(), n) == nil {
					if now := used.Add(n); now > size {
						t.Errorf("%d bytes are held", now)
					}
					used.Add(-n)
				}
				r.Release()
			}
		})
	}
	all.Wait()
	if b.Used() != 0 {
		t.Errorf("%d bytes are left", b.Used())
	}
}
