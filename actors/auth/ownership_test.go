package auth_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// answerErasures answers every deletion as the other actors do, until the test ends.
func (b *harness) answerErasures() {
	b.t.Helper()
	js := b.Conn(b.t, mesh.UserOperator).JS
	consumer, err := js.OrderedConsumer(b.t.Context(), subjects.Events.Name, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjects.AccountDeleted.Subject},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		var e subjects.Envelope[subjects.AccountDeletion]
		if json.Unmarshal(m.Data(), &e) != nil || b.t.Context().Err() != nil {
			return
		}
		for _, actor := range subjects.ErasingActors() {
			b.answerDeletion(actor, e, 1)
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(consuming.Stop)
}

// squattedAccount is an account that an attacker registered with somebody else's address, with the credentials that the
// attacker added.
type squattedAccount struct {
	session subjects.Session
	key     string
	token   subjects.KeyToken
	move    string // the token of a message that would change the account's address to the attacker's
}

const attackerPassword = "the attacker's password"

func (b *harness) squat(box *mailbox, email string) squattedAccount {
	b.t.Helper()
	b.answerErasures()
	mustCall(b, subjects.Register, subjects.RegisterRequest{Email: email, Password: attackerPassword, FirstName: "Mallory"}, "")
	box.waitFor(email, verifySubject, 1)
	var squatted squattedAccount
	var err error
	squatted.session = mustCall(b, subjects.Login, subjects.LoginRequest{Email: email, Password: attackerPassword}, "")
	token := squatted.session.AccessToken
	squatted.key = mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "x", Scopes: []string{subjects.ScopeUserProfileRead}}, token).Key
	if squatted.token, err = exchange(b, squatted.key); err != nil {
		b.t.Fatal(err)
	}
	enrolled := mustCall(b, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{Password: attackerPassword}, token)
	mustCall(b, subjects.ConfirmTOTP, subjects.ConfirmTOTPRequest{Code: codeAt(b.t, enrolled.Secret, b.Now())}, token)
	mustCall(b, subjects.ChangeEmail, subjects.ChangeEmailRequest{
		Email: "attacker@example.com", Password: attackerPassword, Code: codeAt(b.t, enrolled.Secret, b.Now().Add(30*time.Second)),
	}, token)
	squatted.move = box.waitFor("attacker@example.com", verifySubject, 1).token(b.t)
	return squatted
}

// requireEvicted fails the test if any credential of a squatted account is still valid.
func (b *harness) requireEvicted(squatted squattedAccount, email string) {
	b.t.Helper()
	for _, token := range []string{squatted.session.AccessToken, squatted.token.AccessToken} {
		_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, token)
		requireCode(b.t, err, subjects.CodeUnauthenticated)
	}
	b.requireEnded(squatted.session)
	_, err := exchange(b, squatted.key)
	requireCode(b.t, err, subjects.CodeUnauthenticated)
	requireCode(b.t, verify(b, squatted.move), subjects.CodeInvalid)
	_, err = call(b, subjects.Login, subjects.LoginRequest{Email: email, Password: attackerPassword}, "")
	requireCode(b.t, err, subjects.CodeUnauthenticated)
}

// TestDuplicateRegistrationInvalidatesPasswords: whichever verification message the owner of an address follows, no
// attacker's password or other credential opens the account.
func TestDuplicateRegistrationInvalidatesPasswords(t *testing.T) {
	for _, whose := range []string{"the attacker's mail", "the owner's mail", "a mail that was sent again"} {
		t.Run(whose, func(t *testing.T) {
			onEachDatabase(t, func(t *testing.T, b *harness) {
				box := b.mailbox()
				squatted := b.squat(box, "ada@example.com")
				mails := []mail{box.waitFor("ada@example.com", verifySubject, 1)}
				b.register("ada@example.com")
				mails = append(mails, box.waitFor("ada@example.com", verifySubject, 2))
				mustCall(b, subjects.ResendVerification, subjects.EmailRequest{Email: "ada@example.com"}, "")
				mails = append(mails, box.waitFor("ada@example.com", verifySubject, 3))
				followed := map[string]int{"the attacker's mail": 0, "the owner's mail": 1, "a mail that was sent again": 2}[whose]
				if err := verify(b, mails[followed].token(t)); err != nil {
					t.Fatal(err)
				}
				b.requireEvicted(squatted, "ada@example.com")
				_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
				requireCode(t, err, subjects.CodeUnauthenticated)
				for _, other := range mails {
					requireCode(t, verify(b, other.token(t)), subjects.CodeInvalid)
				}
				mustCall(b, subjects.ResetPassword, subjects.ResetPasswordRequest{
					Token: box.waitFor("ada@example.com", resetSubject, 1).token(t), Password: goodPassword,
				}, "")
				if got := b.login("ada@example.com").User; !got.EmailVerified || got.FirstName != "" {
					t.Errorf("the account is %+v", got)
				}
				b.register("ada@example.com")
				box.waitFor("ada@example.com", subjects.TemplateEmailTaken, 1)
			})
		})
	}
}

// TestPasswordResetRemovesAttackersCredentials: the owner of an address that an attacker registered requests a password
// reset.
func TestPasswordResetRemovesAttackersCredentials(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		box := b.mailbox()
		squatted := b.squat(box, "ada@example.com")
		mustCall(b, subjects.RequestPasswordReset, subjects.EmailRequest{Email: "ada@example.com"}, "")
		mustCall(b, subjects.ResetPassword, subjects.ResetPasswordRequest{
			Token: box.waitFor("ada@example.com", resetSubject, 1).token(t), Password: goodPassword,
		}, "")
		b.requireEvicted(squatted, "ada@example.com")
		if got := b.login("ada@example.com"); got.MFAToken != "" || !got.User.EmailVerified {
			t.Errorf("signed in as %+v", got)
		}
	})
}

// TestRequireVerifiedEmailLater: once verification is required, the earlier credentials of an unverified account open
// nothing until its address is verified.
func TestRequireVerifiedEmailLater(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		box := b.mailbox()
		session := b.signUp("ada@example.com")
		token := box.waitFor("ada@example.com", verifySubject, 1).token(t)
		key := mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
			Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead},
		}, session.AccessToken).Key
		secret, _ := b.enableTOTP(session.AccessToken)
		b.clock.advance(time.Minute)
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
		requireCode(t, refresh(), subjects.CodeForbidden)
		_, err := exchange(b, key)
		requireCode(t, err, subjects.CodeForbidden)
		_, err = verifyMFA(b, pending, codeAt(t, secret, b.Now()))
		requireCode(t, err, subjects.CodeForbidden)
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
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
