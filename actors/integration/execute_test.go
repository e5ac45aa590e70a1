package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestExecuteAction(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		v := newFakeProvider(t, respond(201, `{"id":9007199254740993,"key":"`+goodKey+`"}`, "X-Request-Id", "req-7"))
		_, ada := b.user(t)
		c := b.connectTo(t, v, ada, "")
		got := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "post", `{"path":"/things","body":{"n":9007199254740993}}`))
		if got.Attempts != 1 || got.ProviderRequestID != "req-7" || got.CallID == "" || !strings.Contains(string(got.Output), `"id":9007199254740993`) {
			t.Errorf("result: %+v %s", got, got.Output)
		}
		if strings.Contains(string(got.Output), goodKey) {
			t.Errorf("the output contains the credential: %s", got.Output)
		}
		if r := v.requests(); len(r) != 1 || r[0].method != "POST" || r[0].path != "/things" || r[0].body != `{"n":9007199254740993}` || r[0].authorization != "Bearer "+goodKey {
			t.Errorf("the provider received %+v", r)
		}
		faulty := wantCode(t, b, subjects.CodeInvalid, subjects.ExecuteAction, ada, action(c.ID, "post", `{"path":7,"wrong":true}`))
		fields := map[string]bool{}
		for _, f := range faulty.Fields {
			fields[f.Field] = true
		}
		if !fields["input.path"] || !fields["input.wrong"] {
			t.Errorf("the invalid fields are %+v", faulty.Fields)
		}
		wantCode(t, b, subjects.CodeInvalid, subjects.ExecuteAction, ada, action(c.ID, "post", `[1]`))
		wantCode(t, b, subjects.CodeNotFound, subjects.ExecuteAction, ada, action(c.ID, "nothing", `{}`))
		wantCode(t, b, subjects.CodeInvalid, subjects.ExecuteAction, ada, action("http", "get", `{"path":"/"}`))
		calls := call(t, b, subjects.ListCalls, ada, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: c.ID}})
		if len(calls.Items) != 1 || calls.Items[0].ID != got.CallID || calls.Items[0].Status != "ok" || calls.Items[0].HTTPStatus != 201 ||
			calls.Items[0].ProviderRequestID != "req-7" || calls.Items[0].Caller != "user" || calls.Items[0].DurationMS <= 0 {
			t.Errorf("calls: %+v", calls.Items)
		}
		key := wantCode(t, b, subjects.CodeForbidden, subjects.ExecuteAction,
			mesh.As{Token: b.mesh.Token(t, actortest.User(), actortest.WithAPIKey("k", subjects.ScopeIntegrationsRead))}, action(c.ID, "get", `{"path":"/"}`))
		if key.Scope != subjects.ScopeIntegrationsExecute {
			t.Errorf("a key without the scope: %+v", key)
		}
	})
}

// TestProviderErrors tests which code each failure gets and how many requests are made.
func TestProviderErrors(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) { c.Breaker.Failures = 1000 }))
	_, ada := b.user(t)
	const read, write = `get {"path":"/x"}`, `post {"path":"/x","body":1}`
	for name, test := range map[string]struct {
		response http.HandlerFunc
		call     string
		code     subjects.Code
		requests int
		retry    time.Duration
		detail   string
	}{
		"rate limited for long":  {respond(429, `{"message":"slow down"}`, "Retry-After", "90"), read, subjects.CodeRateLimited, 1, 90 * time.Second, "slow down"},
		"rate limited always":    {respond(429, ``), write, subjects.CodeRateLimited, 3, 0, ""},
		"read, server error":     {respond(500, ``), read, subjects.CodeUnavailable, 3, 0, ""},
		"write, server error":    {respond(503, ``, "Retry-After", "1"), write, subjects.CodeProvider, 1, time.Second, "not repeated"},
		"idempotent write":       {respond(502, ``), `put {"path":"/x"}`, subjects.CodeUnavailable, 3, 0, ""},
		"not found":              {respond(404, `{"message":"no such thing"}`), read, subjects.CodeNotFound, 1, 0, "no such thing"},
		"conflict":               {respond(409, ``), write, subjects.CodeConflict, 1, 0, ""},
		"invalid":                {respond(422, `{"message":"title is missing"}`), write, subjects.CodeInvalid, 1, 0, "title is missing"},
		"forbidden":              {respond(403, `{"message":"missing scope"}`), write, subjects.CodeProvider, 1, 0, "missing scope"},
		"error quotes the key":   {respond(400, `{"message":"bad key `+goodKey+`"}`), read, subjects.CodeInvalid, 1, 0, "[redacted]"},
		"unexpected status":      {respond(302, ``), write, subjects.CodeProvider, 1, 0, ""},
		"read, connection lost":  {closeConnection, read, subjects.CodeUnavailable, 3, 0, ""},
		"write, connection lost": {closeConnection, write, subjects.CodeProvider, 1, 0, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newFakeProvider(t, test.response)
			c := b.connectTo(t, v, ada, name)
			which, input, _ := strings.Cut(test.call, " ")
			e := wantCode(t, b, test.code, subjects.ExecuteAction, ada, action(c.ID, which, input))
			if e.RetryAfter != test.retry || !strings.Contains(e.Detail, test.detail) || strings.Contains(e.Detail, goodKey) {
				t.Errorf("got %+v", e)
			}
			if n := len(v.requests()); n != test.requests {
				t.Errorf("the provider received %d requests, want %d", n, test.requests)
			}
			calls := call(t, b, subjects.ListCalls, ada, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: c.ID}})
			if len(calls.Items) != 1 || calls.Items[0].Status != "error" || calls.Items[0].Code != test.code || calls.Items[0].Attempts != test.requests {
				t.Errorf("calls: %+v", calls.Items)
			}
			if got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.Status != subjects.ConnectionActive {
				t.Errorf("the connection's status is %s", got.Status)
			}
		})
	}
}

// closeConnection is a handler that closes the connection without a response.
func closeConnection(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	_, ada := b.user(t)
	var asked atomic.Int64
	v := newFakeProvider(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			respond(503, ``)(w, r)
			return
		}
		respond(200, `{}`)(w, r)
	})
	c := b.connectTo(t, v, ada, "")
	if got := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`)); got.Attempts != 3 {
		t.Errorf("%d attempts, want 3", got.Attempts)
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) {
		c.Providers["http"] = integration.ProviderConfig{Backoff: time.Millisecond, Timeout: 100 * time.Millisecond}
	}))
	_, ada := b.user(t)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	v := newFakeProvider(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-over:
		}
	})
	c := b.connectTo(t, v, ada, "")
	wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/read"}`))
	wantCode(t, b, subjects.CodeProvider, subjects.ExecuteAction, ada, action(c.ID, "post", `{"path":"/write"}`))
	received := map[string]int{}
	for _, r := range v.requests() {
		received[r.path]++
	}
	if received["/read"] != 3 || received["/write"] != 1 {
		t.Errorf("received %v, want three reads and one write", received)
	}
}

func TestRefusedCredentialsRequireReauth(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_, ada := b.user(t)
		v := newFakeProvider(t, respond(401, `{"message":"token revoked"}`))
		c := b.connectTo(t, v, ada, "")
		one := subjects.IntegrationRequest{IntegrationID: c.ID}
		v.setKey("another key")
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`))
		got := call(t, b, subjects.GetIntegration, ada, one)
		if got.Status != subjects.ConnectionNeedsReauth || !strings.Contains(got.Reason, "token revoked") {
			t.Errorf("the connection: %+v", got)
		}
		actortest.Eventually(t, "the event needs_reauth", func() bool { return b.events(t, subjects.IntegrationNeedsReauth.Subject) > 0 })
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`))
		if n := len(v.requests()); n != 1 {
			t.Errorf("the provider received %d requests, want 1", n)
		}
		filtered := call(t, b, subjects.GetUserIntegrations, ada, subjects.ListIntegrationsRequest{Status: subjects.ConnectionNeedsReauth})
		if len(filtered.Items) != 1 {
			t.Errorf("filtered: %+v", filtered.Items)
		}
		v.setKey(goodKey)
		again := call(t, b, subjects.UpdateIntegration, ada, subjects.UpdateIntegrationRequest{
			IntegrationID: c.ID, Credentials: subjects.SecretMap{"api_key": goodKey},
		})
		if again.Status != subjects.ConnectionActive || again.Reason != "" {
			t.Errorf("with new credentials: %+v", again)
		}
	})
}

func TestExecuteByService(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	v := newFakeProvider(t, respond(200, `{}`))
	user, ada := b.user(t)
	grants := b.mesh.Consent(t, user, subjects.ScopeWorkflowsExecute)
	service := mesh.As{Service: true, UserID: user, Grant: grants[subjects.ScopeWorkflowsExecute]}
	c := b.connectTo(t, v, ada, "work")
	b.caller = b.mesh.Conn(t, "workflow")
	for _, name := range []string{c.ID, "http", "http:work"} {
		call(t, b, subjects.ExecuteAction, service, action(name, "get", `{"path":"/x"}`))
	}
	wantCode(t, b, subjects.CodeNotFound, subjects.ExecuteAction, service, action("slack", "send_message", `{}`))
	wantCode(t, b, subjects.CodeNotFound, subjects.ExecuteAction, service, action("http:home", "get", `{"path":"/x"}`))
	wantCode(t, b, subjects.CodeForbidden, subjects.ExecuteAction, mesh.As{Service: true, UserID: user}, action("http", "get", `{"path":"/x"}`))
	wantCode(t, b, subjects.CodeConsentRequired, subjects.ExecuteAction,
		mesh.As{Service: true, UserID: actortest.User(), Grant: grants[subjects.ScopeWorkflowsExecute]}, action(c.ID, "get", `{"path":"/x"}`))

	b.caller = b.mesh.Conn(t, "gateway")
	b.connectTo(t, v, ada, "home")
	b.caller = b.mesh.Conn(t, "workflow")
	e := wantCode(t, b, subjects.CodeConflict, subjects.ExecuteAction, service, action("http", "get", `{"path":"/x"}`))
	if !strings.Contains(e.Detail, `"home"`) || !strings.Contains(e.Detail, `"work"`) {
		t.Errorf("the error does not name the labels: %s", e.Detail)
	}
	b.caller = b.mesh.Conn(t, "gateway")
	b.connectTo(t, v, ada, "default")
	calls := call(t, b, subjects.ListCalls, ada, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: c.ID}})
	if len(calls.Items) != 3 || calls.Items[0].Caller != "workflow" {
		t.Errorf("calls: %+v", calls.Items)
	}
	b.caller = b.mesh.Conn(t, "workflow")
	call(t, b, subjects.ExecuteAction, service, action("http", "get", `{"path":"/x"}`))

	b.mesh.Revoke(t, user, subjects.ScopeWorkflowsExecute)
	if e := wantCode(t, b, subjects.CodeConsentRequired, subjects.ExecuteAction, service, action(c.ID, "get", `{"path":"/x"}`)); e.Scope != subjects.ScopeWorkflowsExecute {
		t.Errorf("the scope is %q", e.Scope)
	}
	service.Grant = b.mesh.Consent(t, user, subjects.ScopeWorkflowsExecute)[subjects.ScopeWorkflowsExecute]
	b.mesh.Revoke(t, user, subjects.ScopeIntegrationsExecute)
	if e := wantCode(t, b, subjects.CodeConsentRequired, subjects.ExecuteAction, service, action(c.ID, "get", `{"path":"/x"}`)); e.Scope != subjects.ScopeIntegrationsExecute {
		t.Errorf("the scope is %q", e.Scope)
	}
	if n := len(v.requests()); n != 4 {
		t.Errorf("the provider received %d requests, want 4", n)
	}
}

// TestCircuitBreaker tests the breaker of each host, in the provider's status and in metrics.
func TestCircuitBreaker(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) { c.Breaker.Failures, c.Breaker.Open = 2, time.Hour }))
	_, ada := b.user(t)
	_, eve := b.user(t)
	failing, healthy := newFakeProvider(t, respond(500, ``)), newFakeProvider(t, respond(200, `{}`))
	bad, good := b.connectTo(t, failing, ada, "failing"), b.connectTo(t, healthy, ada, "healthy")
	b.connectTo(t, healthy, eve, "")
	for range 2 {
		wantCode(t, b, subjects.CodeProvider, subjects.ExecuteAction, ada, action(bad.ID, "post", `{"path":"/x"}`))
	}
	e := wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, action(bad.ID, "post", `{"path":"/x"}`))
	if e.RetryAfter != time.Hour || len(failing.requests()) != 2 {
		t.Errorf("%+v after %d requests", e, len(failing.requests()))
	}
	call(t, b, subjects.ExecuteAction, ada, action(good.ID, "post", `{"path":"/x"}`))
	status := call(t, b, subjects.GetProviderStatus, ada, subjects.ProviderRequest{Provider: "http"})
	if status.Breaker != "open" || status.Hosts[strings.TrimPrefix(failing.URL, "http://")] != "open" ||
		status.Hosts[strings.TrimPrefix(healthy.URL, "http://")] != "closed" || len(status.Failures) != 3 ||
		status.Failures[0].Class != "unavailable" || status.Probe == nil || !status.Probe.OK {
		t.Errorf("status: %+v", status)
	}
	hers := call(t, b, subjects.GetProviderStatus, eve, subjects.ProviderRequest{Provider: "http"})
	if hers.Breaker != "closed" || len(hers.Hosts) != 1 || len(hers.Failures) != 0 {
		t.Errorf("another user's status: %+v", hers)
	}
	families, err := b.host.Telemetry.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, family := range families {
		found[family.GetName()] = true
		for _, m := range family.GetMetric() {
			if family.GetName() == "integration_breaker_state" && m.GetLabel()[0].GetValue() == "http" && m.GetGauge().GetValue() != 2 {
				t.Errorf("the gauge is %v, want 2", m.GetGauge().GetValue())
			}
		}
	}
	for _, name := range []string{"integration_breaker_state", "integration_calls_total", "integration_call_duration_seconds"} {
		if !found[name] {
			t.Errorf("metric %s is missing", name)
		}
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	_, ada := b.user(t)
	v := newFakeProvider(t, respond(418, `{"tea":"`+goodKey+`","n":9007199254740993}`, "X-Kind", "pot"))
	c := b.connectTo(t, v, ada, "")
	got := call(t, b, subjects.ProxyCall, ada, subjects.ProxyRequest{
		IntegrationID: c.ID, Method: "PATCH", Path: "/pots/1", Query: map[string]any{"a": []any{"1", true}}, Headers: map[string]string{"X-Mine": "1"},
		Body: json.RawMessage(`{"n":9007199254740993}`),
	})
	if got.Status != 418 || got.Headers["x-kind"] != "pot" || string(got.Body) != `{"n":9007199254740993,"tea":"[redacted]"}` || got.Attempts != 1 {
		t.Errorf("reply: %+v %s", got, got.Body)
	}
	r := v.requests()
	if len(r) != 1 || r[0].method != "PATCH" || r[0].path != "/pots/1" || r[0].body != `{"n":9007199254740993}` || r[0].header.Get("X-Mine") != "1" {
		t.Errorf("the provider received %+v", r)
	}
	for _, path := range []string{"//169.254.169.254/x", "/../x", "/%2e%2e/x"} {
		res, err := mesh.Call(t.Context(), b.caller, subjects.ProxyCall, subjects.ProxyRequest{IntegrationID: c.ID, Method: "GET", Path: path}, ada)
		if err == nil && res.Status != 418 {
			t.Errorf("%s was sent to another host: %+v", path, res)
		}
	}
	id, eve := b.user(t)
	wantCode(t, b, subjects.CodeNotFound, subjects.ProxyCall, eve, subjects.ProxyRequest{IntegrationID: c.ID, Method: "GET", Path: "/"})
	hers := b.connectTo(t, v, eve, "")
	b.mesh.Revoke(t, id, subjects.ScopeIntegrationsExecute)
	wantCode(t, b, subjects.CodeConsentRequired, subjects.ProxyCall, eve, subjects.ProxyRequest{IntegrationID: hers.ID, Method: "GET", Path: "/"})
}

// TestCallLogKeepsNewest tests that only the newest calls of each connection are kept.
func TestCallLogKeepsNewest(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, withConfig(func(c *integration.Config) {
			c.Calls = integration.CallsConfig{KeepNewest: 3, KeepFor: time.Hour, SweepEvery: 20 * time.Millisecond}
		}))
		_, ada := b.user(t)
		v := newFakeProvider(t, respond(200, `{}`))
		c, other := b.connectTo(t, v, ada, "a"), b.connectTo(t, v, ada, "b")
		var last string
		for n := range 8 {
			last = call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", fmt.Sprintf(`{"path":"/%d"}`, n))).CallID
		}
		call(t, b, subjects.ExecuteAction, ada, action(other.ID, "get", `{"path":"/other"}`))
		list := func(id string) []subjects.CallRecord {
			return call(t, b, subjects.ListCalls, ada, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: id}}).Items
		}
		actortest.Eventually(t, "three calls are kept", func() bool { return len(list(c.ID)) == 3 })
		if got := list(c.ID); got[0].ID != last {
			t.Errorf("the newest is %s, want %s", got[0].ID, last)
		}
		if got := list(other.ID); len(got) != 1 {
			t.Errorf("the other connection's: %+v", got)
		}
	})
}

// TestCallLogMaxAge tests that old calls are deleted, even if there are few.
func TestCallLogMaxAge(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var ahead atomic.Int64
		b := setup(t, database, func(c *integration.Config, host *[]actortest.HostOption) {
			c.Calls.KeepFor, c.Calls.SweepEvery = time.Minute, 20*time.Millisecond
			*host = append(*host, func(h *runtime.HostConfig) {
				h.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			})
		})
		_, ada := b.user(t)
		c := b.connectTo(t, newFakeProvider(t, respond(200, `{}`)), ada, "")
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`))
		count := func() int {
			return len(call(t, b, subjects.ListCalls, ada, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: c.ID}}).Items)
		}
		if count() != 1 {
			t.Error("the call is not logged")
		}
		ahead.Store(int64(2 * time.Minute))
		actortest.Eventually(t, "the call is deleted", func() bool { return count() == 0 })
	})
}
