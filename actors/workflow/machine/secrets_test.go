package machine

import (
	"errors"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// TestSecretsAreReadForEachCall: a call uses the values at the time it is built, earlier values stay masked, and a
// secret that is unavailable fails only the calls that use it.
func TestSecretsAreReadForEachCall(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`use: {secrets: [s, t]}`+"\n"+`do: [{a: {call: f.a, with: {k: '${ $secrets.s }'}}}, {b: {call: f.b, with: {k: '${ $secrets.s }'}}}, {c: {call: f.c, with: {k: 1}}},
{d: {try: [{e: {call: f.d, with: {k: '${ $secrets.t }'}}}], catch: {do: [{f: {set: {caught: '${ $error.detail }', status: '${ $error.status }'}}}]}}}]`)
	values := map[string]any{"s": "hunter-one", "t": "unused-by-a"}
	var unread error
	d.env.Secrets = func() (map[string]any, error) { return values, unread }
	d.reply = func(call *Call) (any, *Error) {
		switch call.Function {
		case "f.a":
			values = map[string]any{"s": "hunter-two"}
		case "f.b":
			return nil, NewError(TypeRuntime, "f.b must not be called")
		}
		return map[string]any{"got": call.Arguments["k"], "before": "hunter-one"}, nil
	}
	x := d.start(map[string]any{})
	if got := x.Calls()[0].Arguments["k"]; got != "hunter-one" {
		t.Errorf("the call uses %v", got)
	}
	d.finish(x)
	if fault := x.Fault(); fault == nil || standardName(fault.Type) != "authorization" || fault.Status != 403 || fault.Instance != "/do/1/b" || !strings.Contains(fault.Detail, `"t"`) {
		t.Errorf("a call with a secret that is not set ended with %+v", fault)
	}
	values = map[string]any{"s": "hunter-two", "t": "hunter-three"}
	d.log, d.done = nil, map[string]bool{}
	d.reply = func(call *Call) (any, *Error) {
		if call.Function == "f.c" {
			unread = errors.New("hunter-three is in here")
		}
		return map[string]any{"got": call.Arguments["k"], "before": "hunter-two"}, nil
	}
	x = d.start(map[string]any{})
	if got := result(d.finish(x)); got != `{"caught":"the secrets are unavailable","status":500}` {
		t.Errorf("a call whose secrets cannot be read: %s", got)
	}
	if log := string(language.Canonical(d.log)); strings.Contains(log, "hunter") || !strings.Contains(log, `"got":1`) {
		t.Errorf("log %s", log)
	}
}
