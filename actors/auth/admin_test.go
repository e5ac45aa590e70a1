package auth_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/seal"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

// admin creates the first admin as `weft admin create` does, with weft stopped, and signs in.
func (b *harness) admin(email string) subjects.Session {
	b.t.Helper()
	if err := b.actor.Stop(b.t); err != nil {
		b.t.Fatal(err)
	}
	if created := b.createAdmin(email); !created {
		b.t.Fatal("the account existed already")
	}
	b.actor = b.start()
	return b.login(email)
}

func (b *harness) createAdmin(email string) (given bool) {
	b.t.Helper()
	db, err := database.Open(b.t.Context(), b.database, b.Log)
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	sealer, err := seal.Open(b.keyset)
	if err != nil {
		b.t.Fatal(err)
	}
	deps := actors.Deps{
		DB: db, Outbox: outbox.New(outbox.Config{DB: db, Log: b.Log}), Sealer: sealer, Log: b.Log,
		Now: time.Now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
	}
	given, err = auth.CreateAdmin(b.t.Context(), deps, b.config, subjects.RegisterRequest{Email: email, Password: goodPassword})
	if err != nil {
		b.t.Fatal(err)
	}
	return given
}

func TestAdminListsAndDisablesAccounts(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		admin := b.admin("root@example.com")
		ada := b.signUp("ada@example.com")
		for i := range 3 {
			b.register(fmt.Sprintf("user%d@example.com", i))
		}
		_, err := call(b, subjects.ListUsers, subjects.ListUsersRequest{}, ada.AccessToken)
		requireCode(t, err, subjects.CodeForbidden)
		var found []string
		req := subjects.ListUsersRequest{PageRequest: subjects.PageRequest{Limit: 2}}
		for {
			page := mustCall(b, subjects.ListUsers, req, admin.AccessToken)
			for _, u := range page.Items {
				found = append(found, u.Email)
			}
			if req.Cursor = page.NextCursor; req.Cursor == "" {
				break
			}
		}
		want := []string{"user2@example.com", "user1@example.com", "user0@example.com", "ada@example.com", "root@example.com"}
		if !slices.Equal(found, want) {
			t.Errorf("the pages contain %v", found)
		}
		some := mustCall(b, subjects.ListUsers, subjects.ListUsersRequest{Email: "USER_"}, admin.AccessToken)
		if len(some.Items) != 0 {
			t.Errorf("the prefix is matched as a pattern: %+v", some.Items)
		}
		yes, no := true, false
		got := mustCall(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Disabled: &yes}, admin.AccessToken)
		if !got.Disabled {
			t.Errorf("got %+v", got)
		}
		_, err = call(b, subjects.GetUserProfile, subjects.Empty{}, ada.AccessToken)
		requireCode(t, err, subjects.CodeUnauthenticated)
		_, err = call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: ada.RefreshToken}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
		mustCall(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Disabled: &no}, admin.AccessToken)
		b.login("ada@example.com")
		if u := mustCall(b, subjects.GetUser, subjects.GetUserRequest{UserID: ada.User.ID}, admin.AccessToken); u.Disabled {
			t.Errorf("still disabled: %+v", u)
		}
		_, err = call(b, subjects.GetUser, subjects.GetUserRequest{UserID: actortest.User()}, admin.AccessToken)
		requireCode(t, err, subjects.CodeNotFound)
	})
}

func TestLastAdminCannotBeDemoted(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		root := b.admin("root@example.com")
		ada := b.signUp("ada@example.com")
		demote := func(by, who subjects.Session) error {
			_, err := call(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: who.User.ID, Roles: []string{"user"}}, by.AccessToken)
			return err
		}
		requireCode(t, demote(root, root), subjects.CodeConflict)
		mustCall(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Roles: []string{"admin"}}, root.AccessToken)
		ada = mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: ada.RefreshToken}, "")
		if !slices.Equal(ada.User.Roles, []string{"user", "admin"}) {
			t.Errorf("the roles after the grant are %v", ada.User.Roles)
		}
		both := []subjects.Session{root, ada}
		concurrently(2, func(i int) error { return demote(both[i], both[1-i]) })
		admins := 0
		for _, email := range []string{"root@example.com", "ada@example.com"} {
			if slices.Contains(b.login(email).User.Roles, "admin") {
				admins++
			}
		}
		if admins < 1 {
			t.Errorf("two admins demoted each other: no admin is left")
		}
	})
}

func TestCreateAdminPromotesVerifiedAccount(t *testing.T) {
	b := onSQLite(t)
	b.signUpVerified(b.mailbox(), "ada@example.com")
	token := b.login("ada@example.com").AccessToken
	mustCall(b, subjects.ChangePassword, subjects.ChangePasswordRequest{CurrentPassword: goodPassword, Password: "a wholly new one"}, token)
	if err := b.actor.Stop(t); err != nil {
		t.Fatal(err)
	}
	if b.createAdmin("ada@example.com") {
		t.Errorf("the password of a verified account was replaced")
	}
	b.actor = b.start()
	s := mustCall(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "a wholly new one"}, "")
	if !slices.Contains(s.User.Roles, subjects.RoleAdmin) {
		t.Errorf("roles are %v", s.User.Roles)
	}
}

// TestCreateAdminResetsUnverifiedAccount: a stranger who registers the address before the operator makes it an admin
// cannot get in.
func TestCreateAdminResetsUnverifiedAccount(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		squatted := b.squat(b.mailbox(), "root@example.com")
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		if !b.createAdmin("root@example.com") {
			t.Errorf("the stranger's password was kept")
		}
		b.actor = b.start()
		_, err := call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: squatted.session.RefreshToken}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
		_, err = exchange(b, squatted.key)
		requireCode(t, err, subjects.CodeUnauthenticated)
		requireCode(t, verify(b, squatted.move), subjects.CodeInvalid)
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "root@example.com", Password: strangerPassword}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
		if roles := b.login("root@example.com").User.Roles; !slices.Contains(roles, subjects.RoleAdmin) {
			t.Errorf("roles are %v", roles)
		}
	})
}

func TestEndUserSessions(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		admin := b.admin("root@example.com")
		ada, other, eve := b.signUp("ada@example.com"), b.login("ada@example.com"), b.signUp("eve@example.com")
		end := func(by subjects.Session, user string) error {
			_, err := call(b, subjects.EndUserSessions, subjects.GetUserRequest{UserID: user}, by.AccessToken)
			return err
		}
		requireCode(t, end(eve, ada.User.ID), subjects.CodeForbidden)
		requireCode(t, end(admin, actortest.User()), subjects.CodeNotFound)
		b.enableTOTP(eve.AccessToken)
		pending := b.login("eve@example.com")
		for _, who := range []subjects.Session{ada, eve} {
			if err := end(admin, who.User.ID); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range []subjects.Session{ada, other, eve} {
			b.requireEnded(s)
		}
		_, err := verifyMFA(b, pending.MFAToken, "123456")
		requireCode(t, err, subjects.CodeUnauthenticated)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, admin.AccessToken)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, b.login("ada@example.com").AccessToken)
		// The outbox keeps a user's order: once the last of three sign-ins has arrived, all earlier events have too.
		eventually(t, "the sign-ins are audited", func() bool { return b.countAudits(t, ada.User.ID, "login", "success") == 3 })
		if n := b.countAudits(t, ada.User.ID, "sessions_end", "success"); n != 1 {
			t.Errorf("it is audited %d times, want 1", n)
		}
	})
}

// requireEnded fails the test unless a session's tokens are refused.
func (b *harness) requireEnded(s subjects.Session) {
	b.t.Helper()
	_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, s.AccessToken)
	requireCode(b.t, err, subjects.CodeUnauthenticated)
	_, err = call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: s.RefreshToken}, "")
	requireCode(b.t, err, subjects.CodeUnauthenticated)
}

func TestEndAllSessions(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		admin := b.admin("root@example.com")
		ada, eve := b.signUp("ada@example.com"), b.signUp("eve@example.com")
		key := mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "k", Scopes: []string{"user.profile.read"}}, ada.AccessToken)
		program, err := exchange(b, key.Key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = call(b, subjects.EndAllSessions, subjects.Empty{}, eve.AccessToken)
		requireCode(t, err, subjects.CodeForbidden)
		elsewhere := b.verifier()
		mustCall(b, subjects.EndAllSessions, subjects.Empty{}, admin.AccessToken)
		if _, err := elsewhere.Verify(t.Context(), ada.AccessToken); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("another process returns %v", err)
		}
		for _, s := range []subjects.Session{admin, ada, eve} {
			b.requireEnded(s)
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, program.AccessToken)
		// A new sign-in works at once.
		again := b.login("ada@example.com")
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, again.AccessToken)
		again = mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: again.RefreshToken}, "")
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, again.AccessToken)
		eventually(t, "the one new session is counted", func() bool { return b.metric("auth_active_sessions", "") == 1 })
		eventually(t, "the end of a session is audited", func() bool { return b.countAudits(t, eve.User.ID, "session_end", "success") == 1 })
	})
}
