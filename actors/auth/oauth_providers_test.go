package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/mesh"
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
	app    atomic.Bool // a GitHub App without the permission to read addresses
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
	mux.HandleFunc("GET /api/v3/user/emails", func(w http.ResponseWriter, r *http.Request) {
		if g.app.Load() {
			http.Error(w, `{"message":"Resource not accessible by integration"}`, http.StatusForbidden)
			return
		}
		g.read(func() any { return g.emails })(w, r)
	})
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

// A GitHub App may lack the permission to read addresses: a known user signs in, a new one gets the reason.
func TestGitHubAppWithoutAddresses(t *testing.T) {
	b := onSQLite(t, withGitHub)
	g := gitHubOf(b.config)
	first, err := b.gitHubSignIn(g)
	if err != nil {
		t.Fatal(err)
	}
	g.app.Store(true)
	if again, err := b.gitHubSignIn(g); err != nil || again.User.ID != first.User.ID {
		t.Errorf("a known user: %+v, %v", again.User, err)
	}
	g.update(func() { g.id = 4712 })
	_, err = b.gitHubSignIn(g)
	if e := requireCode(t, err, subjects.CodeForbidden); !strings.Contains(e.Detail, "let this application read it") {
		t.Errorf("a new user gets: %s", e.Detail)
	}
}

// email_verified is a boolean. A string does not count, except with Apple, which documents it.
func TestEmailVerifiedAsAString(t *testing.T) {
	op := startProvider(t)
	b := onSQLite(t, withProvider(op))
	for _, value := range []any{"true", "1", 1, "false", nil, []any{true}} {
		op.update(func() {
			op.forge = func(c jwt.MapClaims, sign func(jwt.MapClaims) string) string {
				c["email"], c["email_verified"] = "ada@example.com", value
				return sign(c)
			}
		})
		if _, err := b.oauthSignIn(op, "ada"); subjects.CodeOf(err) != subjects.CodeForbidden {
			t.Errorf("email_verified %#v: %v", value, err)
		}
	}
}

// TestApple makes the provider behave like Apple: it takes a client secret that is a signed token, answers with strings for booleans,
// and posts the user's name beside the code.
func TestApple(t *testing.T) {
	op := startProvider(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	op.update(func() {
		op.changeMetadata = func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = []string{"client_secret_post"} }
		op.forge = func(c jwt.MapClaims, sign func(jwt.MapClaims) string) string {
			c["email"], c["email_verified"], c["is_private_email"] = "ada@privaterelay.appleid.com", "true", "true"
			for _, name := range []string{"name", "given_name", "family_name"} {
				delete(c, name)
			}
			return sign(c)
		}
		op.changeRequest = func(form url.Values) {
			claims := jwt.RegisteredClaims{}
			token, err := jwt.ParseWithClaims(form.Get("client_secret"), &claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil },
				jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(op.url), jwt.WithIssuer("TEAM"), jwt.WithSubject(clientID), jwt.WithExpirationRequired())
			if err != nil || token.Header["kid"] != "KEY" {
				t.Errorf("the client secret: %+v, %v", token, err)
			}
			form.Set("client_secret", clientSecret)
		}
	})
	b := onSQLite(t, withProvider(op, func(p *auth.OAuthProvider) {
		p.Kind, p.ClientSecret, p.TeamID, p.KeyID = "apple", "", "TEAM", "KEY"
		p.PrivateKey = mesh.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		p.Scopes = []string{"openid", "email"}
	}))
	start := b.initiateOAuth("corp")
	address, err := url.Parse(start.AuthorizationURL)
	if err != nil || address.Query().Get("response_mode") != "form_post" {
		t.Fatalf("the browser is sent to %s", start.AuthorizationURL)
	}
	query := address.Query()
	query.Del("response_mode") // this provider would write a form
	address.RawQuery = query.Encode()
	posted := callback("corp", start, op.authorize(t, address.String(), "ada"))
	posted.Binding, posted.User = "", `{"name":{"firstName":"Ada","lastName":"King"},"email":"eve@example.com"}`
	document := mustCall(b, subjects.PostOAuth, posted, "")
	location, err := url.Parse(document.Headers["Location"])
	if err != nil || location.Host != "" || location.Path != "callback" {
		t.Fatalf("redirected to %s", document.Headers["Location"])
	}
	request := callback("corp", start, location.Query())
	request.User = location.Query().Get("user")
	session, err := call(b, subjects.CompleteOAuth, request, "")
	if err != nil || session.User.Email != "ada@privaterelay.appleid.com" || session.User.FirstName != "Ada" || session.User.LastName != "King" {
		t.Errorf("signed in as %+v, %v", session.User, err)
	}
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
