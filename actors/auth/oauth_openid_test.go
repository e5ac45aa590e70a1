package auth_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"io"
	"log/slog" //nolint:depguard // the provider's own logger
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

const (
	clientID     = "weft"
	clientSecret = "canary-client-secret"
	redirectURI  = "https://app.example/callback"
)

// openIDProvider is an OpenID provider (zitadel/oidc) whose requests and responses the test can change.
type openIDProvider struct {
	url     string
	storage *storage.Storage
	people  people

	mu sync.Mutex
	// forge replaces the claims, or the whole ID token, of later responses.
	forge func(claims jwt.MapClaims, sign func(jwt.MapClaims) string) string
	// changeRequest changes the form of a token request.
	changeRequest func(url.Values)
	// changeMetadata changes the provider's metadata.
	changeMetadata func(map[string]any)
	// requests and answers are those of the token endpoint.
	requests []url.Values
	answers  []map[string]any
}

// people are the provider's users by their subject.
type people map[string]*storage.User

func (p people) GetUserByID(id string) *storage.User { return p[id] }
func (p people) ExampleClientID() string             { return storage.ServiceUserID }
func (p people) GetUserByUsername(name string) *storage.User {
	return p[strings.TrimPrefix(name, "user-")]
}

func person(id, email string, verified bool) *storage.User {
	return &storage.User{
		ID: id, Username: "user-" + id, Password: "pw", FirstName: "Ada", LastName: "King", Email: email, EmailVerified: verified,
	}
}

// startProvider runs the provider until the test ends.
func startProvider(t testing.TB) *openIDProvider {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	op := &openIDProvider{url: "http://" + listener.Addr().String(), people: people{
		"ada": person("ada", "Ada@Example.com", true), "eve": person("eve", "ada@example.com", false),
		"bob": person("bob", "bob@example.com", true),
	}}
	op.storage = storage.NewStorageWithClients(op.people, map[string]*storage.Client{
		clientID: storage.WebClient(clientID, clientSecret, redirectURI),
	})
	quiet := slog.New(slog.DiscardHandler)
	server := &httptest.Server{Listener: listener, Config: &http.Server{
		Handler: op.hook(t, exampleop.SetupServer(op.url, op.storage, quiet, false)),
	}}
	server.Start()
	t.Cleanup(server.Close)
	return op
}

func (op *openIDProvider) hook(t testing.TB, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, metadata := strings.HasSuffix(r.URL.Path, "/token"), strings.HasSuffix(r.URL.Path, "/openid-configuration")
		if !token && !metadata {
			next.ServeHTTP(w, r)
			return
		}
		if metadata {
			r.URL.Path = "/.well-known/openid-configuration"
		}
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		form, err := url.ParseQuery(string(sent))
		if err != nil {
			t.Error(err)
		}
		op.mu.Lock()
		change := op.changeRequest
		op.mu.Unlock()
		if token && change != nil {
			change(form)
			sent = []byte(form.Encode())
			r.ContentLength = int64(len(sent))
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		var body map[string]any
		if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil {
			t.Errorf("the provider answered %s", answer.Body)
		}
		op.mu.Lock()
		defer op.mu.Unlock()
		switch {
		case token:
			op.requests = append(op.requests, form)
			if raw, ok := body["id_token"].(string); ok && op.forge != nil {
				body["id_token"] = op.forge(unsigned(t, raw), func(c jwt.MapClaims) string { return op.sign(t, c) })
			}
			op.answers = append(op.answers, body)
		case op.changeMetadata != nil:
			op.changeMetadata(body)
		}
		changed, err := json.Marshal(body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.Code)
		_, _ = w.Write(changed)
	})
}

// unsigned returns a token's claims without verification.
func unsigned(t testing.TB, raw string) jwt.MapClaims {
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil {
		t.Errorf("reading an id token: %v", err)
	}
	return claims
}

// key returns the provider's signing key and its ID.
func (op *openIDProvider) key(t testing.TB) (*rsa.PrivateKey, string) {
	key, err := op.storage.SigningKey(t.Context())
	if err != nil {
		t.Error(err)
		return nil, ""
	}
	return key.Key().(*rsa.PrivateKey), key.ID()
}

// sign signs claims with the provider's key.
func (op *openIDProvider) sign(t testing.TB, claims jwt.MapClaims) string {
	key, id := op.key(t)
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = id
	raw, err := token.SignedString(key)
	if err != nil {
		t.Error(err)
	}
	return raw
}

func (op *openIDProvider) update(change func()) {
	op.mu.Lock()
	defer op.mu.Unlock()
	change()
}

func (op *openIDProvider) tokenRequests() []url.Values {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.requests
}

// authorize acts as a browser at the provider: it signs the user in and returns the query of the redirect back.
func (op *openIDProvider) authorize(t testing.TB, address, subject string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	follow := func(response *http.Response, err error) *url.URL {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		next, err := response.Location()
		if err != nil {
			body := new(bytes.Buffer)
			_, _ = body.ReadFrom(response.Body)
			t.Fatalf("the provider answered %s: %s", response.Status, body)
		}
		return next
	}
	login := follow(browser.Get(address))
	next := follow(browser.PostForm(op.url+"/login/username", url.Values{
		"id": {login.Query().Get("authRequestID")}, "username": {"user-" + subject}, "password": {"pw"},
	}))
	back := follow(browser.Get(next.String()))
	if !strings.HasPrefix(back.String(), redirectURI+"?") {
		t.Fatalf("the provider sends the browser to %s", back)
	}
	return back.Query()
}

// withProvider configures the provider, under the ID "corp".
func withProvider(op *openIDProvider, change ...func(*auth.OAuthProvider)) func(*auth.Config) {
	p := auth.OAuthProvider{
		Issuer: op.url, ClientID: clientID, ClientSecret: clientSecret, RedirectURIs: []string{redirectURI, "com.example.app:/callback"},
	}
	for _, c := range change {
		c(&p)
	}
	return func(c *auth.Config) {
		if c.OAuth.Providers == nil {
			c.OAuth.Providers = map[string]auth.OAuthProvider{}
		}
		c.OAuth.Providers["corp"] = p
	}
}

func (b *harness) initiateOAuth(provider string) subjects.OAuthStart {
	b.t.Helper()
	return mustCall(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: provider}, "")
}

// callback returns the request of a provider's callback.
func callback(provider string, start subjects.OAuthStart, query url.Values) subjects.CompleteOAuthRequest {
	return subjects.CompleteOAuthRequest{
		Provider: provider, Code: query.Get("code"), State: query.Get("state"), Issuer: query.Get("iss"), Binding: start.Binding,
	}
}

// oauthSignIn signs in at the provider.
func (b *harness) oauthSignIn(op *openIDProvider, subject string) (subjects.Session, error) {
	b.t.Helper()
	start := b.initiateOAuth("corp")
	return call(b, subjects.CompleteOAuth, callback("corp", start, op.authorize(b.t, start.AuthorizationURL, subject)), "")
}

func (b *harness) mustOAuthSignIn(op *openIDProvider, subject string) subjects.Session {
	b.t.Helper()
	s, err := b.oauthSignIn(op, subject)
	if err != nil {
		b.t.Fatalf("signing %s in at the provider: %v", subject, err)
	}
	return s
}
