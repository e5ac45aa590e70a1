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

// echoServer is an API that records the credentials and the body that it receives, and returns them.
type echoServer struct {
	*httptest.Server
	mu       sync.Mutex
	received []string
}

func newEchoServer(t *testing.T) *echoServer {
	v := &echoServer{}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading a request: %v", err)
		}
		received := r.Header.Get("Authorization") + " " + r.URL.Query().Get("key") + " " + string(body)
		v.mu.Lock()
		v.received = append(v.received, received)
		v.mu.Unlock()
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, r.URL.Query().Get("key")+" and "+string(body))
	}))
	t.Cleanup(v.Close)
	return v
}

// last returns what the last request sent.
func (v *echoServer) last() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.received) == 0 {
		return ""
	}
	return v.received[len(v.received)-1]
}

// usingSecrets returns a definition whose calls use secrets as authentication and in expressions.
func (v *echoServer) usingSecrets(first string) string {
	return strings.Replace(workflowOf(first+`
- ask:
    call: http
    with:
      method: put
      endpoint: {uri: '`+v.URL+`/', authentication: {basic: {use: login}}}
      query: {key: '${ $secrets.key }'}
      body: {pin: '${ $secrets.key }'}
- say: {call: echo, with: {heard: '${ . }'}}
- rest: {if: .stay, wait: {days: 30}}
`), "do:", "use: {secrets: [login, key]}\ndo:", 1)
}

func (b *bundle) putSecret(t *testing.T, name, value string) subjects.WorkflowSecret {
	t.Helper()
	return call(t, b, subjects.PutWorkflowSecret, subjects.PutWorkflowSecretRequest{Name: name, Value: json.RawMessage(value)})
}

// TestSecrets: a call uses the secrets' values at its start, also after a restart. The values appear in no event, snapshot, message or
// log line, and in the tables only sealed. Another user's secrets are not visible.
func TestSecrets(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var logged logBuffer
		b := setup(t, database, func(m *actortest.Mesh) {
			m.Log = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logged), zap.DebugLevel))
		})
		_ = b.host.Stop(t)
		kill := b.startKillable(t)
		v := newEchoServer(t)
		b.putSecret(t, "login", `{"username": "ada", "password": "open-sesame-1"}`)
		b.putSecret(t, "key", `"old-key-4711"`)
		b.putSecret(t, "key", `"new-key-4712"`)
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, v.usingSecrets("- hold: {call: github.hold}"))})
		start := subjects.StartExecutionRequest{WorkflowID: w.ID, Input: json.RawMessage(`{"stay": false}`)}
		started := call(t, b, subjects.StartExecution, start)
		<-b.reached
		kill()
		close(b.release)
		b.host = b.start(t)
		done := b.awaitStatus(t, started.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted)
		wantOutput(t, done, `{"heard":"*** and {\"pin\":\"***\"}"}`)
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:open-sesame-1"))
		if got := v.last(); got != basic+` new-key-4712 {"pin":"new-key-4712"}` {
			t.Errorf("the call sent %s", got)
		}
		b.putSecret(t, "key", `"other-key-4713"`)
		evicted := call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: b.workflow(t, strings.Replace(
			v.usingSecrets(""), "- rest: {if: .stay, ", "- rest: {", 1))})
		b.awaitStatus(t, evicted.ID, subjects.ExecutionWaiting)
		eventually(t, "it is evicted", func() bool { return metric(t, b.host, "workflow_active_executions") == 0 })
		if got := v.last(); !strings.Contains(got, "other-key-4713") {
			t.Errorf("after a change the call sent %s", got)
		}
		b.wantNoSecretsOfOthers(t, v)
		if page := call(t, b, subjects.ListWorkflowSecrets, subjects.PageRequest{}); len(page.Items) != 2 || page.Items[0].Name != "key" ||
			!page.Items[0].UpdatedAt.After(page.Items[0].CreatedAt) {
			t.Errorf("the secrets are %+v", page.Items)
		}
		call(t, b, subjects.DeleteWorkflowSecret, subjects.WorkflowSecretRequest{Name: "key"})
		wantCode(t, b, subjects.CodeNotFound, subjects.DeleteWorkflowSecret, b.as, subjects.WorkflowSecretRequest{Name: "key"})
		faulted := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: b.workflow(t, v.usingSecrets(""))})
		wantFault(t, faulted, "authorization", 403)
		if faulted.Error.Instance != "/do/0/ask" || !strings.Contains(faulted.Error.Detail, `"key"`) {
			t.Errorf("the error is %+v", faulted.Error)
		}
		everything := b.dump(t) + logged.text()
		if !strings.Contains(everything, evicted.ID) || !strings.Contains(everything, "rest") {
			t.Error("the dump does not have the executions")
		}
		for _, secret := range []string{"open-sesame-1", "key-471", strings.TrimPrefix(basic, "Basic ")} {
			if at := strings.Index(everything, secret); at >= 0 {
				t.Errorf("%s is stored or logged: …%s…", secret, everything[max(0, at-300):min(len(everything), at+100)])
			}
		}
	})
}

// workflow creates a workflow and returns its id.
func (b *bundle) workflow(t *testing.T, definition string) string {
	t.Helper()
	return call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, definition)}).ID
}

// wantNoSecretsOfOthers checks that another user with the same definition has none of the secrets.
func (b *bundle) wantNoSecretsOfOthers(t *testing.T, v *echoServer) {
	t.Helper()
	user, as := b.user, b.as
	defer func() { b.user, b.as = user, as }()
	b.user = actortest.User()
	b.as = mesh.As{Token: b.mesh.Token(t, b.user)}
	b.mesh.Consent(t, b.user, subjects.ScopeWorkflowsExecute, subjects.ScopeIntegrationsExecute)
	if page := call(t, b, subjects.ListWorkflowSecrets, subjects.PageRequest{}); len(page.Items) != 0 {
		t.Errorf("another user sees the secrets %+v", page.Items)
	}
	e := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: b.workflow(t, v.usingSecrets(""))})
	wantFault(t, e, "authorization", 403)
}

// dump stops the actor and returns the contents of its streams and tables.
func (b *bundle) dump(t *testing.T) string {
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

// TestInvalidSecrets: values that are no secrets are refused, more secrets than a user may have, and definitions that would store
// one.
func TestInvalidSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	for value, code := range map[string]subjects.Code{
		`null`: subjects.CodeInvalid, `""`: subjects.CodeInvalid, `{}`: subjects.CodeInvalid, `7`: subjects.CodeInvalid,
		`"` + strings.Repeat("x", 16<<10) + `"`: subjects.CodeTooLarge,
	} {
		wantCode(t, b, code, subjects.PutWorkflowSecret, b.as, subjects.PutWorkflowSecretRequest{Name: "key", Value: json.RawMessage(value)})
	}
	wantCode(t, b, subjects.CodeInvalid, subjects.PutWorkflowSecret, b.as,
		subjects.PutWorkflowSecretRequest{Name: "no name", Value: json.RawMessage(`"x"`)})
	for i := range 100 {
		b.putSecret(t, "s"+strings.Repeat("x", i/26)+string(rune('a'+i%26)), `"value"`)
	}
	b.putSecret(t, "sa", `"changed"`)
	wantCode(t, b, subjects.CodeRateLimited, subjects.PutWorkflowSecret, b.as,
		subjects.PutWorkflowSecretRequest{Name: "more", Value: json.RawMessage(`"x"`)})
	for tasks, pointer := range map[string]string{
		"- a: {call: workflow.start, with: {name: x, input: {k: '${ $secrets.key }'}}}\n":                                               "/do/0/a",
		"- a: {call: approval.request, with: {title: '${ $secrets.key }'}}\n":                                                           "/do/0/a",
		"- a: {input: {from: '{body: $secrets.key}'}, call: notification.send, with: {body: .b}}\n":                                     "/do/0/a",
		"- a: {do: [{b: {call: echo, metadata: {compensate: [{c: {call: notification.send, with: {body: '${ $secrets.key }'}}}]}}}]}\n": "/do/0/a/do/0/b/metadata/compensate/0/c",
		"- a: {set: {x: '${ $secrets.key }'}}\n":                                                                                        "/do/0/a/set/x",
	} {
		definition := strings.Replace(workflowOf(tasks), "do:", "use: {secrets: [key]}\ndo:", 1)
		err := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as, subjects.WorkflowDefinitionRequest{Definition: yaml(t, definition)})
		if len(err.Fields) != 1 || err.Fields[0].Pointer != pointer {
			t.Errorf("%s: faults %+v", tasks, err.Fields)
		}
	}
	named := strings.Replace(workflowOf("- a: {set: {x: 1}}\n"), "do:", "use: {secrets: ['no name']}\ndo:", 1)
	wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as, subjects.WorkflowDefinitionRequest{Definition: yaml(t, named)})
}
