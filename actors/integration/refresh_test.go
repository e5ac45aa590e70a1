package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
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
		if got := call(t, b, subjects.GetIntegration, ada, one); got.Status != "active" {
			t.Errorf("after a transient error: %+v", got)
		}
		// invalid_grant is final.
		v.answerNext(func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadRequest, "invalid_grant") })
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		got := call(t, b, subjects.GetIntegration, ada, one)
		if got.Status != "needs_reauth" || got.Reason == "" {
			t.Errorf("after invalid_grant: %+v", got)
		}
		actortest.Eventually(t, "the event needs_reauth", func() bool { return b.events(t, subjects.IntegrationNeedsReauth.Subject) > 0 })
		asked := v.count("refresh_token")
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.RefreshConnection, ada, one)
		if v.count("refresh_token") != asked {
			t.Error("a connection that needs reauth was refreshed")
		}
	})
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
