package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/subjects"
)

func TestRefreshOnRefusal(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		v := newOAuthServer(t)
		b := setup(t, database, withAcme(t, v))
		_, ada := b.user(t)
		c := b.authorize(t, v, ada, "")
		v.expire()
		// Concurrent calls make one token request.
		var calls sync.WaitGroup
		for i := range 20 {
			calls.Go(func() { call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", fmt.Sprintf(`{"id":"%d"}`, i))) })
		}
		calls.Wait()
		if n := v.count("refresh_token"); n != 1 {
			t.Errorf("%d refreshes", n)
		}
		// A response to the user's own renewal without a refresh_token keeps the old one.
		v.answerNext(func(w http.ResponseWriter, _ *http.Request) {
			v.access["access-token-x"] = "family-0"
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "access-token-x"})
		})
		if got := call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.ExpiresAt != nil {
			t.Errorf("a token without expiry expires at %s", got.ExpiresAt)
		}
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		if got := call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.ExpiresAt == nil {
			t.Error("the old refresh token was not kept")
		}
	})
}

func TestRefreshRefused(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		v := newOAuthServer(t)
		b := setup(t, database, withAcme(t, v))
		_, ada := b.user(t)
		c := b.authorize(t, v, ada, "")
		one := subjects.IntegrationRequest{IntegrationID: c.ID}
		// A server error is transient.
		v.expire()
		v.answerNext(func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadGateway, "") })
		wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		if got := call(t, b, subjects.GetIntegration, ada, one); got.Status != subjects.ConnectionActive {
			t.Errorf("after a transient error: %+v", got)
		}
		// invalid_grant is final.
		v.answerNext(func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadRequest, "invalid_grant") })
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		got := call(t, b, subjects.GetIntegration, ada, one)
		if got.Status != subjects.ConnectionNeedsReauth || got.Reason == "" {
			t.Errorf("after invalid_grant: %+v", got)
		}
		actortest.Eventually(t, "the event needs_reauth", func() bool { return b.events(t, subjects.IntegrationNeedsReauth.Subject) > 0 })
		asked := v.count("refresh_token")
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		if v.count("refresh_token") != asked {
			t.Error("a call refreshed a connection that needs reauth")
		}
		// The user may have it tried again.
		v.answerNext(func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadRequest, "invalid_grant") })
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.RefreshConnection, ada, one)
		call(t, b, subjects.RefreshConnection, ada, one)
		if got := call(t, b, subjects.GetIntegration, ada, one); got.Status != subjects.ConnectionActive || got.Reason != "" {
			t.Errorf("after a refresh: %+v", got)
		}
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		v.expire()
		v.answerNext(func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadRequest, "invalid_grant") })
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		revived := call(t, b, subjects.UpdateIntegration, ada, subjects.UpdateIntegrationRequest{IntegrationID: c.ID, Status: subjects.ConnectionActive})
		if revived.Status != subjects.ConnectionActive || revived.Reason != "" {
			t.Errorf("set to active: %+v", revived)
		}
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
	})
}

// TestRefreshFailuresAreTriedAgain: only invalid_grant gives a connection up. After any other answer the renewal is tried again, later
// with each failure and not before the provider's Retry-After.
func TestRefreshFailuresAreTriedAgain(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		v := newOAuthServer(t)
		now := &clock{}
		b := setup(t, database, withAcme(t, v), withClock(now), withConfig(func(c *integration.Config) { c.Breaker.Failures = 1 << 20 }))
		_, ada := b.user(t)
		c := b.authorize(t, v, ada, "")
		for _, answer := range transientAnswers {
			v.expire()
			v.answerNext(answer.handler("", ""))
			wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
			if got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.Status != subjects.ConnectionActive {
				t.Errorf("%+v: %+v", answer, got)
			}
			call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		}
		v.expire()
		failing := tokenAnswer{403, "text/html", "<html>blocked</html>"}.handler("", "")
		v.answerNext(slices.Repeat([]http.HandlerFunc{failing}, 4)...)
		asked := v.count("refresh_token")
		for range 10 {
			wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		}
		if n := v.count("refresh_token") - asked; n != 2 {
			t.Errorf("ten calls made %d token requests", n)
		}
		now.advance(1100 * time.Millisecond)
		for range 5 {
			wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		}
		if n := v.count("refresh_token") - asked; n != 3 {
			t.Errorf("a second later, there were %d token requests", n)
		}
		v.answerNext(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "120")
			refuse(w, http.StatusForbidden, "")
		})
		wantCode(t, b, subjects.CodeUnavailable, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
		now.advance(100 * time.Second)
		if e := wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`)); e.RetryAfter < 10*time.Second || e.RetryAfter > 21*time.Second {
			t.Errorf("the wait is %s", e.RetryAfter)
		}
		now.advance(21 * time.Second)
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
	})
}

// transientAnswers are answers to a refresh after which the grant may still be valid.
var transientAnswers = []tokenAnswer{
	{400, "application/json", `{"error":"access_denied","error_description":"Rate limit exceeded, try again later"}`},
	{400, "application/json", `{"error":"temporarily_unavailable"}`},
	{400, "application/json", `{"error":"invalid_request"}`},
	{400, "text/html", `<html>invalid_grant</html>`},
	{400, "text/plain", `invalid_grant`},
	{400, "", ``},
	{401, "application/json", `{"error":"invalid_client"}`},
	{403, "text/html", `<html>Are you a robot?</html>`},
	{403, "application/json", `{"error":"unauthorized_client"}`},
	{200, "application/json", `{"ok":false,"error":"fatal_error"}`},
	{404, "text/plain", `not found`},
	{429, "application/json", `{"error":"invalid_grant"}`},
	{503, "application/json", `{"error":"invalid_grant"}`},
}

func TestRefreshAheadOfExpiry(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		v := newOAuthServer(t)
		// For a lifetime of 40 s the margin is 20 s, and with jitter up to 30 s.
		v.lifetime = 40
		var now clock
		b := setup(t, database, withAcme(t, v), withClock(&now),
			withConfig(func(c *integration.Config) { c.Refresh.Every = 20 * time.Millisecond }))
		_, ada := b.user(t)
		c := b.authorize(t, v, ada, "")
		if v.count("refresh_token") != 0 {
			t.Error("the token was refreshed immediately")
		}
		now.advance(21 * time.Second)
		actortest.Eventually(t, "the refresh", func() bool { return v.count("refresh_token") == 1 })
		actortest.Eventually(t, "the new expiry", func() bool {
			got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
			return got.ExpiresAt.After(time.Now().Add(50 * time.Second))
		})
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
	})
}

// TestActiveWithAValidAccessToken: setting a connection that was given up to active tries the access token that it has, even if the
// provider refuses to renew it.
func TestActiveWithAValidAccessToken(t *testing.T) {
	t.Parallel()
	v := newOAuthServer(t)
	b := setup(t, actortest.Databases(t)[0], withAcme(t, v))
	_, ada := b.user(t)
	c := b.authorize(t, v, ada, "")
	refused := func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadRequest, "invalid_grant") }
	v.answerNext(refused)
	wantCode(t, b, subjects.CodeNeedsReauth, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
	v.answerNext(refused)
	active := subjects.UpdateIntegrationRequest{IntegrationID: c.ID, Status: subjects.ConnectionActive}
	if got := call(t, b, subjects.UpdateIntegration, ada, active); got.Status != subjects.ConnectionActive {
		t.Errorf("got %+v", got)
	}
	call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
	// The probe decides: without a valid token, it stays given up.
	v.answerNext(refused)
	wantCode(t, b, subjects.CodeNeedsReauth, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
	v.expire()
	v.answerNext(refused)
	if e := wantCode(t, b, subjects.CodeInvalid, subjects.UpdateIntegration, ada, active); e.Fields[0].Field != "credentials" {
		t.Errorf("got %+v", e)
	}
}
