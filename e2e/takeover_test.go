package e2e_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/actortest/mailsink"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// victim is the address that the thief registers; stubGitHub verifies it.
const victim = "ada@example.com"

// thiefDefinition reads the connection labelled "mail" each second and calls the thief's server.
const thiefDefinition = `
document: {dsl: 1.0.3, namespace: thief, name: post-away, version: 1.0.0}
schedule: {every: {seconds: 1}}
do:
  - read: {call: http.request, with: {connection: mail, method: GET, path: /read}}
`

// waitingDefinition calls the thief's server after a time.
const waitingDefinition = `
document: {dsl: 1.0.3, namespace: thief, name: later, version: 1.0.0}
do:
  - pause: {wait: {seconds: 5}}
  - call: {call: http.request, with: {connection: mail, method: GET, path: /later}}
`

// theft is what a thief has made in an account with somebody else's address.
type theft struct {
	client     *client
	userID     string
	refresh    string
	key        string
	hook       string
	canary     string
	thiefShop  *stubProvider
	credential map[string]any
}

// stealAddress registers the victim's address and makes something in every actor.
func stealAddress(t *testing.T, weft *running) *theft {
	t.Helper()
	c := newClient(weft.ready.HTTP)
	s := &theft{client: c, canary: "canary of the thief", thiefShop: startStubProvider(t, nil)}
	s.credential = map[string]any{"email": victim, "password": "the thief's password"}
	c.must(t, 202, "POST", "/v1/auth/register", map[string]any{
		"email": victim, "password": "the thief's password", "first_name": "Mallory", "last_name": s.canary,
	})
	session := c.must(t, 200, "POST", "/v1/auth/login", s.credential, "User-Agent: "+s.canary)
	c.token, s.refresh, s.userID = session.text(".access_token"), session.text(".refresh_token"), session.text(".user.id")
	c.grant(t, subjects.Scopes()...)
	connection := s.thiefShop.connect(t, c, "mail")
	s.hook = c.must(t, 201, "POST", "/v1/integrations/"+connection+"/hooks", map[string]any{"label": s.canary}).text(".url")
	c.must(t, 201, "POST", "/v1/workflows", thiefDefinition, "Content-Type: application/yaml")
	waiting := c.must(t, 201, "POST", "/v1/workflows", waitingDefinition, "Content-Type: application/yaml").text(".id")
	c.must(t, 202, "POST", "/v1/workflows/"+waiting+"/executions", map[string]any{"input": map[string]any{"note": s.canary}})
	c.must(t, 200, "PUT", "/v1/secrets/thief", map[string]any{"value": s.canary})
	c.must(t, 201, "POST", "/v1/objects?name=canary", `{"text": "canary of the thief"}`)
	c.must(t, 202, "POST", "/v1/notifications", map[string]any{
		"category": "system", "channels": []string{"email"}, "subject": s.canary, "body": "posted", "send_at": time.Now().Add(6 * time.Second),
	}, "Idempotency-Key: thief")
	s.key = c.must(t, 201, "POST", "/v1/auth/api-keys", map[string]any{
		"name": s.canary, "scopes": []string{subjects.ScopeWorkflowsRead, subjects.ScopeWorkflowsExecute},
	}).text(".key")
	if err := eventually(func() (bool, string) { return s.thiefShop.count("/read") > 0, "the thief's schedule has not run" }); err != nil {
		t.Fatal(err)
	}
	return s
}

// checkGone checks that nothing of the thief's works or runs any more, seen by the owner of the address.
func (s *theft) checkGone(t *testing.T, weft *running, owner *client, ownerID string, sink *mailsink.Sink) {
	t.Helper()
	if ownerID == s.userID || ownerID == "" {
		t.Errorf("the owner's account has the id %q, the thief's %q", ownerID, s.userID)
	}
	s.client.must(t, 401, "GET", "/v1/users/me", nil)
	stranger := newClient(weft.ready.HTTP)
	stranger.must(t, 401, "GET", "/v1/workflows", nil, "Authorization: Bearer "+s.key)
	stranger.must(t, 401, "POST", "/v1/auth/token/refresh", map[string]any{"refresh_token": s.refresh})
	stranger.must(t, 401, "POST", "/v1/auth/login", s.credential)
	for _, path := range []string{
		"/v1/workflows", "/v1/schedules", "/v1/executions", "/v1/integrations", "/v1/consents", "/v1/objects", "/v1/auth/api-keys",
		"/v1/secrets",
	} {
		if list := owner.must(t, 200, "GET", path, nil); list.text(".items | length") != "0" {
			t.Errorf("the owner sees %s: %s", path, list)
		}
	}
	// The owner connects their own mail, under the label that the thief's workflow reads.
	mail := startStubProvider(t, nil)
	owner.grant(t, subjects.Scopes()...)
	mail.connect(t, owner, "mail")
	read, probed := s.thiefShop.count("/read"), mail.count("/health")
	watch := time.Now().Add(8 * time.Second) // the thief's execution and notification were due by then
	if err := eventually(func() (bool, string) { return time.Now().After(watch), "" }); err != nil {
		t.Fatal(err)
	}
	if n := s.thiefShop.count("/read"); n != read {
		t.Errorf("the thief's server was called %d times after the owner's first session", n-read)
	}
	if s.thiefShop.count("/later") != 0 || mail.count("/read") != 0 || mail.count("/later") != 0 || mail.count("/health") != probed {
		t.Errorf("the thief's executions continued")
	}
	for _, m := range sink.Mails() {
		if d := decodeMail(t, m); strings.Contains(d.subject, s.canary) {
			t.Errorf("the thief's notification was sent: %q", d)
		}
	}
}

// checkErased stops weft and checks that no table has the thief's id or text, once the erasure has settled.
func (s *theft) checkErased(t *testing.T, weft *running, data string) {
	t.Helper()
	contains := func() (found []string) {
		_ = filepath.WalkDir(data, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.Contains(path, ".db") {
				return nil //nolint:nilerr // a file may be removed while it is listed
			}
			content, _ := os.ReadFile(path)
			for _, text := range []string{s.userID, s.canary} {
				if strings.Contains(string(content), text) {
					found = append(found, filepath.Base(path)+" contains "+text)
				}
			}
			return nil
		})
		return found
	}
	err := eventually(func() (bool, string) {
		found := contains()
		return len(found) == 0, strings.Join(found, ", ")
	})
	if err != nil {
		t.Errorf("after the erasure: %v", err)
	}
	if err := weft.stop(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(data, "*.db"))
	if err != nil || len(files) < 5 {
		t.Fatalf("the databases are %v, %v", files, err)
	}
	for _, file := range files {
		if text := actortest.Dump(t, database.Config{DataDir: data, Actor: strings.TrimSuffix(filepath.Base(file), ".db")}); strings.Contains(text, s.userID) || strings.Contains(text, s.canary) {
			t.Errorf("%s still has something of the thief's", file)
		}
	}
}

// resetPassword resets the password of the victim's address, and signs in.
func resetPassword(t *testing.T, c *client, sink *mailsink.Sink) answer {
	t.Helper()
	token, _ := awaitMail(t, sink, victim, "Set a new password").takeToken(t)
	c.must(t, 204, "POST", "/v1/auth/password/reset", map[string]any{"token": token, "password": password})
	return signInVictim(t, c)
}

func signInVictim(t *testing.T, c *client) answer {
	t.Helper()
	var session answer
	var next time.Time
	err := eventually(func() (bool, string) {
		if time.Now().Before(next) {
			return false, session.String()
		}
		next = time.Now().Add(5 * time.Second) // as the answer's Retry-After says
		var err error
		session, err = c.do(t.Context(), "POST", "/v1/auth/login", []byte(`{"email":"`+victim+`","password":"`+password+`"}`))
		return err == nil && session.status != http.StatusServiceUnavailable, session.String()
	})
	if err != nil || session.status != http.StatusOK {
		t.Fatalf("signing in: %v, %s", err, session)
	}
	return session
}

// TestNothingOfAThiefSurvivesTheOwner: somebody registers an address that is not theirs, and makes something in every actor. However
// the owner of the address arrives, nothing of it is left or runs.
func TestNothingOfAThiefSurvivesTheOwner(t *testing.T) {
	t.Parallel()
	for name, arrive := range map[string]func(t *testing.T, c *client, sink *mailsink.Sink) answer{
		"by a provider": func(t *testing.T, c *client, _ *mailsink.Sink) answer {
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			c.http.Jar = jar
			start := c.must(t, 200, "GET", "/v1/auth/oauth/github", nil)
			return c.must(t, 200, "GET", "/v1/auth/oauth/github/callback?"+url.Values{"code": {"c"}, "state": {start.text(".state")}}.Encode(), nil)
		},
		"by a reset": func(t *testing.T, c *client, sink *mailsink.Sink) answer {
			c.must(t, 202, "POST", "/v1/auth/password/forgot", map[string]any{"email": victim})
			return resetPassword(t, c, sink)
		},
		"by registering": func(t *testing.T, c *client, sink *mailsink.Sink) answer {
			c.must(t, 202, "POST", "/v1/auth/register", map[string]any{"email": victim, "password": password})
			token, _ := awaitMail(t, sink, victim, "Verify your e-mail address").takeToken(t)
			c.must(t, 204, "POST", "/v1/auth/email/verify", map[string]any{"token": token})
			return resetPassword(t, c, sink)
		},
		"by a change of address": func(t *testing.T, c *client, sink *mailsink.Sink) answer {
			own := map[string]any{"email": "other@example.com", "password": password}
			c.must(t, 202, "POST", "/v1/auth/register", own)
			c.token = c.must(t, 200, "POST", "/v1/auth/login", own).text(".access_token")
			c.must(t, 202, "POST", "/v1/users/me/email", map[string]any{"email": victim, "password": password})
			var token string
			if err := eventually(func() (bool, string) {
				for _, m := range sink.Mails() {
					if d := decodeMail(t, m); d.to == victim && strings.Contains(d.body, "change the address of an existing") {
						token, _ = d.takeToken(t)
					}
				}
				return token != "", "no message for the change"
			}); err != nil {
				t.Fatal(err)
			}
			c.must(t, 204, "POST", "/v1/auth/email/verify", map[string]any{"token": token})
			return signInVictim(t, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink, settings := mailServer(t)
			data := t.TempDir()
			weft := startWeft(t, data, append(settings, takeoverSettings(stubGitHub(t))...)...)
			s := stealAddress(t, weft)
			owner := newClient(weft.ready.HTTP)
			session := arrive(t, owner, sink)
			owner.token = session.text(".access_token")
			if session.text(".user.email") != victim {
				t.Errorf("the owner's session is %s", session)
			}
			s.checkGone(t, weft, owner, session.text(".user.id"), sink)
			s.checkErased(t, weft, data)
		})
	}
}

func takeoverSettings(github string) []string {
	return []string{
		"WEFT_AUTH_OAUTH_PROVIDERS_GITHUB_ISSUER=" + github, "WEFT_AUTH_OAUTH_PROVIDERS_GITHUB_CLIENT_ID=weft",
		"WEFT_AUTH_OAUTH_PROVIDERS_GITHUB_CLIENT_SECRET=secret", "WEFT_AUTH_OAUTH_PROVIDERS_GITHUB_REDIRECT_URIS=http://127.0.0.1/callback",
		"WEFT_EGRESS_ALLOW=127.0.0.0/8", "WEFT_EGRESS_ALLOW_HTTP=true", "WEFT_AUTH_ERASURE_SETTLE=2s", "WEFT_NOTIFICATION_TICK=200ms",
	}
}

// TestATakeoverSurvivesKill kills weft right after the reset that began a takeover, and makes an administrator of another address that
// a thief has registered while weft is stopped.
func TestATakeoverSurvivesKill(t *testing.T) {
	t.Parallel()
	sink, settings := mailServer(t)
	data := t.TempDir()
	settings = append(settings, takeoverSettings(stubGitHub(t))...)
	weft := startWeft(t, data, settings...)
	s := stealAddress(t, weft)
	other := map[string]any{"email": "root@example.com", "password": "the thief's password"}
	s.client.must(t, 202, "POST", "/v1/auth/register", other)
	thief := newClient(weft.ready.HTTP)
	session := thief.must(t, 200, "POST", "/v1/auth/login", other)
	thiefID := session.text(".user.id")

	owner := newClient(weft.ready.HTTP)
	owner.must(t, 202, "POST", "/v1/auth/password/forgot", map[string]any{"email": victim})
	token, _ := awaitMail(t, sink, victim, "Set a new password").takeToken(t)
	owner.must(t, 204, "POST", "/v1/auth/password/reset", map[string]any{"token": token, "password": password})
	weft.kill()

	admin := exec.CommandContext(t.Context(), weft.path, "admin", "create", "root@example.com", "--data", data)
	admin.Env, admin.Stdin = cleanEnvironment(append(testSettings(), settings...)...), strings.NewReader(password+"\n")
	if out, err := admin.CombinedOutput(); err != nil {
		t.Fatalf("weft admin create: %v\n%s", err, out)
	}
	weft = startWeft(t, data, settings...)
	owner, s.client.url = newClient(weft.ready.HTTP), weft.ready.HTTP
	mine := signInVictim(t, owner)
	owner.token = mine.text(".access_token")
	s.checkGone(t, weft, owner, mine.text(".user.id"), sink)

	thief.url, thief.token = weft.ready.HTTP, session.text(".access_token")
	thief.must(t, 401, "GET", "/v1/users/me", nil)
	root := thief.must(t, 200, "POST", "/v1/auth/login", map[string]any{"email": "root@example.com", "password": password})
	roles, err := root.holds(`.user.roles | contains(["admin"])`)
	if id := root.text(".user.id"); err != nil || !roles || id == thiefID {
		t.Errorf("the administrator is %s", root)
	}
	s.checkErased(t, weft, data)
}

// TestNothingActsForADisabledAccount: while an account is disabled, its schedules, executions, webhooks, notifications and API keys
// rest; enabled again, they go on.
func TestNothingActsForADisabledAccount(t *testing.T) {
	t.Parallel()
	sink, settings := mailServer(t)
	data := t.TempDir()
	settings = append(settings, "WEFT_EGRESS_ALLOW=127.0.0.0/8", "WEFT_EGRESS_ALLOW_HTTP=true", "WEFT_NOTIFICATION_TICK=200ms")
	weft := startWeft(t, data, settings...)
	if err := weft.stop(); err != nil {
		t.Fatal(err)
	}
	create := exec.CommandContext(t.Context(), weft.path, "admin", "create", "root@example.com", "--data", data)
	create.Env, create.Stdin = cleanEnvironment(append(testSettings(), settings...)...), strings.NewReader(password+"\n")
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("weft admin create: %v\n%s", err, out)
	}
	weft = startWeft(t, data, settings...)
	admin := newClient(weft.ready.HTTP)
	admin.token = admin.must(t, 200, "POST", "/v1/auth/login", map[string]any{"email": "root@example.com", "password": password}).text(".access_token")
	s := stealAddress(t, weft)
	program := newClient(weft.ready.HTTP)
	disable := func(disabled bool) {
		t.Helper()
		admin.must(t, 200, "PATCH", "/v1/admin/users/"+s.userID, map[string]any{"disabled": disabled})
	}
	program.must(t, 200, "GET", "/v1/workflows", nil, "Authorization: Bearer "+s.key)
	disable(true)
	before := s.thiefShop.count("/read")
	program.must(t, 401, "GET", "/v1/workflows", nil, "Authorization: Bearer "+s.key)
	path, _ := strings.CutPrefix(s.hook, weft.ready.HTTP)
	if u, err := url.Parse(s.hook); err == nil {
		path = u.Path
	}
	if a := program.must(t, 503, "POST", path, `{}`); a.header.Get("Retry-After") == "" {
		t.Errorf("a delivery to a disabled account: %s", a)
	}
	watch := time.Now().Add(8 * time.Second)
	if err := eventually(func() (bool, string) { return time.Now().After(watch), "" }); err != nil {
		t.Fatal(err)
	}
	if n := s.thiefShop.count("/read"); n != before || s.thiefShop.count("/later") != 0 {
		t.Errorf("%d scheduled and %d later calls were made for a disabled account", n-before, s.thiefShop.count("/later"))
	}
	sent := func() bool {
		return slices.ContainsFunc(sink.Mails(), func(m mailsink.Mail) bool { return decodeMail(t, m).subject == s.canary })
	}
	if sent() {
		t.Errorf("a notification was sent to a disabled account")
	}
	disable(false)
	program.must(t, 200, "GET", "/v1/workflows", nil, "Authorization: Bearer "+s.key)
	err := eventually(func() (bool, string) {
		return s.thiefShop.count("/read") > before && s.thiefShop.count("/later") == 1 && sent(), "something has not continued"
	})
	if err != nil {
		t.Error(err)
	}
}
