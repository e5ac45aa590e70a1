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

// perHost is the maximum number of egress's connections to one host. Further requests wait for one, after the guard.
const perHost = 64

// TestRevocationStopsQueuedCalls uses all connections to a host, so that further calls have passed the guard but are not
// sent. A revocation must not wait for the requests in flight, and must cancel the queued calls.
func TestRevocationStopsQueuedCalls(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	user, ada := b.user(t)
	release := make(chan struct{})
	releaseAll := sync.OnceFunc(func() { close(release) })
	v := newFakeProvider(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		respond(200, `{}`)(w, r)
	})
	t.Cleanup(releaseAll) // runs before the server's cleanup, which waits for its handlers
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
	actortest.Eventually(t, "all connections to the host are in use", func() bool { return len(v.requests()) == perHost })
	const waiting = 8
	for range waiting {
		begin()
	}
	actortest.Eventually(t, "more calls wait for a connection", func() bool { return waitingForConnection(waiting) })
	b.mesh.Revoke(t, user, subjects.ScopeIntegrationsExecute)
	actortest.Eventually(t, "the waiting calls are refused", func() bool { return refused.Load() == waiting })
	releaseAll()
	wg.Wait()
	if succeeded.Load() != perHost || len(v.requests()) != perHost {
		t.Errorf("%d calls succeeded, %d requests were received, want %d each", succeeded.Load(), len(v.requests()), perHost)
	}
}

// waitingForConnection reports whether at least n goroutines wait for a connection, which is after the guard.
func waitingForConnection(n int) bool {
	return strings.Count(stacks(), "net/http.(*Transport).getConn(") >= n
}

// TestRevocationStopsRetries revokes the consent between two attempts; the second must not be made.
func TestRevocationStopsRetries(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	user, ada := b.user(t)
	v := newFakeProvider(t, respond(503, ``, "Retry-After", "1"))
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
		t.Errorf("the provider received %d requests, want 1", n)
	}
	calls := call(t, b, subjects.ListCalls, ada, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: c.ID}})
	if len(calls.Items) != 1 || calls.Items[0].Class != "refused" || calls.Items[0].Attempts != 2 || calls.Items[0].Code != subjects.CodeConsentRequired {
		t.Errorf("calls: %+v", calls.Items)
	}
}

// TestRevocationStorm revokes a consent while many callers use it, repeatedly. A request that is received after the
// revocation must have passed the guard before it: at most one for each caller, and none whose call started after the
// revocation's reply.
func TestRevocationStorm(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	const callers, rounds = 24, 12
	for round := range rounds {
		user, ada := b.user(t)
		var revoked atomic.Int64 // the time of the revocation in nanoseconds since begin; 0 before it
		begin := time.Now()
		var late, received atomic.Int64
		v := newFakeProvider(t, func(w http.ResponseWriter, r *http.Request) {
			received.Add(1)
			if at := revoked.Load(); at > 0 {
				late.Add(1)
				if started, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64); err != nil || started >= at {
					t.Errorf("round %d: received a request of a call that started %v after the revocation", round, time.Duration(started-at))
				}
			}
			respond(200, `{}`)(w, r)
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
		actortest.Eventually(t, "every caller makes calls", func() bool { return received.Load() > 4*callers })
		b.mesh.Revoke(t, user, subjects.ScopeIntegrationsExecute)
		revoked.Store(time.Since(begin).Nanoseconds())
		wg.Wait()
		if late.Load() > callers {
			t.Errorf("round %d: %d requests of %d callers were received after the revocation", round, late.Load(), callers)
		}
		wantCode(t, b, subjects.CodeConsentRequired, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`))
	}
}

// stacks are the stacks of all goroutines.
func stacks() string {
	buffer := make([]byte, 8<<20)
	return string(buffer[:runtime.Stack(buffer, true)])
}
