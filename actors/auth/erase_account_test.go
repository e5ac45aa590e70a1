package auth_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestErasureRequestsNeedTheOwnersProof: what the consent actor passes on of a request for erasure is checked as delete_account checks it: a
// session of the user, the password, and without one a recent sign-in. No other service can ask.
func TestErasureRequestsNeedTheOwnersProof(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.mailbox()
		mine, other := b.signUp("ada@example.com"), b.signUp("eve@example.com")
		erase := func(service string, r subjects.EraseAccountRequest) (subjects.ErasureStarted, error) {
			return mesh.Call(t.Context(), b.Conn(t, service), subjects.EraseAccount, r, mesh.As{Service: true, UserID: mine.User.ID})
		}
		right := subjects.EraseAccountRequest{SessionID: mine.SessionID, Password: goodPassword, IP: "192.0.2.1"}
		for name, r := range map[string]subjects.EraseAccountRequest{
			"another user's session": {SessionID: other.SessionID, Password: goodPassword}, "no session": {Password: goodPassword},
			"an unknown session": {SessionID: actortest.User(), Password: goodPassword},
		} {
			if _, err := erase("consent", r); subjects.CodeOf(err) != subjects.CodeForbidden {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, password := range []string{"", "wrong wrong"} {
			_, err := erase("consent", subjects.EraseAccountRequest{SessionID: mine.SessionID, Password: password})
			if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != "password" {
				t.Errorf("with %q: %v", password, err)
			}
		}
		if _, err := erase("workflow", right); err == nil {
			t.Error("another service can ask for an erasure")
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
		started, err := erase("consent", right)
		if err != nil || started.Token == "" || b.erasure(started).Status != "erasing" {
			t.Fatalf("started %+v, %v", started, err)
		}
		if _, err := call(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("after the erasure the token: %v", err)
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, other.AccessToken)
	}, erasureTimes)
}

// TestExportOfAnAccount: what auth holds of a user is the account with its sessions, and no credential of it.
func TestExportOfAnAccount(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.mailbox()
		mine := b.signUp("ada@example.com")
		b.signUp("eve@example.com")
		found := map[string]string{}
		for cursor := ""; ; {
			p, err := mesh.Call(t.Context(), b.Conn(t, "consent"), subjects.ExportAuthSubject, subjects.ExportSubjectRequest{Cursor: cursor},
				mesh.As{Service: true, UserID: mine.User.ID})
			if err != nil {
				t.Fatal(err)
			}
			found[p.Source] += string(p.Data)
			if cursor = p.NextCursor; cursor == "" {
				break
			}
		}
		for source, want := range map[string]string{"users": "ada@example.com", "sessions": mine.SessionID, "audit_events": mine.User.ID} {
			if !strings.Contains(found[source], want) || strings.Contains(found[source], "eve@example.com") {
				t.Errorf("%s: %s", source, found[source])
			}
		}
		if strings.Contains(found["users"], "password") {
			t.Errorf("the export has the password's hash: %s", found["users"])
		}
	})
}
