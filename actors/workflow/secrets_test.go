package workflow_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// vault is an API that wants secrets, and gives back what it was sent.
type vault struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string
}

func newVault(t *testing.T) *vault {
	v := &vault{}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading a request: %v", err)
		}
		sent := r.Header.Get("Authorization") + " " + r.URL.Query().Get("key") + " " + string(body)
		v.mu.Lock()
		v.sent = append(v.sent, sent)
		v.mu.Unlock()
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, r.URL.Query().Get("key")+" and "+string(body))
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *vault) last() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.sent) == 0 {
		return ""
	}
	return v.sent[len(v.sent)-1]
}

// usingSecrets is a definition whose calls take secrets in each of the ways.
func (v *vault) usingSecrets(first string) string {
	return strings.Replace(workflowOf(first+`
- ask:
    call: http
    with:
      method: put
      endpoint: {uri: '`+v.URL+`/', authentication: {basic: {use: login}}}
      query: {key: '${ $secrets.key }'}
      body: {pin: '${ $secrets.key }'}
- say: {call: echo, with: {k: '${ $secrets.login.password }', heard: '${ . }'}}
- rest: {if: .stay, wait: {days: 30}}
`), "do:", "use: {secrets: [login, key]}\ndo:", 1)
}

func (b *bundle) putSecret(t *testing.T, name, value string) subjects.WorkflowSecret {
	t.Helper()
	return call(t, b, subjects.PutWorkflowSecret, subjects.PutWorkflowSecretRequest{Name: name, Value: json.RawMessage(value)})
}

// TestSecrets: calls take secrets as they are when they begin, after a restart too; they are in no event, snapshot, message or log, in
// no table unsealed, and another user's are not seen.
func TestSecrets(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var logged logBuffer
		b := setup(t, database, func(m *actortest.Mesh) {
			m.Log = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logged), zap.DebugLevel))
		})
		_ = b.host.Stop(t)
		kill := b.startMortal(t)
		v := newVault(t)
		b.putSecret(t, "login", `{"username": "ada", "password": "open-sesame-1"}`)
		b.putSecret(t, "key", `"old-key-4711"`)
		b.putSecret(t, "key", `"new-key-4712"`)
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, v.usingSecrets("- hold: {call: github.hold}"))})
		start := subjects.StartExecutionRequest{WorkflowID: w.ID, Input: json.RawMessage(`{"stay": false}`)}
		held := call(t, b, subjects.StartExecution, start)
		<-b.held
		kill()
		close(b.hold)
		b.host = b.start(t)
		done := b.until(t, held.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted)
		wantOutput(t, done, `{"heard":"*** and {\"pin\":\"***\"}","k":"***"}`)
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:open-sesame-1"))
		if got := v.last(); got != basic+` new-key-4712 {"pin":"new-key-4712"}` {
			t.Errorf("the call was made with %s", got)
		}
		b.putSecret(t, "key", `"other-key-4713"`)
		parked := call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: b.workflow(t, strings.Replace(
			v.usingSecrets(""), "- rest: {if: .stay, ", "- rest: {", 1))})
		b.until(t, parked.ID, subjects.ExecutionWaiting)
		eventually(t, "it is parked", func() bool { return gauge(t, b.host, "workflow_active_executions") == 0 })
		if got := v.last(); !strings.Contains(got, "other-key-4713") {
			t.Errorf("after a change, the call was made with %s", got)
		}
		b.noSecretOfAnothers(t, v)
		if page := call(t, b, subjects.ListWorkflowSecrets, subjects.PageRequest{}); len(page.Items) != 2 || page.Items[0].Name != "key" ||
			!page.Items[0].UpdatedAt.After(page.Items[0].CreatedAt) {
			t.Errorf("listed: %+v", page.Items)
		}
		call(t, b, subjects.DeleteWorkflowSecret, subjects.WorkflowSecretRequest{Name: "key"})
		wantCode(t, b, subjects.CodeNotFound, subjects.DeleteWorkflowSecret, b.ada, subjects.WorkflowSecretRequest{Name: "key"})
		gone := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: b.workflow(t, v.usingSecrets(""))})
		wantFault(t, gone, "configuration", 400)
		if gone.Error.Instance != "/do/0/ask" || !strings.Contains(gone.Error.Detail, `"key"`) {
			t.Errorf("the error is %+v", gone.Error)
		}
		everything := b.everythingKept(t) + logged.text()
		if !strings.Contains(everything, parked.ID) || !strings.Contains(everything, "rest") {
			t.Error("what is looked through does not hold the executions")
		}
		for _, secret := range []string{"open-sesame-1", "key-471", strings.TrimPrefix(basic, "Basic ")} {
			if at := strings.Index(everything, secret); at >= 0 {
				t.Errorf("%s is kept: …%s…", secret, everything[max(0, at-300):min(len(everything), at+100)])
			}
		}
	})
}

func (b *bundle) workflow(t *testing.T, definition string) string {
	t.Helper()
	return call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, definition)}).ID
}

// noSecretOfAnothers: another user with the same definition has none of the secrets.
func (b *bundle) noSecretOfAnothers(t *testing.T, v *vault) {
	t.Helper()
	user, ada := b.user, b.ada
	defer func() { b.user, b.ada = user, ada }()
	b.user = actortest.User()
	b.ada = mesh.As{Token: b.mesh.Token(t, b.user)}
	b.mesh.Consent(t, b.user, subjects.ScopeWorkflowsExecute, subjects.ScopeIntegrationsExecute)
	if page := call(t, b, subjects.ListWorkflowSecrets, subjects.PageRequest{}); len(page.Items) != 0 {
		t.Errorf("another user's are listed: %+v", page.Items)
	}
	e := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: b.workflow(t, v.usingSecrets(""))})
	wantFault(t, e, "configuration", 400)
}

// everythingKept stops the actor and gives what the streams and tables hold.
func (b *bundle) everythingKept(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	conn := b.mesh.Conn(t, "workflow")
	for _, name := range []string{subjects.WorkflowLog.Name, subjects.WorkflowFeed.Name} {
		stream, err := conn.JS.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		state := stream.CachedInfo().State
		for at := state.FirstSeq; at <= state.LastSeq; at++ {
			if m, err := stream.GetMsg(t.Context(), at); err == nil {
				text.Write(m.Data)
			}
		}
	}
	if err := b.host.Stop(t); err != nil {
		t.Fatal(err)
	}
	return text.String() + actortest.Dump(t, b.db)
}

type logBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (l *logBuffer) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data.Write(line)
}

func (l *logBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data.String()
}

// TestSecretsThatAreRefused: what is no secret, and definitions that would keep one.
func TestSecretsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	for value, code := range map[string]subjects.Code{
		`null`: subjects.CodeInvalid, `""`: subjects.CodeInvalid, `{}`: subjects.CodeInvalid, `7`: subjects.CodeInvalid,
		`"` + strings.Repeat("x", 16<<10) + `"`: subjects.CodeTooLarge,
	} {
		wantCode(t, b, code, subjects.PutWorkflowSecret, b.ada, subjects.PutWorkflowSecretRequest{Name: "key", Value: json.RawMessage(value)})
	}
	wantCode(t, b, subjects.CodeInvalid, subjects.PutWorkflowSecret, b.ada,
		subjects.PutWorkflowSecretRequest{Name: "no name", Value: json.RawMessage(`"x"`)})
	for i := range 100 {
		b.putSecret(t, "s"+strings.Repeat("x", i/26)+string(rune('a'+i%26)), `"value"`)
	}
	b.putSecret(t, "sa", `"changed"`)
	wantCode(t, b, subjects.CodeConflict, subjects.PutWorkflowSecret, b.ada,
		subjects.PutWorkflowSecretRequest{Name: "more", Value: json.RawMessage(`"x"`)})
	for tasks, pointer := range map[string]string{
		"- a: {call: workflow.start, with: {name: x, input: {k: '${ $secrets.key }'}}}\n":                                               "/do/0/a",
		"- a: {call: approval.request, with: {title: '${ $secrets.key }'}}\n":                                                           "/do/0/a",
		"- a: {input: {from: '{body: $secrets.key}'}, call: notification.send, with: {body: .b}}\n":                                     "/do/0/a",
		"- a: {do: [{b: {call: echo, metadata: {compensate: [{c: {call: notification.send, with: {body: '${ $secrets.key }'}}}]}}}]}\n": "/do/0/a/do/0/b/metadata/compensate/0/c",
		"- a: {set: {x: '${ $secrets.key }'}}\n":                                                                                        "/do/0/a/set/x",
	} {
		definition := strings.Replace(workflowOf(tasks), "do:", "use: {secrets: [key]}\ndo:", 1)
		err := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.ada, subjects.WorkflowDefinitionRequest{Definition: yaml(t, definition)})
		if len(err.Fields) != 1 || err.Fields[0].Pointer != pointer {
			t.Errorf("%s: faults %+v", tasks, err.Fields)
		}
	}
	named := strings.Replace(workflowOf("- a: {set: {x: 1}}\n"), "do:", "use: {secrets: ['no name']}\ndo:", 1)
	wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.ada, subjects.WorkflowDefinitionRequest{Definition: yaml(t, named)})
}
