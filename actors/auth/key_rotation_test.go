package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// rotateByCommand does what `weft auth rotate-keys` does.
func (b *harness) rotateByCommand() (string, error) {
	b.t.Helper()
	db, err := database.Open(b.t.Context(), b.database, b.Log)
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	return auth.RotateKeys(b.t.Context(), actors.Deps{
		DB: db, Outbox: outbox.New(outbox.Config{DB: db, Log: b.Log}), Log: b.Log,
		Now: b.Now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
	}, b.config)
}

// keyOf returns the kid of a token.
func keyOf(t *testing.T, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	data, err := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Kid string }
	if err == nil {
		err = json.Unmarshal(data, &header)
	}
	if err != nil || header.Kid == "" {
		t.Fatalf("the token's header is %s, %v", data, err)
	}
	return header.Kid
}

func TestRotateKeysCommand(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		session := b.signUp("ada@example.com")
		retired := keyOf(t, session.AccessToken)
		now := b.Now()
		lasting, err := b.latest.SignWithCurrentKey(mesh.Claims{
			Issuer: b.latest.Issuer, Audience: b.latest.Audience, Subject: session.User.ID, ClientID: "weft", ID: uuid.NewString(),
			SessionID: uuid.NewString(), IssuedAt: now.Unix(), ExpiresAt: now.Add(24 * time.Hour).Unix(), AuthTime: now.Unix(),
			Roles: []string{subjects.RoleUser},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.actor.Stop(t); err != nil {
			t.Fatal(err)
		}
		current, err := b.rotateByCommand()
		if err != nil || current == retired {
			t.Fatalf("the command returned %q, %v; the previous key is %q", current, err, retired)
		}
		_, err = b.rotateByCommand()
		requireCode(t, err, subjects.CodeConflict)
		b.actor = b.start()
		elsewhere := b.verifier()
		fresh := b.login("ada@example.com")
		if got := keyOf(t, fresh.AccessToken); got != current {
			t.Errorf("a new token is signed with %q, want %q", got, current)
		}
		for _, token := range []string{session.AccessToken, fresh.AccessToken, lasting} {
			if _, err := elsewhere.Verify(t.Context(), token); err != nil {
				t.Errorf("a token is refused after the rotation: %v", err)
			}
		}
		if keys := mustCall(b, subjects.JWKS, subjects.Empty{}, "").Keys; len(keys) != 3 {
			t.Errorf("%d keys are published, want next, current and retired", len(keys))
		}
		b.clock.advance(2 * time.Hour)
		eventually(t, "the retired key's tokens are refused", func() bool {
			_, err := elsewhere.Verify(t.Context(), lasting)
			return subjects.CodeOf(err) == subjects.CodeUnauthenticated
		})
		eventually(t, "the retired key is not published any more", func() bool {
			return !slices.ContainsFunc(mustCall(b, subjects.JWKS, subjects.Empty{}, "").Keys, func(key subjects.JSONWebKey) bool { return key.KeyID == retired })
		})
	}, func(c *auth.Config) { c.KeyReload = time.Second })
}

func TestRunningActorFollowsKeyRotation(t *testing.T) {
	onPostgres(t, func(t *testing.T, b *harness) {
		session := b.signUp("ada@example.com")
		current, err := b.rotateByCommand()
		if err != nil {
			t.Fatal(err)
		}
		latest := session
		eventually(t, "tokens are signed with the new key", func() bool {
			latest = mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: latest.RefreshToken}, "")
			return keyOf(t, latest.AccessToken) == current
		})
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, latest.AccessToken)
	}, func(c *auth.Config) { c.KeyReload = time.Second })
}
