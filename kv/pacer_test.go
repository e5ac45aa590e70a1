package kv_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/kv"
)

func pacer(t testing.TB, js kv.JetStream) *kv.Pacer {
	t.Helper()
	p, err := kv.OpenPacer(deadline(t), js, kv.IntegrationLimits)
	must(t, err)
	return p
}

// TestPaceHoldsForAnySpan simulates callers at random times: no time span of a period contains more calls than the limit, even if
// calls arrive later than they were admitted; and a caller that always asks gets 95 % of the limit.
func TestPaceHoldsForAnySpan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		period := time.Duration(rapid.Int64Range(int64(250*time.Millisecond), int64(time.Hour)).Draw(t, "period"))
		limit := rapid.IntRange(1, 300).Draw(t, "limit")
		slot := int64(period) / kv.PaceSlots
		s := kv.NewPaceSimulation(limit, period)
		at := rapid.Int64Range(1e18, 1e18+int64(period)).Draw(t, "start")
		var arrived []int64
		for range rapid.IntRange(1, 400).Draw(t, "takers") {
			at += rapid.Int64Range(0, int64(period)/20).Draw(t, "later")
			for range s.Take(at, rapid.IntRange(1, 20).Draw(t, "wanted")) {
				arrived = append(arrived, at+rapid.Int64Range(0, slot).Draw(t, "delay"))
			}
		}
		checkSpans(t, arrived, limit, int64(period))
	})
	for _, limit := range []int{1, 2, 5, 30, 60, 600, 5000} {
		const period = time.Minute
		s := kv.NewPaceSimulation(limit, period)
		start, end := int64(1e18), int64(1e18)+100*int64(period)
		n := 0
		for at := start; at < end; {
			n += s.Take(at, limit)
			wait := s.Wait(at)
			if wait <= 0 {
				t.Fatalf("limit %d: exhausted, but the wait is 0", limit)
			}
			at += int64(wait)
		}
		if share := float64(n) / float64(100*limit); share < 0.95 || share > 1.01 {
			t.Errorf("limit %d: %.3f of it is admitted", limit, share)
		}
	}
}

// checkSpans checks the time span that ends at each arrival.
func checkSpans(t *rapid.T, arrived []int64, limit int, period int64) {
	for _, end := range arrived {
		n := 0
		for _, at := range arrived {
			if at > end-period && at <= end {
				n++
			}
		}
		if n > limit {
			t.Fatalf("%d calls in a span, the limit is %d", n, limit)
		}
	}
}

func TestPacersShareALimit(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	for _, limit := range []int{1, 3, 50, 400} {
		key := fmt.Sprint("key ", limit)
		pacers := []*kv.Pacer{pacer(t, js), pacer(t, js), pacer(t, js)}
		var admitted, refused atomic.Int64
		var group sync.WaitGroup
		for _, p := range pacers {
			for range 8 {
				group.Go(func() {
					for range limit {
						got, err := p.Take(ctx, key, limit, time.Hour)
						switch {
						case err != nil:
							t.Error(err)
							return
						case got.Allowed:
							admitted.Add(1)
						case got.Wait <= 0 || got.Wait > 63*time.Minute:
							t.Errorf("refused with the wait %s", got.Wait)
						default:
							refused.Add(1)
						}
					}
				})
			}
		}
		group.Wait()
		if admitted.Load() != int64(limit) || refused.Load() == 0 {
			t.Errorf("limit %d: %d admitted, %d refused", limit, admitted.Load(), refused.Load())
		}
		left, err := pacers[0].Peek(ctx, key, limit, time.Hour)
		if err != nil || left.Allowed || left.Remaining != 0 || left.Wait <= 0 {
			t.Errorf("left: %+v, %v", left, err)
		}
	}
	left, err := pacer(t, js).Peek(ctx, "never used", 7, time.Hour)
	if err != nil || !left.Allowed || left.Remaining != 7 {
		t.Errorf("left of an unused key: %+v, %v", left, err)
	}
}

func TestHoldAppliesToEveryProcess(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	one, other := pacer(t, js), pacer(t, js)
	take := func(p *kv.Pacer, key string) kv.Pace {
		t.Helper()
		got, err := p.Take(ctx, key, 10, time.Hour)
		must(t, err)
		return got
	}
	take(other, "a")
	must(t, one.Hold(ctx, "a", 10, time.Hour, 0, 10*time.Minute))
	for _, p := range []*kv.Pacer{one, pacer(t, js)} {
		if got := take(p, "a"); got.Allowed || got.Wait <= 0 || got.Wait > 10*time.Minute {
			t.Errorf("held: %+v", got)
		}
	}
	must(t, one.Hold(ctx, "a", 10, time.Hour, 5, time.Minute))
	if got := take(pacer(t, js), "a"); got.Allowed {
		t.Errorf("a later Hold has raised the limit: %+v", got)
	}

	must(t, one.Hold(ctx, "b", 10, time.Hour, 2, time.Hour))
	if first, second, third := take(one, "b"), take(other, "b"), take(one, "b"); !first.Allowed || !second.Allowed || third.Allowed {
		t.Errorf("with two left: %+v %+v %+v", first, second, third)
	}
	must(t, one.Hold(ctx, "c", 10, time.Hour, 11, time.Hour))
	for i := range 11 {
		if got := take(one, "c"); got.Allowed != (i < 10) {
			t.Errorf("take %d with more left than the limit: %+v", i, got)
		}
	}
	must(t, one.Hold(ctx, "d", 10, time.Hour, 0, -time.Second))
	if got := take(one, "d"); !got.Allowed {
		t.Errorf("after a Hold that has ended: %+v", got)
	}
}

func TestReturnedTokenIsTakenAgain(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx, p := deadline(t), pacer(t, js)
	for range 3 {
		taken, err := p.Take(ctx, "k", 1, time.Hour)
		if err != nil || !taken.Allowed {
			t.Fatalf("%+v, %v", taken, err)
		}
		if got, err := p.Take(ctx, "k", 1, time.Hour); err != nil || got.Allowed {
			t.Fatalf("the only token is taken twice: %+v, %v", got, err)
		}
		p.GiveBack("k", time.Hour, taken)
	}
}

func TestPacerAdmitsNothingWhileDisconnected(t *testing.T) {
	t.Parallel()
	srv := start(t, options(t))
	js := connect(t, srv.ClientURL())
	must(t, kv.CreateSpecs(deadline(t), js, 1, kv.IntegrationLimits))
	p := pacer(t, js)
	if got, err := p.Take(deadline(t), "k", 1, time.Hour); err != nil || !got.Allowed {
		t.Fatalf("%+v, %v", got, err)
	}
	stop(srv)
	eventually(t, "disconnected", func() bool { return !js.Conn().IsConnected() })
	for _, key := range []string{"other", "k2"} {
		if _, err := p.Take(deadline(t), key, 1, time.Hour); !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("take: %v", err)
		}
	}
	if err := p.Hold(deadline(t), "k", 1, time.Hour, 0, time.Hour); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("hold: %v", err)
	}
	ended, cancel := context.WithCancel(deadline(t))
	cancel()
	if _, err := p.Take(ended, "third", 1, time.Hour); err == nil {
		t.Error("a caller with an ended context is admitted")
	}
	for _, c := range []struct {
		limit  int
		period time.Duration
	}{{0, time.Hour}, {1, time.Millisecond}, {1, 365 * 24 * time.Hour}} {
		if _, err := p.Take(deadline(t), "k", c.limit, c.period); !errors.Is(err, kv.ErrInvalidArgument) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
