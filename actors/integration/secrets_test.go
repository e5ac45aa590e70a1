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

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// canary is what must be found nowhere; variants are the forms that it could be found in.
const canary = "canary/S3cret+7f2e9b41"

func variants() map[string][]byte {
	return map[string][]byte{
		"plain": []byte(canary), "base64": []byte(base64.RawStdEncoding.EncodeToString([]byte(canary))[:24]),
		"hex": []byte(hex.EncodeToString([]byte(canary))), "escaped": []byte(url.QueryEscape(canary)), "in a path": []byte(url.PathEscape(canary)),
	}
}

func mustNotHold(t *testing.T, where string, data []byte) {
	t.Helper()
	for form, bytesOf := range variants() {
		if i := bytes.Index(data, bytesOf); i >= 0 {
			t.Errorf("%s holds the canary (%s): …%s…", where, form, data[max(0, i-80):min(len(data), i+80)])
		}
	}
}

// sink keeps what is logged, at every level.
type sink struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (s *sink) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(line)
}

// Sync implements zapcore.WriteSyncer.
func (s *sink) Sync() error { return nil }

func (s *sink) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.text.Bytes())
}

// logged has the actor log into s.
func logged(t *testing.T, s *sink) option {
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

// echo answers with all that it was sent, as a header, in the body and in the error message.
func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := json.Marshal(map[string]any{"message": "you sent " + canary, "error": canary, "header": r.Header, "url": r.URL.String()})
		says(status, string(body), "X-Echo", canary)(w, r)
	}
}

// TestNoSecretIsFoundAnywhere: credentials through connect, fail, update, execute, proxy; then every log line, answer,
// row, stream and file is searched for them.
func TestNoSecretIsFoundAnywhere(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		var logs sink
		b := setup(t, kind, logged(t, &logs), with(func(c *integration.Config) {
			c.Providers["http"] = integration.ProviderConfig{Backoff: time.Millisecond, Timeout: 2 * time.Second}
		}))
		_, ada := b.user(t)
		var answers bytes.Buffer
		ask := func(subject string, request any) []byte {
			t.Helper()
			return b.ask(t, &answers, ada, subject, request)
		}
		for _, status := range []int{200, 400, 401, 403, 404, 409, 422, 429, 500, 302} {
			v := newVendor(t, echo(status))
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
					v.says(hangUp)
					ask(subjects.ExecuteAction.Subject, action(c.ID, "get", `{"path":"/x"}`))
					v.says(echo(401))
					ask(subjects.ExecuteAction.Subject, action(c.ID, "get", `{"path":"/x"}`))
					v.says(echo(status))
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

		mustNotHold(t, "an answer", answers.Bytes())
		if kind.Name == database.DialectPostgres {
			mustNotHold(t, "a row", b.dump(t))
		}
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.mesh.StopServer(t)
		if !bytes.Contains(logs.bytes(), []byte(`"request"`)) {
			t.Error("the log was not caught")
		}
		mustNotHold(t, "the log", logs.bytes())
		files := searchFiles(t, b.db.DataDir) + searchFiles(t, b.mesh.Dir)
		if files < 5 {
			t.Errorf("only %d files were searched", files)
		}
	})
}

// ask sends a request under an Idempotency-Key of its own, so that its answer is kept too, and notes the answer.
func (b *bundle) ask(t *testing.T, answers *bytes.Buffer, as mesh.As, subject string, request any) []byte {
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

// dump is every row of every table as text.
func (b *bundle) dump(t *testing.T) []byte {
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
		mustNotHold(t, path, data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// TestASealedCredentialOpensInItsRowAlone: what is copied to another user's row is of no use there.
func TestASealedCredentialOpensInItsRowAlone(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, kind actortest.Database) { // a second opening of a SQLite file is refused
		b := setup(t, kind)
		v := newVendor(t, says(200, `{}`))
		_, ada := b.user(t)
		_, eve := b.user(t)
		hers, his := b.connectTo(t, v, eve, ""), b.connectTo(t, v, ada, "")
		db := actortest.OpenDatabase(t, b.db, integration.Migrations)
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE connections SET credentials = (SELECT credentials FROM connections WHERE id = ?) WHERE id = ?", his.ID, hers.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, b, subjects.CodeInternal, subjects.ExecuteAction, eve, action(hers.ID, "get", `{"path":"/x"}`))
		if n := len(v.requests()); n != 0 {
			t.Errorf("the vendor was asked %d times", n)
		}
	})
}

// TestSSRF: what a user names is judged after DNS, and refused by the field that names it.
func TestSSRF(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], strict, allowHTTP)
	_, ada := b.user(t)
	v := newVendor(t, says(200, `{}`))
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
		t.Errorf("the vendor was asked %d times", n)
	}
	plain := setup(t, actortest.Databases(t)[0], strict)
	_, bob := plain.user(t)
	if e := wantCode(t, plain, subjects.CodeInvalid, subjects.ConnectIntegration, bob, httpConnection("http://example.com", goodKey, "")); e.Fields[0].Field != "settings.base_url" {
		t.Errorf("plain http: %+v", e)
	}
}

// TestBaseURLOfTheOperator: a sandbox stands in for the provider.
func TestBaseURLOfTheOperator(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/auth.test" {
			says(200, `{"ok":true,"user_id":"U1","user":"grace","team_id":"T1","team":"Navy","url":"https://navy.slack.com/"}`)(w, r)
			return
		}
		says(200, `{"ok":true,"channel":"C1","ts":"1.2","message":{"text":"hi"}}`)(w, r)
	})
	b := setup(t, actortest.Databases(t)[0], with(func(c *integration.Config) {
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
		t.Errorf("faults: %+v", e.Fields)
	}
}
