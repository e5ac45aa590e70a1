package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// bundle is a mesh with the integration actor on one database, and a caller.
type bundle struct {
	mesh   *actortest.Mesh
	caller *mesh.Conn
	host   *actortest.Hosted
	// start runs the actor again, where it was stopped.
	start  func()
	db     database.Config
	config integration.Config
}

type option func(*integration.Config, *[]actortest.HostOption)

// with changes the actor's settings.
func with(change func(*integration.Config)) option {
	return func(c *integration.Config, _ *[]actortest.HostOption) { change(c) }
}

// strict lets nothing but public addresses be called.
func strict(_ *integration.Config, host *[]actortest.HostOption) { *host = nil }

func loopback(c *runtime.HostConfig) {
	c.EgressAllow, c.EgressAllowHTTP = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, true
}

// allowHTTP lets plain http through, to public addresses.
func allowHTTP(_ *integration.Config, host *[]actortest.HostOption) {
	*host = append(*host, func(c *runtime.HostConfig) { c.EgressAllowHTTP = true })
}

func setup(t testing.TB, database actortest.Database, options ...option) *bundle {
	t.Helper()
	return setupOn(t, actortest.Start(t), database, options...)
}

func setupOn(t testing.TB, m *actortest.Mesh, database actortest.Database, options ...option) *bundle {
	t.Helper()
	b := &bundle{mesh: m, caller: m.Conn(t, "gateway"), db: database.Config(t, "integration"), config: integration.DefaultConfig()}
	host := []actortest.HostOption{loopback}
	b.config.Providers = map[string]integration.ProviderConfig{"http": {Backoff: time.Millisecond}}
	for _, option := range options {
		option(&b.config, &host)
	}
	b.start = func() {
		b.host = m.Host(t, "integration", b.db, integration.Migrations, func(d actors.Deps) (actors.Service, error) {
			a, err := integration.New(d, b.config)
			if err != nil {
				return actors.Service{}, err
			}
			return a.Service(), nil
		}, host...)
	}
	b.start()
	return b
}

// user is a new user with a token, who has consented to integrations.execute.
func (b *bundle) user(t testing.TB) (id string, as mesh.As) {
	t.Helper()
	id = actortest.User()
	b.mesh.Consent(t, id, subjects.ScopeIntegrationsExecute)
	return id, mesh.As{Token: b.mesh.Token(t, id)}
}

func call[Req, Res any](t testing.TB, b *bundle, e subjects.Endpoint[Req, Res], as mesh.As, req Req) Res {
	t.Helper()
	res, err := mesh.Call(t.Context(), b.caller, e, req, as)
	if err != nil {
		t.Fatalf("%s: %v", e.Subject, err)
	}
	return res
}

func wantCode[Req, Res any](
	t testing.TB, b *bundle, code subjects.Code, e subjects.Endpoint[Req, Res], as mesh.As, req Req,
) *subjects.Error {
	t.Helper()
	_, err := mesh.Call(t.Context(), b.caller, e, req, as)
	if subjects.CodeOf(err) != code {
		t.Fatalf("%s: got %v, want %s", e.Subject, err, code)
	}
	var own *subjects.Error
	if !errors.As(err, &own) {
		t.Fatalf("%v is no error of ours", err)
	}
	return own
}

// vendor is a provider's API of the test's own. Its answers are the test's; its probe wants the key "good-key-0123456789".
type vendor struct {
	*httptest.Server
	// forgetful vendors do not keep what they see.
	forgetful bool
	mu        sync.Mutex
	seen      []seen
	answer    http.HandlerFunc
}

type seen struct {
	method, path, authorization, body string
	header                            http.Header
}

const goodKey = "good-key-0123456789"

func newVendor(t testing.TB, answer http.HandlerFunc) *vendor {
	t.Helper()
	v := &vendor{answer: answer}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			if r.Header.Get("Authorization") != "Bearer "+goodKey {
				w.WriteHeader(http.StatusUnauthorized)
			}
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		v.mu.Lock()
		if !v.forgetful {
			v.seen = append(v.seen, seen{r.Method, r.URL.Path, r.Header.Get("Authorization"), string(body), r.Header.Clone()})
		}
		answer := v.answer
		v.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(v.Close)
	return v
}

// says changes the vendor's answer.
func (v *vendor) says(answer http.HandlerFunc) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer = answer
}

func (v *vendor) requests() []seen {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]seen(nil), v.seen...)
}

// connectTo connects a user to the vendor as an HTTP API.
func (b *bundle) connectTo(t testing.TB, v *vendor, as mesh.As, label string) subjects.Connection {
	t.Helper()
	return call(t, b, subjects.ConnectIntegration, as, httpConnection(v.URL, goodKey, label))
}

func httpConnection(url, key, label string) subjects.ConnectIntegrationRequest {
	return subjects.ConnectIntegrationRequest{
		Provider: "http", Label: label, Credentials: subjects.SecretMap{"api_key": key},
		Settings: map[string]any{"base_url": url, "health_path": "/health"},
	}
}

func action(id, name, input string) subjects.ExecuteActionRequest {
	return subjects.ExecuteActionRequest{IntegrationID: id, Action: name, Input: json.RawMessage(input)}
}

func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// events counts the messages of an event.
func (b *bundle) events(t testing.TB, subject string) uint64 {
	t.Helper()
	stream, err := b.mesh.Conn(t, "operator").JS.Stream(t.Context(), subjects.Events.Name)
	if err != nil {
		t.Fatal(err)
	}
	message, err := stream.GetLastMsgForSubject(context.WithoutCancel(t.Context()), subject)
	if err != nil {
		return 0
	}
	return message.Sequence
}

func TestLifeOfAConnection(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		v := newVendor(t, says(200, `{}`))
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
			t.Errorf("faults are named %v", faulty.Fields)
		}
		if e := wantCode(t, b, subjects.CodeInvalid, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{Provider: "nobody"}); e.Fields[0].Field != "provider" {
			t.Errorf("an unknown provider: %+v", e)
		}
		if got := call(t, b, subjects.GetUserIntegrations, ada, subjects.ListIntegrationsRequest{}); len(got.Items) != 0 {
			t.Errorf("what failed was kept: %+v", got.Items)
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
			t.Errorf("the vendor saw %+v", got)
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
		actortest.Eventually(t, "both events", func() bool {
			return b.events(t, subjects.IntegrationConnected.Subject) > 0 && b.events(t, subjects.IntegrationDisconnected.Subject) > 0
		})
	})
}

func TestUpdating(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		v := newVendor(t, says(200, `{}`))
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
			t.Errorf("the vendor saw %+v", got)
		}
	})
}

func TestProviders(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	_, ada := b.user(t)
	list := call(t, b, subjects.ListProviders, ada, subjects.ListProvidersRequest{PageRequest: subjects.PageRequest{Limit: 100}})
	if len(list.Items) < 50 || list.NextCursor != "" {
		t.Fatalf("providers: %+v", list.Items)
	}
	found := call(t, b, subjects.ListProviders, ada, subjects.ListProvidersRequest{Query: "SLACK"})
	if len(found.Items) != 1 || found.Items[0].ID != "slack" || found.Items[0].AuthType != "api_key" || found.Items[0].ActionCount == 0 {
		t.Errorf("searched: %+v", found.Items)
	}
	page := call(t, b, subjects.ListProviders, ada, subjects.ListProvidersRequest{PageRequest: subjects.PageRequest{Limit: 1}})
	rest := call(t, b, subjects.ListProviders, ada, subjects.ListProvidersRequest{PageRequest: subjects.PageRequest{Cursor: page.NextCursor, Limit: 100}})
	if len(page.Items)+len(rest.Items) != len(list.Items) {
		t.Errorf("%d and %d of %d providers", len(page.Items), len(rest.Items), len(list.Items))
	}
	slack := call(t, b, subjects.GetProvider, ada, subjects.ProviderRequest{Provider: "slack"})
	for _, action := range slack.Actions {
		if action.ID == "send_message" && (action.Safety != "write_once" || action.Input["required"] == nil || action.OutputSchema == nil) {
			t.Errorf("send_message: %+v", action)
		}
	}
	if len(slack.Auth) == 0 || slack.Auth[0].Help == "" || len(slack.Limits) == 0 {
		t.Errorf("slack: %+v", slack)
	}
	wantCode(t, b, subjects.CodeNotFound, subjects.GetProvider, ada, subjects.ProviderRequest{Provider: "nobody"})
	wantCode(t, b, subjects.CodeUnauthenticated, subjects.ListProviders, mesh.As{}, subjects.ListProvidersRequest{})
}
