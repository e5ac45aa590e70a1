package integration_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// canaryMark is the prefix of every canary, a secret that must not appear outside its store. One search finds them all.
const canaryMark = "canary-of-the-storm-"

// marks are the encodings of canaryMark: plain, hex, and base64 at each of the three alignments.
func marks() map[string][]byte {
	forms := map[string][]byte{"plain": []byte(canaryMark), "hex": []byte(hex.EncodeToString([]byte(canaryMark)))}
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), canaryMark...))
		forms[fmt.Sprintf("base64 at offset %d", shift)] = []byte(encoded[4 : len(encoded)-4])
	}
	return forms
}

// canaries uses secrets in connect, execute, refresh and failures, and collects every place that must not contain them.
type canaries struct {
	b         *fixture
	v         *oauthServer
	log       logBuffer
	telemetry *mesh.Telemetry
	made      atomic.Int64
	mu        sync.Mutex
	answers   bytes.Buffer
}

func newCanaries(t *testing.T, database actortest.Database) *canaries {
	t.Helper()
	c := &canaries{v: newOAuthServer(t)}
	c.v.mint, c.v.api = func(string) string { return c.next() }, echoRequest
	c.b = setup(t, database, withAcme(t, c.v), func(_ *integration.Config, host *[]actortest.HostOption) {
		*host = append(*host, func(h *runtime.HostConfig) {
			log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), &c.log, zap.DebugLevel))
			var err error
			if c.telemetry, err = mesh.NewTelemetry(t.Context(), mesh.TelemetryOptions{Log: log, Process: "test"}); err != nil {
				t.Fatal(err)
			}
			h.Telemetry, h.NATS.Log = c.telemetry, log
		})
	}, withConfig(func(c *integration.Config) {
		c.Providers["http"] = integration.ProviderConfig{Backoff: time.Millisecond, Attempts: 2}
		acme := c.Providers["acme"]
		acme.Backoff, acme.Attempts = time.Millisecond, 2
		c.Providers["acme"] = acme
		c.Breaker.Failures = 1 << 20 // the provider fails on purpose
	}))
	return c
}

// next returns a new secret.
func (c *canaries) next() string {
	return fmt.Sprintf("%s%08d-%08x", canaryMark, c.made.Add(1), c.made.Load()*2654435761%(1<<32))
}

// echoRequest responds with the request's secrets if the path ends in a status, which it uses.
func echoRequest(w http.ResponseWriter, r *http.Request) bool {
	status, _ := strconv.Atoi(path.Base(r.URL.Path))
	if status < 200 {
		return false
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"message": "you sent " + r.Header.Get("Authorization"), "error": r.Header.Get("Authorization"), "url": r.URL.String(),
	})
	return true
}

// lifecycle runs a user's connections: connected, refused, used, refreshed, refused again and disconnected.
func (c *canaries) lifecycle(t *testing.T) {
	t.Helper()
	_, as := c.b.user(t)
	var answers bytes.Buffer
	ask := func(subject string, request any) []byte { return c.b.ask(t, &answers, as, subject, request) }
	connect := func(request subjects.ConnectIntegrationRequest) (id string) {
		var made subjects.Connection
		if err := json.Unmarshal(ask(subjects.ConnectIntegration.Subject, request), &made); err == nil {
			id = made.ID
		}
		return id
	}
	access, refresh := c.next(), c.next()
	c.v.mu.Lock()
	family := "family of " + fmt.Sprint(len(c.v.families))
	c.v.access[access], c.v.families[refresh] = family, family
	c.v.mu.Unlock()
	id := connect(subjects.ConnectIntegrationRequest{
		Provider: "acme", Credentials: subjects.SecretMap{"access_token": access, "refresh_token": refresh},
	})
	if id == "" {
		t.Errorf("not connected: %s", answers.Bytes())
		return
	}
	ask(subjects.ExecuteAction.Subject, action(id, "get", `{"id":"1"}`))
	ask(subjects.RefreshConnection.Subject, subjects.IntegrationRequest{IntegrationID: id})
	for _, status := range []string{"200", "400", "500"} {
		ask(subjects.ExecuteAction.Subject, action(id, "get", `{"id":"`+status+`"}`))
		ask(subjects.ProxyCall.Subject, subjects.ProxyRequest{IntegrationID: id, Method: "GET", Path: "/" + status})
		connect(subjects.ConnectIntegrationRequest{
			Provider: "http", Credentials: subjects.SecretMap{"api_key": c.next()},
			Settings: map[string]any{"base_url": c.v.URL, "health_path": "/" + status},
		})
	}
	connect(subjects.ConnectIntegrationRequest{Provider: "acme", Label: "refused", Credentials: subjects.SecretMap{"access_token": c.next()}})
	connect(subjects.ConnectIntegrationRequest{Provider: "acme", Label: "robot", Auth: "signer", Credentials: subjects.SecretMap{"name": "x", "key": c.next()}})
	ask(subjects.ExchangeCode.Subject, subjects.ExchangeCodeRequest{Provider: "acme", Code: c.next(), State: c.next()})
	c.strangeTokenAnswers(id, ask)
	c.v.expireFamily(family)
	ask(subjects.ExecuteAction.Subject, action(id, "get", `{"id":"1"}`)) // refreshed
	ask(subjects.ListCalls.Subject, subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: id}})
	ask(subjects.GetProviderStatus.Subject, subjects.ProviderRequest{Provider: "acme"})
	ask(subjects.DisconnectIntegration.Subject, subjects.IntegrationRequest{IntegrationID: id})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers.Write(answers.Bytes())
}

// strangeTokenAnswers refreshes a connection's tokens, and fetches others, with answers that cannot be read or are errors.
func (c *canaries) strangeTokenAnswers(id string, ask func(subject string, request any) []byte) {
	for _, answer := range strangeAnswers {
		for _, request := range []func(){
			func() { ask(subjects.RefreshConnection.Subject, subjects.IntegrationRequest{IntegrationID: id}) },
			func() {
				ask(subjects.ConnectIntegration.Subject, subjects.ConnectIntegrationRequest{
					Provider: "acme", Label: "strange", Auth: "robot", Credentials: subjects.SecretMap{"client_id": "x", "client_secret": c.next()},
				})
			},
		} {
			c.v.answerNext(answer.handler(c.next(), c.next()))
			request()
		}
	}
	ask(subjects.GetIntegration.Subject, subjects.IntegrationRequest{IntegrationID: id})
}

// search stops the actor and the server and searches everything they have written.
func (c *canaries) search(t *testing.T) {
	t.Helper()
	families, err := c.telemetry.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var metrics bytes.Buffer
	for _, family := range families {
		fmt.Fprintln(&metrics, family)
	}
	if err := c.b.host.Stop(t); err != nil {
		t.Fatal(err)
	}
	c.b.mesh.StopServer(t)
	places := map[string][]byte{
		"the log": c.log.bytes(), "the metrics": metrics.Bytes(), "an answer": c.answers.Bytes(), "the tables": []byte(actortest.Dump(t, c.b.db)),
	}
	for place, want := range map[string]string{
		"the log": "execute_action", "the metrics": "integration_", "an answer": "redacted", "the tables": c.v.URL,
	} {
		if !bytes.Contains(places[place], []byte(want)) {
			t.Errorf("%s (%d bytes) was not captured", place, len(places[place]))
		}
	}
	files := 0
	for _, root := range []string{c.b.db.DataDir, c.b.mesh.Dir} {
		err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			files++
			data, err := os.ReadFile(file)
			places[file] = data
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 5 {
		t.Errorf("only %d files were searched", files)
	}
	for place, data := range places {
		for form, mark := range marks() {
			if i := bytes.Index(data, mark); i >= 0 {
				t.Errorf("%s contains a canary (%s): …%q…", place, form, data[max(0, i-80):min(len(data), i+80)])
			}
		}
	}
}

// TestCanaries is a short TestCanaryStorm.
func TestCanaries(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := newCanaries(t, database)
		for range 3 {
			c.lifecycle(t)
		}
		if c.made.Load() < 20 || c.v.count("refresh_token") < 3 {
			t.Errorf("%d secrets, %d refreshes", c.made.Load(), c.v.count("refresh_token"))
		}
		c.search(t)
	})
}

// TestMarks tests that the search of TestCanaries finds secrets in each encoding.
func TestMarks(t *testing.T) {
	t.Parallel()
	secret := canaryMark + "00000001"
	for _, text := range []string{
		secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte("ada:" + secret)),
		base64.StdEncoding.EncodeToString([]byte("x:" + secret)), base64.RawURLEncoding.EncodeToString([]byte("abc" + secret)),
	} {
		found := false
		for _, mark := range marks() {
			found = found || strings.Contains(text, string(mark))
		}
		if !found {
			t.Errorf("%s is not found", text)
		}
	}
}
