package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// respond answers requests on subject until the test ends.
func respond(t *testing.T, conn *mesh.Conn, subject string, answer func(*nats.Msg) *nats.Msg) {
	t.Helper()
	sub, err := conn.Subscribe(subject, func(request *nats.Msg) {
		if reply := answer(request); reply != nil {
			_ = request.RespondMsg(reply)
		}
	})
	if err == nil {
		err = conn.FlushWithContext(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
}

func TestCallErrors(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	consent, gateway := m.Conn(t, "consent"), m.Conn(t, mesh.UserGateway)
	sent := &subjects.Error{Code: subjects.CodeConflict, Reason: subjects.ReasonAlreadyExists, Detail: "taken", RetryAfter: time.Second}
	body, err := json.Marshal(subjects.ProblemOf(sent, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	respond(t, consent, subjects.ListScopes.Subject, func(*nats.Msg) *nats.Msg {
		return &nats.Msg{Header: nats.Header{mesh.HeaderErrorCode: {"conflict"}}, Data: body}
	})
	respond(t, consent, subjects.GetConsent.Subject, func(*nats.Msg) *nats.Msg { return nil })
	respond(t, consent, subjects.GrantConsent.Subject, func(*nats.Msg) *nats.Msg { return &nats.Msg{Data: []byte("not JSON")} })

	_, err = mesh.Call(t.Context(), gateway, subjects.ListScopes, subjects.Empty{}, mesh.As{})
	if !errors.Is(err, sent) {
		t.Errorf("the responder's error is received as %v", err)
	}
	_, err = mesh.Call(t.Context(), gateway, subjects.ListConsents, subjects.ListConsentsRequest{}, mesh.As{})
	if !errors.Is(err, &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonNoResponders}) || !subjects.Transient(err) {
		t.Errorf("without a responder: %v", err)
	}
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = mesh.Call(brief, gateway, subjects.GetConsent, subjects.ConsentRequest{}, mesh.As{}); subjects.CodeOf(err) != subjects.CodeTimeout {
		t.Errorf("without an answer before the deadline: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = mesh.Call(cancelled, gateway, subjects.GetConsent, subjects.ConsentRequest{}, mesh.As{}); subjects.CodeOf(err) != subjects.CodeTimeout {
		t.Errorf("with a cancelled context: %v", err)
	}
	if _, err = mesh.Call(t.Context(), gateway, subjects.GrantConsent, subjects.GrantConsentRequest{}, mesh.As{}); subjects.CodeOf(err) != subjects.CodeInternal {
		t.Errorf("with an answer that is not JSON: %v", err)
	}
	_, err = gateway.Forward(t.Context(), subjects.ListScopes.Subject, nats.Header{}, make([]byte, gateway.MaxPayload()+1))
	if subjects.CodeOf(err) != subjects.CodeTooLarge {
		t.Errorf("with a request over the payload limit: %v", err)
	}
	closed := m.Connect(t, mesh.UserGateway)
	closed.Close()
	_, err = mesh.Call(t.Context(), closed, subjects.ListScopes, subjects.Empty{}, mesh.As{})
	if !errors.Is(err, &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonDisconnected}) {
		t.Errorf("on a closed connection: %v", err)
	}
}

// TestCallIdentifiesTheCaller checks the subject and headers of each kind of caller.
func TestCallIdentifiesTheCaller(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	integration := m.Conn(t, "integration")
	received := make(chan *nats.Msg, 1)
	for _, subject := range []string{subjects.ExecuteAction.Subject, subjects.ExecuteAction.Describe().ServicePattern()} {
		respond(t, integration, subject, func(request *nats.Msg) *nats.Msg {
			received <- request
			return &nats.Msg{}
		})
	}
	d := subjects.ExecuteAction.Describe()
	grant := mesh.Grant{UserID: "u1", Scope: subjects.ScopeIntegrationsExecute, ConsentID: "c1"}
	for name, test := range map[string]struct {
		user    string
		as      mesh.As
		subject string
		header  map[string]string
	}{
		"anonymous": {mesh.UserGateway, mesh.As{}, d.Subject, map[string]string{mesh.HeaderAuthorization: "", mesh.HeaderUserID: ""}},
		"user":      {mesh.UserGateway, mesh.As{Token: "t"}, d.Subject, map[string]string{mesh.HeaderAuthorization: "Bearer t", mesh.HeaderUserID: ""}},
		"service": {"workflow", mesh.As{Service: true, UserID: "u1"}, d.ServiceSubject("workflow"), map[string]string{
			mesh.HeaderUserID: "u1", mesh.HeaderGrantID: "", mesh.HeaderAuthorization: "",
		}},
		"service under a grant": {"workflow", mesh.As{Service: true, UserID: "u1", Grant: grant, Token: "t"}, d.ServiceSubject("workflow"), map[string]string{
			mesh.HeaderUserID: "u1", mesh.HeaderGrantID: "c1", mesh.HeaderGrantScope: grant.Scope, mesh.HeaderAuthorization: "",
		}},
	} {
		ctx := mesh.WithRequestID(t.Context(), "r-"+name)
		if _, err := mesh.Call(ctx, m.Conn(t, test.user), subjects.ExecuteAction, subjects.ExecuteActionRequest{}, test.as); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		request := <-received
		if request.Subject != test.subject || request.Header.Get(mesh.HeaderRequestID) != "r-"+name {
			t.Errorf("%s: the request is on %s with %v", name, request.Subject, request.Header)
		}
		if got := mesh.Timeout(request.Header, time.Hour); got > d.Timeout || got < d.Timeout-10*time.Second {
			t.Errorf("%s: the timeout is %s, not the endpoint's", name, got)
		}
		for key, want := range test.header {
			if got := request.Header.Get(key); got != want {
				t.Errorf("%s: header %s is %q, want %q", name, key, got, want)
			}
		}
	}
}
