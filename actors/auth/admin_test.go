package auth_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/subjects"
)

// admin makes the first admin as `weft admin create` does, with weft stopped, and signs them in.
func (b *bench) admin(email string) subjects.Session {
	b.t.Helper()
	if err := b.actor.Stop(b.t); err != nil {
		b.t.Fatal(err)
	}
	if created := b.createAdmin(email); !created {
		b.t.Fatal("the admin was there already")
	}
	b.actor = b.start()
	return b.login(email)
}

func (b *bench) createAdmin(email string) (given bool) {
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

func TestAnAdminSeesAndDisablesAccounts(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		admin := b.admin("root@example.com")
		ada := b.signedUp("ada@example.com")
		for i := range 3 {
			b.register(fmt.Sprintf("user%d@example.com", i))
		}
		_, err := call(b, subjects.ListUsers, subjects.ListUsersRequest{}, ada.AccessToken)
		refused(t, err, subjects.CodeForbidden)
		var found []string
		req := subjects.ListUsersRequest{PageRequest: subjects.PageRequest{Limit: 2}}
		for {
			page := must(b, subjects.ListUsers, req, admin.AccessToken)
			for _, u := range page.Items {
				found = append(found, u.Email)
			}
			if req.Cursor = page.NextCursor; req.Cursor == "" {
				break
			}
		}
		want := []string{"user2@example.com", "user1@example.com", "user0@example.com", "ada@example.com", "root@example.com"}
		if !slices.Equal(found, want) {
			t.Errorf("the pages hold %v", found)
		}
		some := must(b, subjects.ListUsers, subjects.ListUsersRequest{Email: "USER_"}, admin.AccessToken)
		if len(some.Items) != 0 {
			t.Errorf("a prefix is taken for a pattern: %+v", some.Items)
		}
		yes, no := true, false
		got := must(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Disabled: &yes}, admin.AccessToken)
		if !got.Disabled {
			t.Errorf("answered %+v", got)
		}
		_, err = call(b, subjects.GetUserProfile, subjects.Empty{}, ada.AccessToken)
		refused(t, err, subjects.CodeUnauthenticated)
		_, err = call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: ada.RefreshToken}, "")
		refused(t, err, subjects.CodeUnauthenticated)
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		refused(t, err, subjects.CodeUnauthenticated)
		must(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Disabled: &no}, admin.AccessToken)
		b.login("ada@example.com")
		if u := must(b, subjects.GetUser, subjects.GetUserRequest{UserID: ada.User.ID}, admin.AccessToken); u.Disabled {
			t.Errorf("still disabled: %+v", u)
		}
		_, err = call(b, subjects.GetUser, subjects.GetUserRequest{UserID: actortest.User()}, admin.AccessToken)
		refused(t, err, subjects.CodeNotFound)
	})
}

func TestTheLastAdminStays(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		root := b.admin("root@example.com")
		ada := b.signedUp("ada@example.com")
		demote := func(by, who subjects.Session) error {
			_, err := call(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: who.User.ID, Roles: []string{"user"}}, by.AccessToken)
			return err
		}
		refused(t, demote(root, root), subjects.CodeConflict)
		must(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Roles: []string{"admin"}}, root.AccessToken)
		ada = must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: ada.RefreshToken}, "")
		if !slices.Equal(ada.User.Roles, []string{"user", "admin"}) {
			t.Errorf("roles after the grant: %v", ada.User.Roles)
		}
		both := []subjects.Session{root, ada}
		together(2, func(i int) error { return demote(both[i], both[1-i]) })
		admins := 0
		for _, email := range []string{"root@example.com", "ada@example.com"} {
			if slices.Contains(b.login(email).User.Roles, "admin") {
				admins++
			}
		}
		if admins < 1 {
			t.Errorf("two admins demoted each other, nobody is left")
		}
	})
}

func TestCreateAdminPromotesWhoIsThere(t *testing.T) {
	b := once(t)
	b.verified(b.mailbox(), "ada@example.com")
	token := b.login("ada@example.com").AccessToken
	must(b, subjects.ChangePassword, subjects.ChangePasswordRequest{CurrentPassword: goodPassword, Password: "a wholly new one"}, token)
	if err := b.actor.Stop(t); err != nil {
		t.Fatal(err)
	}
	if b.createAdmin("ada@example.com") {
		t.Errorf("the account of somebody who is there got another password")
	}
	b.actor = b.start()
	s := must(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "a wholly new one"}, "")
	if !slices.Contains(s.User.Roles, subjects.RoleAdmin) {
		t.Errorf("roles are %v", s.User.Roles)
	}
}

// TestCreateAdminPromotesNoStranger: who registers the address first that an operator then makes an admin of is none.
func TestCreateAdminPromotesNoStranger(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		laid := b.trap(b.mailbox(), "root@example.com")
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		if !b.createAdmin("root@example.com") {
			t.Errorf("the stranger's password stays")
		}
		b.actor = b.start()
		_, err := call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: laid.session.RefreshToken}, "")
		refused(t, err, subjects.CodeUnauthenticated)
		_, err = exchange(b, laid.key)
		refused(t, err, subjects.CodeUnauthenticated)
		refused(t, verify(b, laid.move), subjects.CodeInvalid)
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "root@example.com", Password: strangersPassword}, "")
		refused(t, err, subjects.CodeUnauthenticated)
		if roles := b.login("root@example.com").User.Roles; !slices.Contains(roles, subjects.RoleAdmin) {
			t.Errorf("roles are %v", roles)
		}
	})
}

func TestAnAdminEndsAnAccountsSessions(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		admin := b.admin("root@example.com")
		ada, other, eve := b.signedUp("ada@example.com"), b.login("ada@example.com"), b.signedUp("eve@example.com")
		end := func(by subjects.Session, user string) error {
			_, err := call(b, subjects.EndUserSessions, subjects.GetUserRequest{UserID: user}, by.AccessToken)
			return err
		}
		refused(t, end(eve, ada.User.ID), subjects.CodeForbidden)
		refused(t, end(admin, actortest.User()), subjects.CodeNotFound)
		b.withTOTP(eve.AccessToken)
		pending := b.login("eve@example.com")
		for _, who := range []subjects.Session{ada, eve} {
			if err := end(admin, who.User.ID); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range []subjects.Session{ada, other, eve} {
			b.isOver(s)
		}
		_, err := second(b, pending.MFAToken, "123456")
		refused(t, err, subjects.CodeUnauthenticated)
		must(b, subjects.GetUserProfile, subjects.Empty{}, admin.AccessToken)
		must(b, subjects.GetUserProfile, subjects.Empty{}, b.login("ada@example.com").AccessToken)
		// The outbox keeps a user's order: once the last of three sign-ins is there, all before it is.
		eventually(t, "the sign-ins are audited", func() bool { return b.audits(t, ada.User.ID, "login", "success") == 3 })
		if n := b.audits(t, ada.User.ID, "sessions_end", "success"); n != 1 {
			t.Errorf("it is in the audit %d times", n)
		}
	})
}

// isOver fails the test unless a session's tokens are refused.
func (b *bench) isOver(s subjects.Session) {
	b.t.Helper()
	_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, s.AccessToken)
	refused(b.t, err, subjects.CodeUnauthenticated)
	_, err = call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: s.RefreshToken}, "")
	refused(b.t, err, subjects.CodeUnauthenticated)
}

func TestAnAdminEndsEverybodysSessions(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		admin := b.admin("root@example.com")
		ada, eve := b.signedUp("ada@example.com"), b.signedUp("eve@example.com")
		key := must(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "k", Scopes: []string{"user.profile.read"}}, ada.AccessToken)
		program, err := exchange(b, key.Key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = call(b, subjects.EndAllSessions, subjects.Empty{}, eve.AccessToken)
		refused(t, err, subjects.CodeForbidden)
		elsewhere := b.verifier()
		must(b, subjects.EndAllSessions, subjects.Empty{}, admin.AccessToken)
		if _, err := elsewhere.Verify(t.Context(), ada.AccessToken); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("another process says %v", err)
		}
		for _, s := range []subjects.Session{admin, ada, eve} {
			b.isOver(s)
		}
		must(b, subjects.GetUserProfile, subjects.Empty{}, program.AccessToken)
		// Who signs in again at once is in.
		again := b.login("ada@example.com")
		must(b, subjects.GetUserProfile, subjects.Empty{}, again.AccessToken)
		again = must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: again.RefreshToken}, "")
		must(b, subjects.GetUserProfile, subjects.Empty{}, again.AccessToken)
		eventually(t, "the one new session is counted", func() bool { return b.metric("auth_active_sessions", "") == 1 })
		eventually(t, "the end of a session is told", func() bool { return b.audits(t, eve.User.ID, "session_end", "success") == 1 })
	})
}
