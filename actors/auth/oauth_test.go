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

// onBothWith is onBoth with a provider for each.
func onBothWith(t *testing.T, test func(t *testing.T, b *bench, op *issuer), options ...func(*auth.Config)) {
	t.Helper()
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			op := startIssuer(t)
			test(t, setup(t, kind, append([]func(*auth.Config){withIssuer(op)}, options...)...), op)
		})
	}
}

// onceWith is once with a provider.
func onceWith(t *testing.T, options ...func(*auth.Config)) (*bench, *issuer) {
	t.Helper()
	t.Parallel()
	op := startIssuer(t)
	return setup(t, actortest.Databases(t)[0], append([]func(*auth.Config){withIssuer(op)}, options...)...), op
}

func TestAProviderOpensAnAccountAndFindsItAgain(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		first := b.signedInAt(op, "ada")
		if u := first.User; u.Email != "ada@example.com" || !u.EmailVerified || u.FirstName != "Ada" || u.LastName != "King" {
			t.Errorf("the account is %+v", u)
		}
		must(b, subjects.GetUserProfile, subjects.Empty{}, first.AccessToken)
		must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: first.RefreshToken}, "")
		op.people["ada"] = person("ada", "moved@elsewhere.example", true)
		op.people["new"] = person("new", "Ada@example.com", true)
		if again := b.signedInAt(op, "ada"); again.User.ID != first.User.ID || again.User.Email != "ada@example.com" {
			t.Errorf("with another address at the provider: %+v", again.User)
		}
		_, err := b.at(op, "new")
		refused(t, err, subjects.CodeConflict)
		list := must(b, subjects.ListIdentities, subjects.ListIdentitiesRequest{}, first.AccessToken).Items
		if len(list) != 1 || list[0].Provider != "corp" || list[0].Issuer != op.url || list[0].Email != "moved@elsewhere.example" || list[0].Status != "active" {
			t.Errorf("the identities are %+v", list)
		}
		if n := b.metric("auth_registrations_total", ""); n != 1 {
			t.Errorf("%v accounts were opened", n)
		}
		for result, want := range map[string]float64{"success": 2, "conflict": 1, "failure": 0} {
			if n := b.metric("auth_oauth_logins_total", result); n != want {
				t.Errorf("%v with result %s, want %v", n, result, want)
			}
		}
		_, err = call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, "")
		refused(t, err, subjects.CodeUnauthenticated)
	})
}

func TestWhatAProviderIsAsked(t *testing.T) {
	b, op := onceWith(t)
	one, two := b.begin("corp"), b.begin("corp")
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
		t.Errorf("the provider gets the binding")
	}
	must(b, subjects.CompleteOAuth, back("corp", one, op.visit(t, one.AuthorizationURL, "ada")), "")
	form := op.asked()[0]
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") {
		t.Errorf("the verifier %q is not the challenge's", form.Get("code_verifier"))
	}
	_, err = call(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "nobody"}, "")
	refused(t, err, subjects.CodeNotFound)
}

func TestParallelCallbacksOfOneState(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		start := b.begin("corp")
		req := back("corp", start, op.visit(t, start.AuthorizationURL, "ada"))
		passed := 0
		for _, err := range together(20, func(int) error {
			_, err := call(b, subjects.CompleteOAuth, req, "")
			return err
		}) {
			if err == nil {
				passed++
				continue
			}
			if e := refused(t, err, subjects.CodeInvalid); e.Fields[0].Field != "state" {
				t.Errorf("field is %s", e.Fields[0].Field)
			}
		}
		if passed != 1 || len(op.asked()) != 1 {
			t.Errorf("a state was good %d times, the provider was asked %d times", passed, len(op.asked()))
		}
	})
}

func TestParallelFirstSignInsOpenOneAccount(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		requests := make([]subjects.CompleteOAuthRequest, 8)
		for i := range requests {
			start := b.begin("corp")
			requests[i] = back("corp", start, op.visit(t, start.AuthorizationURL, "ada"))
		}
		ids := make([]string, len(requests))
		for _, err := range together(len(requests), func(i int) error {
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

func TestAStateIsForOneBrowserOneProviderOnceAndInTime(t *testing.T) {
	other := startIssuer(t)
	b, op := onceWith(t, func(c *auth.Config) {
		p := c.OAuth.Providers["corp"]
		p.Issuer = other.url
		c.OAuth.Providers["other"] = p
	})
	start, stranger := b.begin("corp"), b.begin("corp")
	good := back("corp", start, op.visit(t, start.AuthorizationURL, "ada"))
	bad := func(what string, change func(*subjects.CompleteOAuthRequest)) {
		t.Helper()
		req := good
		change(&req)
		_, err := call(b, subjects.CompleteOAuth, req, "")
		if e := refused(t, err, subjects.CodeInvalid); e.Fields[0].Field != "state" {
			t.Errorf("%s: field is %s", what, e.Fields[0].Field)
		}
	}
	bad("another state", func(r *subjects.CompleteOAuthRequest) { r.State = strings.Repeat("x", len(r.State)) })
	bad("another browser", func(r *subjects.CompleteOAuthRequest) { r.Binding = stranger.Binding })
	bad("another browser's cookie", func(r *subjects.CompleteOAuthRequest) { r.Binding, r.CookieBinding = "", stranger.Binding })
	bad("no browser", func(r *subjects.CompleteOAuthRequest) { r.Binding = "" })
	bad("another provider", func(r *subjects.CompleteOAuthRequest) { r.Provider = "other" })
	if n := len(op.asked()) + len(other.asked()); n != 0 {
		t.Fatalf("a provider was asked %d times", n)
	}
	byCookie := good
	byCookie.Binding, byCookie.CookieBinding = "", start.Binding
	must(b, subjects.CompleteOAuth, byCookie, "")
	bad("used", func(*subjects.CompleteOAuthRequest) {})
	tab := must(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp", CookieBinding: start.Binding}, "")
	if tab.Binding != start.Binding {
		t.Errorf("a second tab takes the first one's binding away")
	}
	if planted := must(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp", CookieBinding: "short"}, ""); planted.Binding == "short" {
		t.Errorf("a cookie of any form is kept")
	}
	good = back("corp", tab, op.visit(t, tab.AuthorizationURL, "ada"))
	b.clock.forward(10 * time.Minute)
	bad("over", func(*subjects.CompleteOAuthRequest) {})
	if n := b.metric("auth_oauth_logins_total", "failure"); n != 7 {
		t.Errorf("%v failures were counted, want 7", n)
	}
}

// TestTheIssuerIsChecked holds the return from a provider to RFC 9207 §2.4.
func TestTheIssuerIsChecked(t *testing.T) {
	b, op := onceWith(t)
	start := b.begin("corp")
	req := back("corp", start, op.visit(t, start.AuthorizationURL, "ada"))
	req.Issuer = "https://attacker.example"
	_, err := call(b, subjects.CompleteOAuth, req, "")
	if e := refused(t, err, subjects.CodeInvalid); e.Fields[0].Field != "iss" || len(op.asked()) != 0 {
		t.Errorf("field is %s, the provider was asked %d times", e.Fields[0].Field, len(op.asked()))
	}
	req.Issuer = op.url
	must(b, subjects.CompleteOAuth, req, "")

	op.set(func() {
		op.describe = func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = true }
	})
	b.clock.forward(time.Hour) // until the metadata are read again
	start = b.begin("corp")
	req = back("corp", start, op.visit(t, start.AuthorizationURL, "ada"))
	_, err = call(b, subjects.CompleteOAuth, req, "")
	if e := refused(t, err, subjects.CodeInvalid); e.Fields[0].Field != "iss" {
		t.Errorf("without iss: field is %s", e.Fields[0].Field)
	}
}

// TestMetadataOfAnotherIssuerAreRefused: a provider that calls itself another is none (ASVS 10.5.3).
func TestMetadataOfAnotherIssuerAreRefused(t *testing.T) {
	b, op := onceWith(t)
	for _, other := range []string{"https://attacker.example", op.url + "/", ""} {
		op.set(func() { op.describe = func(m map[string]any) { m["issuer"] = other } })
		_, err := call(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp"}, "")
		refused(t, err, subjects.CodeProvider)
	}
	op.set(func() { op.describe = nil })
	b.begin("corp")
}

func TestForgedIDTokens(t *testing.T) {
	b, op := onceWith(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
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
		"over":                   changed("exp", time.Now().Add(-time.Minute).Unix()),
		"no end":                 changed("exp", nil),
		"another issuer":         changed("iss", "https://attacker.example"),
		"another access token":   changed("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"no subject":             changed("sub", ""),
		"a stranger's key":       signed(jwt.SigningMethodRS256, stranger),
		"alg none":               signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"the client's secret":    signed(jwt.SigningMethodHS256, []byte(clientSecret)),
		"the public key as HMAC": signed(jwt.SigningMethodHS256, publicPEM),
		"no token":               func(jwt.MapClaims, func(jwt.MapClaims) string) string { return "" },
		"no signature": func(c jwt.MapClaims, sign func(jwt.MapClaims) string) string {
			return strings.TrimRight(sign(c), "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
		},
	}
	// The forger itself is none: what it signs anew is taken.
	op.set(func() { op.forge = changed("ignored", true) })
	b.signedInAt(op, "bob")
	for name, forge := range forgeries {
		op.set(func() { op.forge = forge })
		_, err := b.at(op, "ada")
		if subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := b.metric("auth_registrations_total", ""); n != 1 {
		t.Errorf("%v accounts were opened, want Bob's alone", n)
	}
	if n := b.metric("auth_oauth_logins_total", "failure"); n != float64(len(forgeries)) {
		t.Errorf("%v failures were counted, want %d", n, len(forgeries))
	}
}

func TestRedirectsAreAnExactList(t *testing.T) {
	b, _ := onceWith(t)
	ask := func(uri string) error {
		_, err := call(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp", RedirectURI: uri}, "")
		return err
	}
	for _, uri := range []string{
		redirectURI + "/", redirectURI + "?x=1", redirectURI + "#", redirectURI + "/../evil", "https://APP.example/callback",
		"https://app.example/Callback", "https://app.example:443/callback", "http://app.example/callback", "https://app.example@evil.example/callback",
		"https://app.example.evil.example/callback", " " + redirectURI, "https://app.example", "//app.example/callback", "com.example.app:/callback2",
	} {
		if e := refused(t, ask(uri), subjects.CodeInvalid); e.Fields[0].Field != "redirect_uri" {
			t.Errorf("%s: field is %s", uri, e.Fields[0].Field)
		}
	}
	for _, uri := range []string{redirectURI, "com.example.app:/callback"} {
		if err := ask(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func TestWhatAProviderSaysInsteadOfACode(t *testing.T) {
	b, op := onceWith(t)
	for word, told := range map[string]bool{"access_denied": true, "Sorry <script>": false} {
		start := b.begin("corp")
		_, err := call(b, subjects.CompleteOAuth, subjects.CompleteOAuthRequest{
			Provider: "corp", State: start.State, Binding: start.Binding, Error: word, ErrorDescription: "canary",
		}, "")
		e := refused(t, err, subjects.CodeUnauthenticated)
		if strings.Contains(e.Detail, word) != told || strings.Contains(e.Detail, "canary") {
			t.Errorf("%s: %s", word, e.Detail)
		}
	}
	start := b.begin("corp")
	_, err := call(b, subjects.CompleteOAuth, subjects.CompleteOAuthRequest{
		Provider: "corp", State: start.State, Binding: start.Binding, Code: "made up",
	}, "")
	if e := refused(t, err, subjects.CodeInvalid); e.Fields[0].Field != "code" || len(op.asked()) != 1 {
		t.Errorf("field is %s", e.Fields[0].Field)
	}
}

func TestAProviderThatIsDown(t *testing.T) {
	op := startIssuer(t)
	b := once(t, withIssuer(op, func(p *auth.OAuthProvider) { p.Issuer = "http://127.0.0.1:1" }))
	_, err := call(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp"}, "")
	if e := refused(t, err, subjects.CodeUnavailable); e.RetryAfter == 0 || strings.Contains(e.Detail, "127.0.0.1") {
		t.Errorf("refused with %+v", e)
	}
}
