package auth_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// verifier returns the token verifier of another process.
func (b *harness) verifier() *mesh.Verifier {
	b.t.Helper()
	conn := b.Connect(b.t, "gateway")
	presence, err := mesh.Join(b.t.Context(), conn, b.Log)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = presence.Close(context.Background()) })
	v, err := mesh.NewVerifier(b.t.Context(), presence, actortest.Issuer, actortest.Audience, b.Now)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func TestLogoutHoldsAtEveryProcess(t *testing.T) {
	b := onSQLite(t)
	session := b.signUp("ada@example.com")
	elsewhere := b.verifier()
	if _, err := elsewhere.Verify(t.Context(), session.AccessToken); err != nil {
		t.Fatalf("another process refuses a valid token: %v", err)
	}
	mustCall(b, subjects.Logout, subjects.LogoutRequest{}, session.AccessToken)
	if _, err := elsewhere.Verify(t.Context(), session.AccessToken); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
		t.Errorf("after logout, another process returns %v", err)
	}
	_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
	requireCode(t, err, subjects.CodeUnauthenticated)
	_, err = call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
	requireCode(t, err, subjects.CodeUnauthenticated)
	status := mustCall(b, subjects.ValidateToken, subjects.ValidateTokenRequest{Token: session.AccessToken}, "")
	if status.Active {
		t.Errorf("a token of an ended session is active")
	}
	eventually(t, "no session is counted", func() bool { return b.metric("auth_active_sessions", "") == 0 })
}

func TestRefreshRotates(t *testing.T) {
	b := onSQLite(t)
	first := b.signUp("ada@example.com")
	refresh := func(token string) (subjects.Session, error) {
		return call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: token}, "")
	}
	second, err := refresh(first.RefreshToken)
	if err != nil || second.RefreshToken == first.RefreshToken || second.SessionID != first.SessionID || second.User.ID != first.User.ID {
		t.Fatalf("the first refresh returns %+v, %v", second, err)
	}
	mustCall(b, subjects.GetUserProfile, subjects.Empty{}, second.AccessToken)
	b.clock.advance(9 * time.Second)
	again, err := refresh(first.RefreshToken)
	if err != nil || again.RefreshToken != second.RefreshToken {
		t.Fatalf("within the grace period: %+v, %v", again, err)
	}
	third, err := refresh(second.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.advance(10 * time.Second)
	_, err = refresh(second.RefreshToken)
	requireCode(t, err, subjects.CodeUnauthenticated)
	_, err = refresh(third.RefreshToken)
	requireCode(t, err, subjects.CodeUnauthenticated)
	_, err = call(b, subjects.GetUserProfile, subjects.Empty{}, third.AccessToken)
	requireCode(t, err, subjects.CodeUnauthenticated)
	b.waitForAudit(t, first.User.ID, "token_reuse")
}

func TestForgedRefreshTokenEndsNoSession(t *testing.T) {
	b := onSQLite(t)
	session := b.signUp("ada@example.com")
	forged := []byte(session.RefreshToken)
	forged[60] ^= 1
	for _, token := range []string{string(forged), "wrt_", "x", "wrt_" + session.RefreshToken} {
		_, err := call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: token}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
	}
	mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
}

func TestSessionTTL(t *testing.T) {
	b := onSQLite(t, func(c *auth.Config) { c.SessionTTL = time.Hour })
	session := b.signUp("ada@example.com")
	b.clock.advance(50 * time.Minute)
	late := mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
	if late.ExpiresIn > 600 {
		t.Errorf("an access token outlives its session: %d s", late.ExpiresIn)
	}
	b.clock.advance(10 * time.Minute)
	_, err := call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: late.RefreshToken}, "")
	requireCode(t, err, subjects.CodeUnauthenticated)
	if got := b.metric("auth_active_sessions", ""); got != 0 {
		t.Errorf("%v sessions are counted after expiry", got)
	}
}

func TestSessionIdleTimeout(t *testing.T) {
	b := onSQLite(t, func(c *auth.Config) { c.SessionIdle = time.Hour })
	refresh := func(s subjects.Session) (subjects.Session, error) {
		return call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: s.RefreshToken}, "")
	}
	idle, used := b.signUp("ada@example.com"), b.login("ada@example.com")
	var err error
	for range 3 {
		b.clock.advance(50 * time.Minute)
		if used, err = refresh(used); err != nil {
			t.Fatal(err)
		}
	}
	_, err = refresh(idle)
	requireCode(t, err, subjects.CodeUnauthenticated)
	list := mustCall(b, subjects.ListSessions, subjects.ListSessionsRequest{}, used.AccessToken).Items
	if len(list) != 1 || list[0].SessionID != used.SessionID || list[0].IdleAt.Sub(list[0].LastSeenAt) != time.Hour {
		t.Errorf("the list is %+v", list)
	}
	if got := b.metric("auth_active_sessions", ""); got != 1 {
		t.Errorf("%v sessions are counted", got)
	}
	// Only a refresh restarts the idle timeout, not a change of the account.
	mustCall(b, subjects.ChangePassword, subjects.ChangePasswordRequest{
		CurrentPassword: goodPassword, Password: "another good one",
	}, used.AccessToken)
	b.clock.advance(time.Hour)
	_, err = refresh(used)
	requireCode(t, err, subjects.CodeUnauthenticated)
}

func TestAccessTokenExpiresWithItsIdleSession(t *testing.T) {
	b := onSQLite(t, func(c *auth.Config) { c.SessionIdle = time.Minute })
	session := b.signUp("ada@example.com")
	if session.ExpiresIn > 60 {
		t.Errorf("an access token outlives its session: %d s", session.ExpiresIn)
	}
	b.clock.advance(time.Minute)
	_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
	requireCode(t, err, subjects.CodeUnauthenticated)
}

func TestSessionsAreListedAndRevoked(t *testing.T) {
	b := onSQLite(t, func(c *auth.Config) { c.SessionsPerUser = 4 })
	first := b.signUp("ada@example.com")
	if err := b.loginFrom("203.0.113.7", "ada@example.com", goodPassword); err != nil {
		t.Fatal(err)
	}
	eve := b.signUp("eve@example.com")
	list := mustCall(b, subjects.ListSessions, subjects.ListSessionsRequest{}, first.AccessToken).Items
	if len(list) != 2 || list[0].IP != "203.0.113.7" || list[0].Device != "a browser" || list[0].Current || !list[1].Current {
		t.Fatalf("the list is %+v", list)
	}
	page := mustCall(b, subjects.ListSessions, subjects.ListSessionsRequest{PageRequest: subjects.PageRequest{Limit: 1}}, first.AccessToken)
	rest := mustCall(b, subjects.ListSessions, subjects.ListSessionsRequest{
		PageRequest: subjects.PageRequest{Limit: 1, Cursor: page.NextCursor},
	}, first.AccessToken)
	if len(page.Items) != 1 || len(rest.Items) != 1 || page.Items[0] != list[0] || rest.Items[0] != list[1] || rest.NextCursor != "" {
		t.Errorf("pages are %+v and %+v", page, rest)
	}
	_, err := call(b, subjects.RevokeSession, subjects.RevokeSessionRequest{SessionID: list[1].SessionID}, eve.AccessToken)
	requireCode(t, err, subjects.CodeNotFound)
	mustCall(b, subjects.RevokeSession, subjects.RevokeSessionRequest{SessionID: list[0].SessionID}, first.AccessToken)
	_, err = call(b, subjects.RevokeSession, subjects.RevokeSessionRequest{SessionID: uuid.NewString()}, first.AccessToken)
	requireCode(t, err, subjects.CodeNotFound)
	for range 4 {
		b.login("ada@example.com")
	}
	_, err = call(b, subjects.GetUserProfile, subjects.Empty{}, first.AccessToken)
	requireCode(t, err, subjects.CodeUnauthenticated)
	last := b.login("ada@example.com")
	mustCall(b, subjects.Logout, subjects.LogoutRequest{All: true}, last.AccessToken)
	mustCall(b, subjects.GetUserProfile, subjects.Empty{}, eve.AccessToken)
	sessions, err := kv.Open[struct{}](t.Context(), b.Conn(t, "auth").JS, kv.AuthSessions)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := sessions.Keys(t.Context(), kv.EncodeKey(last.User.ID)+".>"); err != nil || len(keys) != 0 {
		t.Errorf("sessions left after logging out everywhere: %v, %v", keys, err)
	}
}

func TestEndingOtherSessionsRequiresARecentSignIn(t *testing.T) {
	b := onSQLite(t)
	other, mine := b.signUp("ada@example.com"), b.login("ada@example.com")
	b.clock.advance(6 * time.Minute)
	end := func(by, which subjects.Session) error {
		_, err := call(b, subjects.RevokeSession, subjects.RevokeSessionRequest{SessionID: which.SessionID}, by.AccessToken)
		return err
	}
	all := func(by subjects.Session) error {
		_, err := call(b, subjects.Logout, subjects.LogoutRequest{All: true}, by.AccessToken)
		return err
	}
	requireCode(t, end(mine, other), subjects.CodeForbidden)
	requireCode(t, all(mine), subjects.CodeForbidden)
	if err := end(mine, mine); err != nil {
		t.Errorf("ending the own session: %v", err)
	}
	fresh := b.login("ada@example.com")
	if err := end(fresh, other); err != nil {
		t.Error(err)
	}
	b.requireEnded(other)
	if err := all(fresh); err != nil {
		t.Error(err)
	}
	b.requireEnded(fresh)
}

// waitForAudit waits until the user's last audit event has the action.
func (b *harness) waitForAudit(t testing.TB, userID, action string) {
	t.Helper()
	stream, err := b.Conn(t, "auth").JS.Stream(t.Context(), subjects.Audit.Name)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, action+" is in the audit stream", func() bool {
		msg, err := stream.GetLastMsgForSubject(t.Context(), subjects.AuditSubject("auth", userID))
		return err == nil && containsAction(msg.Data, action)
	})
}
