package machine

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

const head = "document: {dsl: 1.0.3, namespace: test, name: sample, version: 0.1.0}\n"

// TestTasks runs one definition for each row. want is the output, or the error's type, status and instance.
func TestTasks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ source, input, want string }{
		"if": {`do: [{a: {if: .x > 1, set: {y: 1}}}, {b: {if: .x > 100, set: {y: 2}, then: end}}, {c: {set: {z: '${ . }'}}}]`,
			`{"x":2}`, `{"z":{"y":1}}`},
		"catalog function": {`do: [{a: {call: slack.send_message, with: {text: '${ .x }', to: c}, output: {as: .text}}}]`, `{"x":"hi"}`, `"hi"`},
		"export": {`do: [{a: {set: {x: 1}, export: {as: '{seen: .x}'}}}, {b: {set: {y: '${ $context.seen }', w: '${ $workflow.input.q }'}}}]`,
			`{"q":3}`, `{"w":3,"y":1}`},
		"workflow data": {`input: {from: .in}
output: {as: '{out: .}'}
do: [{a: {set: {x: '${ .v }'}}}]`, `{"in":{"v":5}}`, `{"out":{"x":5}}`},
		"input schema":                    {`input: {schema: {document: {type: object, required: [id]}}}` + "\ndo: [{a: {set: {x: 1}}}]", `{}`, `validation 400 /input`},
		"task schema":                     {`do: [{a: {input: {schema: {document: {type: string}}}, set: {x: 1}}}]`, `{}`, `validation 400 /do/0/a`},
		"output schema":                   {`do: [{a: {set: {x: 1}, output: {schema: {document: {required: [y]}}}}}]`, `{}`, `validation 400 /do/0/a`},
		"failing expression":              {`do: [{a: {set: {x: '${ .y + [] }'}}}]`, `{"y":1}`, `expression 400 /do/0/a`},
		"exit of do":                      {`do: [{a: {do: [{b: {set: {x: 1}, then: exit}}, {c: {set: {x: 2}}}]}}, {d: {set: {y: '${ .x }'}}}]`, `{}`, `{"y":1}`},
		"end inside":                      {`do: [{a: {do: [{b: {set: {x: 1}, then: end}}]}}, {c: {set: {x: 2}}}]`, `{}`, `{"x":1}`},
		"exit of for":                     {`do: [{a: {for: {each: i, in: '[1,2,3]'}, do: [{s: {switch: [{big: {when: $i > 1, then: exit}}]}}, {b: {set: {x: '${ $i }'}}}]}}]`, `{}`, `{"x":1}`},
		"jump back":                       {`do: [{a: {set: {n: '${ .n + 1 }'}}}, {b: {switch: [{again: {when: .n < 5, then: a}}]}}]`, `{"n":0}`, `{"n":5}`},
		"for while":                       {`do: [{a: {for: {each: i, in: '[5,6,7]', at: k}, while: $i < 7, do: [{b: {set: {s: '${ (.s // 0) + $i * $k }'}}}]}}]`, `{}`, `{"s":6}`},
		"for inline":                      {`do: [{a: {for: {in: [{v: 1}, {v: '${ .q }'}]}, do: [{b: {set: {s: '${ (.s // 0) + $item.v }', q: 9}}}]}}]`, `{"q":9}`, `{"q":9,"s":10}`},
		"for null":                        {`do: [{a: {for: {in: .none}, do: [{b: {set: {s: 1}}}]}}]`, `{"k":1}`, `{"k":1}`},
		"for not a list":                  {`do: [{a: {for: {in: .k}, do: [{b: {set: {s: 1}}}]}}]`, `{"k":1}`, `expression 400 /do/0/a`},
		"nested for":                      {`do: [{a: {for: {each: i, in: '[1,2]'}, do: [{b: {for: {each: j, in: '[10,20]'}, do: [{c: {set: {s: '${ (.s // []) + [$i + $j] }'}}}]}}]}}]`, `{}`, `{"s":[11,21,12,22]}`},
		"fork":                            {`do: [{a: {fork: {branches: [{b: {set: {x: 1}}}, {c: {do: [{d: {wait: PT5S}}, {e: {set: {x: 2}}}]}}, {f: {if: 'false', set: {x: 3}}}]}}}]`, `{"x":0}`, `[{"x":1},{"x":2},{"x":0}]`},
		"fork fault":                      {`do: [{a: {fork: {branches: [{b: {wait: P1D}}, {c: {raise: {error: {type: urn:x, status: 418}}}}]}}}]`, `{}`, `urn:x 418 /do/0/a/fork/branches/1/c`},
		"race":                            {`do: [{a: {fork: {compete: true, branches: [{b: {do: [{w: {wait: PT9S}}, {x: {set: {w: slow}}}]}}, {c: {raise: {error: {type: urn:x, status: 418}}}}, {d: {do: [{w: {wait: PT3S}}, {x: {set: {w: fast}}}]}}]}}}]`, `{}`, `{"w":"fast"}`},
		"race all fault":                  {`do: [{a: {fork: {compete: true, branches: [{b: {raise: {error: {type: urn:x, status: 418}}}}]}}}]`, `{}`, `urn:x 418 /do/0/a/fork/branches/0/b`},
		"race skipped":                    {`do: [{a: {fork: {compete: true, branches: [{b: {if: 'false', set: {x: 1}}}, {c: {set: {x: 2}}}]}}}]`, `{}`, `{"x":2}`},
		"race all skipped":                {`do: [{a: {fork: {compete: true, branches: [{b: {if: 'false', set: {x: 1}}}]}}}]`, `{"y":1}`, `{"y":1}`},
		"wait":                            {`do: [{a: {wait: {days: 31}}}, {b: {set: {x: '${ .y }'}}}]`, `{"y":4}`, `{"x":4}`},
		"wait expression":                 {`do: [{a: {wait: '${ "PT\(.y)S" }'}}]`, `{"y":4}`, `{"y":4}`},
		"function":                        {`use: {functions: {f: {input: {schema: {document: {required: [n]}}}, set: {r: '${ .n * 2 }'}}}}` + "\ndo: [{a: {call: f, with: {n: '${ .y }'}, output: {as: .r}}}]", `{"y":4}`, `8`},
		"raise by name":                   {`use: {errors: {e: {type: urn:e, status: 409, title: T, detail: '${ "no \(.y)" }'}}}` + "\ndo: [{a: {try: [{b: {raise: {error: e}}}], catch: {as: err, do: [{c: {set: {d: '${ $err.detail }'}}}]}}}]", `{"y":4}`, `{"d":"no 4"}`},
		"catch without do":                {`do: [{a: {try: [{b: {raise: {error: {type: urn:e, status: 409}}}}], catch: {}}}]`, `{"y":4}`, `{"y":4}`},
		"catch other":                     {`do: [{a: {try: [{b: {raise: {error: {type: urn:e, status: 409}}}}], catch: {errors: {with: {status: 410}}}}}]`, `{}`, `urn:e 409 /do/0/a/try/0/b`},
		"catch when":                      {`do: [{a: {try: [{b: {raise: {error: {type: urn:e, status: 409}}}}], catch: {when: $error.status == 410}}}]`, `{}`, `urn:e 409 /do/0/a/try/0/b`},
		"catch except":                    {`do: [{a: {try: [{b: {raise: {error: {type: urn:e, status: 409}}}}], catch: {exceptWhen: $error.status == 409}}}]`, `{}`, `urn:e 409 /do/0/a/try/0/b`},
		"catch then":                      {`do: [{a: {try: [{b: {raise: {error: {type: urn:e, status: 409}}}}], catch: {then: d}}}, {c: {set: {x: ok}, then: end}}, {d: {set: {x: failed}}}]`, `{}`, `{"x":"failed"}`},
		"fault in catch":                  {`do: [{a: {try: [{b: {raise: {error: {type: urn:e, status: 409}}}}], catch: {do: [{c: {raise: {error: {type: urn:f, status: 500}}}}]}}}]`, `{}`, `urn:f 500 /do/0/a/catch/do/0/c`},
		"retries exhausted":               {`do: [{a: {try: [{b: {raise: {error: {type: urn:e, status: 409}}}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 2}}}}}}]`, `{}`, `urn:e 409 /do/0/a/try/0/b`},
		"retries exhausted, then handled": {`do: [{a: {try: [{b: {raise: {error: {type: urn:e, status: 409}}}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 2}}}, do: [{c: {set: {x: 1}}}]}}}]`, `{}`, `{"x":1}`},
		"task timeout":                    {`do: [{a: {timeout: {after: PT1S}, try: [{b: {wait: P1D}}], catch: {}}}]`, `{}`, `timeout 408 /do/0/a`},
		"timeout caught":                  {`do: [{a: {try: [{b: {wait: P1D, timeout: {after: PT2S}}}], catch: {errors: {with: {type: 'https://serverlessworkflow.io/dsl/errors/types/timeout'}}, do: [{c: {set: {x: late}}}]}}}]`, `{}`, `{"x":"late"}`},
		"workflow timeout":                {"timeout: {after: PT5S}\n" + `do: [{a: {wait: PT3S}}, {b: {wait: PT3S}}]`, `{}`, `timeout 408 `},
		"attempt timeout":                 {`do: [{a: {try: [{b: {wait: PT9S}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 2, duration: PT3S}}}, do: [{c: {set: {x: '${ $error.status }'}}}]}}}]`, `{}`, `{"x":408}`},
		"endless":                         {`do: [{a: {set: {x: 1}, then: a}}]`, `{}`, `runtime 500 `},
		"unsupported":                     {`do: [{a: {run: {shell: {command: ls}}}}]`, `{}`, `configuration 400 /do/0/a`},
		"missing secret":                  {`use: {secrets: [s]}` + "\n" + `do: [{a: {call: http, with: {method: get, endpoint: {uri: 'https://x.test/', authentication: {bearer: {use: s}}}}}}]`, `{}`, `authorization 403 /do/0/a`},
		"loose mode":                      {"evaluate: {mode: loose}\n" + `do: [{a: {set: {x: .y, z: plain words}}}]`, `{"y":4}`, `{"x":4,"z":"plain words"}`},
		"null output":                     {`do: [{a: {set: {x: 1}, output: {as: .none}}}]`, `{}`, `null`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDriver(t, head+test.source)
			if got := result(d.run(decode(t, test.input))); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			replay(t, d)
		})
	}
}

func decode(t testing.TB, text string) any {
	t.Helper()
	value, err := language.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func result(x *Execution) string {
	switch x.Status() {
	case Completed:
		return string(language.Canonical(x.Output()))
	case Faulted:
		kind := x.Fault().Type
		if name := standardName(kind); name != "" {
			kind = name
		}
		return kind + " " + language.Text(x.Fault().Status) + " " + x.Fault().Instance
	}
	return string(x.Status())
}

// replay restores the execution from its log and checks the invariants of the log and the history.
func replay(t *testing.T, d *driver) {
	t.Helper()
	x, err := Restore(d.def, d.env, d.log)
	if err != nil {
		t.Fatal(err)
	}
	for i, event := range d.log {
		if event.Sequence != uint64(i+1) {
			t.Fatalf("event %d has the sequence %d", i, event.Sequence)
		}
	}
	if len(x.Calls())+len(x.Timers())+len(x.Subscriptions()) > 0 && x.Status().Ended() {
		t.Error("an ended execution has outstanding calls, timers or subscriptions")
	}
	for _, run := range Tasks(d.log) {
		if x.Status().Ended() && run.Status == TaskStatusRunning {
			t.Errorf("%s is running after the end of the execution", run.Key)
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string][]float64{
		`delay: PT2S,`:                                                      {2, 2, 2},
		`delay: PT2S, backoff: {constant: {}},`:                             {2, 2, 2},
		`delay: PT2S, backoff: {linear: {}},`:                               {2, 4, 6},
		`delay: PT2S, backoff: {linear: {increment: PT1S}},`:                {2, 3, 4},
		`delay: PT2S, backoff: {exponential: {}},`:                          {2, 4, 8},
		`delay: PT2S, backoff: {exponential: {factor: 3, maxDelay: PT7S}},`: {2, 6, 7},
		``: {0, 0, 0},
	} {
		d := newDriver(t, head+`do: [{a: {try: [{b: {call: f.g}}], catch: {retry: {`+policy+` limit: {attempt: {count: 3}}}}}}]`)
		var at []time.Time
		d.reply = func(*Call) (any, *Error) { at = append(at, d.now); return nil, NewError(TypeCommunication, "down") }
		if x := d.run(nil); x.Status() != Faulted || len(at) != 4 {
			t.Fatalf("%s: %s after %d attempts", policy, x.Status(), len(at))
		}
		for i, seconds := range want {
			if got := at[i+1].Sub(at[i]).Seconds(); got != seconds {
				t.Errorf("%s: delay %d is %gs, want %gs", policy, i+1, got, seconds)
			}
		}
		for _, key := range d.made {
			if key != "e1/0/a/0/b" {
				t.Errorf("%s: key %s of an attempt", policy, key)
			}
		}
		if runs := Tasks(d.log); runs[0].Retries != 3 || runs[4].Attempt != 4 || runs[4].Status != TaskStatusFaulted {
			t.Errorf("%s: history %+v", policy, runs)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`use: {functions: {f: {do: [{g: {call: x.y}}]}}}
do: [{a: {for: {in: '[1,2]'}, do: [{b: {call: x.y}}]}}, {c: {call: f}}, {d: {call: x.y, export: {as: '{n: (($context.n // 0) + 1)}'}}}, {e: {switch: [{again: {when: $context.n < 2, then: d}}]}},
{h: {fork: {branches: [{i: {call: x.y}}, {j: {call: x.y}}]}}}, {k: {try: [{l: {raise: {error: {type: urn:e, status: 500}}}}], catch: {do: [{m: {call: x.y}}]}}}]`)
	if x := d.run(nil); x.Status() != Completed {
		t.Fatal(x.Fault())
	}
	want := "e1/0/a[0]/0/b e1/0/a[1]/0/b e1/1/c/f/0/g e1/2/d e1/2/d~1 e1/4/h/0/i e1/4/h/1/j e1/5/k/catch/0/m"
	if got := strings.Join(d.made, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestJitterAndDurationLimit(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {try: [{b: {call: f.g}}], catch: {retry: {delay: PT2S, jitter: {from: PT1S, to: PT3S}, limit: {duration: PT20S}}}}}]`)
	var at []time.Time
	d.reply = func(*Call) (any, *Error) { at = append(at, d.now); return nil, NewError(TypeCommunication, "down") }
	d.run(nil)
	different := false
	for i := 1; i < len(at); i++ {
		delay := at[i].Sub(at[i-1])
		different = different || delay != at[1].Sub(at[0])
		if delay < 3*time.Second || delay > 5*time.Second {
			t.Errorf("delay %s is out of bounds", delay)
		}
	}
	if total := at[len(at)-1].Sub(at[0]); total > 20*time.Second || len(at) < 4 || !different {
		t.Errorf("%d attempts within %s, different delays: %v", len(at), total, different)
	}
}

func TestUnexpectedOutcomesAreIgnored(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {call: f.g}}, {b: {wait: PT10S}}]`)
	x := d.start(nil)
	call := x.Calls()[0]
	if got := x.Handle(CallDone("99", 1, d.now)); got != nil {
		t.Errorf("the result of an unknown call yielded %v", got)
	}
	if got := x.Handle(CallDone(call.ID, 1, d.now)); len(got) == 0 {
		t.Fatal("the result of the call yielded no events")
	}
	if got := x.Handle(CallDone(call.ID, 2, d.now)); got != nil {
		t.Errorf("a second result of the call yielded %v", got)
	}
	timer := x.Timers()[0]
	if got := x.Handle(TimerDue(timer.ID, timer.At.Add(-1))); got != nil {
		t.Errorf("an early timer yielded %v", got)
	}
	if x.Status() != Waiting {
		t.Errorf("status %s", x.Status())
	}
	if got := x.Handle(TimerDue(timer.ID, timer.At)); len(got) == 0 || x.Status() != Completed {
		t.Errorf("status %s after the timer", x.Status())
	}
	if got := x.Handle(Cancel("late", d.now)); got != nil {
		t.Errorf("cancelling an ended execution yielded %v", got)
	}
}

func TestSuspendAndCancel(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {call: f.g}}, {b: {call: f.h}}]`)
	x := d.start(nil)
	first := x.Calls()[0]
	d.append(x.Handle(Suspend("operator", d.now)))
	if x.Status() != Suspended || len(x.Calls()) != 0 {
		t.Fatalf("after Suspend: status %s, %d calls", x.Status(), len(x.Calls()))
	}
	d.append(x.Handle(CallDone(first.ID, 1, d.now)))
	if len(x.Calls()) != 0 {
		t.Error("a suspended execution has an outstanding call")
	}
	d.append(x.Handle(Resume(d.now)))
	if calls := x.Calls(); len(calls) != 1 || calls[0].Function != "f.h" {
		t.Fatalf("after Resume: calls %v", calls)
	}
	d.append(x.Handle(Cancel("enough", d.now)))
	if x.Status() != Cancelled || len(x.Calls()) != 0 || x.Continue(d.now) != nil {
		t.Errorf("after Cancel: status %s", x.Status())
	}
	if runs := Tasks(d.log); runs[0].Status != TaskStatusCompleted || runs[1].Status != TaskStatusCancelled {
		t.Errorf("history %+v", runs)
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	event := func(kind string, data any) map[string]any {
		return map[string]any{"type": kind, "source": "s", "room": "r1", "data": data}
	}
	other := event("t.b", 9)
	other["room"] = "r2"
	messages := []map[string]any{event("t.x", 0), event("t.a", 1), event("t.a", 2), other, event("t.b", 3), event("t.end", 4)}
	for to, want := range map[string]string{
		`{one: {with: {type: t.b}}}`:                  `[9]`,
		`{one: {with: {type: 't\.[ab]', source: s}}}`: `[1]`,
		`{any: []}`: `[0]`,
		`{any: [{with: {type: t.b}}, {with: {data: '${ . == 2 }'}}]}`:                                                     `[2]`,
		`{any: [], until: '(. | length) == 3'}`:                                                                           `[0,1,2]`,
		`{any: [{with: {type: t.a}}], until: {one: {with: {type: t.end}}}}`:                                               `[1,2]`,
		`{all: [{with: {type: t.b}}, {with: {type: t.a}}]}`:                                                               `[1,9]`,
		`{all: [{with: {type: t.b}, correlate: {r: {from: .room}}}, {with: {type: t.a}, correlate: {r: {from: .room}}}]}`: `[1,3]`,
		`{one: {with: {type: t.b}, correlate: {r: {from: .room, expect: '${ .r }'}}}}`:                                    `[3]`,
		`{one: {with: {type: t.never}}}`:                                                                                  `waiting`,
	} {
		d := newDriver(t, head+`do: [{a: {listen: {to: `+to+`}}}]`)
		d.messages = messages
		if got := result(d.run(map[string]any{"r": "r1"})); got != want {
			t.Errorf("%s: got %s, want %s", to, got, want)
		}
	}
}

func TestSecretsStayOutOfTheLog(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`use: {secrets: [s]}`+"\n"+`do: [{a: {call: http, with: {method: get, endpoint: {uri: 'https://x.test/{p}', authentication: {basic: {use: s}}}, query: {k: '${ $secrets.s.password }'}}}}]`)
	d.env.Secrets = fixed(map[string]any{"s": map[string]any{"username": "u", "password": "hunter2"}})
	x := d.start(map[string]any{"p": "a b"})
	request := x.Calls()[0].HTTP
	if request.URL != "https://x.test/a%20b?k=hunter2" || request.Headers["authorization"] != "Basic dTpodW50ZXIy" {
		t.Errorf("request %+v", request)
	}
	snapshot, err := x.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if log := string(language.Canonical(d.log)) + string(snapshot); strings.Contains(log, "hunter2") || strings.Contains(log, "dTpod") {
		t.Error("the log or the snapshot contains the secret")
	}
	back, err := RestoreSnapshot(d.def, d.env, snapshot)
	if err != nil || back.Continue(d.now) != nil || !reflect.DeepEqual(back.Calls()[0].HTTP, request) {
		t.Errorf("the restored call is %v, %v", back.Calls()[0], err)
	}
	gone, err := Restore(d.def, Environment{}, d.log)
	if err != nil || gone.Continue(d.now) != nil || gone.Calls()[0].Fault == nil || gone.Calls()[0].HTTP != nil {
		t.Errorf("a call without its secret: %+v, %v", gone.Calls()[0], err)
	}
}

// TestSecretsAreMasked: secrets in the result of a call are masked, and the input of a call that uses secrets is not
// stored.
func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`use: {secrets: [s]}`+"\n"+`do: [{a: {input: {from: '{token: $secrets.s.token, n: .n}'}, call: f.g, with: {k: '${ "key \(.token)" }', n: '${ $input.n }', list: ['${ $secrets.s.token }']}}},
{b: {try: [{c: {call: f.h}}], catch: {do: [{e: {set: {d: '${ $error.detail }'}}}]}}}]`)
	d.env.Secrets = fixed(map[string]any{"s": map[string]any{"token": "hunter2"}})
	d.reply = func(call *Call) (any, *Error) {
		if call.Function == "f.h" {
			return nil, NewError(TypeCommunication, "hunter2 was rejected")
		}
		if got := string(language.Canonical(call.Arguments)); got != `{"k":"key hunter2","list":["hunter2"],"n":5}` {
			t.Errorf("arguments %s", got)
		}
		call.Arguments["hunter2"] = 1
		return call.Arguments, nil
	}
	x := d.start(map[string]any{"n": 5})
	snapshot, err := x.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if got := result(d.finish(x)); got != `{"d":"*** was rejected"}` {
		t.Errorf("got %s", got)
	}
	log := string(language.Canonical(d.log))
	if strings.Contains(log+string(snapshot), "hunter2") || !strings.Contains(log, `"k":"key ***"`) || !strings.Contains(log, `"***":1`) {
		t.Errorf("log %s\nsnapshot %s", log, snapshot)
	}
}

func TestResponse(t *testing.T) {
	t.Parallel()
	json := map[string]string{"Content-Type": "application/json; charset=utf-8"}
	for name, test := range map[string]struct {
		request HTTPRequest
		answer  HTTPResponse
		want    string
	}{
		"json":             {HTTPRequest{}, HTTPResponse{200, json, []byte(`{"a":1}`)}, `{"a":1}`},
		"text":             {HTTPRequest{}, HTTPResponse{200, map[string]string{"content-type": "text/plain"}, []byte(`x`)}, `"x"`},
		"binary":           {HTTPRequest{}, HTTPResponse{200, map[string]string{"content-type": "image/png"}, []byte{1}}, `"AQ=="`},
		"empty":            {HTTPRequest{}, HTTPResponse{204, nil, nil}, `null`},
		"raw":              {HTTPRequest{Output: "raw"}, HTTPResponse{200, json, []byte(`{}`)}, `"e30="`},
		"invalid json":     {HTTPRequest{}, HTTPResponse{200, json, []byte(`{`)}, `communication 500`},
		"not found":        {HTTPRequest{}, HTTPResponse{404, nil, nil}, `communication 404`},
		"redirect":         {HTTPRequest{}, HTTPResponse{302, nil, nil}, `communication 302`},
		"redirect allowed": {HTTPRequest{Redirect: true}, HTTPResponse{302, nil, nil}, `null`},
		"response": {HTTPRequest{Method: "GET", URL: "https://x.test/", Output: "response", Headers: map[string]string{"authorization": "Basic x", "accept": "y"}},
			HTTPResponse{200, json, []byte(`[1]`)},
			`{"content":[1],"headers":{"Content-Type":"application/json; charset=utf-8"},"request":{"headers":{"Accept":"y"},"method":"GET","uri":"https://x.test/"},"statusCode":200}`},
	} {
		output, failure := test.request.Response(test.answer)
		got := string(language.Canonical(output))
		if failure != nil {
			got = standardName(failure.Type) + " " + language.Text(failure.Status)
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

// TestReturnOfChild: run.return selects what of a child's result is the task's output and enters the log.
func TestReturnOfChild(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]string{
		`return: stdout`: `{"n":1}`, `return: none`: `null`, `return: code`: `0`, `return: stderr`: `""`, `return: all`: `{"code":0,"stderr":"","stdout":{"n":1}}`,
		`await: true`: `{"n":1}`, `await: false, return: none`: `{"x":1}`,
	} {
		d := newDriver(t, head+`do: [{a: {run: {workflow: {namespace: n, name: w, version: 1.0.0}, `+options+`}}}]`)
		d.reply = func(*Call) (any, *Error) { return map[string]any{"n": 1}, nil }
		if got := result(d.run(map[string]any{"x": 1})); got != want {
			t.Errorf("%s: got %s, want %s", options, got, want)
		}
		if log := string(language.Canonical(d.log)); want == "null" && strings.Contains(log, `"n":1`) {
			t.Errorf("%s: the log has the output: %s", options, log)
		}
		replay(t, d)
	}
}

func TestChildWorkflow(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {run: {workflow: {namespace: n, name: w, version: 1.0.0, input: {q: '${ .x }'}}}}}, {b: {run: {await: false, workflow: {namespace: n, name: w, version: latest}}}}]`)
	var children []*ChildWorkflow
	d.reply = func(call *Call) (any, *Error) {
		children = append(children, call.Workflow)
		return map[string]any{"done": len(children)}, nil
	}
	if got := result(d.run(map[string]any{"x": 1})); got != `{"done":1}` {
		t.Errorf("got %s", got)
	}
	if len(children) != 2 || string(language.Canonical(children[0].Input)) != `{"q":1}` || children[1].Await {
		t.Errorf("children %+v", children)
	}
}
