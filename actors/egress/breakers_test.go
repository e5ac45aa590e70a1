package egress_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

var (
	errConnect  = &egress.Error{Kind: egress.KindConnect}
	errBlocked  = &egress.Error{Kind: egress.KindBlocked}
	errCanceled = &egress.Error{Kind: egress.KindCanceled}
)

// report makes n calls with the given result. It fails the test if one is rejected.
func report(t *testing.T, b *egress.Breakers, n int, status int, err error) {
	t.Helper()
	for range n {
		done, rejected := b.Allow("p", "h")
		if rejected != nil {
			t.Fatalf("rejected: %v", rejected)
		}
		var response *egress.Response
		if err == nil {
			response = &egress.Response{Status: status}
		}
		done(response, err)
	}
}

func TestBreakerOpensOnServerFailuresOnly(t *testing.T) {
	t.Parallel()
	b := egress.NewBreakers(egress.BreakerOptions{})
	for _, status := range []int{200, 400, 401, 403, 404, 429, 501} {
		report(t, b, 100, status, nil)
	}
	report(t, b, 100, 0, errBlocked)
	report(t, b, 100, 0, errCanceled)
	if state := b.State("p", "h"); state != "closed" {
		t.Fatalf("after results that are no failures it is %s", state)
	}
	report(t, b, 5, 503, nil)
	_, err := b.Allow("p", "h")
	var open *egress.OpenError
	if !errors.As(err, &open) || !errors.Is(err, egress.ErrOpen) || open.Host != "h" {
		t.Fatalf("got %v", err)
	}
	if _, err := b.Allow("p", "other"); err != nil {
		t.Errorf("the breaker of another host: %v", err)
	}
	if _, err := b.Allow("other", "h"); err != nil {
		t.Errorf("the breaker of another provider: %v", err)
	}
	if states := b.States("p"); states["h"] != "open" || states["other"] != "closed" || len(states) != 2 {
		t.Errorf("got %v", states)
	}
}

func TestBreakerOpensAtHalfFailed(t *testing.T) {
	t.Parallel()
	b := egress.NewBreakers(egress.BreakerOptions{})
	for range 9 {
		report(t, b, 1, 0, errConnect)
		report(t, b, 1, 200, nil)
	}
	report(t, b, 1, 200, nil)
	if state := b.State("p", "h"); state != "closed" {
		t.Fatalf("it is %s below the minimum number of calls", state)
	}
	report(t, b, 1, 0, errConnect)
	if state := b.State("p", "h"); state != "open" {
		t.Fatalf("it is %s after half of twenty calls failed", state)
	}
}

func TestHalfOpenBreakerAdmitsFiveCalls(t *testing.T) {
	t.Parallel()
	var changes []string
	b := egress.NewBreakers(egress.BreakerOptions{Open: time.Millisecond, Changed: func(_, _, from, to string) { changes = append(changes, from+">"+to) }})
	report(t, b, 5, 0, errConnect)
	deadline := time.Now().Add(10 * time.Second)
	for b.State("p", "h") != "half_open" {
		if time.Now().After(deadline) {
			t.Fatal("it did not become half-open")
		}
	}
	var pending []func(*egress.Response, error)
	for range 5 {
		done, err := b.Allow("p", "h")
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, done)
	}
	if _, err := b.Allow("p", "h"); !errors.Is(err, egress.ErrOpen) {
		t.Fatalf("a sixth call was admitted: %v", err)
	}
	for _, done := range pending {
		done(&egress.Response{Status: 429}, nil)
	}
	if state := b.State("p", "h"); state != "closed" {
		t.Errorf("after five successes it is %s", state)
	}
	if fmt.Sprint(changes) != "[closed>open open>half_open half_open>closed]" {
		t.Errorf("changes %v", changes)
	}
}

func TestBreakersAreEvicted(t *testing.T) {
	t.Parallel()
	b := egress.NewBreakers(egress.BreakerOptions{Max: 10})
	report(t, b, 5, 500, nil)
	for i := range 1000 {
		if _, err := b.Allow("http", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Allow("p", "h"); err == nil {
			t.Fatalf("the breaker in use was evicted after %d others", i+1)
		}
	}
	if kept := len(b.States("http")) + len(b.States("p")); kept != 10 {
		t.Errorf("%d breakers are held, want 10", kept)
	}
	if _, kept := b.States("http")["999"]; !kept {
		t.Error("the newest breaker was evicted")
	}
}

func TestUncountedResultsLeaveTheBreakerClosed(t *testing.T) {
	t.Parallel()
	b := egress.NewBreakers(egress.BreakerOptions{Failures: 1})
	if state := b.State("p", "unknown"); state != "closed" {
		t.Errorf("a breaker that does not exist is %s", state)
	}
	for _, err := range []error{nil, errBlocked, errors.New("other"), &egress.Error{Kind: egress.KindLocal}} {
		done, rejected := b.Allow("p", "h")
		if rejected != nil {
			t.Fatal(rejected)
		}
		done(nil, err) // no response either
	}
	if state := b.State("p", "h"); state != "closed" {
		t.Errorf("it is %s", state)
	}
	report(t, b, 1, 500, nil)
	if _, err := b.Allow("p", "h"); err == nil || err.Error() != "egress: circuit breaker open for p at h" {
		t.Errorf("got %v", err)
	}
}
