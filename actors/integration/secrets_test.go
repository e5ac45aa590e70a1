package integration_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/database"

	"github.com/weftmesh/weft/actors/runtime"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// canary is a secret that must not appear anywhere; variants are the encodings in which it could.
const canary = "canary/S3cret+7f2e9b41"

func variants() map[string][]byte {
	return map[string][]byte{
		"plain": []byte(canary), "base64": []byte(base64.RawStdEncoding.EncodeToString([]byte(canary))[:24]),
		"hex": []byte(hex.EncodeToString([]byte(canary))), "escaped": []byte(url.QueryEscape(canary)), "in a path": []byte(url.PathEscape(canary)),
	}
}

func wantNoCanary(t *testing.T, where string, data []byte) {
	t.Helper()
	for form, bytesOf := range variants() {
		if i := bytes.Index(data, bytesOf); i >= 0 {
			t.Errorf("%s contains the canary (%s): …%s…", where, form, data[max(0, i-80):min(len(data), i+80)])
		}
	}
}

// logBuffer collects log output.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (s *logBuffer) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(line)
}

// Sync implements zapcore.WriteSyncer.
func (s *logBuffer) Sync() error { return nil }

func (s *logBuffer) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.text.Bytes())
}

// withLog makes the actor log to s, at every level.
func withLog(t *testing.T, s *logBuffer) option {
	return func(_ *integration.Config, host *[]actortest.HostOption) {
		*host = append(*host, func(c *runtime.HostConfig) {
			log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), s, zap.DebugLevel))
			telemetry, err := mesh.NewTelemetry(t.Context(), mesh.TelemetryOptions{Log: log, Process: "test"})
			if err != nil {
				t.Fatal(err)
			}
			c.Telemetry, c.NATS.Log = telemetry, log
		})
	}
}

// echo responds with the canary and the request's headers, in a header, in the body and in an error message.
func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := json.Marshal(map[string]any{"message": "you sent " + canary, "error": canary, "header": r.Header, "url": r.URL.String()})
		respond(status, string(body), "X-Echo", canary)(w, r)
	}
}

// TestSecretsDoNotLeak uses a credential in connect, failures, update, execute and proxy, and then searches every log line,
// response, row, stream and file for it.
func TestSecretsDoNotLeak(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		var logs logBuffer
		b := setup(t, kind, withLog(t, &logs), withConfig(func(c *integration.Config) {
			c.Providers["http"] = integration.ProviderConfig{Backoff: time.Millisecond, Timeout: 2 * time.Second}
		}))
		_, ada := b.user(t)
		var answers bytes.Buffer
		ask := func(subject string, request any) []byte {
			t.Helper()
			return b.ask(t, &answers, ada, subject, request)
		}
		for _, status := range []int{200, 400, 401, 403, 404, 409, 422, 429, 500, 302} {
			v := newFakeProvider(t, echo(status))
			for _, auth := range []string{"bearer", "header", "query", "basic"} {
				credentials := subjects.SecretMap{"api_key": canary}
				if auth == "basic" {
					credentials = subjects.SecretMap{"username": "ada", "password": canary}
				}
				label := fmt.Sprint(auth, status)
				reply := ask(subjects.ConnectIntegration.Subject, subjects.ConnectIntegrationRequest{
					Provider: "http", Auth: auth, Label: label, Credentials: credentials,
					Settings: map[string]any{"base_url": v.URL, "health_path": "/anything"},
				})
				if status == 200 || status == 400 {
					var c subjects.Connection
					if err := json.Unmarshal(reply, &c); err != nil || c.ID == "" {
						t.Fatalf("%s: %s", label, reply)
					}
					ask(subjects.ExecuteAction.Subject, action(c.ID, "get", `{"path":"/x"}`))
					ask(subjects.ExecuteAction.Subject, action(c.ID, "post", `{"path":"/x","body":{}}`))
					ask(subjects.ProxyCall.Subject, subjects.ProxyRequest{IntegrationID: c.ID, Method: "GET", Path: "/x"})
					ask(subjects.UpdateIntegration.Subject, subjects.UpdateIntegrationRequest{IntegrationID: c.ID, Credentials: credentials, Label: label + " again"})
					v.setHandler(closeConnection)
					ask(subjects.ExecuteAction.Subject, action(c.ID, "get", `{"path":"/x"}`))
					v.setHandler(echo(401))
					ask(subjects.ExecuteAction.Subject, action(c.ID, "get", `{"path":"/x"}`))
					v.setHandler(echo(status))
					ask(subjects.GetIntegration.Subject, subjects.IntegrationRequest{IntegrationID: c.ID})
					ask(subjects.ListCalls.Subject, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: c.ID}})
				}
			}
		}
		for _, faulty := range []any{
			map[string]any{"provider": "http", "credentials": map[string]any{"wrong": canary}, "settings": map[string]any{"base_url": "https://x.example"}},
			map[string]any{"provider": "http", "credentials": map[string]any{"api_key": []any{canary}}},
			map[string]any{"provider": "http", "credentials": canary},
			map[string]any{"provider": "slack", "credentials": map[string]any{"token": canary + " \n"}},
			map[string]any{"provider": "http", "credentials": map[string]any{"api_key": canary + "\n"}, "settings": map[string]any{"base_url": "https://x.example"}},
		} {
			ask(subjects.ConnectIntegration.Subject, faulty)
		}
		ask(subjects.GetUserIntegrations.Subject, subjects.ListIntegrationsRequest{})
		ask(subjects.GetProviderStatus.Subject, subjects.ProviderRequest{Provider: "http"})

		wantNoCanary(t, "an answer", answers.Bytes())
		if kind.Name == database.DialectPostgres {
			wantNoCanary(t, "a row", b.dump(t))
		}
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.mesh.StopServer(t)
		if !bytes.Contains(logs.bytes(), []byte(`"request"`)) {
			t.Error("the log was not captured")
		}
		wantNoCanary(t, "the log", logs.bytes())
		files := searchFiles(t, b.db.DataDir) + searchFiles(t, b.mesh.Dir)
		if files < 5 {
			t.Errorf("only %d files were searched", files)
		}
	})
}

// ask sends a request with a new Idempotency-Key, so that its reply is stored too, and appends the reply to answers.
func (b *fixture) ask(t *testing.T, answers *bytes.Buffer, as mesh.As, subject string, request any) []byte {
	t.Helper()
	data, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := b.caller.Forward(t.Context(), subject, nats.Header{
		mesh.HeaderAuthorization: {"Bearer " + as.Token}, mesh.HeaderIdempotencyKey: {actortest.User()},
	}, data)
	if err != nil {
		fmt.Fprintf(answers, "%v %+v\n", err, err)
		return nil
	}
	answers.Write(reply.Data)
	return reply.Data
}

// dump returns every row of every table as text.
func (b *fixture) dump(t *testing.T) []byte {
	t.Helper()
	db := actortest.OpenDatabase(t, b.db, integration.Migrations)
	var tables []string
	if err := db.NewRaw("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").Scan(t.Context(), &tables); err != nil || len(tables) < 4 {
		t.Fatalf("listing tables: %v, %v", tables, err)
	}
	var all bytes.Buffer
	for _, table := range tables {
		var rows []string
		if err := db.NewRaw("SELECT t::text FROM "+table+" t").Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		all.WriteString(strings.Join(rows, "\n"))
	}
	return all.Bytes()
}

func searchFiles(t *testing.T, folder string) (count int) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		count++
		wantNoCanary(t, path, data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// TestSealedCredentialIsBoundToItsRow tests that a credential that is copied to another user's row cannot be opened.
func TestSealedCredentialIsBoundToItsRow(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, kind actortest.Database) { // a SQLite file cannot be opened twice
		b := setup(t, kind)
		v := newFakeProvider(t, respond(200, `{}`))
		_, ada := b.user(t)
		_, eve := b.user(t)
		hers, mine := b.connectTo(t, v, eve, ""), b.connectTo(t, v, ada, "")
		db := actortest.OpenDatabase(t, b.db, integration.Migrations)
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE connections SET credentials = (SELECT credentials FROM connections WHERE id = ?) WHERE id = ?", mine.ID, hers.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, b, subjects.CodeInternal, subjects.ExecuteAction, eve, action(hers.ID, "get", `{"path":"/x"}`))
		if n := len(v.requests()); n != 0 {
			t.Errorf("the provider received %d requests, want none", n)
		}
	})
}

// TestSSRF tests that private addresses are refused after DNS resolution, with the field that contains them.
func TestSSRF(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], publicOnly, allowHTTP)
	_, ada := b.user(t)
	v := newFakeProvider(t, respond(200, `{}`))
	local := strings.Replace(v.URL, "127.0.0.1", "localhost", 1)
	for _, address := range []string{
		"http://169.254.169.254", v.URL, local, "http://[::1]:80", "http://0.0.0.0", "http://10.0.0.1", "http://[::ffff:127.0.0.1]",
	} {
		e := wantCode(t, b, subjects.CodeInvalid, subjects.ConnectIntegration, ada, httpConnection(address, goodKey, ""))
		if e.Fields[0].Field != "settings.base_url" {
			t.Errorf("%s: %+v", address, e)
		}
	}
	if n := len(v.requests()); n != 0 {
		t.Errorf("the provider received %d requests, want none", n)
	}
	plain := setup(t, actortest.Databases(t)[0], publicOnly)
	_, bob := plain.user(t)
	if e := wantCode(t, plain, subjects.CodeInvalid, subjects.ConnectIntegration, bob, httpConnection("http://example.com", goodKey, "")); e.Fields[0].Field != "settings.base_url" {
		t.Errorf("plain http: %+v", e)
	}
}

// TestOperatorBaseURL tests that the operator's base_url replaces the provider's.
func TestOperatorBaseURL(t *testing.T) {
	t.Parallel()
	v := newFakeProvider(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/auth.test" {
			respond(200, `{"ok":true,"user_id":"U1","user":"grace","team_id":"T1","team":"Navy","url":"https://navy.slack.com/"}`)(w, r)
			return
		}
		respond(200, `{"ok":true,"channel":"C1","ts":"1.2","message":{"text":"hi"}}`)(w, r)
	})
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) {
		c.Providers["slack"] = integration.ProviderConfig{BaseURL: v.URL + "/api"}
	}))
	_, ada := b.user(t)
	c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
		Provider: "slack", Credentials: subjects.SecretMap{"token": "xoxb-0123456789"},
	})
	if !strings.Contains(string(c.Account), `"account_name":"grace"`) {
		t.Errorf("account: %s", c.Account)
	}
	got := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "send_message", `{"channel":"C1","text":"hi"}`))
	if string(got.Output) != `{"channel":"C1","message":{"text":"hi"},"ts":"1.2"}` {
		t.Errorf("output: %s", got.Output)
	}
	if e := wantCode(t, b, subjects.CodeInvalid, subjects.ExecuteAction, ada, action(c.ID, "send_message", `{"text":"hi"}`)); e.Fields[0].Field != "input.channel" {
		t.Errorf("invalid fields: %+v", e.Fields)
	}
}
