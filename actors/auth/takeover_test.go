package auth_test

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// trap is what a stranger makes of an account that they opened with somebody else's address.
type trap struct {
	session subjects.Session
	key     string
	token   subjects.KeyToken
	move    string // the token of a mail that would move the account to the stranger's address
}

const strangersPassword = "the stranger's own"

func (b *bench) trap(box *mailbox, email string) trap {
	b.t.Helper()
	must(b, subjects.Register, subjects.RegisterRequest{Email: email, Password: strangersPassword, FirstName: "Mallory"}, "")
	box.wait(email, verifySubject, 1)
	var laid trap
	var err error
	laid.session = must(b, subjects.Login, subjects.LoginRequest{Email: email, Password: strangersPassword}, "")
	token := laid.session.AccessToken
	laid.key = must(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "x", Scopes: []string{subjects.ScopeUserProfileRead}}, token).Key
	if laid.token, err = exchange(b, laid.key); err != nil {
		b.t.Fatal(err)
	}
	enrolled := must(b, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{Password: strangersPassword}, token)
	must(b, subjects.ConfirmTOTP, subjects.ConfirmTOTPRequest{Code: codeAt(b.t, enrolled.Secret, b.Now())}, token)
	must(b, subjects.ChangeEmail, subjects.ChangeEmailRequest{
		Email: "stranger@example.com", Password: strangersPassword, Code: codeAt(b.t, enrolled.Secret, b.Now().Add(30*time.Second)),
	}, token)
	laid.move = box.wait("stranger@example.com", verifySubject, 1).token(b.t)
	return laid
}

// sprung fails the test if anything of a trap is good any more.
func (b *bench) sprung(laid trap, email string) {
	b.t.Helper()
	for _, token := range []string{laid.session.AccessToken, laid.token.AccessToken} {
		_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, token)
		refused(b.t, err, subjects.CodeUnauthenticated)
	}
	b.isOver(laid.session)
	_, err := exchange(b, laid.key)
	refused(b.t, err, subjects.CodeUnauthenticated)
	refused(b.t, verify(b, laid.move), subjects.CodeInvalid)
	_, err = call(b, subjects.Login, subjects.LoginRequest{Email: email, Password: strangersPassword}, "")
	refused(b.t, err, subjects.CodeUnauthenticated)
}

// TestAnAddressRegisteredTwiceHasNoPassword: whichever of the mails the owner of an address follows, no stranger's password
// opens the account, nor anything else that the stranger made of it.
func TestAnAddressRegisteredTwiceHasNoPassword(t *testing.T) {
	for _, whose := range []string{"the stranger's mail", "the owner's mail", "a mail that was sent again"} {
		t.Run(whose, func(t *testing.T) {
			onBoth(t, func(t *testing.T, b *bench) {
				box := b.mailbox()
				laid := b.trap(box, "ada@example.com")
				mails := []mail{box.wait("ada@example.com", verifySubject, 1)}
				b.register("ada@example.com")
				mails = append(mails, box.wait("ada@example.com", verifySubject, 2))
				must(b, subjects.ResendVerification, subjects.EmailRequest{Email: "ada@example.com"}, "")
				mails = append(mails, box.wait("ada@example.com", verifySubject, 3))
				followed := map[string]int{"the stranger's mail": 0, "the owner's mail": 1, "a mail that was sent again": 2}[whose]
				if err := verify(b, mails[followed].token(t)); err != nil {
					t.Fatal(err)
				}
				b.sprung(laid, "ada@example.com")
				_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
				refused(t, err, subjects.CodeUnauthenticated)
				for _, other := range mails {
					refused(t, verify(b, other.token(t)), subjects.CodeInvalid)
				}
				must(b, subjects.ResetPassword, subjects.ResetPasswordRequest{
					Token: box.wait("ada@example.com", resetSubject, 1).token(t), Password: goodPassword,
				}, "")
				if got := b.login("ada@example.com").User; !got.EmailVerified || got.FirstName != "" {
					t.Errorf("the account is %+v", got)
				}
				b.register("ada@example.com")
				box.wait("ada@example.com", "You have an account already", 1)
			})
		})
	}
}

// TestAResetLeavesNothingOfAStrangers: the owner of an address that a stranger registered asks for a password.
func TestAResetLeavesNothingOfAStrangers(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		box := b.mailbox()
		laid := b.trap(box, "ada@example.com")
		must(b, subjects.RequestPasswordReset, subjects.EmailRequest{Email: "ada@example.com"}, "")
		must(b, subjects.ResetPassword, subjects.ResetPasswordRequest{
			Token: box.wait("ada@example.com", resetSubject, 1).token(t), Password: goodPassword,
		}, "")
		b.sprung(laid, "ada@example.com")
		if got := b.login("ada@example.com"); got.MFAToken != "" || !got.User.EmailVerified {
			t.Errorf("signed in with %+v", got)
		}
	})
}

// TestVerificationCanBeDemandedLater: what an unverified account had before opens nothing until its address is verified.
func TestVerificationCanBeDemandedLater(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		box := b.mailbox()
		session := b.signedUp("ada@example.com")
		token := box.wait("ada@example.com", verifySubject, 1).token(t)
		key := must(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
			Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead},
		}, session.AccessToken).Key
		secret, _ := b.withTOTP(session.AccessToken)
		b.clock.forward(time.Minute)
		pending := b.login("ada@example.com").MFAToken
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.config.RequireVerifiedEmail = true
		b.actor = b.start()
		refresh := func() error {
			_, err := call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
			return err
		}
		refused(t, refresh(), subjects.CodeForbidden)
		_, err := exchange(b, key)
		refused(t, err, subjects.CodeForbidden)
		_, err = second(b, pending, codeAt(t, secret, b.Now()))
		refused(t, err, subjects.CodeForbidden)
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		refused(t, err, subjects.CodeUnauthenticated)
		if err := verify(b, token); err != nil {
			t.Fatal(err)
		}
		if err := refresh(); err != nil {
			t.Error(err)
		}
		if _, err := exchange(b, key); err != nil {
			t.Error(err)
		}
	})
}
