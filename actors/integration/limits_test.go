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

// slackAt has slack's API be a vendor of the test's own, with limits of the test's own.
func slackAt(v *vendor, wait time.Duration, limits map[string]int) option {
	return with(func(c *integration.Config) {
		c.Providers["slack"] = integration.ProviderConfig{BaseURL: v.URL, Limits: limits}
		c.Limits.MaxWait = wait
	})
}

func (b *bundle) connectSlack(t testing.TB, as mesh.As, label string) subjects.Connection {
	t.Helper()
	return call(t, b, subjects.ConnectIntegration, as, subjects.ConnectIntegrationRequest{
		Provider: "slack", Label: label, Credentials: subjects.SecretMap{"token": "xoxb-1234567890"},
	})
}

// asked is how often a vendor was called, its health probe not counted.
func asked(v *vendor) (n int) {
	for _, r := range v.requests() {
		if r.path != "/auth.test" {
			n++
		}
	}
	return n
}

func TestALimitHoldsBeforeTheProviderRefuses(t *testing.T) {
	t.Parallel()
	v := newVendor(t, says(200, `{"ok":true,"user":{"id":"U1"}}`))
	b := setup(t, actortest.Databases(t)[0], slackAt(v, 0, map[string]int{"tier_4": 3}))
	_, ada := b.user(t)
	c, other := b.connectSlack(t, ada, "one"), b.connectSlack(t, ada, "other")
	for range 3 {
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get_user", `{"user":"U1"}`))
	}
	e := wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, action(c.ID, "get_user", `{"user":"U1"}`))
	if e.RetryAfter <= 0 || e.RetryAfter > 64*time.Second {
		t.Errorf("refused: %+v", e)
	}
	if n := asked(v); n != 3 {
		t.Errorf("the provider was called %d times", n)
	}
	call(t, b, subjects.ExecuteAction, ada, action(other.ID, "get_user", `{"user":"U1"}`))
	call(t, b, subjects.ExecuteAction, ada, action(c.ID, "find_user_by_email", `{"email":"a@b.example"}`))
	status := call(t, b, subjects.GetProviderStatus, ada, subjects.ProviderRequest{Provider: "slack"})
	left := map[string]subjects.LimitHeadroom{}
	for _, l := range status.Limits {
		left[l.Limit+" "+l.IntegrationID] = l
	}
	if l := left["tier_4 "+c.ID]; l.Remaining != 0 || l.Requests != 3 || l.Seconds != 60 || l.ResetSeconds <= 0 {
		t.Errorf("what is used up: %+v", l)
	}
	if l := left["tier_4 "+other.ID]; l.Remaining != 2 || l.ResetSeconds != 0 {
		t.Errorf("what is not: %+v", l)
	}
	if l := left["tier_3 "+c.ID]; l.Remaining != 49 {
		t.Errorf("another limit: %+v", l)
	}
}

func TestAProvidersWordHoldsTheNextCall(t *testing.T) {
	t.Parallel()
	v := newVendor(t, says(429, `{"ok":false,"error":"ratelimited"}`, "Retry-After", "40"))
	v.says(says(200, `{"ok":true}`))
	b := setup(t, actortest.Databases(t)[0], slackAt(v, 0, nil))
	_, ada := b.user(t)
	c := b.connectSlack(t, ada, "")
	plain := b.connectTo(t, v, ada, "")
	v.says(says(429, `{"ok":false,"error":"ratelimited"}`, "Retry-After", "40"))
	for name, one := range map[string]subjects.ExecuteActionRequest{
		"a provider with limits":   action(c.ID, "get_user", `{"user":"U1"}`),
		"a provider that has none": action(plain.ID, "get", `{"path":"/x"}`),
	} {
		before := asked(v)
		for i := range 3 {
			if e := wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, one); e.RetryAfter <= 0 || e.RetryAfter > 40*time.Second {
				t.Errorf("%s, call %d: %+v", name, i, e)
			}
		}
		if n := asked(v) - before; n != 1 {
			t.Errorf("%s was called %d times", name, n)
		}
	}
}

func TestAShortPauseIsWaitedFor(t *testing.T) {
	t.Parallel()
	v := newVendor(t, says(200, `{}`))
	b := setup(t, actortest.Databases(t)[0], with(func(c *integration.Config) {
		c.Providers["http"] = integration.ProviderConfig{Attempts: 1}
		c.Limits.MaxWait = 10 * time.Second
	}))
	_, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	v.says(says(429, `{}`, "Retry-After", "1"))
	one := action(c.ID, "post", `{"path":"/x"}`)
	wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, one)
	v.says(says(200, `{}`))
	call(t, b, subjects.ExecuteAction, ada, one)
	hurried, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	v.says(says(429, `{}`, "Retry-After", "9"))
	wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, one)
	if _, err := mesh.Call(hurried, b.caller, subjects.ExecuteAction, one, ada); subjects.CodeOf(err) != subjects.CodeRateLimited {
		t.Errorf("whose time is shorter than the pause hears %v", err)
	}
}

// TestWhatIsLeftLowersTheLimit holds where somebody else uses the same account.
func TestWhatIsLeftLowersTheLimit(t *testing.T) {
	t.Parallel()
	reset := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	v := newVendor(t, says(200, `{"login":"ada"}`, "X-RateLimit-Remaining", "4999", "X-RateLimit-Reset", reset))
	b := setup(t, actortest.Databases(t)[0], with(func(c *integration.Config) {
		c.Providers["github"] = integration.ProviderConfig{BaseURL: v.URL}
	}))
	_, ada := b.user(t)
	c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{Provider: "github", Credentials: subjects.SecretMap{"token": "ghp_0123456789"}})
	one := action(c.ID, "create_issue", `{"owner":"o","repo":"r","title":"t"}`)
	v.says(says(201, `{"id":1,"number":1,"html_url":"https://x","url":"https://x","state":"open"}`, "X-RateLimit-Remaining", "1", "X-RateLimit-Reset", reset))
	call(t, b, subjects.ExecuteAction, ada, one)
	v.says(says(201, `{"id":1,"number":1,"html_url":"https://x","url":"https://x","state":"open"}`, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", reset))
	call(t, b, subjects.ExecuteAction, ada, one)
	before := asked(v)
	if e := wantCode(t, b, subjects.CodeRateLimited, subjects.ExecuteAction, ada, one); e.RetryAfter < 30*time.Minute {
		t.Errorf("refused: %+v", e)
	}
	if n := asked(v); n != before {
		t.Error("the provider was called")
	}
}

func TestWithoutTheLimitsNothingIsCalled(t *testing.T) {
	t.Parallel()
	v := newVendor(t, says(200, `{"ok":true,"user":{"id":"U1"}}`))
	b := setup(t, actortest.Databases(t)[0], slackAt(v, 0, nil))
	_, ada := b.user(t)
	c := b.connectSlack(t, ada, "")
	if err := b.mesh.Conn(t, mesh.UserSetup).JS.DeleteStream(t.Context(), "KV_integration_limits"); err != nil {
		t.Fatal(err)
	}
	e := wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, action(c.ID, "get_user", `{"user":"U1"}`))
	if e.RetryAfter == 0 || asked(v) != 0 {
		t.Errorf("refused: %+v, after %d calls", e, asked(v))
	}
}

func TestProbesOnASchedule(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, with(func(c *integration.Config) { c.ProbeEvery = 200 * time.Millisecond }))
		v := newVendor(t, says(200, `{}`))
		_, ada := b.user(t)
		eveID, eve := b.user(t)
		good, hers := b.connectTo(t, v, ada, ""), b.connectTo(t, v, eve, "")
		b.mesh.Revoke(t, eveID, subjects.ScopeIntegrationsExecute)
		before := len(b.probes(t, eve, hers.ID))
		actortest.Eventually(t, "three probes", func() bool { return len(b.probes(t, ada, good.ID)) >= 3 })
		// One that had passed the guard as the consent went may still have been logged.
		if after := b.probes(t, eve, hers.ID); len(after) > before+1 {
			t.Errorf("without consent: %+v", after)
		}
		status := call(t, b, subjects.GetProviderStatus, ada, subjects.ProviderRequest{Provider: "http"})
		if status.Probe == nil || !status.Probe.OK || status.Probe.LatencyMS <= 0 || status.Probe.IntegrationID != good.ID {
			t.Errorf("status: %+v", status.Probe)
		}
		call(t, b, subjects.UpdateIntegration, ada, subjects.UpdateIntegrationRequest{IntegrationID: good.ID, Status: "disabled"})
		ill := newVendor(t, says(200, `{}`))
		bad := b.connectTo(t, ill, ada, "bad")
		ill.Config.Handler = says(401, `{}`)
		actortest.Eventually(t, "the refusal is noticed", func() bool {
			return call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: bad.ID}).Status == "needs_reauth"
		})
		actortest.Eventually(t, "the status tells", func() bool {
			p := call(t, b, subjects.GetProviderStatus, ada, subjects.ProviderRequest{Provider: "http"}).Probe
			return p != nil && !p.OK && p.Class == "auth" && p.IntegrationID == bad.ID
		})
	})
}

// probes are a connection's probes in the log of calls.
func (b *bundle) probes(t testing.TB, as mesh.As, id string) (list []subjects.CallRecord) {
	t.Helper()
	for _, c := range call(t, b, subjects.ListCalls, as, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: id}}).Items {
		if c.Caller == "probe" && c.Action == "health_probe" {
			list = append(list, c)
		}
	}
	return list
}
