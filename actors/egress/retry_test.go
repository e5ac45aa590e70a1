package egress_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

func TestPolicyRetriesBySafety(t *testing.T) {
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
		{"connection broken after writing", failed(egress.KindTransport, true), true, true, false},
		{"connect failed", failed(egress.KindConnect, false), true, true, true},
		{"connect failed after a redirect", failed(egress.KindConnect, true), true, true, false},
		{"blocked", failed(egress.KindBlocked, false), false, false, false},
		{"too large", failed(egress.KindTooLarge, true), false, false, false},
		{"canceled", failed(egress.KindCanceled, false), false, false, false},
		{"caller's deadline", failed(egress.KindDeadline, false), false, false, false},
		{"breaker open", egress.Outcome{Err: &egress.OpenError{}}, false, false, false},
		{"foreign error", egress.Outcome{Err: errors.New("x")}, false, false, false},
		{"429", answered(429), true, true, true},
		{"500", answered(500), true, true, false},
		{"502", answered(502), true, true, false},
		{"503", answered(503), true, true, false},
		{"504", answered(504), true, true, false},
		{"501", answered(501), false, false, false},
		{"505", answered(505), true, true, false},
		{"507", answered(507), true, true, false},
		{"511", answered(511), true, true, false},
		{"520", answered(520), true, true, false},
		{"530", answered(530), true, true, false},
		{"599", answered(599), true, true, false},
		{"600", answered(600), false, false, false},
		{"499", answered(499), false, false, false},
		{"400", answered(400), false, false, false},
		{"401", answered(401), false, false, false},
		{"200", answered(200), false, false, false},
		{"limited in a 200", egress.Outcome{Status: 200, Limited: true}, true, true, true},
		{"unavailable in a 200", egress.Outcome{Status: 200, Unavailable: true}, true, true, false},
	} {
		for safety, want := range map[egress.Safety]bool{egress.Read: c.read, egress.Idempotent: c.idempotent, egress.WriteOnce: c.writeOnce, "": c.writeOnce, "unknown": c.writeOnce} {
			o := c.outcome
			o.Safety, o.Attempt = safety, 1
			if _, retry := (egress.Policy{}).Next(o); retry != want {
				t.Errorf("%s, %q: got %v", c.name, safety, retry)
			}
			o.Attempt = 3
			if _, retry := (egress.Policy{}).Next(o); retry {
				t.Errorf("%s, %q: a fourth attempt", c.name, safety)
			}
		}
	}
}

func TestPolicyDelays(t *testing.T) {
	t.Parallel()
	half := func() float64 { return 0.5 }
	for _, c := range []struct {
		name    string
		policy  egress.Policy
		outcome egress.Outcome
		want    time.Duration
		retry   bool
	}{
		{"first", egress.Policy{}, egress.Outcome{Attempt: 1}, 500 * time.Millisecond, true},
		{"doubled", egress.Policy{}, egress.Outcome{Attempt: 2}, time.Second, true},
		{"capped", egress.Policy{Attempts: 100}, egress.Outcome{Attempt: 90}, 30 * time.Second, true},
		{"jitter", egress.Policy{Jitter: half}, egress.Outcome{Attempt: 1}, 375 * time.Millisecond, true},
		{"Retry-After", egress.Policy{}, egress.Outcome{Attempt: 1, RetryAfter: 10 * time.Second}, 10*time.Second + 500*time.Millisecond, true},
		{"Retry-After too long", egress.Policy{}, egress.Outcome{Attempt: 1, RetryAfter: time.Hour}, 0, false},
		{"Retry-After within a higher limit", egress.Policy{MaxRetryAfter: 2 * time.Hour}, egress.Outcome{Attempt: 1, RetryAfter: time.Hour}, time.Hour + 500*time.Millisecond, true},
	} {
		c.outcome.Status = 429
		if wait, retry := c.policy.Next(c.outcome); wait != c.want || retry != c.retry {
			t.Errorf("%s: got %v, %v", c.name, wait, retry)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const most = 31 * 24 * time.Hour
	for value, want := range map[string]time.Duration{
		"": 0, "30": 30 * time.Second, " 30 ": 30 * time.Second, `"30"`: 30 * time.Second, "0.65": 650 * time.Millisecond, "0": 0, "-1": 0, "NaN": 0, "Inf": 0,
		"1e300": 0, "soon": 0, "99999999": 0, "9999999": most, "2s": 2 * time.Second, "2 s": 2 * time.Second, "2S": 2 * time.Second,
		"500ms": 500 * time.Millisecond, "1m30s": 90 * time.Second, "5 seconds": 5 * time.Second, "1 second": time.Second, "2 minutes": 2 * time.Minute,
		"1 hour": time.Hour, "-2s": 0, "2 fortnights": 0, "9000000h": 0, "100000h": most,
		"1795435260": time.Minute, "1795435260.5": 60500 * time.Millisecond, "1795435260000": time.Minute, "1795435100": 0, "99999999999": most,
		"2026-11-23T12:01:00Z": time.Minute, "2026-11-23T12:01:00.500Z": 60500 * time.Millisecond, "2026-11-23T13:01:00+01:00": time.Minute,
		"2026-11-23T12:01:00": time.Minute, "2026-11-23T12:01Z": time.Minute, "2026-11-23 12:01:00": time.Minute, "2026-11-23 12:01:00Z": time.Minute,
		"2026-11-23T12:01:00+0000": time.Minute, "20261123T120100Z": time.Minute, "2026-11-23T11:00:00Z": 0, "9999-12-31T23:59:59Z": most,
		"Mon, 23 Nov 2026 12:01:00 GMT": time.Minute, "Mon, 23 Nov 2026 11:59:00 GMT": 0, "Mon, 23 Nov 2026 13:01:00 +0100": time.Minute,
		"Monday, 23-Nov-26 12:01:00 GMT": time.Minute, "Mon Nov 23 12:01:00 2026": time.Minute, "Fri, 31 Dec 9999 23:59:59 GMT": most,
		"10, 20": 20 * time.Second, "20, 10": 20 * time.Second, "x, 3s": 3 * time.Second,
	} {
		if got := egress.RetryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
	for name, c := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"milliseconds": {http.Header{"Retry-After-Ms": {"1500"}}, 1500 * time.Millisecond},
		"both":         {http.Header{"Retry-After-Ms": {"1500"}, "Retry-After": {"2"}}, 2 * time.Second},
		"two fields":   {http.Header{"Retry-After": {"x", "3"}}, 3 * time.Second},
		"neither":      {http.Header{"Retry-After-Ms": {"soon"}}, 0},
	} {
		if got := egress.RetryAfter(c.header, now); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
