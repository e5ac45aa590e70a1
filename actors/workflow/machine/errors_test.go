package machine

import (
	"bytes"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

func TestStandardErrors(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		TypeConfiguration: "400 Configuration Error", TypeValidation: "400 Validation Error", TypeExpression: "400 Expression Error",
		TypeAuthentication: "401 Authentication Error", TypeAuthorization: "403 Authorization Error", TypeTimeout: "408 Timeout Error",
		TypeCommunication: "500 Communication Error", TypeRuntime: "500 Runtime Error", "urn:example:other": "500 Error",
	} {
		err := NewError(kind, "details")
		if got := language.Text(err.Status) + " " + err.Title; got != want || err.Type != kind || err.Detail != "details" || err.Instance != "" {
			t.Errorf("%s is %+v", kind, err)
		}
		if text := err.Error(); !strings.HasPrefix(text, kind+": ") || !strings.HasSuffix(text, ": details") {
			t.Errorf("the text of %s is %q", kind, text)
		}
	}
}

func TestSameType(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{TypeTimeout, TypeTimeout, true}, {TypeTimeout, TypeRuntime, false},
		{TypeTimeout, "https://serverlessworkflow.io/spec/1.0.0/errors/timeout", true}, {TypeTimeout, "http://serverlessworkflow.io/dsl/errors/types/timeout", true},
		{"https://serverlessworkflow.io/errors/types/timeout", "https://open-workflow-specification.org/dsl/errors/types/timeout", true},
		{"https://serverlessworkflow.io/errors/types/timeout", "https://serverlessworkflow.io/errors/types/runtime", false},
		{"urn:x", "urn:x", true}, {"urn:x", "urn:y", false}, {"timeout", TypeTimeout, false}, {"https://example.com/timeout", "https://example.org/timeout", false}, {"", "", true},
	} {
		if got := SameType(test.a, test.b); got != test.same || SameType(test.b, test.a) != test.same {
			t.Errorf("%s and %s: %v", test.a, test.b, got)
		}
	}
}

func TestErrorFilters(t *testing.T) {
	t.Parallel()
	err := &Error{Type: TypeCommunication, Status: 503, Title: "T", Detail: "D", Instance: "/do/0/a"}
	for filter, want := range map[string]bool{
		`{}`: true, `{"status":503}`: true, `{"status":500}`: false, `{"status":"503"}`: false, `{"title":"T"}`: true, `{"title":"t"}`: false, `{"detail":"D"}`: true,
		`{"instance":"/do/0/a"}`: true, `{"instance":"/do/0"}`: false, `{"type":"https://serverlessworkflow.io/errors/types/communication","status":503}`: true,
		`{"type":"https://serverlessworkflow.io/errors/types/communication","status":500}`: false, `{"other":"x"}`: false,
	} {
		with, _ := decode(t, filter).(map[string]any)
		if got := err.matches(with); got != want {
			t.Errorf("%s: %v", filter, got)
		}
	}
	if got := string(language.Canonical(err.Value())); got != `{"detail":"D","instance":"/do/0/a","status":503,"title":"T","type":"`+TypeCommunication+`"}` {
		t.Errorf("expressions read the error as %s", got)
	}
	if got := string(language.Canonical((&Error{Type: "urn:x", Status: 1}).Value())); got != `{"status":1,"type":"urn:x"}` {
		t.Errorf("expressions read the error as %s", got)
	}
}

func TestRaisedErrors(t *testing.T) {
	t.Parallel()
	for definition, want := range map[string]string{
		`{type: 'urn:x', status: 418}`: `{"instance":"/do/0/a","status":418,"type":"urn:x"}`,
		`{type: '${ "urn:" + .k }', status: '${ .s }', title: 'T ${ . }', detail: '${ .s }', instance: /elsewhere}`: `{"detail":"409","instance":"/elsewhere","status":409,"title":"T ${ . }","type":"urn:k"}`,
		`{type: 'urn:x', status: '${ 400.7 }'}`: `{"instance":"/do/0/a","status":400,"type":"urn:x"}`,
	} {
		d := newDriver(t, head+`do: [{a: {raise: {error: `+definition+`}}}]`)
		x := d.start(map[string]any{"k": "k", "s": 409})
		if got := string(language.Canonical(x.Fault().Value())); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", definition, got, want)
		}
	}
	d := newDriver(t, head+`do: [{a: {raise: {error: {type: 'urn:x', status: '${ .k }'}}}}]`)
	if got := faultText(d.start(map[string]any{"k": "k"}).Fault()); got != "expression: the status of an error must be a number" {
		t.Errorf("a status that is not a number: %s", got)
	}
}

// TestApplyRejects: an event that does not follow the log, or does not fit the state, is an error and changes nothing.
func TestApplyRejects(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {call: f.g}}]`)
	for name, test := range map[string]struct {
		event Event
		want  string
	}{
		"repeated":       {Event{Version: EventVersion, Sequence: 3, Type: CallScheduled, Run: 1}, "event 4 is expected"},
		"gap":            {Event{Version: EventVersion, Sequence: 5, Type: CallCompleted, Run: 1}, "event 4 is expected"},
		"version":        {Event{Version: EventVersion + 1, Sequence: 4, Type: CallCompleted, Run: 1}, "version 2 is not known"},
		"unknown run":    {Event{Version: EventVersion, Sequence: 4, Type: CallCompleted, Run: 9}, "task run 9 is not open"},
		"unknown parent": {Event{Version: EventVersion, Sequence: 4, Type: TaskStarted, Run: 2, Parent: 9, Task: "/do/0/a"}, "task run 2 is not open"},
		"unknown type":   {Event{Version: EventVersion, Sequence: 4, Type: "task_paused", Run: 1}, "type task_paused"},
		"unknown timer":  {Event{Version: EventVersion, Sequence: 4, Type: TimerFired, Run: 1, Timer: "alarm:1"}, "type timer_fired"},
	} {
		x := d.start(nil)
		before, err := x.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Apply(test.event); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if after, err := x.Snapshot(); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%s: the state is %s, %v; want %s", name, after, err, before)
		}
	}
	if _, err := Restore(d.def, d.env, []Event{{Version: EventVersion, Sequence: 2}}); err == nil {
		t.Error("a log without its first event was restored")
	}
	if _, err := RestoreSnapshot(d.def, d.env, []byte(`{"sequence":"x"}`)); err == nil {
		t.Error("an invalid snapshot was restored")
	}
}

func TestMasking(t *testing.T) {
	t.Parallel()
	secrets := secretReader{declared: true, read: fixed(map[string]any{"a": "hunter2", "b": map[string]any{"list": []any{"longer secret", "short", 7}}})}
	value := decode(t, `{"hunter2":["x hunter2 y",{"k":"longer secret"}],"n":7,"s":"short","plain":"hunter"}`)
	const want = `{"***":["x *** y",{"k":"***"}],"n":7,"plain":"hunter","s":"short"}`
	if got := string(language.Canonical(secrets.mask(value))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := secrets.maskText("hunter2hunter2"); got != "******" {
		t.Errorf("a repeated secret is masked as %s", got)
	}
	undeclared := secretReader{read: fixed(map[string]any{"a": "hunter2"})}
	if got := undeclared.maskText("hunter2"); got != "hunter2" {
		t.Errorf("without use.secrets, the text is %s", got)
	}
	if none := (&secretReader{declared: true}); none.maskText("x") != "x" || len(none.values()) != 0 || none.denied != nil {
		t.Errorf("without a source of secrets: %+v", none)
	}
	if secrets.values("a", "gone"); secrets.denied == nil || !strings.Contains(secrets.denied.Error(), `the secret "gone" is not set`) {
		t.Errorf("a missing secret: %v", secrets.denied)
	}
}
