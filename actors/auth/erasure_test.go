package auth_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

const farewellSubject = subjects.TemplateAccountDeleted

func deleteAccount(b *harness, token, password string) (subjects.ErasureStarted, error) {
	return call(b, subjects.DeleteAccount, subjects.DeleteAccountRequest{Password: password}, token)
}

// deletions returns the published deletions.
func (b *harness) deletions() []subjects.Envelope[subjects.AccountDeletion] {
	return actortest.Events[subjects.AccountDeletion](b.t, b.Mesh, subjects.AccountDeleted.Subject)
}

// answerDeletion answers a deletion as an actor does.
func (b *harness) answerDeletion(actor string, to subjects.Envelope[subjects.AccountDeletion], items int64) {
	b.t.Helper()
	answers := map[string]subjects.Event[subjects.Erasure]{
		"consent": subjects.ConsentErased, "integration": subjects.IntegrationErased,
		"notification": subjects.NotificationErased, "workflow": subjects.WorkflowErased,
	}
	data, err := json.Marshal(answers[actor].New(actortest.User(), "", b.Now(), subjects.Erasure{
		ErasureID: to.Data.ErasureID, Actor: actor, Round: to.Data.Round, Items: items,
	}))
	if err == nil {
		_, err = b.Conn(b.t, actor).JS.Publish(b.t.Context(), answers[actor].Subject, data)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *harness) erasure(started subjects.ErasureStarted) subjects.ErasureStatus {
	b.t.Helper()
	return mustCall(b, subjects.GetErasure, subjects.ErasureRequest{ErasureID: started.ErasureID, Token: started.Token}, "")
}

func erasureTimes(c *auth.Config) { c.ErasureRetry, c.ErasureSettle = time.Hour, 2*time.Hour }

func TestADeletedAccountIsForgotten(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		box := b.mailbox()
		other := b.signUp("grace@example.com")
		mine := b.login("grace@example.com")
		verification := box.waitFor("grace@example.com", verifySubject, 1)
		key := mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
			Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead},
		}, mine.AccessToken).Key
		exchanged, err := exchange(b, key)
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []string{"", "wrong wrong"} {
			_, err := deleteAccount(b, mine.AccessToken, wrong)
			if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != "password" {
				t.Errorf("field is %s", e.Fields[0].Field)
			}
		}
		_, err = deleteAccount(b, exchanged.AccessToken, goodPassword)
		requireCode(t, err, subjects.CodeForbidden)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, other.AccessToken)

		started, err := deleteAccount(b, mine.AccessToken, goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		for name, token := range map[string]string{"own": mine.AccessToken, "other": other.AccessToken, "key's": exchanged.AccessToken} {
			if _, err := call(b, subjects.GetUserProfile, subjects.Empty{}, token); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
				t.Errorf("the %s token: %v", name, err)
			}
		}
		_, err = call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: other.RefreshToken}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
		_, err = exchange(b, key)
		requireCode(t, err, subjects.CodeUnauthenticated)
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "grace@example.com", Password: goodPassword}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
		_, err = call(b, subjects.VerifyEmail, subjects.VerifyEmailRequest{Token: verification.token(t)}, "")
		requireCode(t, err, subjects.CodeInvalid)
		if got := box.waitFor("grace@example.com", farewellSubject, 1); got.listed {
			t.Errorf("the user can list the farewell message: %+v", got)
		}

		b.followErasure(started, mine.User.ID)
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		if tables := string(b.tables()); strings.Contains(tables, mine.User.ID) {
			t.Errorf("the tables still contain %s", mine.User.ID)
		}
		// The address is free, and stored a little longer only for the farewell message.
		b.actor = b.start()
		b.clock.advance(2 * time.Hour)
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.actor = b.start() // deletes expired messages
		if again := b.signUp("grace@example.com"); again.User.ID == mine.User.ID {
			t.Errorf("the deleted account still exists")
		}
	}, erasureTimes)
}

// followErasure answers as every actor, in both rounds, and checks the status.
func (b *harness) followErasure(started subjects.ErasureStarted, userID string) {
	b.t.Helper()
	for _, wrong := range []subjects.ErasureRequest{
		{ErasureID: started.ErasureID, Token: "x"}, {ErasureID: actortest.User(), Token: started.Token},
	} {
		_, err := call(b, subjects.GetErasure, wrong, "")
		requireCode(b.t, err, subjects.CodeNotFound)
	}
	eventually(b.t, "the deletion is published", func() bool { return len(b.deletions()) == 1 })
	first := b.deletions()[0]
	if first.UserID != userID || first.Data.ErasureID != started.ErasureID || first.Data.Round != 1 || len(first.Data.Aliases) == 0 {
		b.t.Errorf("the deletion is %+v", first)
	}
	actorsOf := subjects.ErasingActors()
	for i, actor := range actorsOf {
		s := b.erasure(started)
		if s.Status != "erasing" || s.ErasedAt != nil || s.Actors[0].Actor != "auth" || s.Actors[0].Status != "erased" || s.Actors[0].Items < 3 {
			b.t.Errorf("before %s the status is %+v", actor, s)
		}
		b.answerDeletion(actor, first, 7)
		eventually(b.t, actor+" is recorded", func() bool { return b.erasure(started).Actors[i+1].Status == "erased" })
		b.answerDeletion(actor, first, 0) // a repeated answer
	}
	eventually(b.t, "all actors have answered", func() bool { return b.erasure(started).Status == "erased" })
	if s := b.erasure(started); s.ErasedAt == nil || s.SettledAt != nil || s.Actors[4].Items != 7 {
		b.t.Errorf("after all answers the status is %+v", s)
	}
	b.clock.advance(2*time.Hour + time.Minute)
	if err := b.actor.Stop(b.t); err != nil { // a restart continues the erasure
		b.t.Fatal(err)
	}
	b.actor = b.start()
	eventually(b.t, "the second round is published", func() bool { return len(b.deletions()) == 2 })
	second := b.deletions()[1]
	if second.Data.Round != 2 || second.UserID != userID {
		b.t.Errorf("the second deletion is %+v", second)
	}
	for _, actor := range actorsOf {
		b.answerDeletion(actor, first, 1) // a late answer to the first round is ignored
		b.answerDeletion(actor, second, 1)
	}
	eventually(b.t, "the erasure is settled", func() bool { return b.erasure(started).SettledAt != nil })
	if s := b.erasure(started); s.Actors[4].Items != 8 {
		b.t.Errorf("settled, the status is %+v", s)
	}
}

func TestErasureIsRepeatedUntilAllActorsAnswer(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		started, err := deleteAccount(b, b.signUp("grace@example.com").AccessToken, goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the deletion is published", func() bool { return len(b.deletions()) == 1 })
		for _, actor := range []string{"consent", "integration", "notification"} {
			b.answerDeletion(actor, b.deletions()[0], 1)
		}
		eventually(t, "three answers are recorded", func() bool { return b.erasure(started).Actors[3].Status == "erased" })
		b.clock.advance(time.Hour + time.Minute)
		eventually(t, "the deletion is published again", func() bool { return len(b.deletions()) > 1 })
		if again := b.deletions()[1]; again.Data.Round != 1 || again.ID == b.deletions()[0].ID {
			t.Errorf("the repeated deletion is %+v", again)
		}
		b.answerDeletion("workflow", b.deletions()[1], 1)
		eventually(t, "all actors have answered", func() bool { return b.erasure(started).Status == "erased" })
	}, func(c *auth.Config) { c.ErasureRetry, c.ErasureSettle = time.Second, 24*time.Hour })
}

// TestNoSessionSurvivesConcurrentDeletion signs in while the account is deleted.
func TestNoSessionSurvivesConcurrentDeletion(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		session := b.signUp("grace@example.com")
		concurrently(16, func(i int) error {
			if i == 8 {
				_, err := deleteAccount(b, session.AccessToken, goodPassword)
				if err != nil {
					t.Errorf("deleting: %v", err)
				}
				return err
			}
			_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "grace@example.com", Password: goodPassword}, "")
			return err
		})
		sessions, err := kv.Open[struct{}](t.Context(), b.Conn(t, "auth").JS, kv.AuthSessions)
		if err != nil {
			t.Fatal(err)
		}
		left, err := sessions.Keys(t.Context(), kv.EncodeKey(session.User.ID)+".>")
		if err != nil || len(left) != 0 {
			t.Errorf("sessions are left: %v, %v", left, err)
		}
	})
}

func TestDeleteAccountRequiresStepUp(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		session := b.signUp("grace@example.com")
		secret, recovery := b.enableTOTP(session.AccessToken)
		_, err := deleteAccount(b, session.AccessToken, goodPassword)
		if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != "code" {
			t.Errorf("field is %s", e.Fields[0].Field)
		}
		_, err = call(b, subjects.DeleteAccount, subjects.DeleteAccountRequest{Password: goodPassword, Code: recovery[0]}, session.AccessToken)
		if err != nil {
			t.Errorf("with the recovery code of %s: %v", secret[:2], err)
		}
		// An account without a password requires a recent sign-in instead.
		foreign := b.mustOAuthSignIn(op, "ada")
		b.clock.advance(6 * time.Minute)
		_, err = deleteAccount(b, foreign.AccessToken, "")
		requireCode(t, err, subjects.CodeForbidden)
		foreign = b.mustOAuthSignIn(op, "ada")
		if _, err = deleteAccount(b, foreign.AccessToken, ""); err != nil {
			t.Errorf("right after the sign-in: %v", err)
		}
		if again := b.mustOAuthSignIn(op, "ada"); again.User.ID == foreign.User.ID {
			t.Errorf("a provider sign-in opens the deleted account")
		}
	})
}

func TestLastAdminCannotDeleteTheAccount(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		root := b.admin("root@example.com")
		_, err := deleteAccount(b, root.AccessToken, goodPassword)
		requireCode(t, err, subjects.CodeConflict)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, root.AccessToken)
		ada := b.signUp("ada@example.com")
		mustCall(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Roles: []string{"admin"}}, root.AccessToken)
		if _, err := deleteAccount(b, root.AccessToken, goodPassword); err != nil {
			t.Errorf("one of two admins: %v", err)
		}
	})
}

// TestOnlyActorsAnswerErasures: only an actor can publish an answer, and only its own.
func TestOnlyActorsAnswerErasures(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	for user, subject := range map[string]string{
		"gateway": subjects.WorkflowErased.Subject, "consent": subjects.WorkflowErased.Subject, "workflow": subjects.AccountDeleted.Subject,
	} {
		conn := m.Connect(t, user)
		if err := conn.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if err := conn.FlushTimeout(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		actortest.Eventually(t, user+" is refused", func() bool { return conn.LastError() != nil })
	}
	if got := m.Messages(t, subjects.Events.Name, subjects.Events.Subjects[0]); len(got) != 0 {
		t.Errorf("the stream accepted %d answers", len(got))
	}
}
