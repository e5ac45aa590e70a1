package auth_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// requireAll requires a second factor of every account.
func requireAll(c *auth.Config) { c.RequireSecondFactor = "all" }

// requireEnrollmentOnly fails the test unless a session can call the endpoints that set up a second factor and no other
// that requires a sign-in.
func (b *harness) requireEnrollmentOnly(s subjects.Session) {
	b.t.Helper()
	if !s.EnrollmentRequired || s.MFAToken != "" || s.AccessToken == "" {
		b.t.Fatalf("the session is %+v", s)
	}
	asked := 0
	for _, d := range subjects.Endpoints() {
		if d.Actor != "auth" || d.Access.Anyone || !d.Access.SignedIn || d.Access.Enrolling {
			continue
		}
		asked++
		header := nats.Header{mesh.HeaderAuthorization: {"Bearer " + s.AccessToken}}
		if _, err := b.gateway.Forward(b.t.Context(), d.Subject, header, []byte("{}")); subjects.CodeOf(err) != subjects.CodeForbidden {
			b.t.Errorf("%s: got %v, want forbidden", d.Name(), err)
		}
	}
	if asked < 20 {
		b.t.Errorf("only %d endpoints were asked", asked)
	}
}

func refreshSession(b *harness, s subjects.Session) subjects.Session {
	b.t.Helper()
	return mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: s.RefreshToken}, "")
}

func TestRequiredSecondFactor(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		session := b.signUp("ada@example.com")
		b.requireEnrollmentOnly(session)
		session = refreshSession(b, session)
		b.requireEnrollmentOnly(session)
		secret, recovery := b.enableTOTP(session.AccessToken)
		session = refreshSession(b, session)
		if session.EnrollmentRequired {
			t.Errorf("after enrolment: %+v", session)
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)

		b.clock.advance(time.Minute)
		next, err := verifyMFA(b, b.login("ada@example.com").MFAToken, codeAt(t, secret, b.Now()))
		if err != nil || next.EnrollmentRequired {
			t.Fatalf("with both factors: %+v, %v", next, err)
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, next.AccessToken)
		// A user who loses the authenticator is signed out everywhere and enrols again.
		mustCall(b, subjects.DisableTOTP, subjects.DisableTOTPRequest{Password: goodPassword, Code: recovery[0]}, next.AccessToken)
		b.requireEnded(next)
		b.requireEnded(session)
		b.requireEnrollmentOnly(b.login("ada@example.com"))
	}, requireAll)
}

func TestPasskeySatisfiesRequiredSecondFactor(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.addVerified("ada@example.com")
		session := b.login("ada@example.com")
		b.requireEnrollmentOnly(session)
		k, made := b.addPasskey(session.AccessToken)
		session = refreshSession(b, session)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		// The password alone cannot add another factor.
		_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		requireCode(t, err, subjects.CodeForbidden)
		session, err = b.passkeyLogin(k)
		if err != nil || session.EnrollmentRequired {
			t.Fatalf("with the passkey: %+v, %v", session, err)
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		mustCall(b, subjects.DeletePasskey, subjects.DeletePasskeyRequest{PasskeyID: made.ID}, session.AccessToken)
		b.requireEnded(session)
		b.requireEnrollmentOnly(b.login("ada@example.com"))
	}, requireAll)
}

// TestRemovingOneOfTwoFactorsKeepsTheSession: a user who has both an authenticator and a passkey can remove one and
// stay signed in.
func TestRemovingOneOfTwoFactorsKeepsTheSession(t *testing.T) {
	b := onSQLite(t, requireAll)
	b.addVerified("ada@example.com")
	session := b.login("ada@example.com")
	_, made := b.addPasskey(session.AccessToken)
	session = refreshSession(b, session)
	secret, _ := b.enableTOTP(session.AccessToken)
	mustCall(b, subjects.DeletePasskey, subjects.DeletePasskeyRequest{PasskeyID: made.ID}, session.AccessToken)
	_, again := b.addPasskey(session.AccessToken)
	b.clock.advance(time.Minute)
	mustCall(b, subjects.DisableTOTP, subjects.DisableTOTPRequest{
		Password: goodPassword, Code: codeAt(t, secret, b.Now()),
	}, session.AccessToken)
	session = refreshSession(b, session)
	if list := passkeysOf(b, session.AccessToken); len(list) != 1 || list[0].ID != again.ID {
		t.Errorf("the passkeys are %+v", list)
	}
}

func TestAdminSetsSecondFactorRule(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		root := b.admin("root@example.com")
		b.requireEnrollmentOnly(root)
		b.enableTOTP(root.AccessToken)
		root = refreshSession(b, root)
		ada := b.signUp("ada@example.com")
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, ada.AccessToken)
		rule := func(who subjects.Session, says string) {
			t.Helper()
			got := mustCall(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: who.User.ID, SecondFactor: says}, root.AccessToken)
			if got.SecondFactor != says {
				t.Errorf("the account is %+v", got)
			}
		}
		rule(ada, "required")
		b.requireEnded(ada)
		ada = b.login("ada@example.com")
		b.requireEnrollmentOnly(ada)
		rule(ada, "default")
		ada = b.login("ada@example.com")
		mustCall(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Roles: []string{"admin"}}, root.AccessToken)
		ada = refreshSession(b, ada)
		b.requireEnrollmentOnly(ada)
		rule(ada, "optional")
		ada = refreshSession(b, ada)
		mustCall(b, subjects.ListUsers, subjects.ListUsersRequest{}, ada.AccessToken)
		b.waitForAudit(t, ada.User.ID, "account_administered")
	}, func(c *auth.Config) { c.RequireSecondFactor = "admins" })
}

// TestRequiredSecondFactorAfterProviderSignIn: without a password, a recent sign-in confirms the owner.
func TestRequiredSecondFactorAfterProviderSignIn(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		session := b.mustOAuthSignIn(op, "ada")
		b.requireEnrollmentOnly(session)
		enrolled := mustCall(b, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{}, session.AccessToken)
		mustCall(b, subjects.ConfirmTOTP, subjects.ConfirmTOTPRequest{Code: codeAt(t, enrolled.Secret, b.Now())}, session.AccessToken)
		session = refreshSession(b, session)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		b.clock.advance(10 * time.Minute)
		_, err := call(b, subjects.DisableTOTP, subjects.DisableTOTPRequest{Code: codeAt(t, enrolled.Secret, b.Now())}, session.AccessToken)
		requireCode(t, err, subjects.CodeForbidden)
	}, requireAll)
}
