package machine

import (
	"strings"
	"testing"
)

// retryFrom runs a definition whose calls of the function fails fail, and then retries it from a task, with another
// version of the definition and without failures. It returns the calls of the retry and its result.
func retryFrom(t *testing.T, first, second, fails, task string) (made, end string) {
	t.Helper()
	d := newDriver(t, head+first)
	d.reply = func(call *Call) (any, *Error) {
		if call.Function == fails {
			return nil, NewError(TypeCommunication, "down")
		}
		return map[string]any{"by": call.Name}, nil
	}
	d.run(map[string]any{"q": 7})
	if second == "" {
		second = first
	}
	again := newDriver(t, head+second)
	again.now = d.now.AddDate(0, 1, 0)
	again.reply = func(call *Call) (any, *Error) { return map[string]any{"by": call.Name}, nil }
	x, events, err := RetryFrom(again.def, d.log, task, "e2", again.now, again.env)
	if err != nil {
		return "", err.Error()
	}
	again.append(events)
	again.finish(x)
	replay(t, again)
	for _, key := range again.made {
		if !strings.HasPrefix(key, "e2/") {
			t.Errorf("a call of the retry has the key %s", key)
		}
	}
	for i, key := range again.made {
		again.made[i] = key[strings.LastIndex(key, "/")+1:]
	}
	return strings.Join(again.made, " "), result(x)
}

func TestRetryFrom(t *testing.T) {
	t.Parallel()
	const three = `do: [{a: {call: x.a, export: {as: '{a: .by}'}}}, {b: {call: x.b}}, {c: {call: x.c, output: {as: '{by, a: $context.a}'}}}]`
	const fork = `do: [{a: {call: x.a}}, {f: {fork: {branches: [{l: {do: [{l1: {call: x.l}}, {l2: {call: x.m}}]}}, {r: {do: [{r1: {call: x.r}}, {w: {wait: PT1S}}, {r2: {call: x.s}}]}}]}}}]`
	for name, test := range map[string]struct{ first, second, fails, task, made, end string }{
		"the failed task":                      {three, "", "x.b", "", "b c", `{"a":"a","by":"c"}`},
		"an earlier task":                      {three, "", "x.c", "/do/1/b", "b c", `{"a":"a","by":"c"}`},
		"by name":                              {three, "", "x.c", "a", "a b c", `{"a":"a","by":"c"}`},
		"a completed task":                     {three, "", "", "/do/2/c", "c", `{"a":"a","by":"c"}`},
		"a task that did not run":              {three, "", "x.a", "/do/2/c", "", `retrying an execution: the task "/do/2/c" did not run`},
		"a corrected definition":               {three, strings.Replace(three, "{b: {call: x.b}}", "{new: {call: x.n}}, {b: {set: {v: fixed}}}", 1), "x.b", "", "new c", `{"a":"a","by":"c"}`},
		"a kept task is missing":               {three, strings.Replace(three, "{a: {call: x.a, ", "{z: {call: x.a, ", 1), "x.b", "", "", "retrying an execution: the definition no longer has the task /do/0/a, which has already run"},
		"in a loop":                            {`do: [{each: {for: {in: '[1, 2, 3]'}, do: [{a: {call: x.a}}, {b: {if: $item == 2, call: x.b}}, {c: {call: x.c}}]}}]`, "", "x.b", "", "b c a c", `{"by":"c"}`},
		"in a fork":                            {fork, "", "x.m", "", "l2 r2", `[{"by":"l2"},{"by":"r2"}]`},
		"in the other branch":                  {fork, "", "x.s", "", "r2", `[{"by":"l2"},{"by":"r2"}]`},
		"a branch before one that has ended":   {`do: [{f: {fork: {branches: [{l: {call: x.l}}, {r: {call: x.r}}]}}}, {c: {call: x.c}}]`, "", "x.c", "l", "l c", `{"by":"c"}`},
		"one of three branches":                {`do: [{f: {fork: {branches: [{l: {call: x.l}}, {m: {call: x.m}}, {r: {call: x.r}}]}}}, {c: {call: x.c}}]`, "", "x.c", "m", "m c", `{"by":"c"}`},
		"before a fork":                        {fork, "", "x.s", "a", "a l1 r1 l2 r2", `[{"by":"l2"},{"by":"r2"}]`},
		"in a try":                             {`do: [{t: {try: [{a: {call: x.a}}, {b: {call: x.b}}], catch: {errors: {with: {status: 404}}}}}, {c: {call: x.c}}]`, "", "x.b", "", "b c", `{"by":"c"}`},
		"in a catch":                           {`do: [{t: {try: [{a: {raise: {error: {type: urn:x, status: 404}}}}], catch: {do: [{d: {call: x.d}}, {b: {call: x.b}}]}}}, {c: {call: x.c}}]`, "", "x.b", "", "b c", `{"by":"c"}`},
		"a try with retries":                   {`do: [{t: {try: [{a: {call: x.a}}, {b: {call: x.b}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 2}}}}}}]`, "", "x.b", "", "b", `{"by":"b"}`},
		"a workflow timeout":                   {"timeout: {after: PT1M}\n" + `do: [{a: {call: x.a}}, {w: {wait: PT2M}}, {c: {call: x.c}}]`, "timeout: {after: PT5M}\n" + `do: [{a: {call: x.a}}, {w: {wait: PT2M}}, {c: {call: x.c}}]`, "", "w", "c", `{"by":"c"}`},
		"a directive":                          {`do: [{a: {call: x.a, then: c}}, {b: {call: x.b}}, {c: {call: x.c}}]`, "", "x.c", "", "c", `{"by":"c"}`},
		"the target of a directive moved":      {`do: [{a: {call: x.a, then: c}}, {b: {call: x.b}}, {c: {call: x.c}}]`, `do: [{z: {call: x.z}}, {a: {call: x.a, then: c}}, {c: {call: x.c}}]`, "x.c", "", "c", `{"by":"c"}`},
		"the target of a directive is missing": {`do: [{a: {call: x.a, then: c}}, {b: {call: x.b}}, {c: {call: x.c}}]`, `do: [{a: {call: x.a}}, {b: {call: x.b}}]`, "x.c", "", "", `retrying an execution: the definition no longer has the task "c", which comes next`},
		"after a skipped task":                 {`do: [{a: {if: 'false', call: x.a}}, {b: {call: x.b}}]`, "", "x.b", "", "b", `{"by":"b"}`},
		"in a function":                        {"use: {functions: {g: {do: [{a: {call: x.a}}, {b: {call: x.b}}]}}}\n" + `do: [{f: {call: g}}]`, "", "x.b", "", "b", `{"by":"b"}`},
		"a fault in the workflow's output":     {"output: {as: '.by + []'}\n" + `do: [{a: {call: x.a}}]`, "output: {as: .by}\n" + `do: [{a: {call: x.a}}]`, "", "", "", `"a"`},
		"rejected input":                       {"input: {schema: {document: {type: string}}}\n" + `do: [{a: {call: x.a}}]`, "", "", "", "", "retrying an execution: its input was rejected, so no results can be kept"},
		"a compensated execution":              {`do: [{a: {call: x.a, metadata: {compensate: [{u: {call: x.u}}]}}}, {b: {call: x.b}}]`, "", "x.b", "", "", "retrying an execution: it was compensated, so no results can be kept"},
	} {
		made, end := retryFrom(t, test.first, test.second, test.fails, test.task)
		if made != test.made || end != test.end {
			t.Errorf("%s: calls %q, then %s\nwant  %q, then %s", name, made, end, test.made, test.end)
		}
	}
}

func TestRetryFromCancelledExecution(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {call: x.a}}, {w: {wait: P1D}}, {b: {call: x.b, timeout: {after: PT1M}}}]`)
	x := d.start(nil)
	d.step(x)
	d.append(x.Handle(Cancel("", d.now)))
	y, events, err := RetryFrom(d.def, d.log, "", "e2", d.now.AddDate(0, 0, 3), d.env)
	if err != nil || y.Status() != Waiting || events[0].Execution != "e2" {
		t.Fatalf("%v: %+v", err, events)
	}
	again := newDriver(t, string(d.def.Canonical))
	again.now = d.now.AddDate(0, 0, 3)
	again.append(events)
	if again.finish(y); y.Status() != Completed || len(again.made) != 1 || y.StartedAt() != events[0].At {
		t.Errorf("%s after %v", y.Status(), again.made)
	}
	if _, _, err := RetryFrom(d.def, nil, "", "e2", d.now, d.env); err == nil {
		t.Error("an empty log was accepted")
	}
}
