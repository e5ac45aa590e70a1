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

const goodbyeSubject = "Your account was deleted"

func deletion(b *bench, token, password string) (subjects.ErasureStarted, error) {
	return call(b, subjects.DeleteAccount, subjects.DeleteAccountRequest{Password: password}, token)
}

// told lists what the actors were told of deletions.
func (b *bench) told() []subjects.Envelope[subjects.AccountDeletion] {
	return actortest.Events[subjects.AccountDeletion](b.t, b.Mesh, subjects.AccountDeleted.Subject)
}

// answer answers a deletion as an actor does.
func (b *bench) answer(actor string, to subjects.Envelope[subjects.AccountDeletion], items int64) {
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

func (b *bench) erasure(started subjects.ErasureStarted) subjects.ErasureStatus {
	b.t.Helper()
	return must(b, subjects.GetErasure, subjects.ErasureRequest{ErasureID: started.ErasureID, Token: started.Token}, "")
}

func shortErasures(c *auth.Config) { c.ErasureRetry, c.ErasureSettle = time.Hour, 2*time.Hour }

func TestADeletedAccountIsForgotten(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		box := b.mailbox()
		other := b.signedUp("grace@example.com")
		mine := b.login("grace@example.com")
		verification := box.wait("grace@example.com", verifySubject, 1)
		key := must(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
			Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead},
		}, mine.AccessToken).Key
		exchanged, err := exchange(b, key)
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []string{"", "wrong wrong"} {
			_, err := deletion(b, mine.AccessToken, wrong)
			if e := refused(t, err, subjects.CodeInvalid); e.Fields[0].Field != "password" {
				t.Errorf("field is %s", e.Fields[0].Field)
			}
		}
		_, err = deletion(b, exchanged.AccessToken, goodPassword)
		refused(t, err, subjects.CodeForbidden)
		must(b, subjects.GetUserProfile, subjects.Empty{}, other.AccessToken)

		started, err := deletion(b, mine.AccessToken, goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		for name, token := range map[string]string{"own": mine.AccessToken, "other": other.AccessToken, "key's": exchanged.AccessToken} {
			if _, err := call(b, subjects.GetUserProfile, subjects.Empty{}, token); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
				t.Errorf("the %s token: %v", name, err)
			}
		}
		_, err = call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: other.RefreshToken}, "")
		refused(t, err, subjects.CodeUnauthenticated)
		_, err = exchange(b, key)
		refused(t, err, subjects.CodeUnauthenticated)
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "grace@example.com", Password: goodPassword}, "")
		refused(t, err, subjects.CodeUnauthenticated)
		_, err = call(b, subjects.VerifyEmail, subjects.VerifyEmailRequest{Token: verification.token(t)}, "")
		refused(t, err, subjects.CodeInvalid)
		if got := box.wait("grace@example.com", goodbyeSubject, 1); got.listed {
			t.Errorf("the goodbye is in an inbox: %+v", got)
		}

		b.followErasure(started, mine.User.ID)
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		if tables := string(b.tables()); strings.Contains(tables, mine.User.ID) {
			t.Errorf("the tables still tell of %s", mine.User.ID)
		}
		// The address is free, and kept a moment longer for the goodbye alone.
		b.actor = b.start()
		b.clock.forward(2 * time.Hour)
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.actor = b.start() // looks for letters that nobody needs any more
		if again := b.signedUp("grace@example.com"); again.User.ID == mine.User.ID {
			t.Errorf("the account came back")
		}
	}, shortErasures)
}

// followErasure answers as every actor, twice, and follows the status.
func (b *bench) followErasure(started subjects.ErasureStarted, userID string) {
	b.t.Helper()
	for _, wrong := range []subjects.ErasureRequest{
		{ErasureID: started.ErasureID, Token: "x"}, {ErasureID: actortest.User(), Token: started.Token},
	} {
		_, err := call(b, subjects.GetErasure, wrong, "")
		refused(b.t, err, subjects.CodeNotFound)
	}
	eventually(b.t, "the deletion is told", func() bool { return len(b.told()) == 1 })
	first := b.told()[0]
	if first.UserID != userID || first.Data.ErasureID != started.ErasureID || first.Data.Round != 1 || len(first.Data.Aliases) == 0 {
		b.t.Errorf("told %+v", first)
	}
	actorsOf := subjects.ErasingActors()
	for i, actor := range actorsOf {
		s := b.erasure(started)
		if s.Status != "erasing" || s.ErasedAt != nil || s.Actors[0].Actor != "auth" || s.Actors[0].Status != "erased" || s.Actors[0].Items < 3 {
			b.t.Errorf("before %s the status is %+v", actor, s)
		}
		b.answer(actor, first, 7)
		eventually(b.t, actor+" is noted", func() bool { return b.erasure(started).Actors[i+1].Status == "erased" })
		b.answer(actor, first, 0) // it may answer twice
	}
	eventually(b.t, "all have erased", func() bool { return b.erasure(started).Status == "erased" })
	if s := b.erasure(started); s.ErasedAt == nil || s.SettledAt != nil || s.Actors[4].Items != 7 {
		b.t.Errorf("after all the status is %+v", s)
	}
	b.clock.forward(2*time.Hour + time.Minute)
	if err := b.actor.Stop(b.t); err != nil { // a stop is no reason to forget it
		b.t.Fatal(err)
	}
	b.actor = b.start()
	eventually(b.t, "the second round is told", func() bool { return len(b.told()) == 2 })
	second := b.told()[1]
	if second.Data.Round != 2 || second.UserID != userID {
		b.t.Errorf("then told %+v", second)
	}
	for _, actor := range actorsOf {
		b.answer(actor, first, 1) // a late one of the first round counts for nothing
		b.answer(actor, second, 1)
	}
	eventually(b.t, "the erasure is settled", func() bool { return b.erasure(started).SettledAt != nil })
	if s := b.erasure(started); s.Actors[4].Items != 8 {
		b.t.Errorf("settled, the status is %+v", s)
	}
}

func TestAnErasureIsToldUntilAllHaveAnswered(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		started, err := deletion(b, b.signedUp("grace@example.com").AccessToken, goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the deletion is told", func() bool { return len(b.told()) == 1 })
		for _, actor := range []string{"consent", "integration", "notification"} {
			b.answer(actor, b.told()[0], 1)
		}
		eventually(t, "three are noted", func() bool { return b.erasure(started).Actors[3].Status == "erased" })
		b.clock.forward(time.Hour + time.Minute)
		eventually(t, "it is told again", func() bool { return len(b.told()) > 1 })
		if again := b.told()[1]; again.Data.Round != 1 || again.ID == b.told()[0].ID {
			t.Errorf("told again %+v", again)
		}
		b.answer("workflow", b.told()[1], 1)
		eventually(t, "all have erased", func() bool { return b.erasure(started).Status == "erased" })
	}, func(c *auth.Config) { c.ErasureRetry, c.ErasureSettle = time.Second, 24*time.Hour })
}

// TestNobodyIsSignedInToADeletedAccount signs in while the account is deleted.
func TestNobodyIsSignedInToADeletedAccount(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		session := b.signedUp("grace@example.com")
		together(16, func(i int) error {
			if i == 8 {
				_, err := deletion(b, session.AccessToken, goodPassword)
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

func TestDeletingAsksForWhatSigningInDoes(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		session := b.signedUp("grace@example.com")
		secret, recovery := b.withTOTP(session.AccessToken)
		_, err := deletion(b, session.AccessToken, goodPassword)
		if e := refused(t, err, subjects.CodeInvalid); e.Fields[0].Field != "code" {
			t.Errorf("field is %s", e.Fields[0].Field)
		}
		_, err = call(b, subjects.DeleteAccount, subjects.DeleteAccountRequest{Password: goodPassword, Code: recovery[0]}, session.AccessToken)
		if err != nil {
			t.Errorf("with a recovery code of %s: %v", secret[:2], err)
		}
		// Without a password a sign-in of just now stands for it.
		foreign := b.signedInAt(op, "ada")
		b.clock.forward(6 * time.Minute)
		_, err = deletion(b, foreign.AccessToken, "")
		refused(t, err, subjects.CodeForbidden)
		foreign = b.signedInAt(op, "ada")
		if _, err = deletion(b, foreign.AccessToken, ""); err != nil {
			t.Errorf("right after signing in: %v", err)
		}
		if again := b.signedInAt(op, "ada"); again.User.ID == foreign.User.ID {
			t.Errorf("the provider opens the deleted account")
		}
	})
}

func TestTheLastAdminIsNotDeleted(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		root := b.admin("root@example.com")
		_, err := deletion(b, root.AccessToken, goodPassword)
		refused(t, err, subjects.CodeConflict)
		must(b, subjects.GetUserProfile, subjects.Empty{}, root.AccessToken)
		ada := b.signedUp("ada@example.com")
		must(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Roles: []string{"admin"}}, root.AccessToken)
		if _, err := deletion(b, root.AccessToken, goodPassword); err != nil {
			t.Errorf("one of two admins: %v", err)
		}
	})
}

// TestErasuresAreAnsweredByActorsAlone: nobody but an actor says that it has erased something, and of itself alone.
func TestErasuresAreAnsweredByActorsAlone(t *testing.T) {
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
		t.Errorf("the stream took %d of them", len(got))
	}
}
