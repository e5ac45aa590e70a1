package auth_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestCopiesShareKeysSessionsAndLockouts(t *testing.T) {
	t.Parallel()
	kinds := actortest.Databases(t)
	if len(kinds) < 2 {
		return // copies share a PostgreSQL alone; Databases has said that there is none
	}
	b := setup(t, kinds[1])
	b.start()
	b.register("ada@example.com")
	sets := map[string]bool{}
	for range 20 {
		var ids []string
		for _, key := range must(b, subjects.JWKS, subjects.Empty{}, "").Keys {
			ids = append(ids, key.KeyID)
		}
		sets[strings.Join(ids, " ")] = true
		session := b.login("ada@example.com")
		must(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
	}
	if len(sets) != 1 {
		t.Errorf("the copies publish different keys: %v", sets)
	}
	compared := 0
	for _, err := range together(50, func(int) error { return b.from("203.0.113.7", "ada@example.com", "wrong wrong") }) {
		if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
			compared++
		}
	}
	if compared != 5 {
		t.Errorf("two copies compared %d guesses, want 5", compared)
	}
}

func TestRotationKeepsTokensGood(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		session := b.signedUp("ada@example.com")
		elsewhere := b.verifier()
		before := must(b, subjects.JWKS, subjects.Empty{}, "").Keys
		if err := b.made.RotateKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := must(b, subjects.JWKS, subjects.Empty{}, "").Keys
		if len(before) != 2 || len(after) != 3 {
			t.Errorf("keys before and after: %d, %d", len(before), len(after))
		}
		for _, token := range []string{session.AccessToken, b.login("ada@example.com").AccessToken} {
			if _, err := elsewhere.Verify(t.Context(), token); err != nil {
				t.Errorf("a token is refused after rotation: %v", err)
			}
		}
	})
}

func TestKeysRotateWhenDueAndRetiredOnesGo(t *testing.T) {
	b := once(t, func(c *auth.Config) { c.KeyReload, c.KeyRotation = time.Second, 24*time.Hour })
	first := must(b, subjects.JWKS, subjects.Empty{}, "").Keys
	b.clock.forward(24 * time.Hour)
	known := func(kid string) bool {
		for _, key := range must(b, subjects.JWKS, subjects.Empty{}, "").Keys {
			if key.KeyID == kid {
				return true
			}
		}
		return false
	}
	eventually(t, "a third key", func() bool { return len(must(b, subjects.JWKS, subjects.Empty{}, "").Keys) == 3 })
	b.clock.forward(2 * time.Hour)
	eventually(t, "the retired key is gone", func() bool {
		return len(must(b, subjects.JWKS, subjects.Empty{}, "").Keys) == 2 && (!known(first[0].KeyID) || !known(first[1].KeyID))
	})
}

func TestARestartKeepsEverything(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		session := b.signedUp("ada@example.com")
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.config.BcryptCost = 5
		b.actor = b.start()
		must(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
		b.login("ada@example.com")
		hashes := b.metric("auth_password_hashes_total", "")
		b.login("ada@example.com")
		if got := b.metric("auth_password_hashes_total", "") - hashes; got != 1 {
			t.Errorf("the second login computes %v hashes: the first did not renew the hash", got)
		}
	})
}

func TestAPepperCanBeChanged(t *testing.T) {
	b := once(t)
	b.register("ada@example.com")
	for _, pepper := range []string{"first pepper of the operator", "second pepper of the operator"} {
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.config.PreviousPepper = b.config.Pepper
		b.config.Pepper = mesh.Secret(pepper)
		b.actor = b.start()
		b.login("ada@example.com")
	}
}

func TestNoSecretIsStoredInClear(t *testing.T) {
	b := once(t)
	box := b.mailbox()
	session := b.signedUp("ada@example.com")
	fresh := must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
	must(b, subjects.RequestPasswordReset, subjects.EmailRequest{Email: "ada@example.com"}, "")
	reset := box.wait("ada@example.com", resetSubject, 1).token(t)
	verification := box.wait("ada@example.com", verifySubject, 1).token(t)
	secret, recovery := b.withTOTP(fresh.AccessToken)
	key := must(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
		Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead},
	}, fresh.AccessToken).Key
	b.audited(t, session.User.ID, "api_key_create")
	if err := b.actor.Stop(t); err != nil {
		t.Fatal(err)
	}
	b.StopServer(t)
	canaries := []string{
		goodPassword, session.RefreshToken, session.AccessToken, fresh.RefreshToken, fresh.AccessToken, reset, verification,
		secret, recovery[0], key,
	}
	searched := 0
	for _, dir := range []string{b.Dir, b.database.DataDir} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			searched += len(data)
			for _, canary := range canaries {
				if bytes.Contains(data, []byte(canary)) {
					t.Errorf("%s holds a secret in clear", path)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if searched < 10_000 {
		t.Errorf("only %d bytes were searched", searched)
	}
}
