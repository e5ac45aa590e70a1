package auth_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// mail is an e-mail message as handed to the notification actor: subject is its template, and body has its data.
type mail struct {
	to, subject, body string
	listed            bool      // the user can list it
	sendAt            time.Time // zero: at once
}

// mailbox replaces the notification actor, and calls get_contact as it does.
type mailbox struct {
	b    *harness
	mu   sync.Mutex
	seen []mail
}

func (b *harness) mailbox() *mailbox {
	b.t.Helper()
	box := &mailbox{b: b}
	var conn *mesh.Conn
	receive := func(ctx context.Context, req subjects.SendNotificationRequest) (subjects.NotificationRef, error) {
		contact, err := mesh.Call(ctx, conn, subjects.GetContact, subjects.Empty{}, mesh.As{Service: true, UserID: req.UserID})
		if err != nil {
			return subjects.NotificationRef{}, err
		}
		box.mu.Lock()
		defer box.mu.Unlock()
		got := mail{to: contact.Email, subject: kindOf(req.Template), body: fmt.Sprintf("%s", req.Data), listed: slices.Contains(req.Channels, "in_app")}
		if req.SendAt != nil {
			got.sendAt = *req.SendAt
		}
		box.seen = append(box.seen, got)
		return subjects.NotificationRef{NotificationID: actortest.User(), Status: "accepted"}, nil
	}
	database := actortest.Databases(b.t)[0].Config(b.t, "notification")
	b.Host(b.t, "notification", database, nil, func(d actors.Deps) (actors.Service, error) {
		conn = d.Conn
		return actors.Service{Name: "notification", Bindings: []actors.Binding{actors.Bind(subjects.SendNotification, receive)}}, nil
	})
	return box
}

// kindOf is the template of a mail; variants that tests do not distinguish have one kind.
func kindOf(template string) string {
	switch template {
	case subjects.TemplateChangeEmail:
		return subjects.TemplateVerifyEmail
	case subjects.TemplateRegisteredTwice:
		return subjects.TemplateResetPassword
	}
	return template
}

// waitFor waits for n mails with that subject to an address and returns the last. It fails the test if there are more.
func (m *mailbox) waitFor(to, subject string, n int) mail {
	m.b.t.Helper()
	var found []mail
	eventually(m.b.t, to+" gets: "+subject, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		found = nil
		for _, got := range m.seen {
			if got.to == to && got.subject == subject {
				found = append(found, got)
			}
		}
		return len(found) >= n
	})
	if len(found) != n {
		m.b.t.Fatalf("%s received %d of %q, want %d", to, len(found), subject, n)
	}
	return found[n-1]
}

// delayed counts the mails with a subject that are not sent at once.
func (m *mailbox) delayed(subject string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, got := range m.seen {
		if got.subject == subject && !got.sendAt.IsZero() {
			n++
		}
	}
	return n
}

func (m mail) token(t testing.TB) string {
	t.Helper()
	token := regexp.MustCompile(`[A-Za-z0-9_-]{43}`).FindString(m.body)
	if token == "" {
		t.Fatalf("no token in %q", m.body)
	}
	return token
}

const (
	verifySubject = subjects.TemplateVerifyEmail
	resetSubject  = subjects.TemplateResetPassword
)

func verify(b *harness, token string) error {
	_, err := call(b, subjects.VerifyEmail, subjects.VerifyEmailRequest{Token: token}, "")
	return err
}

func TestVerificationTokenIsSingleUseAndExpires(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		box := b.mailbox()
		b.register("ada@example.com")
		_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
		late := box.waitFor("ada@example.com", verifySubject, 1)
		if late.listed {
			t.Errorf("the user can list a message that carries a token")
		}
		b.clock.advance(30 * time.Minute)
		requireCode(t, verify(b, late.token(t)), subjects.CodeInvalid)
		mustCall(b, subjects.ResendVerification, subjects.EmailRequest{Email: "Ada@example.com"}, "")
		mustCall(b, subjects.ResendVerification, subjects.EmailRequest{Email: "nobody@example.com"}, "")
		token := box.waitFor("ada@example.com", verifySubject, 2).token(t)
		passed := 0
		for _, err := range concurrently(10, func(int) error { return verify(b, token) }) {
			if err == nil {
				passed++
			}
		}
		if passed != 1 {
			t.Errorf("a token was accepted %d times", passed)
		}
		if !b.login("ada@example.com").User.EmailVerified {
			t.Errorf("the address is not verified")
		}
	}, func(c *auth.Config) { c.RequireVerifiedEmail = true })
}

// TestLockoutDoesNotRevealAccounts: someone who registers an address and signs in with the chosen password is locked
// out in the same way whether the address was free, taken or unverified.
func TestLockoutDoesNotRevealAccounts(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.signUpVerified(b.mailbox(), "taken@example.com")
		b.register("waiting@example.com")
		for _, email := range []string{"free@example.com", "taken@example.com", "waiting@example.com"} {
			const chosen = "the attacker's password"
			mustCall(b, subjects.Register, subjects.RegisterRequest{Email: email, Password: chosen}, "")
			for range 5 {
				requireCode(t, b.loginFrom("203.0.113.7", email, chosen), subjects.CodeUnauthenticated)
			}
			if err := b.loginFrom("203.0.113.7", email, chosen); subjects.CodeOf(err) != subjects.CodeRateLimited {
				t.Errorf("%s: %v", email, err)
			}
		}
	}, func(c *auth.Config) { c.RequireVerifiedEmail = true })
}

func TestResetPassword(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.answerErasures()
		box := b.mailbox()
		session := b.signUp("ada@example.com")
		for _, email := range []string{"ada@example.com", "nobody@example.com"} {
			if got := mustCall(b, subjects.RequestPasswordReset, subjects.EmailRequest{Email: email}, ""); got.Status != "accepted" {
				t.Errorf("%s: %+v", email, got)
			}
		}
		token := box.waitFor("ada@example.com", resetSubject, 1).token(t)
		_, err := call(b, subjects.ResetPassword, subjects.ResetPasswordRequest{Token: token, Password: "password1"}, "")
		if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != "password" {
			t.Errorf("field is %s", e.Fields[0].Field)
		}
		passed := 0
		for _, err := range concurrently(10, func(int) error {
			_, err := call(b, subjects.ResetPassword, subjects.ResetPasswordRequest{Token: token, Password: "a wholly new one"}, "")
			return err
		}) {
			if err == nil {
				passed++
			}
		}
		if passed != 1 {
			t.Errorf("a token was accepted %d times", passed)
		}
		_, err = call(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		requireCode(t, err, subjects.CodeUnauthenticated)
		_, err = call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
		fresh := mustCall(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "a wholly new one"}, "")
		if !fresh.User.EmailVerified {
			t.Errorf("a password reset does not verify the address")
		}
		if told := box.waitFor("ada@example.com", subjects.TemplatePasswordChanged, 1); !told.listed {
			t.Errorf("the notice cannot be listed")
		}
	})
}

func TestChangePasswordEndsOtherSessions(t *testing.T) {
	b := onSQLite(t)
	other, mine := b.signUp("ada@example.com"), b.login("ada@example.com")
	change := func(current, next string) error {
		_, err := call(b, subjects.ChangePassword, subjects.ChangePasswordRequest{CurrentPassword: current, Password: next}, mine.AccessToken)
		return err
	}
	if e := requireCode(t, change("not my password", "a wholly new one"), subjects.CodeInvalid); e.Fields[0].Field != "current_password" {
		t.Errorf("field is %s", e.Fields[0].Field)
	}
	requireCode(t, change(goodPassword, goodPassword), subjects.CodeInvalid)
	if err := change(goodPassword, "a wholly new one"); err != nil {
		t.Fatal(err)
	}
	_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, other.AccessToken)
	requireCode(t, err, subjects.CodeUnauthenticated)
	mustCall(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
	mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: mine.RefreshToken}, "")
	for range 4 {
		requireCode(t, change("not my password", "another wholly new one"), subjects.CodeInvalid)
	}
	requireCode(t, change("not my password", "another wholly new one"), subjects.CodeInvalid)
	requireCode(t, change("a wholly new one", "another wholly new one"), subjects.CodeRateLimited)
}

func TestChangeEmail(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		box := b.mailbox()
		session := b.signUp("ada@example.com")
		b.signUpVerified(box, "eve@example.com")
		change := func(email, password string) error {
			_, err := call(b, subjects.ChangeEmail, subjects.ChangeEmailRequest{Email: email, Password: password}, session.AccessToken)
			return err
		}
		requireCode(t, change("new@example.com", "not my password"), subjects.CodeInvalid)
		for _, email := range []string{"eve@example.com", "new@example.com"} {
			if err := change(email, goodPassword); err != nil {
				t.Fatalf("%s: %v", email, err)
			}
		}
		box.waitFor("eve@example.com", subjects.TemplateEmailTaken, 1)
		token := box.waitFor("new@example.com", verifySubject, 1).token(t)
		if p := mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken); p.Email != "ada@example.com" {
			t.Errorf("the address changed before verification: %s", p.Email)
		}
		if err := verify(b, token); err != nil {
			t.Fatal(err)
		}
		p := mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		if p.Email != "new@example.com" || !p.EmailVerified {
			t.Errorf("the profile is %+v", p)
		}
		box.waitFor("ada@example.com", subjects.TemplateEmailChanged, 1)
		_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
		b.login("new@example.com")
		if err := change("late@example.com", goodPassword); err != nil {
			t.Fatal(err)
		}
		token = box.waitFor("late@example.com", verifySubject, 1).token(t)
		b.register("late@example.com")
		if err := verify(b, box.waitFor("late@example.com", verifySubject, 2).token(t)); err != nil {
			t.Fatal(err)
		}
		requireCode(t, verify(b, token), subjects.CodeConflict)
	})
}

// requestResetFrom requests a password reset as the gateway does for a client with an IP address.
func (b *harness) requestResetFrom(ip, email string) {
	b.t.Helper()
	header := nats.Header{mesh.HeaderClientIP: {ip}}
	if _, err := b.gateway.Forward(b.t.Context(), subjects.RequestPasswordReset.Subject, header, []byte(`{"email":"`+email+`"}`)); err != nil {
		b.t.Fatal(err)
	}
}

// TestAnAttackersResetsDoNotUseUpTheOwners: an attacker asks for resets of an address; the owner, on another network, still gets one
// at once, and on the same network at the next slot.
func TestAnAttackersResetsDoNotUseUpTheOwners(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		box := b.mailbox()
		b.register("ada@example.com")
		for range 8 {
			b.requestResetFrom("203.0.113.7", "ada@example.com")
		}
		box.waitFor("ada@example.com", resetSubject, 4)
		if n := box.delayed(resetSubject); n != 1 {
			t.Errorf("%d of four messages for a network are delayed, want one", n)
		}
		b.requestResetFrom("198.51.100.9", "ada@example.com")
		box.waitFor("ada@example.com", resetSubject, 5)
		if box.delayed(resetSubject) != 1 {
			t.Errorf("the owner's message is delayed")
		}
		for range 3 { // the whole address is used up: a request is served at the next slot, and others with it
			b.requestResetFrom("198.51.100.10", "ada@example.com")
			b.requestResetFrom("198.51.100.11", "ada@example.com")
		}
		b.clock.advance(7 * time.Minute)
		b.requestResetFrom("203.0.113.7", "ada@example.com")
		last := box.waitFor("ada@example.com", resetSubject, 7)
		mustCall(b, subjects.ResetPassword, subjects.ResetPasswordRequest{Token: last.token(t), Password: "a wholly new one"}, "")
	})
}

// TestSecurityNoticesHaveTheirOwnBudget: whatever others make weft send to an address, the notices about changes of its account
// arrive.
func TestSecurityNoticesHaveTheirOwnBudget(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		box := b.mailbox()
		b.signUpVerified(box, "ada@example.com")
		token := b.login("ada@example.com").AccessToken
		for range 10 {
			b.register("ada@example.com")
			b.requestResetFrom("203.0.113.7", "ada@example.com")
		}
		mustCall(b, subjects.ChangePassword, subjects.ChangePasswordRequest{CurrentPassword: goodPassword, Password: "a wholly new one"}, token)
		mustCall(b, subjects.ChangeEmail, subjects.ChangeEmailRequest{Email: "new@example.com", Password: "a wholly new one"}, token)
		if err := verify(b, box.waitFor("new@example.com", verifySubject, 1).token(t)); err != nil {
			t.Fatal(err)
		}
		for _, subject := range []string{subjects.TemplatePasswordChanged, subjects.TemplateEmailChanged} {
			if got := box.waitFor("ada@example.com", subject, 1); !got.sendAt.IsZero() {
				t.Errorf("%q is delayed to %s", subject, got.sendAt)
			}
		}
	})
}

func TestPasswordChangeIsIdempotent(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		other := b.signUp("ada@example.com")
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.config.BcryptCost = 5 // so that the current password's hash is replaced
		b.actor = b.start()
		mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: other.RefreshToken}, "")
		body := []byte(`{"current_password":"` + goodPassword + `","password":"a wholly new one"}`)
		mine := other
		for _, verdict := range []string{"", "true"} {
			answer, err := b.gateway.Forward(t.Context(), subjects.ChangePassword.Subject, map[string][]string{
				mesh.HeaderAuthorization: {"Bearer " + mine.AccessToken}, mesh.HeaderIdempotencyKey: {"k1"},
			}, body)
			if err != nil {
				t.Fatal(err)
			}
			if got := answer.Header.Get(mesh.HeaderIdempotencyReplayed); got != verdict {
				t.Errorf("replayed is %q, want %q", got, verdict)
			}
		}
		fresh := mustCall(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "a wholly new one"}, "")
		header := map[string][]string{mesh.HeaderAuthorization: {"Bearer " + fresh.AccessToken}, mesh.HeaderIdempotencyKey: {"k2"}}
		body = []byte(`{"current_password":"a wholly new one","password":"yet another one"}`)
		if _, err := b.gateway.Forward(t.Context(), subjects.ChangePassword.Subject, header, body); err != nil {
			t.Fatalf("with another session: %v", err)
		}
		_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
		requireCode(t, err, subjects.CodeUnauthenticated)
	})
}
