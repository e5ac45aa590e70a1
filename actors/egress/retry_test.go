package egress_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

func TestPolicyRepeatsOnlyWhatMayBe(t *testing.T) {
	t.Parallel()
	failed := func(kind egress.Kind, sent bool) egress.Outcome {
		return egress.Outcome{Err: fmt.Errorf("calling: %w", &egress.Error{Kind: kind, Sent: sent})}
	}
	answered := func(status int) egress.Outcome { return egress.Outcome{Status: status} }
	for _, c := range []struct {
		name                        string
		outcome                     egress.Outcome
		read, idempotent, writeOnce bool
	}{
		{"timeout after writing", failed(egress.KindTimeout, true), true, true, false},
		{"timeout before writing", failed(egress.KindTimeout, false), true, true, true},
		{"broken after writing", failed(egress.KindTransport, true), true, true, false},
		{"no connection", failed(egress.KindConnect, false), true, true, true},
		{"no connection after a redirect", failed(egress.KindConnect, true), true, true, false},
		{"blocked", failed(egress.KindBlocked, false), false, false, false},
		{"too large", failed(egress.KindTooLarge, true), false, false, false},
		{"cancelled", failed(egress.KindCanceled, false), false, false, false},
		{"caller's deadline", failed(egress.KindDeadline, false), false, false, false},
		{"breaker", egress.Outcome{Err: &egress.OpenError{}}, false, false, false},
		{"foreign error", egress.Outcome{Err: errors.New("x")}, false, false, false},
		{"429", answered(429), true, true, true},
		{"500", answered(500), true, true, false},
		{"502", answered(502), true, true, false},
		{"503", answered(503), true, true, false},
		{"504", answered(504), true, true, false},
		{"501", answered(501), false, false, false},
		{"400", answered(400), false, false, false},
		{"401", answered(401), false, false, false},
		{"200", answered(200), false, false, false},
		{"limited in a 200", egress.Outcome{Status: 200, Limited: true}, true, true, true},
		{"unavailable in a 200", egress.Outcome{Status: 200, Unavailable: true}, true, true, false},
	} {
		for safety, want := range map[egress.Safety]bool{egress.Read: c.read, egress.Idempotent: c.idempotent, egress.WriteOnce: c.writeOnce, "": c.writeOnce, "unknown": c.writeOnce} {
			o := c.outcome
			o.Safety, o.Attempt = safety, 1
			if _, again := (egress.Policy{}).Next(o); again != want {
				t.Errorf("%s, %q: got %v", c.name, safety, again)
			}
			o.Attempt = 3
			if _, again := (egress.Policy{}).Next(o); again {
				t.Errorf("%s, %q: a fourth attempt", c.name, safety)
			}
		}
	}
}

func TestPolicyWaits(t *testing.T) {
	t.Parallel()
	half := func() float64 { return 0.5 }
	for _, c := range []struct {
		name    string
		policy  egress.Policy
		outcome egress.Outcome
		want    time.Duration
		again   bool
	}{
		{"first", egress.Policy{}, egress.Outcome{Attempt: 1}, 500 * time.Millisecond, true},
		{"doubled", egress.Policy{}, egress.Outcome{Attempt: 2}, time.Second, true},
		{"bounded", egress.Policy{Attempts: 100}, egress.Outcome{Attempt: 90}, 30 * time.Second, true},
		{"jitter", egress.Policy{Jitter: half}, egress.Outcome{Attempt: 1}, 375 * time.Millisecond, true},
		{"asked", egress.Policy{}, egress.Outcome{Attempt: 1, RetryAfter: 10 * time.Second}, 10*time.Second + 500*time.Millisecond, true},
		{"asked for long", egress.Policy{}, egress.Outcome{Attempt: 1, RetryAfter: time.Hour}, 0, false},
		{"asked for long, allowed", egress.Policy{MaxRetryAfter: 2 * time.Hour}, egress.Outcome{Attempt: 1, RetryAfter: time.Hour}, time.Hour + 500*time.Millisecond, true},
	} {
		c.outcome.Status = 429
		if wait, again := c.policy.Next(c.outcome); wait != c.want || again != c.again {
			t.Errorf("%s: got %v, %v", c.name, wait, again)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "30": 30 * time.Second, "0.65": 650 * time.Millisecond, "-1": 0, "NaN": 0, "Inf": 0, "1e300": 0, "soon": 0,
		"Mon, 23 Nov 2026 12:01:00 GMT": time.Minute, "Mon, 23 Nov 2026 11:59:00 GMT": 0,
	} {
		if got := egress.RetryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: got %v", value, got)
		}
	}
}

var (
	errConnect = &egress.Error{Kind: egress.KindConnect}
	errBlocked = &egress.Error{Kind: egress.KindBlocked}
	errGivenUp = &egress.Error{Kind: egress.KindCanceled}
)

// report makes n calls that end so; it fails where one is not let through.
func report(t *testing.T, b *egress.Breakers, n int, status int, err error) {
	t.Helper()
	for range n {
		done, refused := b.Allow("p", "h")
		if refused != nil {
			t.Fatalf("refused: %v", refused)
		}
		var response *egress.Response
		if err == nil {
			response = &egress.Response{Status: status}
		}
		done(response, err)
	}
}

func TestBreakerOpensForTheOtherSidesFaultsAlone(t *testing.T) {
	t.Parallel()
	b := egress.NewBreakers(egress.BreakerOptions{})
	for _, status := range []int{200, 400, 401, 403, 404, 429, 501} {
		report(t, b, 100, status, nil)
	}
	report(t, b, 100, 0, errBlocked)
	report(t, b, 100, 0, errGivenUp)
	if state := b.State("p", "h"); state != "closed" {
		t.Fatalf("the caller's own faults left it %s", state)
	}
	report(t, b, 5, 503, nil)
	_, err := b.Allow("p", "h")
	var open *egress.OpenError
	if !errors.As(err, &open) || !errors.Is(err, egress.ErrOpen) || open.Host != "h" {
		t.Fatalf("got %v", err)
	}
	if _, err := b.Allow("p", "other"); err != nil {
		t.Errorf("another host suffers too: %v", err)
	}
	if _, err := b.Allow("other", "h"); err != nil {
		t.Errorf("another provider suffers too: %v", err)
	}
	if states := b.States("p"); states["h"] != "open" || states["other"] != "closed" || len(states) != 2 {
		t.Errorf("got %v", states)
	}
}

func TestBreakerOpensWhenHalfTheCallsFail(t *testing.T) {
	t.Parallel()
	b := egress.NewBreakers(egress.BreakerOptions{})
	for range 9 {
		report(t, b, 1, 0, errConnect)
		report(t, b, 1, 200, nil)
	}
	report(t, b, 1, 200, nil)
	if state := b.State("p", "h"); state != "closed" {
		t.Fatalf("%s before there was enough to judge by", state)
	}
	report(t, b, 1, 0, errConnect)
	if state := b.State("p", "h"); state != "open" {
		t.Fatalf("%s with half of twenty calls failed", state)
	}
}

func TestBreakerHalfOpensForFive(t *testing.T) {
	t.Parallel()
	var changes []string
	b := egress.NewBreakers(egress.BreakerOptions{Open: time.Millisecond, Changed: func(_, _, from, to string) { changes = append(changes, from+">"+to) }})
	report(t, b, 5, 0, errConnect)
	deadline := time.Now().Add(10 * time.Second)
	for b.State("p", "h") != "half_open" {
		if time.Now().After(deadline) {
			t.Fatal("it never turned half-open")
		}
	}
	var waiting []func(*egress.Response, error)
	for range 5 {
		done, err := b.Allow("p", "h")
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, done)
	}
	if _, err := b.Allow("p", "h"); !errors.Is(err, egress.ErrOpen) {
		t.Fatalf("a sixth call was let through: %v", err)
	}
	for _, done := range waiting {
		done(&egress.Response{Status: 429}, nil)
	}
	if state := b.State("p", "h"); state != "closed" {
		t.Errorf("five answers left it %s", state)
	}
	if fmt.Sprint(changes) != "[closed>open open>half_open half_open>closed]" {
		t.Errorf("changes %v", changes)
	}
}

func TestBreakersAreBounded(t *testing.T) {
	t.Parallel()
	b := egress.NewBreakers(egress.BreakerOptions{Max: 10})
	for i := range 1000 {
		if _, err := b.Allow("http", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if kept := len(b.States("http")); kept != 10 {
		t.Errorf("%d are kept", kept)
	}
}
