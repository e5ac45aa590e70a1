package auth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

// onEachDatabaseWithProvider is onEachDatabase with an OpenID provider for each.
func onEachDatabaseWithProvider(t *testing.T, test func(t *testing.T, b *harness, op *openIDProvider), options ...func(*auth.Config)) {
	t.Helper()
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			op := startProvider(t)
			test(t, setup(t, kind, append([]func(*auth.Config){withProvider(op)}, options...)...), op)
		})
	}
}

// onSQLiteWithProvider is onSQLite with an OpenID provider.
func onSQLiteWithProvider(t *testing.T, options ...func(*auth.Config)) (*harness, *openIDProvider) {
	t.Helper()
	t.Parallel()
	op := startProvider(t)
	return setup(t, actortest.Databases(t)[0], append([]func(*auth.Config){withProvider(op)}, options...)...), op
}

func TestProviderSignInCreatesAndFindsTheAccount(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		first := b.mustOAuthSignIn(op, "ada")
		if u := first.User; u.Email != "ada@example.com" || !u.EmailVerified || u.FirstName != "Ada" || u.LastName != "King" {
			t.Errorf("the account is %+v", u)
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, first.AccessToken)
		mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: first.RefreshToken}, "")
		op.people["ada"] = person("ada", "moved@elsewhere.example", true)
		op.people["new"] = person("new", "Ada@example.com", true)
		if again := b.mustOAuthSignIn(op, "ada"); again.User.ID != first.User.ID || again.User.Email != "ada@example.com" {
			t.Errorf("with another address at the provider: %+v", again.User)
		}
		_, err := b.oauthSignIn(op, "new")
		requireCode(t, err, subjects.CodeConflict)
		list := mustCall(b, subjects.ListIdentities, subjects.ListIdentitiesRequest{}, first.AccessToken).Items
		if len(list) != 1 || list[0].Provider != "corp" || list[0].Issuer != op.url || list[0].Email != "moved@elsewhere.example" || list[0].Status != subjects.IdentityActive {
			t.Errorf("the identities are %+v", list)
		}
		if n := b.metric("auth_registrations_total", ""); n != 1 {
			t.Errorf("%v accounts were created", n)
		}
		for result, want := range map[string]float64{"success": 2, "conflict": 1, "failure": 0} {
			if n := b.metric("auth_oauth_logins_total", result); n != want {
				t.Errorf("%v sign-ins with result %s, want %v", n, result, want)
			}
		}
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
	})
}

func TestAuthorizationRequest(t *testing.T) {
	b, op := onSQLiteWithProvider(t)
	one, two := b.initiateOAuth("corp"), b.initiateOAuth("corp")
	u, err := url.Parse(one.AuthorizationURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, want := range map[string]string{
		"response_type": "code", "client_id": clientID, "redirect_uri": redirectURI, "state": one.State,
		"code_challenge_method": "S256", "scope": "openid email profile",
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if len(q.Get("nonce")) != 43 || len(one.State) != 43 || len(one.Binding) != 43 || one.State == two.State || one.Binding == two.Binding {
		t.Errorf("nonce %q, %+v, %+v", q.Get("nonce"), one, two)
	}
	if strings.Contains(one.AuthorizationURL, one.Binding) {
		t.Errorf("the authorization URL contains the binding")
	}
	mustCall(b, subjects.CompleteOAuth, callback("corp", one, op.authorize(t, one.AuthorizationURL, "ada")), "")
	form := op.tokenRequests()[0]
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") {
		t.Errorf("the verifier %q does not match the challenge", form.Get("code_verifier"))
	}
	_, err = call(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "nobody"}, "")
	requireCode(t, err, subjects.CodeNotFound)
}

func TestConcurrentCallbacksOfOneState(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		start := b.initiateOAuth("corp")
		req := callback("corp", start, op.authorize(t, start.AuthorizationURL, "ada"))
		passed := 0
		for _, err := range concurrently(20, func(int) error {
			_, err := call(b, subjects.CompleteOAuth, req, "")
			return err
		}) {
			if err == nil {
				passed++
				continue
			}
			if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != "state" {
				t.Errorf("field is %s", e.Fields[0].Field)
			}
		}
		if passed != 1 || len(op.tokenRequests()) != 1 {
			t.Errorf("a state was accepted %d times, the provider called %d times", passed, len(op.tokenRequests()))
		}
	})
}

func TestConcurrentFirstSignInsCreateOneAccount(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		requests := make([]subjects.CompleteOAuthRequest, 8)
		for i := range requests {
			start := b.initiateOAuth("corp")
			requests[i] = callback("corp", start, op.authorize(t, start.AuthorizationURL, "ada"))
		}
		ids := make([]string, len(requests))
		for _, err := range concurrently(len(requests), func(i int) error {
			s, err := call(b, subjects.CompleteOAuth, requests[i], "")
			ids[i] = s.User.ID
			return err
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(ids)
		if len(slices.Compact(ids)) != 1 || b.metric("auth_registrations_total", "") != 1 {
			t.Errorf("the accounts are %v", ids)
		}
	})
}

func TestOAuthStateIsBoundAndSingleUse(t *testing.T) {
	other := startProvider(t)
	b, op := onSQLiteWithProvider(t, func(c *auth.Config) {
		p := c.OAuth.Providers["corp"]
		p.Issuer = other.url
		c.OAuth.Providers["other"] = p
	})
	start, elsewhere := b.initiateOAuth("corp"), b.initiateOAuth("corp")
	good := callback("corp", start, op.authorize(t, start.AuthorizationURL, "ada"))
	bad := func(what string, change func(*subjects.CompleteOAuthRequest)) {
		t.Helper()
		req := good
		change(&req)
		_, err := call(b, subjects.CompleteOAuth, req, "")
		if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != "state" {
			t.Errorf("%s: field is %s", what, e.Fields[0].Field)
		}
	}
	bad("another state", func(r *subjects.CompleteOAuthRequest) { r.State = strings.Repeat("x", len(r.State)) })
	bad("another browser", func(r *subjects.CompleteOAuthRequest) { r.Binding = elsewhere.Binding })
	bad("another browser's cookie", func(r *subjects.CompleteOAuthRequest) { r.Binding, r.CookieBinding = "", elsewhere.Binding })
	bad("no browser", func(r *subjects.CompleteOAuthRequest) { r.Binding = "" })
	bad("another provider", func(r *subjects.CompleteOAuthRequest) { r.Provider = "other" })
	if n := len(op.tokenRequests()) + len(other.tokenRequests()); n != 0 {
		t.Fatalf("a provider was asked %d times", n)
	}
	byCookie := good
	byCookie.Binding, byCookie.CookieBinding = "", start.Binding
	mustCall(b, subjects.CompleteOAuth, byCookie, "")
	bad("used", func(*subjects.CompleteOAuthRequest) {})
	tab := mustCall(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp", CookieBinding: start.Binding}, "")
	if tab.Binding != start.Binding {
		t.Errorf("a second tab gets a different binding")
	}
	if planted := mustCall(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp", CookieBinding: "short"}, ""); planted.Binding == "short" {
		t.Errorf("a malformed cookie is accepted as binding")
	}
	good = callback("corp", tab, op.authorize(t, tab.AuthorizationURL, "ada"))
	b.clock.advance(10 * time.Minute)
	bad("expired", func(*subjects.CompleteOAuthRequest) {})
	if n := b.metric("auth_oauth_logins_total", "failure"); n != 7 {
		t.Errorf("%v failures were counted, want 7", n)
	}
}

// TestCallbackIssuerIsChecked tests RFC 9207 §2.4.
func TestCallbackIssuerIsChecked(t *testing.T) {
	b, op := onSQLiteWithProvider(t)
	start := b.initiateOAuth("corp")
	req := callback("corp", start, op.authorize(t, start.AuthorizationURL, "ada"))
	req.Issuer = "https://attacker.example"
	_, err := call(b, subjects.CompleteOAuth, req, "")
	if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != "iss" || len(op.tokenRequests()) != 0 {
		t.Errorf("field is %s, the provider was called %d times", e.Fields[0].Field, len(op.tokenRequests()))
	}
	req.Issuer = op.url
	mustCall(b, subjects.CompleteOAuth, req, "")

	op.update(func() {
		op.changeMetadata = func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = true }
	})
	b.clock.advance(time.Hour) // until the cached metadata expire
	start = b.initiateOAuth("corp")
	req = callback("corp", start, op.authorize(t, start.AuthorizationURL, "ada"))
	_, err = call(b, subjects.CompleteOAuth, req, "")
	if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != "iss" {
		t.Errorf("without iss: field is %s", e.Fields[0].Field)
	}
}

// TestMetadataIssuerMismatchIsRefused: metadata with a different issuer are refused (ASVS 10.5.3).
func TestMetadataIssuerMismatchIsRefused(t *testing.T) {
	b, op := onSQLiteWithProvider(t)
	for _, other := range []string{"https://attacker.example", op.url + "/", ""} {
		op.update(func() { op.changeMetadata = func(m map[string]any) { m["issuer"] = other } })
		_, err := call(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp"}, "")
		requireCode(t, err, subjects.CodeProvider)
	}
	op.update(func() { op.changeMetadata = nil })
	b.initiateOAuth("corp")
}

func TestForgedIDTokens(t *testing.T) {
	b, op := onSQLiteWithProvider(t)
	unknownKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key, id := op.key(t)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	signed := func(method jwt.SigningMethod, key any) func(jwt.MapClaims, func(jwt.MapClaims) string) string {
		return func(c jwt.MapClaims, _ func(jwt.MapClaims) string) string {
			token := jwt.NewWithClaims(method, c)
			token.Header["kid"] = id
			raw, err := token.SignedString(key)
			if err != nil {
				t.Error(err)
			}
			return raw
		}
	}
	changed := func(name string, value any) func(jwt.MapClaims, func(jwt.MapClaims) string) string {
		return func(c jwt.MapClaims, sign func(jwt.MapClaims) string) string {
			c[name] = value
			if value == nil {
				delete(c, name)
			}
			return sign(c)
		}
	}
	forgeries := map[string]func(jwt.MapClaims, func(jwt.MapClaims) string) string{
		"another nonce":    changed("nonce", "another"),
		"no nonce":         changed("nonce", nil),
		"another audience": changed("aud", "another"),
		"no audience":      changed("aud", nil),
		"two audiences, no party": func(c jwt.MapClaims, sign func(jwt.MapClaims) string) string {
			delete(c, "azp")
			c["aud"] = []string{clientID, "another"}
			return sign(c)
		},
		"another party":          changed("azp", "another"),
		"expired":                changed("exp", time.Now().Add(-time.Minute).Unix()),
		"no expiry":              changed("exp", nil),
		"another issuer":         changed("iss", "https://attacker.example"),
		"another access token":   changed("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"no subject":             changed("sub", ""),
		"an unknown key":         signed(jwt.SigningMethodRS256, unknownKey),
		"alg none":               signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"the client's secret":    signed(jwt.SigningMethodHS256, []byte(clientSecret)),
		"the public key as HMAC": signed(jwt.SigningMethodHS256, publicPEM),
		"no token":               func(jwt.MapClaims, func(jwt.MapClaims) string) string { return "" },
		"no signature": func(c jwt.MapClaims, sign func(jwt.MapClaims) string) string {
			return strings.TrimRight(sign(c), "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
		},
	}
	// Control: a token that is changed in an ignored claim and signed again is accepted.
	op.update(func() { op.forge = changed("ignored", true) })
	b.mustOAuthSignIn(op, "bob")
	for name, forge := range forgeries {
		op.update(func() { op.forge = forge })
		_, err := b.oauthSignIn(op, "ada")
		if subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := b.metric("auth_registrations_total", ""); n != 1 {
		t.Errorf("%v accounts were created, want only Bob's", n)
	}
	if n := b.metric("auth_oauth_logins_total", "failure"); n != float64(len(forgeries)) {
		t.Errorf("%v failures were counted, want %d", n, len(forgeries))
	}
}

func TestRedirectURIsMatchExactly(t *testing.T) {
	b, _ := onSQLiteWithProvider(t)
	ask := func(uri string) error {
		_, err := call(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp", RedirectURI: uri}, "")
		return err
	}
	for _, uri := range []string{
		redirectURI + "/", redirectURI + "?x=1", redirectURI + "#", redirectURI + "/../evil", "https://APP.example/callback",
		"https://app.example/Callback", "https://app.example:443/callback", "http://app.example/callback", "https://app.example@evil.example/callback",
		"https://app.example.evil.example/callback", " " + redirectURI, "https://app.example", "//app.example/callback", "com.example.app:/callback2",
	} {
		if e := requireCode(t, ask(uri), subjects.CodeInvalid); e.Fields[0].Field != "redirect_uri" {
			t.Errorf("%s: field is %s", uri, e.Fields[0].Field)
		}
	}
	for _, uri := range []string{redirectURI, "com.example.app:/callback"} {
		if err := ask(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func TestProviderErrorResponse(t *testing.T) {
	b, op := onSQLiteWithProvider(t)
	for word, told := range map[string]bool{"access_denied": true, "Sorry <script>": false} {
		start := b.initiateOAuth("corp")
		_, err := call(b, subjects.CompleteOAuth, subjects.CompleteOAuthRequest{
			Provider: "corp", State: start.State, Binding: start.Binding, Error: word,
		}, "")
		e := requireCode(t, err, subjects.CodeUnauthenticated)
		if strings.Contains(e.Detail, word) != told {
			t.Errorf("%s: %s", word, e.Detail)
		}
	}
	start := b.initiateOAuth("corp")
	_, err := call(b, subjects.CompleteOAuth, subjects.CompleteOAuthRequest{
		Provider: "corp", State: start.State, Binding: start.Binding, Code: "made up",
	}, "")
	if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != "code" || len(op.tokenRequests()) != 1 {
		t.Errorf("field is %s", e.Fields[0].Field)
	}
}

func TestProviderUnavailable(t *testing.T) {
	op := startProvider(t)
	b := onSQLite(t, withProvider(op, func(p *auth.OAuthProvider) { p.Issuer = "http://127.0.0.1:1" }))
	_, err := call(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp"}, "")
	if e := requireCode(t, err, subjects.CodeUnavailable); e.RetryAfter == 0 || strings.Contains(e.Detail, "127.0.0.1") {
		t.Errorf("refused with %+v", e)
	}
}
