package workflow

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

func TestConnectionOf(t *testing.T) {
	t.Parallel()
	const id = "01a228f5-789d-7d90-aabd-6c5b90ea70ce"
	for _, test := range []struct {
		arguments         map[string]any
		connection, input string
	}{
		{map[string]any{"repo": "mesh"}, "github", `{"repo":"mesh"}`},
		{map[string]any{"repo": "mesh", "connection": nil}, "github", `{"repo":"mesh"}`},
		{map[string]any{"connection": "work"}, "github:work", `{}`},
		{map[string]any{"connection": id, "n": 1.5}, id, `{"n":1.5}`},
	} {
		connection, input, err := connectionOf("github", test.arguments)
		if err != nil || connection != test.connection || string(input) != test.input {
			t.Errorf("%v: connection %s, input %s, %v", test.arguments, connection, input, err)
		}
	}
	for _, invalid := range []any{"", 7, true, map[string]any{}} {
		_, _, err := connectionOf("github", map[string]any{"connection": invalid})
		wantMachineError(t, err, machine.TypeValidation, "connection must be")
	}
}

// wantMachineError checks that err is a *machine.Error of a type with a text.
func wantMachineError(t *testing.T, err error, kind, text string) {
	t.Helper()
	var fault *machine.Error
	if !errors.As(err, &fault) || fault.Type != kind || !strings.Contains(fault.Detail, text) {
		t.Errorf("got %v, want a %s error with %q", err, kind, text)
	}
}

// TestCallKey: a key is shortened to what others accept, to the same text every time, and different keys stay different.
func TestCallKey(t *testing.T) {
	t.Parallel()
	id := "01a228f5-789d-7d90-aabd-6c5b90ea70ce"
	short, long := id+"/0/ask", id+"/0/"+strings.Repeat("x", maxCallKey)
	if got := callKey(&machine.Call{Key: short}); got != short {
		t.Errorf("a short key became %s", got)
	}
	got := callKey(&machine.Call{Key: long})
	if len(got) > maxCallKey || !strings.HasPrefix(got, id+"/") {
		t.Errorf("a long key became %s", got)
	}
	if again := callKey(&machine.Call{Key: long}); again != got {
		t.Errorf("the same key became %s and %s", got, again)
	}
	if other := callKey(&machine.Call{Key: long + "y"}); other == got {
		t.Error("two keys became one")
	}
}

// TestUndispatchableCalls: calls that validation should have refused fail without effect.
func TestUndispatchableCalls(t *testing.T) {
	t.Parallel()
	c := &calls{}
	_, err := c.dispatch(t.Context(), engine.Row{}, &machine.Call{Kind: "carrier pigeon"}, false)
	wantMachineError(t, err, machine.TypeConfiguration, "does not support carrier pigeon")
	_, err = c.dispatch(t.Context(), engine.Row{}, &machine.Call{Kind: machine.CallFunction, Function: "nodot"}, false)
	wantMachineError(t, err, machine.TypeConfiguration, `no function "nodot"`)
	_, err = c.dispatch(t.Context(), engine.Row{}, &machine.Call{Kind: machine.CallFunction, Function: machine.FunctionConsent}, false)
	wantMachineError(t, err, machine.TypeValidation, "needs a scope")
	deep := engine.Row{Origin: engine.Origin{Kind: engine.OriginEvent, Depth: engine.MaxDepth}}
	_, err = c.dispatch(t.Context(), deep, &machine.Call{Kind: machine.CallEmit}, false)
	wantMachineError(t, err, machine.TypeRuntime, "more than 20 in a row")
	_, err = c.dispatch(t.Context(), deep, &machine.Call{
		Kind: machine.CallFunction, Function: machine.FunctionStart, Arguments: map[string]any{"name": "a", "namespace": "b"},
	}, false)
	wantMachineError(t, err, machine.TypeRuntime, "more than 20 in a row")
}

func TestApprovalArguments(t *testing.T) {
	t.Parallel()
	a, timeout, err := approvalArgumentsOf(map[string]any{
		"title": "Ship?", "body": "Now", "data": map[string]any{"n": 3.0}, "timeout": "PT1H", "onTimeout": "fail", "channels": []any{"email"},
	})
	if err != nil || timeout != time.Hour || a.Title != "Ship?" || a.Body != "Now" || string(a.Data) != `{"n":3}` || a.OnTimeout != "fail" ||
		len(a.Channels) != 1 {
		t.Errorf("decoded %+v with a timeout of %s, %v", a, timeout, err)
	}
	if a, timeout, err := approvalArgumentsOf(map[string]any{"title": "a"}); err != nil || timeout != 0 || a.OnTimeout != "expire" {
		t.Errorf("by default: %+v with a timeout of %s, %v", a, timeout, err)
	}
	if _, timeout, err := approvalArgumentsOf(map[string]any{"title": "a", "timeout": map[string]any{"seconds": 0.0}}); err != nil || timeout != time.Millisecond {
		t.Errorf("a timeout of nothing: %s, %v", timeout, err)
	}
	for text, arguments := range map[string]map[string]any{
		"title is required":      {},
		"title":                  {"title": strings.Repeat("x", 201)},
		"body":                   {"title": "a", "body": strings.Repeat("x", 20_001)},
		"onTimeout must be":      {"title": "a", "onTimeout": "explode"},
		"timeout: ":              {"title": "a", "timeout": "soon"},
		`unknown field "people"`: {"title": "a", "people": []any{}},
		"cannot unmarshal":       {"title": 7.0},
	} {
		_, _, err := approvalArgumentsOf(arguments)
		wantMachineError(t, err, machine.TypeValidation, text)
	}
}

// TestAnswerOf: a settled approval request becomes the call's output, or its fault.
func TestAnswerOf(t *testing.T) {
	t.Parallel()
	row := approvalRow{ID: "a", DecidedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixMicro(), OnTimeout: "expire"}
	for _, test := range []struct{ status, comment, onTimeout, want string }{
		{subjects.ApprovalApproved, "go", "fail", `{"approval_id":"a","comment":"go","decided_at":"2026-01-02T03:04:05Z","decision":"approved"}`},
		{subjects.ApprovalRejected, "", "fail", `{"approval_id":"a","decided_at":"2026-01-02T03:04:05Z","decision":"rejected"}`},
		{subjects.ApprovalExpired, "", "expire", `{"approval_id":"a","decided_at":"2026-01-02T03:04:05Z","decision":"expired"}`},
	} {
		row.Status, row.Comment, row.OnTimeout = test.status, test.comment, test.onTimeout
		if output, fault := answerOf(row); fault != nil || string(output) != test.want {
			t.Errorf("%s: %s, %v", test.status, output, fault)
		}
	}
	row.Status, row.OnTimeout = subjects.ApprovalExpired, "fail"
	if _, fault := answerOf(row); fault == nil || fault.Type != machine.TypeTimeout {
		t.Errorf("expired with onTimeout fail: %v", fault)
	}
	row.Status = subjects.ApprovalWithdrawn
	if _, fault := answerOf(row); fault == nil || fault.Type != machine.TypeRuntime {
		t.Errorf("withdrawn: %v", fault)
	}
}

// TestFitEvents: a page has at least one event and at most the limit, and is cut before it exceeds the size of a reply.
func TestFitEvents(t *testing.T) {
	t.Parallel()
	half, whole := json.RawMessage(strings.Repeat("x", maxReplyBytes/2)), json.RawMessage(strings.Repeat("x", maxReplyBytes+1))
	for _, test := range []struct {
		name   string
		events []json.RawMessage
		limit  int
		want   int
	}{
		{"none", nil, 5, 5},
		{"all fit", []json.RawMessage{half, half}, 5, 5},
		{"the third does not fit", []json.RawMessage{half, half, half}, 5, 2},
		{"the third is beyond the limit", []json.RawMessage{half, half, half}, 2, 2},
		{"one too large", []json.RawMessage{whole, half}, 5, 1},
	} {
		if got := fitEvents(test.events, test.limit); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}
