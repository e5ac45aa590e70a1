package kv_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/kv"
)

func limiter(t testing.TB, js kv.JetStream, now func() time.Time) *kv.Limiter {
	t.Helper()
	l, err := kv.OpenLimiter(deadline(t), js, kv.LimiterClock(now))
	must(t, err)
	return l
}

// quiet returns a period whose current window does not end within the next two minutes.
func quiet() time.Duration {
	for _, period := range []time.Duration{time.Hour, 50 * time.Minute} {
		if period-time.Duration(time.Now().UnixNano()%int64(period)) > 2*time.Minute {
			return period
		}
	}
	return 47 * time.Minute
}

func TestLimiterAdmitsItsLimitAndNoMore(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	for _, limit := range []int{1, 3, 49, 50, 51, 200, 1017} {
		l, other := limiter(t, js, time.Now), limiter(t, js, time.Now)
		key, period := fmt.Sprint("key ", limit), quiet()
		for i := range limit {
			d, err := l.Take(ctx, key, limit, period)
			must(t, err)
			left := limit - i - 1
			if !d.Allowed || d.Limit != limit || d.Remaining > left || d.Remaining < 0 || d.Estimate != left {
				t.Fatalf("take %d of %d: %+v", i+1, limit, d)
			}
			if d.ResetAfter <= 0 || d.ResetAfter > period {
				t.Fatalf("reset after %s", d.ResetAfter)
			}
		}
		for _, l := range []*kv.Limiter{l, other, l} {
			d, err := l.Take(ctx, key, limit, period)
			must(t, err)
			if d.Allowed || d.Remaining != 0 || d.Estimate != 0 || d.ResetAfter <= 0 || d.ResetAfter > period {
				t.Fatalf("past %d: %+v", limit, d)
			}
		}
		d, err := l.Take(ctx, key+"!", limit, period)
		must(t, err)
		if !d.Allowed {
			t.Fatal("a request for another key was refused")
		}
	}
}

func TestLoweredLimitAppliesAtOnce(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx, l, period := deadline(t), limiter(t, js, time.Now), quiet()
	for range 10 {
		if d, err := l.Take(ctx, "k", 1000, period); err != nil || !d.Allowed {
			t.Fatalf("%+v %v", d, err)
		}
	}
	if d, err := l.Take(ctx, "k", 10, period); err != nil || d.Allowed {
		t.Fatalf("above the lowered limit: %+v %v", d, err)
	}
	if d, err := l.Take(ctx, "k", 1000, period); err != nil || !d.Allowed {
		t.Fatalf("below the raised limit: %+v %v", d, err)
	}
}

func TestLimiterRejectsInvalidArguments(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	l := limiter(t, js, time.Now)
	for _, bad := range []struct {
		limit  int
		period time.Duration
	}{{0, time.Minute}, {-1, time.Minute}, {1, 0}, {1, time.Millisecond}, {1, 48 * time.Hour}} {
		if _, err := l.Take(deadline(t), "k", bad.limit, bad.period); !errors.Is(err, kv.ErrInvalidArgument) {
			t.Errorf("%d in %s: %v", bad.limit, bad.period, err)
		}
	}
}

// clocks returns clocks that are wrong in various ways, but whose rate error is within the slew rate of NTP.
func clocks() map[string]func() time.Time {
	began := time.Now()
	running := func(rate float64, ahead time.Duration) func() time.Time {
		return func() time.Time { return began.Add(ahead + time.Duration(float64(time.Since(began))*rate)) }
	}
	return map[string]func() time.Time{
		"correct":        time.Now,
		"an hour ahead":  running(1, time.Hour),
		"an hour behind": running(1, -time.Hour),
		"fast":           running(1.0005, 90*time.Millisecond),
		"slow":           running(0.9995, -90*time.Millisecond),
	}
}

// tally counts answers by the server's window. The test runs on the server's clock, so a Take that began and ended in one window
// was answered in it. A Take across a boundary may belong to either window and is not counted.
type tally struct {
	mu     sync.Mutex
	counts map[string]map[int64]*answers
}

// answers are the counts of one window.
type answers struct{ admitted, refused int }

func (c *tally) add(key string, window int64, admitted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[key] == nil {
		c.counts[key] = map[int64]*answers{}
	}
	n := c.counts[key][window]
	if n == nil {
		n = &answers{}
		c.counts[key][window] = n
	}
	if admitted {
		n.admitted++
	} else {
		n.refused++
	}
}

func TestNoWindowExceedsItsLimit(t *testing.T) {
	t.Parallel()
	srv := start(t, options(t))
	must(t, kv.Create(deadline(t), connect(t, srv.ClientURL()), 1))
	const period = 250 * time.Millisecond
	limits := map[string]int{"small": 7, "middle": 60, "large": 2000}
	until := time.Now().Add(4 * time.Second)
	answered := tally{counts: map[string]map[int64]*answers{}}
	var wg sync.WaitGroup
	for name, now := range clocks() {
		l := limiter(t, connect(t, srv.ClientURL()), now)
		for worker := range 4 {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			wg.Go(func() {
				for time.Now().Before(until) {
					key := []string{"small", "middle", "large", "large"}[random.IntN(4)]
					before := time.Now().UnixNano() / int64(period)
					d, err := l.Take(deadline(t), key, limits[key], period)
					after := time.Now().UnixNano() / int64(period)
					if err != nil {
						t.Errorf("clock %s: %v", name, err)
						return
					}
					if before == after {
						answered.add(key, before, d.Allowed)
					}
				}
			})
		}
	}
	wg.Wait()
	for key, limit := range limits {
		windows, refusing, strict := len(answered.counts[key]), 0, 0
		for window, n := range answered.counts[key] {
			if n.admitted > limit {
				t.Errorf("%s: %d admitted in window %d, limit %d", key, n.admitted, window, limit)
			}
			if n.refused == 0 {
				continue
			}
			refusing++
			if n.admitted <= limit/2 {
				strict++
			}
		}
		if windows < 10 || strict > windows/2 {
			t.Errorf("%s: in %d of %d windows requests were refused while half of the limit was free: the limiter is too strict", key, strict, windows)
		}
		if key == "small" && refusing < windows/2 { // a slow machine may not reach the other limits
			t.Errorf("%s: the limit was reached in only %d of %d windows, so the test shows nothing", key, refusing, windows)
		}
		t.Logf("%s: %d windows, %d with refusals, %d of them while half of the limit was free", key, windows, refusing, strict)
	}
}

// One limiter assumes a window that the server has not reached: its block must be void, and the other limiter must not start the
// current window again.
func TestClockJumpAdmitsNoMore(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	const limit = 10
	for before := range limit + 1 {
		key := fmt.Sprint("k", before)
		// For 30 s after a sample of the server's time the limiter relies on its own clock, so the jump must be shorter.
		period, jump := shortQuiet(), 25*time.Second
		var ahead atomic.Int64
		jumping := limiter(t, js, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
		correct := limiter(t, js, time.Now)
		admitted := 0
		take := func(l *kv.Limiter) {
			d, err := l.Take(ctx, key, limit, period)
			must(t, err)
			if d.Allowed {
				admitted++
			}
		}
		for range before {
			take(correct)
		}
		ahead.Store(int64(jump))
		for range 2 * limit {
			take(jumping)
			take(correct)
		}
		if admitted > limit {
			t.Errorf("%d admitted of %d, %d of them before the jump", admitted, limit, before)
		}
	}
}

// The limiter's clock falls behind windows that it has seen, as after a delayed sample of the server's time. It must take a new
// sample instead of refusing because the current window appears to be in the future.
func TestDelayedClockSampleRefusesNothing(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx, period := deadline(t), shortQuiet()
	var behind atomic.Int64
	l := limiter(t, js, func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) })
	for _, lag := range []time.Duration{0, period, 3 * period} {
		behind.Store(int64(lag))
		if d, err := l.Take(ctx, "k", 10, period); err != nil || !d.Allowed {
			t.Errorf("%s behind: %+v %v", lag, d, err)
		}
	}
}

// shortQuiet returns a period of some seconds whose current window does not end within the next three.
func shortQuiet() time.Duration {
	for _, period := range []time.Duration{10 * time.Second, 9 * time.Second, 8500 * time.Millisecond} {
		if period-time.Duration(time.Now().UnixNano()%int64(period)) > 3*time.Second {
			return period
		}
	}
	return 7700 * time.Millisecond
}

// A token of one window stays in hand while another process uses up the next window.
func TestBlockExpiresWithItsWindow(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	const period, limit = 400 * time.Millisecond, 200
	window := func() int64 { return time.Now().UnixNano() / int64(period) }
	keeper, other := limiter(t, js, time.Now), limiter(t, js, time.Now)
	eventually(t, "all steps fall into two consecutive windows", func() bool {
		first := window()
		d, err := keeper.Take(ctx, "k", limit, period)
		must(t, err)
		if !d.Allowed || d.Remaining != limit/50-1 {
			return false
		}
		eventually(t, "the next window", func() bool { return window() > first })
		second := window()
		for range limit {
			_, err := other.Take(ctx, "k", limit, period)
			must(t, err)
		}
		d, err = keeper.Take(ctx, "k", limit, period)
		must(t, err)
		if window() != second {
			return false
		}
		if d.Allowed {
			t.Fatal("a token of the previous window was used in this one")
		}
		return true
	})
}

// The window ends between the request for a block and its arrival: the limiter must request another one. (If the clock jumps
// before the request, the window it shows has not started, and requests are refused until it has.)
func TestBlockExpiredInTransitRefusesNothing(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	var slow atomic.Int64 // number of clock reads before the jump
	var ahead atomic.Int64
	l := limiter(t, js, func() time.Time {
		if slow.Add(-1) == 0 {
			ahead.Add(int64(quiet()))
		}
		return time.Now().Add(time.Duration(ahead.Load()))
	})
	for reads := range int64(8) {
		slow.Store(reads + 1)
		d, err := l.Take(deadline(t), fmt.Sprint("k", reads), 100, quiet())
		must(t, err)
		if !d.Allowed && d.ResetAfter == 0 {
			t.Errorf("the clock jumped at read %d: %+v", reads+1, d)
		}
	}
}

func TestTakersShareOneCompareAndSet(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx, l, period := deadline(t), limiter(t, js, time.Now), quiet()
	const takers = 200
	var wg sync.WaitGroup
	var allowed atomic.Int64
	for range takers {
		wg.Go(func() {
			if d, err := l.Take(ctx, "k", 50, period); err != nil {
				t.Error(err)
			} else if d.Allowed {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 50 {
		t.Errorf("%d admitted of 50", allowed.Load())
	}
	stream, err := js.Stream(ctx, kv.GatewayLimits.Stream())
	must(t, err)
	if writes := stream.CachedInfo().State.LastSeq; writes > 25 {
		t.Errorf("%d writes for 50 blocks of one token", writes)
	}
}

func TestLimiterWhileDisconnected(t *testing.T) {
	t.Parallel()
	js, _, down, up := restartable(t)
	ctx := deadline(t)
	must(t, kv.Create(ctx, js, 1))
	l, period := limiter(t, js, time.Now), quiet()
	take := func() (kv.Decision, error) { return l.Take(ctx, "k", 100, period) }
	if d, err := take(); err != nil || d.Remaining != 1 {
		t.Fatalf("first: %+v %v", d, err)
	}
	down()
	eventually(t, "disconnected", func() bool { return !js.Conn().IsConnected() })
	if d, err := take(); err != nil || !d.Allowed {
		t.Fatalf("with a token in hand: %+v %v", d, err)
	}
	for range 2 {
		if d, err := take(); !errors.Is(err, kv.ErrUnavailable) || d.Allowed {
			t.Fatalf("with no token in hand: %+v %v", d, err)
		}
	}
	up()
	admitted := 2
	eventually(t, "the limiter has reconnected and the window is used up", func() bool {
		d, err := take()
		if d.Allowed {
			admitted++
		}
		return err == nil && !d.Allowed
	})
	if admitted < 90 || admitted > 100 {
		t.Fatalf("%d of 100 admitted in one window across a restart", admitted)
	}
}

func TestCancelledLeaderDoesNotFailItsWaiters(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	l, period := limiter(t, js, time.Now), quiet()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if i%2 == 0 {
				cancel()
			}
			_, err := l.Take(ctx, "k", 100000, period)
			if i%2 == 1 && err != nil {
				t.Errorf("a waiter whose context has not ended: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestLimiterDropsUnusedCells(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	began := time.Now()
	var ahead atomic.Int64
	l := limiter(t, js, func() time.Time { return began.Add(time.Duration(ahead.Load())) })
	const keys = 12_000
	for i := range keys {
		if i%300 == 0 {
			ahead.Add(int64(time.Second))
		}
		_, err := l.Take(ctx, fmt.Sprint("k", i), 1, 100*time.Millisecond)
		if err != nil && !errors.Is(err, kv.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if cells := l.Cells(); cells > keys/2 {
		t.Fatalf("%d of %d keys still have cells", cells, keys)
	}
}

func BenchmarkTakeFromBlock(b *testing.B) {
	js := mesh(b)
	l := limiter(b, js, time.Now)
	ctx, period := context.Background(), quiet()
	b.ReportAllocs()
	for b.Loop() {
		if d, err := l.Take(ctx, "203.0.113.7", 2_000_000_000, period); err != nil || !d.Allowed {
			b.Fatal(d, err)
		}
	}
}

func BenchmarkTakeFromBlockParallel(b *testing.B) {
	js := mesh(b)
	l := limiter(b, js, time.Now)
	ctx, period := context.Background(), quiet()
	var worker atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		key := fmt.Sprint("key", worker.Add(1))
		for pb.Next() {
			if d, err := l.Take(ctx, key, 2_000_000_000, period); err != nil || !d.Allowed {
				b.Error(d, err)
			}
		}
	})
}

func BenchmarkTakeDenied(b *testing.B) {
	js := mesh(b)
	l := limiter(b, js, time.Now)
	ctx, period := context.Background(), quiet()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Take(ctx, "203.0.113.7", 1, period); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTakeOneBlockEach(b *testing.B) {
	js := mesh(b)
	l := limiter(b, js, time.Now)
	ctx, period := context.Background(), quiet()
	i := 0
	for b.Loop() {
		if d, err := l.Take(ctx, fmt.Sprint("k", i), 10, period); err != nil || !d.Allowed {
			b.Fatal(d, err)
		}
		i++
	}
}
