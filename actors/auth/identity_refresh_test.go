package auth_test

import (
	"bytes"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

// refreshRequests returns the refresh requests to the token endpoint.
func (op *openIDProvider) refreshRequests() []url.Values {
	var list []url.Values
	for _, form := range op.tokenRequests() {
		if form.Get("grant_type") == "refresh_token" {
			list = append(list, form)
		}
	}
	return list
}

func offline(p *auth.OAuthProvider) { p.Scopes = []string{"email", "profile", "offline_access"} }

func (b *harness) identityStatus(token string) string {
	list := mustCall(b, subjects.ListIdentities, subjects.ListIdentitiesRequest{}, token).Items
	if len(list) != 1 {
		b.t.Fatalf("the identities are %+v", list)
	}
	return list[0].Status
}

func TestProviderTokensAreRefreshedOnce(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			op := startProvider(t)
			b := setup(t, kind, withProvider(op, offline), func(c *auth.Config) { c.OAuth.RefreshEvery = time.Second })
			if kind.Name == "postgres" {
				b.start() // a second copy that competes for the same tokens
			}
			b.mustOAuthSignIn(op, "ada")
			first, _ := op.answers[0]["refresh_token"].(string)
			if first == "" || len(op.refreshRequests()) != 0 {
				t.Fatalf("refreshed too soon: %v", op.tokenRequests())
			}
			for round := 1; round <= 3; round++ {
				begun := time.Time{}
				eventually(t, "the tokens are refreshed", func() bool {
					// Half a token's lifetime; again if the last token was issued after the clock was advanced.
					if time.Since(begun) > 3*time.Second {
						b.clock.advance(150 * time.Second)
						begun = time.Now()
					}
					return len(op.refreshRequests()) >= round
				})
			}
			sent := op.refreshRequests()
			if sent[0].Get("refresh_token") != first {
				t.Fatalf("refreshed with %v, want first %s", sent, first)
			}
			seen := map[string]bool{}
			for _, form := range sent {
				if seen[form.Get("refresh_token")] {
					t.Errorf("a refresh token was sent twice")
				}
				seen[form.Get("refresh_token")] = true
			}
		})
	}
}

func TestProviderRevokesItsTokens(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		s := b.mustOAuthSignIn(op, "ada")
		if err := op.storage.TerminateSession(t.Context(), "ada", clientID); err != nil {
			t.Fatal(err)
		}
		op.revokeTokens(t)
		b.clock.advance(150 * time.Second)
		eventually(t, "the revocation is noticed", func() bool { return b.identityStatus(s.AccessToken) == "needs_reauth" })
		if again := b.mustOAuthSignIn(op, "ada"); again.User.ID != s.User.ID || b.identityStatus(again.AccessToken) != "active" {
			t.Errorf("a new sign-in does not reactivate the identity")
		}
	}, func(c *auth.Config) {
		p := c.OAuth.Providers["corp"]
		offline(&p)
		c.OAuth.Providers["corp"], c.OAuth.RefreshEvery = p, time.Second
	})
}

// revokeTokens revokes every refresh token that the provider issued.
func (op *openIDProvider) revokeTokens(t testing.TB) {
	op.mu.Lock()
	defer op.mu.Unlock()
	for _, answer := range op.answers {
		if token, _ := answer["refresh_token"].(string); token != "" {
			if err := op.storage.RevokeToken(t.Context(), token, "ada", clientID); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestOAuthSecretsAreNotStoredInClearText(t *testing.T) {
	op := startProvider(t)
	b := onSQLite(t, withProvider(op, offline))
	waiting := b.initiateOAuth("corp")
	start := b.initiateOAuth("corp")
	query := op.authorize(t, start.AuthorizationURL, "ada")
	s := mustCall(b, subjects.CompleteOAuth, callback("corp", start, query), "")
	asked, err := url.Parse(start.AuthorizationURL)
	if err != nil {
		t.Fatal(err)
	}
	canaries := map[string]string{
		"state": start.State, "binding": start.Binding, "another state": waiting.State, "another binding": waiting.Binding,
		"code": query.Get("code"), "nonce": asked.Query().Get("nonce"), "verifier": op.tokenRequests()[0].Get("code_verifier"),
		"client secret": clientSecret, "refresh token": s.RefreshToken,
	}
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		canaries["provider's "+name], _ = op.answers[0][name].(string)
	}
	if err := b.actor.Stop(t); err != nil {
		t.Logf("stopping: %v", err)
	}
	b.StopServer(t)
	files, proof := 0, false
	for _, root := range []string{b.Dir, b.database.DataDir} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			proof = proof || bytes.Contains(data, []byte(s.User.ID))
			for what, canary := range canaries {
				if len(canary) < 16 {
					t.Errorf("the canary %s is %q", what, canary)
				}
				if bytes.Contains(data, []byte(canary)) {
					t.Errorf("%s contains the %s in clear text", path, what)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 3 || !proof {
		t.Errorf("%d files were searched; they contain the account: %v", files, proof)
	}
}
