//go:build torture && cluster

package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/subjects"
)

// clusterLoad makes requests of all kinds at two gateways, in turn, and keeps what was acknowledged. A request that is refused is repeated
// with the same key.
type clusterLoad struct {
	t    *testing.T
	urls []string
	next atomic.Uint64
	shop *stubProvider
	over atomic.Bool
	all  sync.WaitGroup

	runner, sender                *client
	workflow, connection, account string

	mu sync.Mutex
	// outcomes are all requests; failures the number of answers by status that were no success.
	outcomes []outcome
	failures map[string]int
	// executions, notifications and actions are what was acknowledged, by key.
	executions             map[string]string
	notifications, actions []string
	revocations, logouts   int
}

// outcome is a request that was acknowledged or not.
type outcome struct {
	kind         string
	began, ended time.Time
	acknowledged bool
}

// frequent are the kinds of requests that the load always makes. revoking are those whose clients revoke rights between them, which waits for
// the lease of a guard that has died: five seconds.
var (
	frequent = []string{"workflows", "actions", "notifications"}
	revoking = []string{"sign-in", "refused calls"}
)

// clientTimeout is how long a client waits for an answer before it repeats a request with the same key. The answer to a request that was on its
// way when a process or a server died may never come.
const clientTimeout = 3 * time.Second

// clusterWorkflow makes two calls and sends a notification. A call whose process dies has an unknown outcome, which weft does not repeat by
// itself: the definition says so.
const clusterWorkflow = `document: {dsl: 1.0.3, namespace: torture, name: cluster, version: 1.0.0}
use:
  retries:
    again: {delay: {milliseconds: 500}, limit: {attempt: {count: 100}}}
do:
  - one:
      try:
        - call: {call: http.get, with: {connection: shop, path: '${ "/\(.key)/1" }'}, timeout: {after: {seconds: 3}}, output: {as: '${ $input }'}}
      catch: {retry: again}
  - two:
      try:
        - call: {call: http.get, with: {connection: shop, path: '${ "/\(.key)/2" }'}, timeout: {after: {seconds: 3}}, output: {as: '${ $input }'}}
      catch: {retry: again}
  - tell:
      call: notification.send
      with: {category: workflow, subject: '${ .key }', body: Done.}
      output: {as: '${ $input }'}
`

func newClusterLoad(t *testing.T, urls ...string) *clusterLoad {
	t.Helper()
	l := &clusterLoad{t: t, urls: urls, failures: map[string]int{}, executions: map[string]string{}, shop: startStubProvider(t, nil)}
	l.runner, _ = signUp(t, urls[0])
	l.runner.grant(t, subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute)
	l.connection = l.shop.connect(t, l.runner, "shop")
	l.workflow = l.runner.must(t, 201, "POST", "/v1/workflows", clusterWorkflow, "Content-Type: application/yaml").text(".id")
	l.sender, _ = signUp(t, urls[0])
	l.account = uuid.NewString() + "@example.com"
	l.runner.must(t, 202, "POST", "/v1/auth/register", map[string]any{"email": l.account, "password": password})
	return l
}

// start begins the load.
func (l *clusterLoad) start() {
	for _, loop := range []func(){l.execute, l.execute, l.act, l.act, l.act, l.notify, l.notify, l.notify, l.signIn, l.signIn, l.revoke, l.revoke, l.revoke} {
		l.all.Go(func() {
			for !l.over.Load() {
				loop()
			}
		})
	}
}

// stop ends the load.
func (l *clusterLoad) stop() {
	l.over.Store(true)
	l.all.Wait()
}

// request repeats a request until it has one of the wanted statuses, at one gateway after the other, and records the answers. Answers other
// than 503 and 429 with Retry-After and 504, by which the outcome is unknown, are errors, except 409 for a key whose first request is still in progress. A gateway that does not accept connections is no answer.
func (l *clusterLoad) request(kind string, c *client, method, path string, body any, wanted []int, headers ...string) (answer, bool) {
	var data []byte
	if body != nil {
		data, _ = json.Marshal(body)
	}
	var last answer
	for deadline := time.Now().Add(waitTimeout); time.Now().Before(deadline); {
		one, began := *c, time.Now()
		one.http = &http.Client{Timeout: clientTimeout, Transport: c.http.Transport}
		one.url = l.urls[l.next.Add(1)%uint64(len(l.urls))]
		a, err := one.do(l.t.Context(), method, path, data, headers...)
		last = a
		l.note(outcome{kind, began, time.Now(), err == nil && slices.Contains(wanted, a.status)})
		switch {
		case err != nil:
			l.count("no answer")
		case slices.Contains(wanted, a.status):
			return a, true
		case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "", a.status == http.StatusGatewayTimeout:
			l.count(fmt.Sprint(a.status))
			l.count(fmt.Sprintf("%s: %d %s", kind, a.status, a.text(".detail")))
		case a.status == http.StatusConflict && a.text(".reason") == string(subjects.ReasonInProgress): // its first attempt is still in progress
			l.count(fmt.Sprint(a.status))
			<-time.After(100 * time.Millisecond)
		case a.status == http.StatusTooManyRequests && a.text(".reason") == string(subjects.ReasonUserQueueFull):
			l.count(fmt.Sprint(a.status))
			<-time.After(time.Second)
		default:
			l.t.Errorf("%s: %s %s: %s, Retry-After %q", kind, method, path, a, a.header.Get("Retry-After"))
			return a, false
		}
		<-time.After(20 * time.Millisecond) // a client that does not wait for Retry-After sees sooner when it is served again
	}
	l.t.Errorf("%s: %s %s was refused for %s, last by %s", kind, method, path, waitTimeout, last)
	return answer{}, false
}

func (l *clusterLoad) note(o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes = append(l.outcomes, o)
}

func (l *clusterLoad) count(failure string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures[failure]++
}

func (l *clusterLoad) execute() {
	key, id := uuid.NewString(), uuid.Must(uuid.NewV7()).String()
	if _, ok := l.request("workflows", l.runner, http.MethodPost, "/v1/workflows/"+l.workflow+"/executions",
		map[string]any{"execution_id": id, "input": map[string]any{"key": key}}, []int{http.StatusAccepted}); ok {
		l.mu.Lock()
		l.executions[key] = id
		l.mu.Unlock()
	}
	<-time.After(25 * time.Millisecond) // bounds the load
}

func (l *clusterLoad) act() {
	key := uuid.NewString()
	// A key whose process has died is in progress until the deadline of its request: two minutes.
	if a, ok := l.request("actions", l.runner, http.MethodPost, "/v1/integrations/"+l.connection+"/actions/get",
		map[string]any{"input": map[string]any{"path": "/action-" + key}}, []int{http.StatusOK, http.StatusConflict}, "Idempotency-Key: "+key); ok && a.status == http.StatusOK {
		l.mu.Lock()
		l.actions = append(l.actions, key)
		l.mu.Unlock()
	}
	<-time.After(25 * time.Millisecond)
}

func (l *clusterLoad) notify() {
	key := uuid.NewString()
	if _, ok := l.request("notifications", l.sender, http.MethodPost, "/v1/notifications",
		map[string]any{"category": "system", "subject": key, "dedupe_key": key}, []int{http.StatusAccepted}); ok {
		l.mu.Lock()
		l.notifications = append(l.notifications, key)
		l.mu.Unlock()
	}
	<-time.After(25 * time.Millisecond)
}

// signIn signs in, uses the session at every gateway, and out; then no gateway accepts the token.
func (l *clusterLoad) signIn() {
	session, ok := l.request("sign-in", newClient(""), http.MethodPost, "/v1/auth/login", map[string]any{"email": l.account, "password": password}, []int{http.StatusOK})
	if !ok {
		return
	}
	c := newClient("")
	c.token = session.text(".access_token")
	if _, ok := l.request("reads", c, http.MethodGet, "/v1/users/me", nil, []int{http.StatusOK}); !ok {
		return
	}
	if _, ok := l.request("sign-out", c, http.MethodPost, "/v1/auth/logout", map[string]any{}, []int{http.StatusNoContent, http.StatusUnauthorized}); !ok {
		return
	}
	for range 4 {
		l.request("reads after signing out", c, http.MethodGet, "/v1/users/me", nil, []int{http.StatusUnauthorized})
	}
	l.mu.Lock()
	l.logouts++
	l.mu.Unlock()
}

// revoke grants and revokes a consent; then no call starts.
func (l *clusterLoad) revoke() {
	c := newClient("")
	credentials := map[string]any{"email": uuid.NewString() + "@example.com", "password": password}
	if _, ok := l.request("registrations", c, http.MethodPost, "/v1/auth/register", credentials, []int{http.StatusAccepted}); !ok {
		return
	}
	session, ok := l.request("sign-in", c, http.MethodPost, "/v1/auth/login", credentials, []int{http.StatusOK})
	if !ok {
		return
	}
	c.token = session.text(".access_token")
	connected, ok := l.request("connections", c, http.MethodPost, "/v1/integrations", l.shop.connection("own"), []int{http.StatusCreated}, "Idempotency-Key: "+uuid.NewString())
	for ok && !l.over.Load() {
		var granted answer
		if granted, ok = l.request("consents", c, http.MethodPost, "/v1/consents", map[string]any{"scope": subjects.ScopeIntegrationsExecute},
			[]int{http.StatusCreated}, "Idempotency-Key: "+uuid.NewString()); !ok {
			return
		}
		if _, ok = l.request("revocations", c, http.MethodPost, "/v1/consents/"+granted.text(".id")+"/revoke", map[string]any{}, []int{http.StatusOK}); !ok {
			return
		}
		path := "/revoked-" + uuid.NewString()
		for range 4 {
			l.request("refused calls", c, http.MethodPost, "/v1/integrations/"+connected.text(".id")+"/actions/get",
				map[string]any{"input": map[string]any{"path": path}}, []int{http.StatusForbidden})
		}
		if n := l.shop.count(path); n != 0 {
			l.t.Errorf("%d calls started after a revocation had returned", n)
		}
		l.mu.Lock()
		l.revocations++
		l.mu.Unlock()
	}
}

// recovery says, of the requests that began after from, when the last one of a kind was acknowledged for the first time, and when the last one
// ended that was not acknowledged. all says whether each kind was acknowledged.
func (l *clusterLoad) recovery(from time.Time, kinds []string) (first, last time.Duration, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	firsts := map[string]time.Duration{}
	for _, o := range l.outcomes {
		took := o.ended.Sub(from)
		switch known, ok := firsts[o.kind]; {
		case o.began.Before(from) || !slices.Contains(kinds, o.kind):
		case !o.acknowledged:
			last = max(last, took)
		case !ok || took < known:
			firsts[o.kind] = took
		}
	}
	for _, took := range firsts {
		first = max(first, took)
	}
	return first, last, len(firsts) == len(kinds)
}

// verify checks everything that was acknowledged.
func (l *clusterLoad) verify() {
	l.t.Helper()
	deadline := time.Now().Add(verifyTimeout)
	for key, id := range l.executions {
		var a answer
		for a.text(".ended_at") == "" && time.Now().Before(deadline) {
			var ok bool
			if a, ok = l.request("verification", l.runner, http.MethodGet, "/v1/executions/"+id, nil, []int{http.StatusOK}); !ok {
				return
			}
		}
		if a.text(".status") != subjects.ExecutionCompleted || a.text(".output.key") != key {
			l.t.Errorf("execution %s of %s is %s", id, key, a)
		}
	}
	for _, key := range l.actions {
		if n := l.shop.count("/action-" + key); n < 1 {
			l.t.Errorf("the acknowledged action %s was not made", key)
		}
	}
	s := storm{t: l.t, url: l.urls[0]}
	for _, ledger := range []struct {
		of   *client
		keys []string
	}{{l.runner, slices.Collect(maps.Keys(l.executions))}, {l.sender, l.notifications}} {
		ledger.of.url = l.urls[0]
		inbox := s.inbox(ledger.of)
		for _, key := range ledger.keys {
			if inbox[key] != 1 {
				l.t.Errorf("the notification of %s is in the inbox %d times", key, inbox[key])
			}
		}
	}
	l.t.Logf("acknowledged: %d executions, %d notifications, %d actions, %d sign-outs, %d revocations; refused and repeated: %v",
		len(l.executions), len(l.notifications), len(l.actions), l.logouts, l.revocations, l.failures)
	if len(l.executions) == 0 || len(l.notifications) == 0 || len(l.actions) == 0 || l.logouts == 0 || l.revocations == 0 {
		l.t.Error("the load had no effect")
	}
}
