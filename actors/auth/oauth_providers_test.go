package auth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

// gitHub implements GitHub's API: token responses in JSON, errors with status 200, /user and /user/emails.
type gitHub struct {
	url string

	mu     sync.Mutex
	codes  map[string]string // code → challenge
	id     int64
	login  string
	emails []map[string]any
	// answer replaces the answers to token requests.
	answer http.HandlerFunc
}

var gitHubsByURL sync.Map // by URL

// withGitHub configures a GitHub server of the test's own.
func withGitHub(c *auth.Config) {
	g := &gitHub{codes: map[string]string{}, id: 4711, login: "ada", emails: []map[string]any{
		{"email": "other@example.com", "primary": false, "verified": true, "visibility": nil},
		{"email": "hub@example.com", "primary": true, "verified": true, "visibility": "private"},
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login/oauth/access_token", g.token)
	mux.HandleFunc("GET /api/v3/user", g.read(func() any {
		return map[string]any{"id": g.id, "login": g.login, "name": nil, "avatar_url": "https://avatars.example/u/4711"}
	}))
	mux.HandleFunc("GET /api/v3/user/emails", g.read(func() any { return g.emails }))
	g.url = httptest.NewServer(mux).URL
	gitHubsByURL.Store(g.url, g)
	if c.OAuth.Providers == nil {
		c.OAuth.Providers = map[string]auth.OAuthProvider{}
	}
	c.OAuth.Providers["github"] = auth.OAuthProvider{
		Issuer: g.url, ClientID: clientID, ClientSecret: clientSecret, RedirectURIs: []string{redirectURI},
	}
}

// gitHubOf returns the GitHub server that a configuration names.
func gitHubOf(c auth.Config) *gitHub {
	g, _ := gitHubsByURL.Load(c.OAuth.Providers["github"].Issuer)
	return g.(*gitHub)
}

func (g *gitHub) update(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// authorize acts as a browser at GitHub whose user is signed in.
func (g *gitHub) authorize(address string) url.Values {
	g.mu.Lock()
	defer g.mu.Unlock()
	u, err := url.Parse(address)
	if err != nil || u.Path != "/login/oauth/authorize" || u.Query().Get("code_challenge_method") != "S256" {
		return url.Values{}
	}
	code := "code" + strconv.Itoa(len(g.codes))
	g.codes[code] = u.Query().Get("code_challenge")
	return url.Values{"code": {code}, "state": {u.Query().Get("state")}, "iss": {g.url + "/login/oauth"}}
}

func (g *gitHub) token(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	challenge, known := g.codes[r.PostFormValue("code")]
	delete(g.codes, r.PostFormValue("code"))
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	switch {
	case r.PostFormValue("client_id") != clientID || r.PostFormValue("client_secret") != clientSecret:
		_, _ = w.Write([]byte(`{"error":"incorrect_client_credentials","error_description":"canary"}`))
	case !known || challenge != base64.RawURLEncoding.EncodeToString(sum[:]) || r.PostFormValue("redirect_uri") != redirectURI:
		_, _ = w.Write([]byte(`{"error":"bad_verification_code","error_description":"canary"}`))
	case g.answer != nil:
		g.answer(w, r)
	default:
		_, _ = w.Write([]byte(`{"access_token":"gho_canary","scope":"read:user,user:email","token_type":"bearer"}`))
	}
}

func (g *gitHub) read(what func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer gho_canary" || r.UserAgent() == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(what())
	}
}

func (b *harness) gitHubSignIn(g *gitHub) (subjects.Session, error) {
	b.t.Helper()
	start := b.initiateOAuth("github")
	return call(b, subjects.CompleteOAuth, callback("github", start, g.authorize(start.AuthorizationURL)), "")
}

func TestGitHub(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		g := gitHubOf(b.config)
		start := b.initiateOAuth("github")
		wrong := callback("github", start, g.authorize(start.AuthorizationURL))
		wrong.Issuer = "https://github.com/login/oauth"
		_, err := call(b, subjects.CompleteOAuth, wrong, "")
		requireCode(t, err, subjects.CodeInvalid)
		g.update(func() { g.emails[1]["verified"] = false })
		_, err = b.gitHubSignIn(g)
		requireCode(t, err, subjects.CodeForbidden)
		g.update(func() { g.emails[1]["verified"] = true })
		first, err := b.gitHubSignIn(g)
		if err != nil || first.User.Email != "hub@example.com" || first.User.FirstName != "ada" || first.User.AvatarURL == "" {
			t.Fatalf("signed in as %+v, %v", first.User, err)
		}
		g.update(func() { g.login, g.emails = "renamed", nil })
		if again, err := b.gitHubSignIn(g); err != nil || again.User.ID != first.User.ID {
			t.Errorf("renamed and without an address: %+v, %v", again.User, err)
		}
		g.update(func() { g.id = 4712 }) // another user who took over the login
		_, err = b.gitHubSignIn(g)
		requireCode(t, err, subjects.CodeForbidden)
		start = b.initiateOAuth("github")
		_, err = call(b, subjects.CompleteOAuth, subjects.CompleteOAuthRequest{
			Provider: "github", State: start.State, Binding: start.Binding, Code: "made up",
		}, "")
		if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != "code" {
			t.Errorf("field is %s", e.Fields[0].Field)
		}
	}, withGitHub)
}

// TestMicrosoft makes the provider behave like Microsoft for applications of all tenants: the metadata have a template
// as issuer, tokens contain their tenant, and email is whatever the tenant set.
func TestMicrosoft(t *testing.T) {
	op := startProvider(t)
	b := onSQLite(t, withProvider(op, func(p *auth.OAuthProvider) { p.Kind, p.Issuer = "microsoft", op.url+"/common/v2.0" }))
	const tenant = "9188040d-6c67-4c5b-b112-36a304b66dad"
	say := func(change jwt.MapClaims) {
		op.update(func() {
			op.changeMetadata = func(m map[string]any) { m["issuer"] = op.url + "/{tenantid}/v2.0" }
			op.forge = func(c jwt.MapClaims, sign func(jwt.MapClaims) string) string {
				c["iss"], c["tid"], c["email"] = op.url+"/"+tenant+"/v2.0", tenant, "ada@example.com"
				for name, value := range change {
					c[name] = value
				}
				return sign(c)
			}
		})
	}
	say(jwt.MapClaims{"email_verified": true})
	_, err := b.oauthSignIn(op, "ada")
	requireCode(t, err, subjects.CodeForbidden)
	say(jwt.MapClaims{"xms_edov": false, "email_verified": true})
	_, err = b.oauthSignIn(op, "ada")
	requireCode(t, err, subjects.CodeForbidden)
	for what, forged := range map[string]jwt.MapClaims{
		"another tenant's issuer": {"xms_edov": true, "iss": op.url + "/00000000-0000-4000-8000-000000000000/v2.0"},
		"no tenant":               {"xms_edov": true, "tid": "common"},
		"another issuer":          {"xms_edov": true, "iss": "https://attacker.example/" + tenant + "/v2.0"},
	} {
		say(forged)
		if _, err := b.oauthSignIn(op, "ada"); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("%s: %v", what, err)
		}
	}
	say(jwt.MapClaims{"xms_edov": true})
	s := b.mustOAuthSignIn(op, "ada")
	list := mustCall(b, subjects.ListIdentities, subjects.ListIdentitiesRequest{}, s.AccessToken).Items
	if len(list) != 1 || list[0].Issuer != op.url+"/"+tenant+"/v2.0" {
		t.Errorf("the identities are %+v", list)
	}
}
