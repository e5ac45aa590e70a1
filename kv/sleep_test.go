package kv_test

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/kv"
)

// TestTokensInHandDoNotSurviveSleep: while a machine sleeps its clock stops, and others use up the limit. The tokens that it
// had in hand are void when it wakes.
func TestTokensInHandDoNotSurviveSleep(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx := deadline(t)
	const limit, period = 1000, time.Second
	began := time.Now()
	sleeper, err := kv.OpenPacer(ctx, js, kv.IntegrationLimits, kv.PacerClock(func() time.Time { return began }))
	must(t, err)
	if got, err := sleeper.Take(ctx, "k", limit, period); err != nil || !got.Allowed {
		t.Fatalf("%+v, %v", got, err)
	}
	// The others take what they can, until the sleeper's tokens count no more.
	other, admitted := pacer(t, js), []time.Time{}
	for time.Since(began) < period+200*time.Millisecond || len(admitted) < limit {
		got, err := other.Take(ctx, "k", limit, period)
		must(t, err)
		if got.Allowed {
			admitted = append(admitted, time.Now())
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("the others are not admitted")
		}
	}
	for range 20 {
		got, err := sleeper.Take(ctx, "k", limit, period)
		must(t, err)
		if got.Allowed {
			admitted = append(admitted, time.Now())
		}
	}
	for i := limit; i < len(admitted); i++ {
		if span := admitted[i].Sub(admitted[i-limit]); span < period {
			t.Fatalf("%d calls in %s", limit+1, span)
		}
	}
}

// TestLimiterAdmitsAfterSleep: a machine sleeps, during which its clock stops, while a window ends that it saw used up. When it
// wakes it admits in the next one.
func TestLimiterAdmitsAfterSleep(t *testing.T) {
	t.Parallel()
	js := mesh(t)
	ctx, began := deadline(t), time.Now()
	l := limiter(t, js, func() time.Time { return began })
	const limit, period = 3, 500 * time.Millisecond
	refused := false
	for !refused {
		d, err := l.Take(ctx, "k", limit, period)
		must(t, err)
		refused = !d.Allowed
	}
	for window := range 3 {
		end := time.Now().Truncate(period).Add(period + 100*time.Millisecond)
		admitted := false
		for time.Now().Before(end.Add(period)) && !admitted {
			d, err := l.Take(ctx, "k", limit, period)
			must(t, err)
			admitted = d.Allowed
		}
		if !admitted {
			t.Fatalf("window %d: refused past its start", window)
		}
	}
}
