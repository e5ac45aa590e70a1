package integration_test

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// perHost is how many connections egress makes to one host: what is past it waits, having passed the guard.
const perHost = 64

// TestWhatWaitsIsStoppedByARevocation: a host's connections are all taken, so one more call has been let in by the guard and
// is not written. The revocation does not wait for those that are under way, stops the one that waits, and its request
// never comes.
func TestWhatWaitsIsStoppedByARevocation(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	user, ada := b.user(t)
	release := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(release) })
	v := newVendor(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		says(200, `{}`)(w, r)
	})
	t.Cleanup(letGo) // before the vendor's own, which awaits its handlers
	c := b.connectTo(t, v, ada, "")
	var succeeded, refused atomic.Int64
	var wg sync.WaitGroup
	begin := func() {
		wg.Go(func() {
			_, err := mesh.Call(t.Context(), b.caller, subjects.ExecuteAction, action(c.ID, "post", `{"path":"/x"}`), ada)
			switch subjects.CodeOf(err) {
			case "":
				succeeded.Add(1)
			case subjects.CodeConsentRequired:
				refused.Add(1)
			default:
				t.Errorf("a call: %v", err)
			}
		})
	}
	for range perHost {
		begin()
	}
	actortest.Eventually(t, "the host is busy", func() bool { return len(v.requests()) == perHost })
	const waiting = 8
	for range waiting {
		begin()
	}
	actortest.Eventually(t, "more calls are at work", func() bool { return inFlight(waiting) })
	b.mesh.Revoke(t, user, subjects.ScopeIntegrationsExecute)
	actortest.Eventually(t, "those that waited are refused", func() bool { return refused.Load() == waiting })
	letGo()
	wg.Wait()
	if succeeded.Load() != perHost || len(v.requests()) != perHost {
		t.Errorf("%d calls succeeded, %d requests came, want %d of both", succeeded.Load(), len(v.requests()), perHost)
	}
}

// inFlight tells, by the goroutines that wait for a connection, that at least so many calls have passed the guard.
func inFlight(n int) bool {
	return strings.Count(stacks(), "net/http.(*Transport).getConn(") >= n
}

// TestNoFurtherAttemptAfterARevocation: between two attempts the consent goes, and the second is not made.
func TestNoFurtherAttemptAfterARevocation(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	user, ada := b.user(t)
	v := newVendor(t, says(503, ``, "Retry-After", "1"))
	c := b.connectTo(t, v, ada, "")
	answered := make(chan error, 1)
	go func() {
		_, err := mesh.Call(t.Context(), b.caller, subjects.ExecuteAction, action(c.ID, "get", `{"path":"/x"}`), ada)
		answered <- err
	}()
	actortest.Eventually(t, "the first attempt", func() bool { return len(v.requests()) == 1 })
	b.mesh.Revoke(t, user, subjects.ScopeIntegrationsExecute)
	err := <-answered
	var e *subjects.Error
	if !errors.As(err, &e) || e.Code != subjects.CodeConsentRequired || e.Scope != subjects.ScopeIntegrationsExecute {
		t.Errorf("got %v", err)
	}
	if n := len(v.requests()); n != 1 {
		t.Errorf("the vendor was asked %d times", n)
	}
	calls := call(t, b, subjects.ListCalls, ada, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: c.ID}})
	if len(calls.Items) != 1 || calls.Items[0].Class != "refused" || calls.Items[0].Attempts != 2 || calls.Items[0].Code != subjects.CodeConsentRequired {
		t.Errorf("calls: %+v", calls.Items)
	}
}

// TestRevocationStorm: many callers at work, one revocation, again and again. Every request that comes after it was given
// leave before it: at most one a caller, and none whose call began after the revocation had answered.
func TestRevocationStorm(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	const callers, rounds = 24, 12
	for round := range rounds {
		user, ada := b.user(t)
		var revoked atomic.Int64 // when, in nanoseconds since begin; 0 is not yet
		begin := time.Now()
		var late, came atomic.Int64
		v := newVendor(t, func(w http.ResponseWriter, r *http.Request) {
			came.Add(1)
			if at := revoked.Load(); at > 0 {
				late.Add(1)
				if began, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64); err != nil || began >= at {
					t.Errorf("round %d: a request came whose call began %v after the revocation", round, time.Duration(began-at))
				}
			}
			says(200, `{}`)(w, r)
		})
		c := b.connectTo(t, v, ada, "")
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for after := 0; after < 3; {
					if revoked.Load() > 0 {
						after++
					}
					input := fmt.Sprintf(`{"path":"/%d"}`, time.Since(begin).Nanoseconds())
					_, err := mesh.Call(t.Context(), b.caller, subjects.ExecuteAction, action(c.ID, "get", input), ada)
					if code := subjects.CodeOf(err); code != "" && code != subjects.CodeConsentRequired {
						t.Errorf("a call: %v", err)
						return
					}
				}
			})
		}
		actortest.Eventually(t, "the storm is on", func() bool { return came.Load() > 4*callers })
		b.mesh.Revoke(t, user, subjects.ScopeIntegrationsExecute)
		revoked.Store(time.Since(begin).Nanoseconds())
		wg.Wait()
		if late.Load() > callers {
			t.Errorf("round %d: %d requests came after the revocation, of %d callers", round, late.Load(), callers)
		}
		wantCode(t, b, subjects.CodeConsentRequired, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`))
	}
}

// stacks is what every goroutine is doing.
func stacks() string {
	buffer := make([]byte, 8<<20)
	return string(buffer[:runtime.Stack(buffer, true)])
}
