package integration_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// withSlack replaces Slack's API by a fake provider, with other limits.
func withSlack(v *fakeProvider, wait time.Duration, limits map[string]int) option {
	return withConfig(func(c *integration.Config) {
		c.Providers["slack"] = integration.ProviderConfig{BaseURL: v.URL, Limits: limits}
		c.Limits.MaxWait = wait
	})
}

func (b *fixture) connectSlack(t testing.TB, as mesh.As, label string) subjects.Connection {
	t.Helper()
	return call(t, b, subjects.ConnectIntegration, as, subjects.ConnectIntegrationRequest{
		Provider: "slack", Label: label, Credentials: subjects.SecretMap{"token": "xoxb-1234567890"},
	})
}

// callCount is the number of requests that fake Slack has received, without health probes.
func callCount(v *fakeProvider) (n int) {
	for _, r := range v.requests() {
		if r.path != "/auth.test" {
			n++
		}
	}
	return n
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	v := newFakeProvider(t, respond(200, `{"ok":true,"user":{"id":"U1"}}`))
	b := setup(t, actortest.Databases(t)[0], withSlack(v, 0, map[string]int{"tier_4": 3}))
	_, ada := b.user(t)
	c, other := b.connectSlack(t, ada, "one"), b.connectSlack(t, ada, "other")
	for range 3 {
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get_user", `{"user":"U1"}`))
	}
	e := wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, action(c.ID, "get_user", `{"user":"U1"}`))
	if e.RetryAfter <= 0 || e.RetryAfter > 64*time.Second {
		t.Errorf("refused: %+v", e)
	}
	if n := callCount(v); n != 3 {
		t.Errorf("the provider received %d requests, want 3", n)
	}
	call(t, b, subjects.ExecuteAction, ada, action(other.ID, "get_user", `{"user":"U1"}`))
	call(t, b, subjects.ExecuteAction, ada, action(c.ID, "find_user_by_email", `{"email":"a@b.example"}`))
	status := call(t, b, subjects.GetProviderStatus, ada, subjects.ProviderRequest{Provider: "slack"})
	left := map[string]subjects.LimitHeadroom{}
	for _, l := range status.Limits {
		left[l.Limit+" "+l.IntegrationID] = l
	}
	if l := left["tier_4 "+c.ID]; l.Remaining != 0 || l.Requests != 3 || l.Seconds != 60 || l.ResetSeconds <= 0 {
		t.Errorf("an exhausted limit: %+v", l)
	}
	if l := left["tier_4 "+other.ID]; l.Remaining != 2 || l.ResetSeconds != 0 {
		t.Errorf("another connection's limit: %+v", l)
	}
	if l := left["tier_3 "+c.ID]; l.Remaining != 49 {
		t.Errorf("another limit: %+v", l)
	}
}

func TestRetryAfterHoldsNextCalls(t *testing.T) {
	t.Parallel()
	v := newFakeProvider(t, respond(429, `{"ok":false,"error":"ratelimited"}`, "Retry-After", "40"))
	v.setHandler(respond(200, `{"ok":true}`))
	b := setup(t, actortest.Databases(t)[0], withSlack(v, 0, nil))
	_, ada := b.user(t)
	c := b.connectSlack(t, ada, "")
	plain := b.connectTo(t, v, ada, "")
	v.setHandler(respond(429, `{"ok":false,"error":"ratelimited"}`, "Retry-After", "40"))
	for name, one := range map[string]subjects.ExecuteActionRequest{
		"a provider with limits":    action(c.ID, "get_user", `{"user":"U1"}`),
		"a provider without limits": action(plain.ID, "get", `{"path":"/x"}`),
	} {
		before := callCount(v)
		for i := range 3 {
			if e := wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, one); e.RetryAfter <= 0 || e.RetryAfter > 40*time.Second {
				t.Errorf("%s, call %d: %+v", name, i, e)
			}
		}
		if n := callCount(v) - before; n != 1 {
			t.Errorf("%s received %d requests, want 1", name, n)
		}
	}
}

func TestShortPauseIsWaitedFor(t *testing.T) {
	t.Parallel()
	v := newFakeProvider(t, respond(200, `{}`))
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) {
		c.Providers["http"] = integration.ProviderConfig{Attempts: 1}
		c.Limits.MaxWait = 10 * time.Second
	}))
	_, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	v.setHandler(respond(429, `{}`, "Retry-After", "1"))
	one := action(c.ID, "post", `{"path":"/x"}`)
	wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, one)
	v.setHandler(respond(200, `{}`))
	call(t, b, subjects.ExecuteAction, ada, one)
	short, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	v.setHandler(respond(429, `{}`, "Retry-After", "9"))
	wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, one)
	if _, err := mesh.Call(short, b.caller, subjects.ExecuteAction, one, ada); subjects.CodeOf(err) != subjects.CodeRateLimited {
		t.Errorf("a call with less time than the pause got %v", err)
	}
}

// TestRemainingLowersLimit tests that a response's remaining requests are applied, which are fewer than weft has counted if
// others use the same account.
func TestRemainingLowersLimit(t *testing.T) {
	t.Parallel()
	reset := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	v := newFakeProvider(t, respond(200, `{"login":"ada"}`, "X-RateLimit-Remaining", "4999", "X-RateLimit-Reset", reset))
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) {
		c.Providers["github"] = integration.ProviderConfig{BaseURL: v.URL}
	}))
	_, ada := b.user(t)
	c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{Provider: "github", Credentials: subjects.SecretMap{"token": "ghp_0123456789"}})
	one := action(c.ID, "create_issue", `{"owner":"o","repo":"r","title":"t"}`)
	v.setHandler(respond(201, `{"id":1,"number":1,"html_url":"https://x","url":"https://x","state":"open"}`, "X-RateLimit-Remaining", "1", "X-RateLimit-Reset", reset))
	call(t, b, subjects.ExecuteAction, ada, one)
	v.setHandler(respond(201, `{"id":1,"number":1,"html_url":"https://x","url":"https://x","state":"open"}`, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", reset))
	call(t, b, subjects.ExecuteAction, ada, one)
	before := callCount(v)
	if e := wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, one); e.RetryAfter < 30*time.Minute {
		t.Errorf("refused: %+v", e)
	}
	if n := callCount(v); n != before {
		t.Error("the provider was called")
	}
}

// TestSecondaryLimitIsHeldForItsRetryAfter: GitHub refuses with Retry-After while its hourly limit has calls left until a reset in half
// an hour. The connection is held for the Retry-After.
func TestSecondaryLimitIsHeldForItsRetryAfter(t *testing.T) {
	t.Parallel()
	reset := strconv.FormatInt(time.Now().Add(30*time.Minute).Unix(), 10)
	v := newFakeProvider(t, respond(200, `{"login":"ada"}`, "X-RateLimit-Remaining", "4999", "X-RateLimit-Reset", reset))
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) {
		c.Providers["github"] = integration.ProviderConfig{BaseURL: v.URL}
	}))
	_, ada := b.user(t)
	c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{Provider: "github", Credentials: subjects.SecretMap{"token": "ghp_0123456789"}})
	one := action(c.ID, "create_issue", `{"owner":"o","repo":"r","title":"t"}`)
	v.setHandler(respond(403, `{"message":"You have exceeded a secondary rate limit."}`,
		"Retry-After", "70", "X-RateLimit-Remaining", "3000", "X-RateLimit-Reset", reset))
	for i := range 2 {
		e := wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, one)
		if e.RetryAfter <= 0 || e.RetryAfter > 70*time.Second {
			t.Errorf("call %d is refused for %s, want at most 70 s", i, e.RetryAfter)
		}
	}
	if n := len(v.requests()); n != 2 { // the health probe and one call
		t.Errorf("the provider received %d requests, want 2", n)
	}
}

func TestLimitsUnavailable(t *testing.T) {
	t.Parallel()
	v := newFakeProvider(t, respond(200, `{"ok":true,"user":{"id":"U1"}}`))
	b := setup(t, actortest.Databases(t)[0], withSlack(v, 0, nil))
	_, ada := b.user(t)
	c := b.connectSlack(t, ada, "")
	if err := b.mesh.Conn(t, mesh.UserMigrate).JS.DeleteStream(t.Context(), "KV_integration_limits"); err != nil {
		t.Fatal(err)
	}
	e := wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, action(c.ID, "get_user", `{"user":"U1"}`))
	if e.RetryAfter == 0 || callCount(v) != 0 {
		t.Errorf("refused: %+v, after %d calls", e, callCount(v))
	}
}

func TestScheduledProbes(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, withConfig(func(c *integration.Config) { c.ProbeEvery = 200 * time.Millisecond }))
		v := newFakeProvider(t, respond(200, `{}`))
		_, ada := b.user(t)
		eveID, eve := b.user(t)
		good, hers := b.connectTo(t, v, ada, ""), b.connectTo(t, v, eve, "")
		b.mesh.Revoke(t, eveID, subjects.ScopeIntegrationsExecute)
		before := len(b.probes(t, eve, hers.ID))
		actortest.Eventually(t, "three probes", func() bool { return len(b.probes(t, ada, good.ID)) >= 3 })
		// A probe that passed the guard before the revocation may be logged after it.
		if after := b.probes(t, eve, hers.ID); len(after) > before+1 {
			t.Errorf("without consent: %+v", after)
		}
		status := call(t, b, subjects.GetProviderStatus, ada, subjects.ProviderRequest{Provider: "http"})
		if status.Probe == nil || !status.Probe.OK || status.Probe.LatencyMS <= 0 || status.Probe.IntegrationID != good.ID {
			t.Errorf("status: %+v", status.Probe)
		}
		call(t, b, subjects.UpdateIntegration, ada, subjects.UpdateIntegrationRequest{IntegrationID: good.ID, Status: subjects.ConnectionDisabled})
		failing := newFakeProvider(t, respond(200, `{}`))
		bad := b.connectTo(t, failing, ada, "bad")
		failing.Config.Handler = respond(401, `{}`)
		actortest.Eventually(t, "the connection needs reauth", func() bool {
			return call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: bad.ID}).Status == subjects.ConnectionNeedsReauth
		})
		actortest.Eventually(t, "the failed probe in the status", func() bool {
			p := call(t, b, subjects.GetProviderStatus, ada, subjects.ProviderRequest{Provider: "http"}).Probe
			return p != nil && !p.OK && p.Class == "auth" && p.IntegrationID == bad.ID
		})
	})
}

// probes returns a connection's probes in the call log.
func (b *fixture) probes(t testing.TB, as mesh.As, id string) (list []subjects.CallRecord) {
	t.Helper()
	for _, c := range call(t, b, subjects.ListCalls, as, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: id}}).Items {
		if c.Caller == "probe" && c.Action == "health_probe" {
			list = append(list, c)
		}
	}
	return list
}

// TestCallerThatWaitsItself: a call with no_wait does not hold its place while it waits for a limit, be it one that weft counts or a
// pause that the provider asks for. It is answered at once with the time, after one request at most. A call without waits as ever.
func TestCallerThatWaitsItself(t *testing.T) {
	t.Parallel()
	v := newFakeProvider(t, respond(200, `{}`))
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) { c.Limits.MaxWait = time.Minute }))
	_, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	v.setHandler(respond(429, `{}`, "Retry-After", "15"))
	one := action(c.ID, "post", `{"path":"/x"}`)
	one.NoWait = true
	started, before := time.Now(), len(v.requests())
	for range 2 { // the provider asks for a pause, then weft keeps to it
		if e := wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, one); e.RetryAfter < 10*time.Second || e.RetryAfter > 20*time.Second {
			t.Errorf("refused: %+v", e)
		}
	}
	if took, n := time.Since(started), len(v.requests())-before; took > 5*time.Second || n != 1 {
		t.Errorf("two calls took %s, and the provider received %d requests, want 1", took, n)
	}
}
