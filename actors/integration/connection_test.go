package integration_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestConnectionLifecycle(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		v := newFakeProvider(t, respond(200, `{}`))
		_, ada := b.user(t)
		_, eve := b.user(t)
		bad := wantCode(t, b, subjects.CodeInvalid, subjects.ConnectIntegration, ada, httpConnection(v.URL, "bad-key-0123456789", ""))
		if bad.Fields[0].Field != "credentials" || strings.Contains(bad.Error(), "bad-key") {
			t.Errorf("refused credentials: %+v", bad)
		}
		faulty := wantCode(t, b, subjects.CodeInvalid, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
			Provider: "http", Credentials: subjects.SecretMap{"api_key": 7}, Settings: map[string]any{"base_url": "ftp://x", "more": 1},
		})
		fields := map[string]bool{}
		for _, f := range faulty.Fields {
			fields[f.Field] = true
		}
		if !fields["credentials.api_key"] || !fields["settings.base_url"] || !fields["settings.more"] {
			t.Errorf("the invalid fields are %v", faulty.Fields)
		}
		if e := wantCode(t, b, subjects.CodeInvalid, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{Provider: "unknown"}); e.Fields[0].Field != "provider" {
			t.Errorf("an unknown provider: %+v", e)
		}
		if got := call(t, b, subjects.GetUserIntegrations, ada, subjects.ListIntegrationsRequest{}); len(got.Items) != 0 {
			t.Errorf("a failed connection was stored: %+v", got.Items)
		}

		c := b.connectTo(t, v, ada, "")
		if c.Status != "active" || c.Label != "default" || c.Auth != "bearer" || c.CheckedAt == nil || string(c.Account) != `{"status":200}` {
			t.Errorf("connected: %+v", c)
		}
		wantCode(t, b, subjects.CodeConflict, subjects.ConnectIntegration, ada, httpConnection(v.URL, goodKey, "default"))
		second := b.connectTo(t, v, ada, "second")
		one := subjects.IntegrationRequest{IntegrationID: c.ID}
		for _, refused := range []func(){
			func() { wantCode(t, b, subjects.CodeNotFound, subjects.GetIntegration, eve, one) },
			func() { wantCode(t, b, subjects.CodeNotFound, subjects.DisconnectIntegration, eve, one) },
			func() {
				wantCode(t, b, subjects.CodeNotFound, subjects.UpdateIntegration, eve, subjects.UpdateIntegrationRequest{IntegrationID: c.ID, Label: "hers"})
			},
			func() {
				wantCode(t, b, subjects.CodeNotFound, subjects.ExecuteAction, eve, action(c.ID, "get", `{"path":"/x"}`))
			},
			func() {
				wantCode(t, b, subjects.CodeNotFound, subjects.ListCalls, eve, subjects.ListCallsRequest{IntegrationRequest: one})
			},
			func() { wantCode(t, b, subjects.CodeUnauthenticated, subjects.GetIntegration, mesh.As{}, one) },
		} {
			refused()
		}
		if got := v.requests(); len(got) != 0 {
			t.Errorf("the provider received %+v", got)
		}

		page := call(t, b, subjects.GetUserIntegrations, ada, subjects.ListIntegrationsRequest{PageRequest: subjects.PageRequest{Limit: 1}})
		if len(page.Items) != 1 || page.Items[0].ID != second.ID || page.NextCursor == "" {
			t.Fatalf("first page: %+v", page)
		}
		rest := call(t, b, subjects.GetUserIntegrations, ada, subjects.ListIntegrationsRequest{PageRequest: subjects.PageRequest{Limit: 1, Cursor: page.NextCursor}})
		if len(rest.Items) != 1 || rest.Items[0].ID != c.ID || rest.NextCursor != "" {
			t.Errorf("second page: %+v", rest)
		}

		call(t, b, subjects.DisconnectIntegration, ada, one)
		wantCode(t, b, subjects.CodeNotFound, subjects.GetIntegration, ada, one)
		wantCode(t, b, subjects.CodeNotFound, subjects.DisconnectIntegration, ada, one)
		actortest.Eventually(t, "events of the connection and the disconnection", func() bool {
			return b.events(t, subjects.IntegrationConnected.Subject) > 0 && b.events(t, subjects.IntegrationDisconnected.Subject) > 0
		})
	})
}

func TestUpdateConnection(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		v := newFakeProvider(t, respond(200, `{}`))
		_, ada := b.user(t)
		c := b.connectTo(t, v, ada, "first")
		b.connectTo(t, v, ada, "second")
		update := func(r subjects.UpdateIntegrationRequest) subjects.Connection {
			r.IntegrationID = c.ID
			return call(t, b, subjects.UpdateIntegration, ada, r)
		}
		wantCode(t, b, subjects.CodeConflict, subjects.UpdateIntegration, ada, subjects.UpdateIntegrationRequest{IntegrationID: c.ID, Label: "second"})
		if got := update(subjects.UpdateIntegrationRequest{Label: "primary"}); got.Label != "primary" || got.Settings["base_url"] != v.URL {
			t.Errorf("renamed: %+v", got)
		}
		if got := update(subjects.UpdateIntegrationRequest{Status: "disabled"}); got.Status != "disabled" {
			t.Errorf("disabled: %+v", got)
		}
		wantCode(t, b, subjects.CodeConflict, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`))
		bad := wantCode(t, b, subjects.CodeInvalid, subjects.UpdateIntegration, ada,
			subjects.UpdateIntegrationRequest{IntegrationID: c.ID, Credentials: subjects.SecretMap{"api_key": "another-key"}})
		if bad.Fields[0].Field != "credentials" {
			t.Errorf("refused credentials: %+v", bad)
		}
		if got := update(subjects.UpdateIntegrationRequest{Status: "active", Credentials: subjects.SecretMap{"api_key": goodKey}}); got.Status != "active" {
			t.Errorf("active again: %+v", got)
		}
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`))
		if got := v.requests(); len(got) != 1 || got[0].authorization != "Bearer "+goodKey {
			t.Errorf("the provider received %+v", got)
		}
	})
}
