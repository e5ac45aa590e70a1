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
		v := newAuthorizer(t)
		b := setup(t, database, withAcme(t, v))
		_, ada := b.user(t)
		c := b.signIn(t, v, ada, "")
		v.expire()
		// Many at once: the provider is asked once.
		var calls sync.WaitGroup
		for i := range 20 {
			calls.Go(func() { call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", fmt.Sprintf(`{"id":"%d"}`, i))) })
		}
		calls.Wait()
		if n := v.count("refresh_token"); n != 1 {
			t.Errorf("%d refreshes", n)
		}
		// The user may ask too; a missing refresh_token keeps the old one.
		v.will(func(w http.ResponseWriter, _ *http.Request) {
			v.access["kept-the-old-1"] = "family-0"
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "kept-the-old-1"})
		})
		if got := call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.ExpiresAt != nil {
			t.Errorf("a token without an end ends at %s", got.ExpiresAt)
		}
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		if got := call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.ExpiresAt == nil {
			t.Error("the old refresh token was not kept")
		}
	})
}

func TestRefreshRefused(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		v := newAuthorizer(t)
		b := setup(t, database, withAcme(t, v))
		_, ada := b.user(t)
		c := b.signIn(t, v, ada, "")
		one := subjects.IntegrationRequest{IntegrationID: c.ID}
		// The provider's own trouble passes.
		v.expire()
		v.will(func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadGateway, "") })
		wantCode(t, b, subjects.CodeUnavailable, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		if got := call(t, b, subjects.GetIntegration, ada, one); got.Status != "active" {
			t.Errorf("after a fault that passes: %+v", got)
		}
		// A no does not.
		v.will(func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadRequest, "invalid_grant") })
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		got := call(t, b, subjects.GetIntegration, ada, one)
		if got.Status != "needs_reauth" || got.Reason == "" {
			t.Errorf("after a no: %+v", got)
		}
		actortest.Eventually(t, "no event tells of it", func() bool { return b.events(t, subjects.IntegrationNeedsReauth.Subject) > 0 })
		asked := v.count("refresh_token")
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
		wantCode(t, b, subjects.CodeNeedsReauth, subjects.RefreshConnection, ada, one)
		if v.count("refresh_token") != asked {
			t.Error("a connection that needs a new sign-in was refreshed")
		}
	})
}

func TestRefreshAheadOfTime(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		v := newAuthorizer(t)
		// Of a token of forty seconds the margin is half, with jitter thirty: the clock need not run that long, it jumps.
		v.lifetime = 40
		var now clock
		b := setup(t, database, withAcme(t, v), at(&now),
			with(func(c *integration.Config) { c.Refresh.Every = 20 * time.Millisecond }))
		_, ada := b.user(t)
		c := b.signIn(t, v, ada, "")
		if v.count("refresh_token") != 0 {
			t.Error("refreshed at once")
		}
		now.pass(21 * time.Second)
		actortest.Eventually(t, "the token is not refreshed", func() bool { return v.count("refresh_token") == 1 })
		actortest.Eventually(t, "the new token is not kept", func() bool {
			got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
			return got.ExpiresAt.After(time.Now().Add(50 * time.Second))
		})
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
	})
}
