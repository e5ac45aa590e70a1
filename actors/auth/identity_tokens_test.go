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

// refreshes are the token endpoint's requests for a refresh.
func (op *issuer) refreshes() []url.Values {
	var list []url.Values
	for _, form := range op.asked() {
		if form.Get("grant_type") == "refresh_token" {
			list = append(list, form)
		}
	}
	return list
}

func offline(p *auth.OAuthProvider) { p.Scopes = []string{"email", "profile", "offline_access"} }

func (b *bench) identityStatus(token string) string {
	list := must(b, subjects.ListIdentities, subjects.ListIdentitiesRequest{}, token).Items
	if len(list) != 1 {
		b.t.Fatalf("the identities are %+v", list)
	}
	return list[0].Status
}

func TestProviderTokensAreRefreshedOnceEach(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			op := startIssuer(t)
			b := setup(t, kind, withIssuer(op, offline), func(c *auth.Config) { c.OAuth.RefreshEvery = time.Second })
			if kind.Name == "postgres" {
				b.start() // a second copy, which looks for the same tokens
			}
			b.signedInAt(op, "ada")
			first, _ := op.answers[0]["refresh_token"].(string)
			if first == "" || len(op.refreshes()) != 0 {
				t.Fatalf("refreshed too soon: %v", op.asked())
			}
			for round := 1; round <= 3; round++ {
				begun := time.Time{}
				eventually(t, "the tokens are refreshed", func() bool {
					// Half a token's life; once more where the last answer was dated after the clock was set.
					if time.Since(begun) > 3*time.Second {
						b.clock.forward(150 * time.Second)
						begun = time.Now()
					}
					return len(op.refreshes()) >= round
				})
			}
			sent := op.refreshes()
			if sent[0].Get("refresh_token") != first {
				t.Fatalf("refreshed with %v, begun with %s", sent, first)
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

func TestAProviderThatTakesItsTokensBack(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		s := b.signedInAt(op, "ada")
		if err := op.storage.TerminateSession(t.Context(), "ada", clientID); err != nil {
			t.Fatal(err)
		}
		op.forget(t)
		b.clock.forward(150 * time.Second)
		eventually(t, "the loss is noticed", func() bool { return b.identityStatus(s.AccessToken) == "needs_reauth" })
		if again := b.signedInAt(op, "ada"); again.User.ID != s.User.ID || b.identityStatus(again.AccessToken) != "active" {
			t.Errorf("a new sign-in does not mend the identity")
		}
	}, func(c *auth.Config) {
		p := c.OAuth.Providers["corp"]
		offline(&p)
		c.OAuth.Providers["corp"], c.OAuth.RefreshEvery = p, time.Second
	})
}

// forget has the provider revoke every refresh token that it gave.
func (op *issuer) forget(t testing.TB) {
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

func TestNothingOfASignInIsKeptInClear(t *testing.T) {
	op := startIssuer(t)
	b := once(t, withIssuer(op, offline))
	waiting := b.begin("corp")
	start := b.begin("corp")
	query := op.visit(t, start.AuthorizationURL, "ada")
	s := must(b, subjects.CompleteOAuth, back("corp", start, query), "")
	asked, err := url.Parse(start.AuthorizationURL)
	if err != nil {
		t.Fatal(err)
	}
	canaries := map[string]string{
		"state": start.State, "binding": start.Binding, "another state": waiting.State, "another binding": waiting.Binding,
		"code": query.Get("code"), "nonce": asked.Query().Get("nonce"), "verifier": op.asked()[0].Get("code_verifier"),
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
					t.Errorf("%s has the %s in clear", path, what)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 3 || !proof {
		t.Errorf("%d files were read, the account found in them: %v", files, proof)
	}
}
