package auth_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// requireAll has every account need a second factor.
func requireAll(c *auth.Config) { c.RequireSecondFactor = "all" }

// confined fails the test unless a session reaches the set-up of a second factor and no other endpoint that asks who calls.
func (b *bench) confined(s subjects.Session) {
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
			b.t.Errorf("%s says %v", d.Name(), err)
		}
	}
	if asked < 20 {
		b.t.Errorf("only %d endpoints were asked", asked)
	}
}

func refreshed(b *bench, s subjects.Session) subjects.Session {
	b.t.Helper()
	return must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: s.RefreshToken}, "")
}

func TestASecondFactorCanBeDemanded(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		session := b.signedUp("ada@example.com")
		b.confined(session)
		session = refreshed(b, session)
		b.confined(session)
		secret, recovery := b.withTOTP(session.AccessToken)
		session = refreshed(b, session)
		if session.EnrollmentRequired {
			t.Errorf("after the set-up: %+v", session)
		}
		must(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)

		b.clock.forward(time.Minute)
		next, err := second(b, b.login("ada@example.com").MFAToken, codeAt(t, secret, b.Now()))
		if err != nil || next.EnrollmentRequired {
			t.Fatalf("with both factors: %+v, %v", next, err)
		}
		must(b, subjects.GetUserProfile, subjects.Empty{}, next.AccessToken)
		// Who loses the authenticator begins anew, signed in nowhere.
		must(b, subjects.DisableTOTP, subjects.DisableTOTPRequest{Password: goodPassword, Code: recovery[0]}, next.AccessToken)
		b.isOver(next)
		b.isOver(session)
		b.confined(b.login("ada@example.com"))
	}, requireAll)
}

func TestAPasskeyIsTheSecondFactorThatIsDemanded(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.members("ada@example.com")
		session := b.login("ada@example.com")
		b.confined(session)
		k, made := b.withPasskey(session.AccessToken)
		session = refreshed(b, session)
		must(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		// The password alone sets nothing up beside it.
		_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		refused(t, err, subjects.CodeForbidden)
		session, err = b.present(k)
		if err != nil || session.EnrollmentRequired {
			t.Fatalf("with the passkey: %+v, %v", session, err)
		}
		must(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		must(b, subjects.DeletePasskey, subjects.DeletePasskeyRequest{PasskeyID: made.ID}, session.AccessToken)
		b.isOver(session)
		b.confined(b.login("ada@example.com"))
	}, requireAll)
}

// TestWhoHasAnotherFactorKeepsTheSession: with an authenticator beside it a passkey's removal ends no session of its own.
func TestWhoHasAnotherFactorKeepsTheSession(t *testing.T) {
	b := once(t, requireAll)
	b.members("ada@example.com")
	session := b.login("ada@example.com")
	_, made := b.withPasskey(session.AccessToken)
	session = refreshed(b, session)
	secret, _ := b.withTOTP(session.AccessToken)
	must(b, subjects.DeletePasskey, subjects.DeletePasskeyRequest{PasskeyID: made.ID}, session.AccessToken)
	_, again := b.withPasskey(session.AccessToken)
	b.clock.forward(time.Minute)
	must(b, subjects.DisableTOTP, subjects.DisableTOTPRequest{
		Password: goodPassword, Code: codeAt(t, secret, b.Now()),
	}, session.AccessToken)
	session = refreshed(b, session)
	if list := passkeysOf(b, session.AccessToken); len(list) != 1 || list[0].ID != again.ID {
		t.Errorf("the passkeys are %+v", list)
	}
}

func TestAnAdminSaysWhoNeedsASecondFactor(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		root := b.admin("root@example.com")
		b.confined(root)
		b.withTOTP(root.AccessToken)
		root = refreshed(b, root)
		ada := b.signedUp("ada@example.com")
		must(b, subjects.GetUserProfile, subjects.Empty{}, ada.AccessToken)
		rule := func(who subjects.Session, says string) {
			t.Helper()
			got := must(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: who.User.ID, SecondFactor: says}, root.AccessToken)
			if got.SecondFactor != says {
				t.Errorf("the account is %+v", got)
			}
		}
		rule(ada, "required")
		b.isOver(ada)
		ada = b.login("ada@example.com")
		b.confined(ada)
		rule(ada, "default")
		ada = b.login("ada@example.com")
		must(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Roles: []string{"admin"}}, root.AccessToken)
		ada = refreshed(b, ada)
		b.confined(ada)
		rule(ada, "optional")
		ada = refreshed(b, ada)
		must(b, subjects.ListUsers, subjects.ListUsersRequest{}, ada.AccessToken)
		b.audited(t, ada.User.ID, "account_administered")
	}, func(c *auth.Config) { c.RequireSecondFactor = "admins" })
}

// TestWhoSignsInAtAProviderNeedsASecondFactorToo: without a password a sign-in of just now proves who sets it up.
func TestWhoSignsInAtAProviderNeedsASecondFactorToo(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		session := b.signedInAt(op, "ada")
		b.confined(session)
		enrolled := must(b, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{}, session.AccessToken)
		must(b, subjects.ConfirmTOTP, subjects.ConfirmTOTPRequest{Code: codeAt(t, enrolled.Secret, b.Now())}, session.AccessToken)
		session = refreshed(b, session)
		must(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		b.clock.forward(10 * time.Minute)
		_, err := call(b, subjects.DisableTOTP, subjects.DisableTOTPRequest{Code: codeAt(t, enrolled.Secret, b.Now())}, session.AccessToken)
		refused(t, err, subjects.CodeForbidden)
	}, requireAll)
}
