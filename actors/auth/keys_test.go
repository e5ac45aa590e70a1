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
		return // copies share PostgreSQL only; actortest.Databases has reported that there is none
	}
	b := setup(t, kinds[1])
	b.start()
	b.register("ada@example.com")
	sets := map[string]bool{}
	for range 20 {
		var ids []string
		for _, key := range mustCall(b, subjects.JWKS, subjects.Empty{}, "").Keys {
			ids = append(ids, key.KeyID)
		}
		sets[strings.Join(ids, " ")] = true
		session := b.login("ada@example.com")
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
	}
	if len(sets) != 1 {
		t.Errorf("the copies publish different keys: %v", sets)
	}
	compared := 0
	for _, err := range concurrently(50, func(int) error { return b.loginFrom("203.0.113.7", "ada@example.com", "wrong wrong") }) {
		if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
			compared++
		}
	}
	if compared != 5 {
		t.Errorf("two copies compared %d guesses, want 5", compared)
	}
}

func TestRotationKeepsTokensValid(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		session := b.signUp("ada@example.com")
		elsewhere := b.verifier()
		before := mustCall(b, subjects.JWKS, subjects.Empty{}, "").Keys
		if err := b.latest.RotateKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := mustCall(b, subjects.JWKS, subjects.Empty{}, "").Keys
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

func TestKeyRotationWhenDue(t *testing.T) {
	b := onSQLite(t, func(c *auth.Config) { c.KeyReload, c.KeyRotation = time.Second, 24*time.Hour })
	first := mustCall(b, subjects.JWKS, subjects.Empty{}, "").Keys
	b.clock.advance(24 * time.Hour)
	known := func(kid string) bool {
		for _, key := range mustCall(b, subjects.JWKS, subjects.Empty{}, "").Keys {
			if key.KeyID == kid {
				return true
			}
		}
		return false
	}
	eventually(t, "there is a third key", func() bool { return len(mustCall(b, subjects.JWKS, subjects.Empty{}, "").Keys) == 3 })
	b.clock.advance(2 * time.Hour)
	eventually(t, "the retired key is deleted", func() bool {
		return len(mustCall(b, subjects.JWKS, subjects.Empty{}, "").Keys) == 2 && (!known(first[0].KeyID) || !known(first[1].KeyID))
	})
}

func TestRestartKeepsSessionsAndAccounts(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		session := b.signUp("ada@example.com")
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.config.BcryptCost = 5
		b.actor = b.start()
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
		b.login("ada@example.com")
		hashes := b.metric("auth_password_hashes_total", "")
		b.login("ada@example.com")
		if got := b.metric("auth_password_hashes_total", "") - hashes; got != 1 {
			t.Errorf("the second login computes %v hashes: the first did not replace the hash", got)
		}
	})
}

func TestPepperChange(t *testing.T) {
	b := onSQLite(t)
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

func TestSecretsAreNotStoredInClearText(t *testing.T) {
	b := onSQLite(t)
	box := b.mailbox()
	session := b.signUp("ada@example.com")
	fresh := mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: session.RefreshToken}, "")
	mustCall(b, subjects.RequestPasswordReset, subjects.EmailRequest{Email: "ada@example.com"}, "")
	reset := box.waitFor("ada@example.com", resetSubject, 1).token(t)
	verification := box.waitFor("ada@example.com", verifySubject, 1).token(t)
	secret, recovery := b.enableTOTP(fresh.AccessToken)
	key := mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
		Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead},
	}, fresh.AccessToken).Key
	b.waitForAudit(t, session.User.ID, "api_key_create")
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
					t.Errorf("%s contains a secret in clear text", path)
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
