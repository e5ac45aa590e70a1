package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
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

// fixture is a mesh with the integration actor on one database, and a caller.
type fixture struct {
	mesh   *actortest.Mesh
	caller *mesh.Conn
	host   *actortest.Hosted
	// start starts the actor, again if it was stopped.
	start  func()
	db     database.Config
	config integration.Config
}

type option func(*integration.Config, *[]actortest.HostOption)

// withConfig changes the actor's settings.
func withConfig(change func(*integration.Config)) option {
	return func(c *integration.Config, _ *[]actortest.HostOption) { change(c) }
}

// publicOnly allows calls to public addresses only.
func publicOnly(_ *integration.Config, host *[]actortest.HostOption) { *host = nil }

// allowLoopback allows calls to this machine, by plain HTTP too.
func allowLoopback(c *runtime.HostConfig) {
	c.EgressAllow, c.EgressAllowHTTP = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, true
}

// allowHTTP allows calls by plain HTTP, to public addresses.
func allowHTTP(_ *integration.Config, host *[]actortest.HostOption) {
	*host = append(*host, func(c *runtime.HostConfig) { c.EgressAllowHTTP = true })
}

func setup(t testing.TB, database actortest.Database, options ...option) *fixture {
	t.Helper()
	return setupOn(t, actortest.Start(t), database, options...)
}

func setupOn(t testing.TB, m *actortest.Mesh, database actortest.Database, options ...option) *fixture {
	t.Helper()
	b := &fixture{mesh: m, caller: m.Conn(t, "gateway"), db: database.Config(t, "integration"), config: integration.DefaultConfig()}
	host := []actortest.HostOption{allowLoopback}
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

// user creates a user who consents to integrations.execute, and returns the id and a token.
func (b *fixture) user(t testing.TB) (id string, as mesh.As) {
	t.Helper()
	id = actortest.User()
	b.mesh.Consent(t, id, subjects.ScopeIntegrationsExecute)
	return id, mesh.As{Token: b.mesh.Token(t, id)}
}

func call[Req, Res any](t testing.TB, b *fixture, e subjects.Endpoint[Req, Res], as mesh.As, req Req) Res {
	t.Helper()
	res, err := mesh.Call(t.Context(), b.caller, e, req, as)
	if err != nil {
		t.Fatalf("%s: %v", e.Subject, err)
	}
	return res
}

func wantCode[Req, Res any](
	t testing.TB, b *fixture, code subjects.Code, e subjects.Endpoint[Req, Res], as mesh.As, req Req,
) *subjects.Error {
	t.Helper()
	_, err := mesh.Call(t.Context(), b.caller, e, req, as)
	if subjects.CodeOf(err) != code {
		t.Fatalf("%s: got %v, want %s", e.Subject, err, code)
	}
	var coded *subjects.Error
	if !errors.As(err, &coded) {
		t.Fatalf("%v is not a *subjects.Error", err)
	}
	return coded
}

// fakeProvider is a provider's API. Tests set its responses. Its health probe accepts one key only, goodKey unless set.
type fakeProvider struct {
	*httptest.Server
	// discard does not record requests.
	discard bool
	mu      sync.Mutex
	key     string
	seen    []request
	handler http.HandlerFunc
}

type request struct {
	method, path, authorization, body string
	header                            http.Header
}

const goodKey = "good-key-0123456789"

func newFakeProvider(t testing.TB, handler http.HandlerFunc) *fakeProvider {
	t.Helper()
	v := &fakeProvider{handler: handler, key: goodKey}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			v.mu.Lock()
			defer v.mu.Unlock()
			if r.Header.Get("Authorization") != "Bearer "+v.key {
				w.WriteHeader(http.StatusUnauthorized)
			}
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		v.mu.Lock()
		if !v.discard {
			v.seen = append(v.seen, request{r.Method, r.URL.Path, r.Header.Get("Authorization"), string(body), r.Header.Clone()})
		}
		handler := v.handler
		v.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(v.Close)
	return v
}

// setKey changes the key that the health probe accepts.
func (v *fakeProvider) setKey(key string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.key = key
}

// setHandler changes the provider's responses.
func (v *fakeProvider) setHandler(handler http.HandlerFunc) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.handler = handler
}

func (v *fakeProvider) requests() []request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]request(nil), v.seen...)
}

// connectTo connects a user to the fake provider, by the provider http.
func (b *fixture) connectTo(t testing.TB, v *fakeProvider, as mesh.As, label string) subjects.Connection {
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

// respond is a handler with a fixed response. header is a list of names and values.
func respond(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// events returns the sequence of the last message of an event, 0 if there is none.
func (b *fixture) events(t testing.TB, subject string) uint64 {
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
