package auth_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// resetFrom resets the password of an address as the gateway does for a client with an IP address.
func (b *harness) resetFrom(box *mailbox, ip, email, password string, n int) {
	b.t.Helper()
	b.requestResetFrom(ip, email)
	token := box.waitFor(email, resetSubject, n).token(b.t)
	body := []byte(`{"token":"` + token + `","password":"` + password + `"}`)
	if _, err := b.gateway.Forward(b.t.Context(), subjects.ResetPassword.Subject, nats.Header{mesh.HeaderClientIP: {ip}}, body); err != nil {
		b.t.Fatal(err)
	}
}

// TestTheOwnerOfAnAddressGetsANewAccount: an unverified account whose address's owner arrives is deleted, and the owner has no
// session before every actor has erased it. A restart in between continues.
func TestTheOwnerOfAnAddressGetsANewAccount(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		box := b.mailbox()
		b.register("ada@example.com")
		thief := b.login("ada@example.com")
		other := b.verifier()
		b.resetFrom(box, "198.51.100.9", "ada@example.com", "the owner's password", 1)

		if _, err := other.Verify(t.Context(), thief.AccessToken); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("another process returns %v for the thief's token", err)
		}
		if !other.Blocked().Has(thief.User.ID) {
			t.Errorf("the thief's account is not blocked")
		}
		login := func() (subjects.Session, error) {
			return call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "the owner's password"}, "")
		}
		_, err := login()
		if e := requireCode(t, err, subjects.CodeUnavailable); e.Reason != subjects.ReasonErasing || e.RetryAfter == 0 {
			t.Errorf("before the erasure the answer is %+v", e)
		}
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.actor = b.start()
		eventually(t, "the deletion is published", func() bool { return len(b.deletions()) == 1 })
		deletion := b.deletions()[0]
		if deletion.UserID != thief.User.ID || len(deletion.Data.Aliases) < 2 {
			t.Errorf("the deletion is %+v", deletion)
		}
		for _, actor := range subjects.ErasingActors()[1:] {
			b.answerDeletion(actor, deletion, 1)
		}
		_, err = login()
		requireCode(t, err, subjects.CodeUnavailable)
		b.answerDeletion(subjects.ErasingActors()[0], deletion, 1)
		owner, err := login()
		if err != nil {
			t.Fatal(err)
		}
		if owner.User.ID == thief.User.ID || owner.User.FirstName != "" || !owner.User.EmailVerified {
			t.Errorf("the owner's account is %+v, the thief's was %s", owner.User, thief.User.ID)
		}
		b.requireEnded(thief)
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
	})
}

// TestAChangeOfAddressErasesAnUnverifiedAccount: the owner of an address has an account, and changes its address to one that somebody
// else has registered.
func TestAChangeOfAddressErasesAnUnverifiedAccount(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		box := b.mailbox()
		b.register("ada@example.com")
		thief := b.login("ada@example.com")
		b.signUpVerified(box, "work@example.com")
		mine := b.login("work@example.com")
		mustCall(b, subjects.ChangeEmail, subjects.ChangeEmailRequest{Email: "ada@example.com", Password: goodPassword}, mine.AccessToken)
		if err := verify(b, box.waitFor("ada@example.com", verifySubject, 2).token(t)); err != nil {
			t.Fatal(err)
		}
		b.requireEnded(thief)
		if got := mustCall(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken); got.Email != "ada@example.com" || got.ID != mine.User.ID {
			t.Errorf("the profile is %+v", got)
		}
		eventually(t, "the thief's account is deleted", func() bool { return len(b.deletions()) == 1 && b.deletions()[0].UserID == thief.User.ID })
	})
}

// TestADisabledAccountIsBlockedEverywhere: another process refuses the tokens of a disabled account at once, and accepts those of
// its API keys again as soon as it is enabled.
func TestADisabledAccountIsBlockedEverywhere(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		ada := b.signUp("ada@example.com")
		key := mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead}}, ada.AccessToken)
		program, err := exchange(b, key.Key)
		if err != nil {
			t.Fatal(err)
		}
		other := b.verifier()
		admin := b.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleUser, subjects.RoleAdmin))
		set := func(disabled bool) {
			t.Helper()
			mustCall(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Disabled: &disabled}, admin)
		}
		for range 2 {
			set(true)
			if _, err := other.Verify(t.Context(), program.AccessToken); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
				t.Fatalf("another process returns %v for a disabled account", err)
			}
			_, err := exchange(b, key.Key)
			requireCode(t, err, subjects.CodeUnauthenticated)
			set(false)
			if _, err := other.Verify(t.Context(), program.AccessToken); err != nil {
				t.Fatalf("after the account was enabled: %v", err)
			}
			if _, err := exchange(b, key.Key); err != nil {
				t.Fatal(err)
			}
		}
		_, err = call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: ada.RefreshToken}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
	})
}

// TestBlocksFollowTheDatabase: what a killed process has left in the bucket of blocks is repaired.
func TestBlocksFollowTheDatabase(t *testing.T) {
	b := onSQLite(t)
	ada, eve := b.signUp("ada@example.com"), b.signUp("eve@example.com")
	yes := true
	admin := b.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleUser, subjects.RoleAdmin))
	mustCall(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Disabled: &yes}, admin)
	if err := b.actor.Stop(t); err != nil {
		t.Fatal(err)
	}
	bucket, err := kv.Open[subjects.BlockedAccount](t.Context(), b.Conn(t, "auth").JS, kv.AuthBlocked)
	if err == nil {
		err = bucket.Delete(t.Context(), kv.EncodeKey(ada.User.ID))
	}
	if err == nil {
		_, err = bucket.Put(t.Context(), kv.EncodeKey(eve.User.ID), subjects.BlockedAccount{Since: b.Now().Add(-time.Hour)})
	}
	if err != nil {
		t.Fatal(err)
	}
	b.actor = b.start()
	blocked := b.verifier().Blocked()
	eventually(t, "the disabled account alone is blocked", func() bool { return blocked.Has(ada.User.ID) && !blocked.Has(eve.User.ID) })
}

// TestAResetLetsALockedOutOwnerIn: attackers lock an address; its owner proves the mailbox by a reset and signs in at once, while
// they go on.
func TestAResetLetsALockedOutOwnerIn(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		box := b.mailbox()
		b.signUpVerified(box, "ada@example.com")
		const owner = "198.51.100.9"
		lock := func() {
			for i := range 60 {
				_ = b.loginFrom("203.0.113."+string(rune('0'+i%10))+string(rune('0'+i/10)), "ada@example.com", "a guess of an attacker")
			}
			for range 6 {
				_ = b.loginFrom(owner, "ada@example.com", "a guess of an attacker")
			}
		}
		lock()
		requireCode(t, b.loginFrom(owner, "ada@example.com", goodPassword), subjects.CodeRateLimited)
		b.resetFrom(box, owner, "ada@example.com", "a wholly new one", 1)
		for i := range 60 {
			_ = b.loginFrom("192.0.2."+string(rune('0'+i%10))+string(rune('0'+i/10)), "ada@example.com", "a guess of an attacker")
		}
		if err := b.loginFrom(owner, "ada@example.com", "a wholly new one"); err != nil {
			t.Errorf("after the reset: %v", err)
		}
	})
}

// TestAResetEndsAPIKeys: an attacker with the old password may have made them.
func TestAResetEndsAPIKeys(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		box := b.mailbox()
		b.signUpVerified(box, "ada@example.com")
		ada := b.login("ada@example.com")
		key := mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead}}, ada.AccessToken)
		program, err := exchange(b, key.Key)
		if err != nil {
			t.Fatal(err)
		}
		b.resetFrom(box, "198.51.100.9", "ada@example.com", "a wholly new one", 1)
		_, err = exchange(b, key.Key)
		requireCode(t, err, subjects.CodeUnauthenticated)
		_, err = call(b, subjects.GetUserProfile, subjects.Empty{}, program.AccessToken)
		requireCode(t, err, subjects.CodeUnauthenticated)
	})
}

// TestSurplusSignInsAreRefusedAtOnce: of many sign-ins of different addresses those that would wait too long are refused before the
// limiters, and told when to retry.
func TestSurplusSignInsAreRefusedAtOnce(t *testing.T) {
	b := onSQLite(t, func(c *auth.Config) { c.BcryptCost, c.HashQueue = 12, 16 })
	took := make([]time.Duration, 200)
	refused, slowest := 0, time.Duration(0)
	for i, err := range concurrently(len(took), func(i int) error {
		begin := time.Now()
		defer func() { took[i] = time.Since(begin) }()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := mesh.Call(ctx, b.gateway, subjects.Login, subjects.LoginRequest{Email: actortest.User() + "@example.com", Password: goodPassword}, mesh.As{})
		return err
	}) {
		switch subjects.CodeOf(err) {
		case subjects.CodeRateLimited:
			refused++
			slowest = max(slowest, took[i])
		case subjects.CodeUnauthenticated:
		default:
			t.Errorf("sign-in %d: %v", i, err)
		}
	}
	// How long an admitted one takes depends on how busy the machine is that runs the tests.
	if refused < 100 || slowest > 2*time.Second {
		t.Errorf("%d of %d were refused, the slowest of these took %s", refused, len(took), slowest)
	}
}
