package integration_test

import (
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

// TestUnlistedServerErrorsAreRetried: a status of the class 5xx that has no meaning of its own is treated as 500 (RFC 9110 §15): what
// is safe to repeat is repeated, and a write is not.
func TestUnlistedServerErrorsAreRetried(t *testing.T) {
	t.Parallel()
	v := newFakeProvider(t, respond(200, `{}`))
	b := setup(t, actortest.Databases(t)[0])
	_, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	for _, status := range []int{500, 502, 503, 504, 505, 506, 507, 508, 509, 510, 511, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530, 561, 598, 599} {
		var calls atomic.Int32
		v.setHandler(func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) <= 1 {
				w.WriteHeader(status)
				return
			}
			_, _ = io.WriteString(w, `{"ok":true}`)
		})
		if got := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`)); got.Attempts != 2 {
			t.Errorf("a read answered %d: %d attempts, want 2", status, got.Attempts)
		}
		calls.Store(0)
		wantCode(t, b, subjects.CodeProvider, subjects.ExecuteAction, ada, action(c.ID, "post", `{"path":"/x"}`))
		if n := calls.Load(); n != 1 {
			t.Errorf("a write answered %d was sent %d times", status, n)
		}
		v.setHandler(respond(200, `{}`)) // keeps the circuit breaker closed
		for range 10 {
			call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`))
		}
	}
	v.setHandler(respond(501, `{}`))
	wantCode(t, b, subjects.CodeInvalid, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`))
}

// TestEveryProviderClassesEveryStatus: for every provider, a status that it does not list is of the class that RFC 9110 §15 gives it,
// and what its manifest lists is retried only where the server says that it may be.
func TestEveryProviderClassesEveryStatus(t *testing.T) {
	t.Parallel()
	for id, p := range everyProvider(t) {
		for _, a := range append(p.Actions[:len(p.Actions):len(p.Actions)], p.Proxy) {
			for _, status := range []int{505, 507, 509, 511, 520, 527, 530, 599} {
				_, failed := a.Interpret(manifest.Connection{}, nil, manifest.Answer{Status: status, Body: []byte(`{}`)})
				switch {
				case failed == nil:
					t.Errorf("%s %s: %d is a success", id, a.ID, status)
				case failed.Class != manifest.ClassUnavailable && failed.Class != manifest.ClassLimited:
					t.Errorf("%s %s: %d is %s", id, a.ID, status, failed.Class)
				}
				again := egress.Outcome{Safety: egress.Read, Attempt: 1, Status: status}
				if _, retry := (egress.Policy{}).Next(again); !retry {
					t.Errorf("%s %s: a read answered %s is not retried", id, a.ID, strconv.Itoa(status))
				}
			}
		}
	}
}

// TestEveryProviderHonoursRetryAfter: whatever form a provider's Retry-After has, its refusal asks for that delay.
func TestEveryProviderHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for id, p := range everyProvider(t) {
		for _, status := range []int{429, 503} {
			for _, value := range []string{
				"60", "60.0", "60s", "1m", "60 seconds", "60000ms", "1795435260", "1795435260000", "2026-11-23T12:01:00Z", "2026-11-23T12:01:00.000+00:00",
				"Mon, 23 Nov 2026 12:01:00 GMT",
			} {
				_, failed := p.Proxy.Interpret(manifest.Connection{}, nil, manifest.Answer{
					Status: status, Header: http.Header{"Retry-After": {value}}, Body: []byte(`{}`), At: now,
				})
				if failed == nil || failed.RetryAfter != time.Minute {
					t.Errorf("%s answered %d with Retry-After %s: %+v", id, status, value, failed)
				}
			}
		}
	}
}
