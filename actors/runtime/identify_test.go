package runtime_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestInvalidTokensAreRefused(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var calls atomic.Int64
	host(t, m, "auth", profile(func(context.Context) error { calls.Add(1); return nil }))
	user := actortest.User()
	valid := m.Token(t, user)
	parts := strings.Split(valid, ".")
	for name, token := range map[string]string{
		"none":              "",
		"garbage":           "garbage",
		"an expired one":    m.Token(t, user, actortest.WithExpiry(time.Now().Add(-time.Second))),
		"another audience":  m.Token(t, user, func(c *mesh.Claims) { c.Audience = "other" }),
		"another issuer":    m.Token(t, user, func(c *mesh.Claims) { c.Issuer = "https://other.test" }),
		"no session":        m.Token(t, user, actortest.WithSession("")),
		"a changed payload": parts[0] + "." + strings.Split(m.Token(t, actortest.User()), ".")[1] + "." + parts[2],
		"no signature":      parts[0] + "." + parts[1] + ".",
	} {
		_, err := getProfile(t.Context(), t, m, token)
		if subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("with %s: %v", name, err)
		}
	}
	if calls.Load() != 0 {
		t.Errorf("the handler was called %d times", calls.Load())
	}
	if got, err := getProfile(t.Context(), t, m, valid); err != nil || got.ID != user {
		t.Errorf("with a valid token: %v, %v", got, err)
	}
}

// The user comes from the token, not from a header.
func TestUserHeaderIsIgnored(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	host(t, m, "auth", profile(succeed))
	alice, bob := actortest.User(), actortest.User()
	reply, err := m.Conn(t, mesh.UserGateway).Forward(t.Context(), subjects.GetUserProfile.Subject, nats.Header{
		mesh.HeaderAuthorization: {"Bearer " + m.Token(t, alice)},
		mesh.HeaderUserID:        {bob},
	}, []byte("{}"))
	if err != nil || !strings.Contains(string(reply.Data), alice) || strings.Contains(string(reply.Data), bob) {
		t.Errorf("the caller is %s, %v", reply.Data, err)
	}
	_, err = m.Conn(t, mesh.UserGateway).Forward(t.Context(), subjects.GetUserProfile.Subject,
		nats.Header{mesh.HeaderUserID: {bob}}, []byte("{}"))
	wantCode(t, err, subjects.CodeUnauthenticated)
}

func TestLogoutTakesEffectAtOnce(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	host(t, m, "auth", profile(succeed))
	user := actortest.User()
	for range 20 {
		session := actortest.User()
		token := m.Token(t, user, actortest.WithSession(session))
		if _, err := getProfile(t.Context(), t, m, token); err != nil {
			t.Fatal(err)
		}
		m.RevokeSession(t, user, session)
		_, err := getProfile(t.Context(), t, m, token)
		wantCode(t, err, subjects.CodeUnauthenticated)
	}
}

func TestAPIKeyNeedsTheScope(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	host(t, m, "auth", profile(succeed))
	for scopes, want := range map[string]subjects.Code{
		subjects.ScopeUserProfileRead:                                     "",
		subjects.ScopeWorkflowsRead + " " + subjects.ScopeUserProfileRead: "",
		subjects.ScopeWorkflowsRead:                                       subjects.CodeForbidden,
		subjects.ScopeUserProfileRead + "x":                               subjects.CodeForbidden,
		"":                                                                subjects.CodeForbidden,
	} {
		_, err := getProfile(t.Context(), t, m, m.Token(t, actortest.User(), actortest.WithAPIKey("key", scopes)))
		if got := subjects.CodeOf(err); got != want {
			t.Errorf("a key for %q: %v", scopes, err)
		}
	}
}

// execute binds execute_action, which workflow may call under a grant, to a handler that counts its calls.
func execute(calls *atomic.Int64) actors.Binding {
	return actors.Bind(subjects.ExecuteAction,
		func(ctx context.Context, _ subjects.ExecuteActionRequest) (subjects.ActionResult, error) {
			calls.Add(1)
			return subjects.ActionResult{CallID: actors.CallerFrom(ctx).String()}, nil
		})
}

func TestServiceNeedsAGrant(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var calls atomic.Int64
	host(t, m, "integration", execute(&calls))
	user, other := actortest.User(), actortest.User()
	grant := m.Consent(t, user, subjects.ScopeIntegrationsExecute)[subjects.ScopeIntegrationsExecute]
	call := func(userID string, grant mesh.Grant) (subjects.ActionResult, error) {
		return mesh.Call(t.Context(), m.Conn(t, "workflow"), subjects.ExecuteAction,
			subjects.ExecuteActionRequest{IntegrationID: "i", Action: "a"}, mesh.As{Service: true, UserID: userID, Grant: grant})
	}
	_, err := call(user, mesh.Grant{})
	wantCode(t, err, subjects.CodeForbidden)
	_, err = call(user, mesh.Grant{Scope: grant.Scope, ConsentID: actortest.User()})
	wantCode(t, err, subjects.CodeConsentRequired)
	_, err = call(other, grant)
	wantCode(t, err, subjects.CodeConsentRequired)
	if calls.Load() != 0 {
		t.Errorf("the handler was called %d times", calls.Load())
	}
	got, err := call(user, grant)
	if err != nil || got.CallID != "service:workflow/"+user {
		t.Errorf("under the grant: %v, %v", got, err)
	}
	m.Revoke(t, user, subjects.ScopeIntegrationsExecute)
	_, err = call(user, grant)
	wantCode(t, err, subjects.CodeConsentRequired)
	var coded *subjects.Error
	if !errors.As(err, &coded) || coded.Scope != subjects.ScopeIntegrationsExecute {
		t.Errorf("the error does not name the scope: %v", err)
	}
}

// A request on workflow's service subject is sent as every other NATS user. The server refuses each, and the handler is not called.
func TestServiceSubjectIsItsUsersOnly(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var calls atomic.Int64
	host(t, m, "integration", execute(&calls))
	user := actortest.User()
	grant := m.Consent(t, user, subjects.ScopeIntegrationsExecute)[subjects.ScopeIntegrationsExecute]
	request := func(conn *mesh.Conn) *nats.Msg {
		return &nats.Msg{
			Subject: subjects.ExecuteAction.Describe().ServiceSubject("workflow"), Reply: conn.NewInbox(),
			Data: []byte(`{"integration_id":"i","action":"a"}`),
			Header: nats.Header{
				mesh.HeaderUserID: {user}, mesh.HeaderGrantID: {grant.ConsentID}, mesh.HeaderGrantScope: {grant.Scope},
			},
		}
	}
	for _, name := range mesh.Users() {
		if name == "workflow" {
			continue
		}
		conn := m.Conn(t, name)
		if err := conn.PublishMsg(request(conn)); err != nil {
			t.Fatal(err)
		}
		if err := conn.FlushTimeout(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		if err := conn.LastError(); err == nil || !strings.Contains(err.Error(), "as.workflow") {
			t.Errorf("%s: the server says %v", name, err)
		}
	}
	workflow := m.Conn(t, "workflow")
	reply, err := workflow.RequestMsg(request(workflow), 5*time.Second)
	if err != nil || reply.Header.Get(mesh.HeaderErrorCode) != "" {
		t.Fatalf("workflow itself: %v, %v", reply, err)
	}
	if calls.Load() != 1 {
		t.Errorf("the handler was called %d times, want 1", calls.Load())
	}
	conn := m.Conn(t, mesh.UserGateway)
	_, err = mesh.Call(t.Context(), conn, subjects.GetContact, subjects.Empty{}, mesh.As{Token: m.Token(t, user)})
	wantCode(t, err, subjects.CodeUnavailable) // auth is not running
}

func TestUsersCannotCallServiceEndpoints(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	host(t, m, "auth", actors.Bind(subjects.GetContact,
		func(ctx context.Context, _ subjects.Empty) (subjects.Contact, error) {
			return subjects.Contact{UserID: actors.CallerFrom(ctx).UserID}, nil
		}))
	user := actortest.User()
	_, err := mesh.Call(t.Context(), m.Conn(t, mesh.UserGateway), subjects.GetContact, subjects.Empty{},
		mesh.As{Token: m.Token(t, user, actortest.WithRoles(subjects.RoleAdmin))})
	wantCode(t, err, subjects.CodeForbidden)
	got, err := mesh.Call(t.Context(), m.Conn(t, "notification"), subjects.GetContact, subjects.Empty{},
		mesh.As{Service: true, UserID: user})
	if err != nil || got.UserID != user {
		t.Errorf("a service that needs no grant: %v, %v", got, err)
	}
}

func TestMessagesFromStreamsAreRefused(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	host(t, m, "auth", profile(succeed))
	_, err := m.Conn(t, mesh.UserGateway).Forward(t.Context(), subjects.GetUserProfile.Subject, nats.Header{
		mesh.HeaderAuthorization: {"Bearer " + m.Token(t, actortest.User())},
		mesh.HeaderStream:        {"EVENTS"},
	}, []byte("{}"))
	wantCode(t, err, subjects.CodeForbidden)
}

// A request with a reply subject other than an inbox is dropped: otherwise a caller could write to auth's bucket with auth's
// permissions.
func TestRepliesGoToInboxesOnly(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var calls atomic.Int64
	host(t, m, "auth", profile(func(context.Context) error { calls.Add(1); return nil }))
	conn, token := m.Conn(t, mesh.UserGateway), m.Token(t, actortest.User())
	for _, reply := range []string{"", "$KV." + kv.AuthKeys.Name + ".evil", "weft.event.v1.auth.evil", "_INBOX.x"} {
		err := conn.PublishMsg(&nats.Msg{
			Subject: subjects.GetUserProfile.Subject, Reply: reply, Data: []byte("{}"),
			Header: nats.Header{mesh.HeaderAuthorization: {"Bearer " + token}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := getProfile(t.Context(), t, m, token); err != nil {
		t.Fatal(err)
	}
	if calls.Load() != 1 {
		t.Errorf("the handler was called %d times, want 1", calls.Load())
	}
	keys, err := kv.Open[subjects.SigningKey](t.Context(), m.Conn(t, "auth").JS, kv.AuthKeys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Get(t.Context(), "evil"); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("the reply was written to auth's bucket: %v", err)
	}
}
