package auth_test

import (
	"slices"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// events returns all of a user's security events, the newest first, read in pages of the given size.
func (b *harness) events(token string, limit int) []subjects.AuditEvent {
	b.t.Helper()
	var all []subjects.AuditEvent
	req := subjects.ListAuditEventsRequest{PageRequest: subjects.PageRequest{Limit: limit}}
	for {
		page := mustCall(b, subjects.ListAuditEvents, req, token)
		all = append(all, page.Items...)
		if req.Cursor = page.NextCursor; req.Cursor == "" {
			return all
		}
	}
}

func TestUsersListTheirOwnSecurityEvents(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.register("ada@example.com")
		requireCode(t, b.loginFrom("203.0.113.7", "ada@example.com", "wrong wrong"), subjects.CodeUnauthenticated)
		ada := b.login("ada@example.com")
		eve := b.signUp("eve@example.com")
		list := b.events(ada.AccessToken, 50)
		if len(list) != 3 {
			t.Fatalf("ada's events are %+v", list)
		}
		in, failed, registered := list[0], list[1], list[2]
		if in.Action != "login" || in.Outcome != "success" || in.SessionID != ada.SessionID {
			t.Errorf("the sign-in is %+v", in)
		}
		if failed.Action != "login" || failed.Outcome != "failure" || failed.IP != "203.0.113.7" || failed.Device != "a browser" {
			t.Errorf("the failure is %+v", failed)
		}
		if registered.Action != "register" || registered.Time.IsZero() {
			t.Errorf("the registration is %+v", registered)
		}
		paged := b.events(ada.AccessToken, 1)
		if len(paged) != 3 || paged[0] != in || paged[1] != failed || paged[2] != registered {
			t.Errorf("in pages of one the events are %+v", paged)
		}
		for _, e := range b.events(eve.AccessToken, 50) {
			if e.ID == in.ID || e.ID == failed.ID || e.ID == registered.ID {
				t.Errorf("eve can list ada's event %+v", e)
			}
		}
		for _, cursor := range []string{"x", "WyJhIiwiYiJd"} {
			_, err := call(b, subjects.ListAuditEvents, subjects.ListAuditEventsRequest{
				PageRequest: subjects.PageRequest{Cursor: cursor},
			}, ada.AccessToken)
			requireCode(t, err, subjects.CodeInvalid)
		}
		_, err := call(b, subjects.ListAuditEvents, subjects.ListAuditEventsRequest{}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
	})
}

func TestOldSecurityEventsLeaveTheListOnly(t *testing.T) {
	b := onSQLite(t, func(c *auth.Config) { c.AuditKept = 24 * time.Hour })
	ada := b.signUp("ada@example.com")
	b.waitForAudit(t, ada.User.ID, "login")
	b.clock.advance(25 * time.Hour)
	if err := b.actor.Stop(t); err != nil {
		t.Fatal(err)
	}
	b.actor = b.start()
	again := b.login("ada@example.com")
	eventually(t, "the old events are deleted", func() bool { return len(b.events(again.AccessToken, 50)) == 1 })
	stream, err := b.Conn(t, "operator").JS.Stream(t.Context(), subjects.Audit.Name)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got < 2 {
		t.Errorf("the stream contains %d events", got)
	}
}

// TestAuditStreamCannotBePurged tries to purge the stream as every NATS user.
func TestAuditStreamCannotBePurged(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	subject := subjects.AuditSubject("auth", actortest.User())
	ack, err := m.Conn(t, "auth").JS.Publish(t.Context(), subject, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	name := subjects.Audit.Name
	for _, user := range append(subjects.Actors(), "gateway", mesh.UserOperator, mesh.UserMigrate) {
		conn := m.Connect(t, user)
		for _, request := range []struct{ subject, body string }{
			{"$JS.API.STREAM.PURGE." + name, `{}`},
			{"$JS.API.STREAM.MSG.DELETE." + name, `{"seq":1}`},
		} {
			if err := conn.PublishRequest(request.subject, conn.NewInbox(), []byte(request.body)); err != nil {
				t.Fatal(err)
			}
		}
		if user != mesh.UserMigrate && user != mesh.UserOperator {
			for _, verb := range []string{"DELETE", "UPDATE"} {
				if err := conn.PublishRequest("$JS.API.STREAM."+verb+"."+name, conn.NewInbox(), []byte(`{}`)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := conn.FlushTimeout(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		// A response proves that the server has handled this user's earlier requests.
		if user == mesh.UserOperator || user == "auth" {
			if _, err := conn.JS.Stream(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		if slices.Contains(subjects.Actors(), user) && conn.LastError() == nil {
			t.Errorf("%s may purge the stream", user)
		}
	}
	stream, err := m.Conn(t, mesh.UserOperator).JS.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if state := stream.CachedInfo().State; state.Msgs != 1 || state.FirstSeq != ack.Sequence {
		t.Errorf("after all attempts the stream is %+v", state)
	}
}
