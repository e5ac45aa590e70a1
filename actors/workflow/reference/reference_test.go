package reference

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

const head = "document: {dsl: 1.0.3, namespace: test, name: sample, version: 0.1.0}\n"

func parse(t *testing.T, source string) *language.Workflow {
	t.Helper()
	def, faults := language.Parse([]byte(head + source))
	if len(faults) > 0 {
		t.Fatalf("parsing %s: %v", source, faults)
	}
	return def
}

// run executes a definition whose calls return their arguments, except those of the function down, which fail in the first
// two attempts, and those of the function slow, which take three seconds. It returns the output or fault, and the names of the completed tasks.
func run(t *testing.T, source string) (string, string) {
	t.Helper()
	result := Run(parse(t, source), map[string]any{"n": 1}, time.Unix(0, 0), func(task *language.Task, arguments any, attempt int) CallReply {
		reply := CallReply{Output: arguments}
		if task.Call != nil {
			reply.Failed = task.Call.Function == "f.down" && attempt <= 2
			if task.Call.Function == "f.slow" {
				reply.Took = 3 * time.Second
			}
		}
		return reply
	})
	completed := make([]string, len(result.Completed))
	for i, completion := range result.Completed {
		completed[i] = completion.Task[strings.LastIndex(completion.Task, "/")+1:]
	}
	if result.Fault != nil {
		return fmt.Sprintf("%s %d %s", result.Fault.Kind, result.Fault.Status, result.Fault.Instance), strings.Join(completed, " ")
	}
	return string(language.Canonical(result.Output)), strings.Join(completed, " ")
}

func TestRun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ source, output, completed string }{
		"set":              {`do: [{a: {set: {x: '${ .n }'}}}]`, `{"x":1}`, "a"},
		"input and output": {"input: {from: '{m: .n}'}\noutput: {as: '{out: .}'}\n" + `do: [{a: {set: '${ .m }'}}]`, `{"out":1}`, "a"},
		"export":           {`do: [{a: {set: {x: 1}, export: {as: .x}}}, {b: {set: {y: '${ $context }'}}}]`, `{"y":1}`, "a b"},
		"skip":             {`do: [{a: {if: .n == 2, set: {x: 1}}}]`, `{"n":1}`, ""},
		"jump":             {`do: [{a: {set: {x: 1}, then: c}}, {b: {set: {x: 2}}}, {c: {set: {y: '${ .x }'}}}]`, `{"y":1}`, "a c"},
		"exit":             {`do: [{a: {do: [{b: {set: {x: 1}, then: exit}}, {c: {set: {x: 2}}}]}}, {d: {set: {y: '${ .x }'}}}]`, `{"y":1}`, "b a d"},
		"end":              {`do: [{a: {do: [{b: {set: {x: 1}, then: end}}]}}, {c: {set: {x: 2}}}]`, `{"x":1}`, "b"},
		"switch":           {`do: [{a: {switch: [{one: {when: .n == 1, then: c}}]}}, {b: {set: {x: 1}}}, {c: {set: {x: 2}}}]`, `{"x":2}`, "a c"},
		"for":              {`do: [{a: {for: {each: v, at: i, in: '[4, 5]'}, while: '$i < 5', do: [{b: {set: {s: '${ (.s // 0) + $v }'}}}]}}]`, `{"s":9}`, "b b a"},
		"for not a list":   {`do: [{a: {for: {in: .n}, do: []}}]`, `expression 400 /do/0/a`, ""},
		"raise":            {`do: [{a: {raise: {error: {type: urn:x, status: 418}}}}]`, `urn:x 418 /do/0/a`, ""},
		"try":              {`do: [{a: {try: [{b: {raise: {error: {type: urn:x, status: 418}}}}], catch: {as: e, do: [{c: {set: {s: '${ $e.status }'}}}]}}}]`, `{"s":418}`, "c a"},
		"filter":           {`do: [{a: {try: [{b: {raise: {error: {type: urn:x, status: 418}}}}], catch: {errors: {with: {status: 419}}}}}]`, `urn:x 418 /do/0/a/try/0/b`, ""},
		"retry":            {`do: [{a: {try: [{b: {call: f.down, with: {x: 1}}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 2}}}}}}]`, `{"x":1}`, "b a"},
		"retries exhausted": {`do: [{a: {try: [{b: {call: f.down}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}}}}]`,
			`communication 500 /do/0/a/try/0/b`, ""},
		"retries too long": {`do: [{a: {try: [{b: {call: f.down}}], catch: {retry: {delay: PT9S, limit: {attempt: {count: 5}, duration: PT5S}}}}}]`,
			`communication 500 /do/0/a/try/0/b`, ""},
		"timeout":          {`do: [{a: {timeout: {after: PT1S}, do: [{b: {wait: PT2S}}]}}]`, `timeout 408 /do/0/a`, ""},
		"workflow timeout": {"timeout: {after: PT3S}\n" + `do: [{a: {wait: PT2S}}, {b: {wait: PT2S}}]`, `timeout 408 `, "a"},
		"in time":          {`do: [{a: {timeout: {after: PT3S}, wait: PT2S}}]`, `{"n":1}`, "a"},
		"attempt timeout": {`do: [{a: {try: [{b: {wait: PT9S}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1, duration: PT2S}}}, do: [{c: {set: {s: '${ $error.status }'}}}]}}}]`,
			`{"s":408}`, "c a"},
		"fork":          {`do: [{a: {fork: {branches: [{b: {do: [{w: {wait: PT2S}}, {x: {set: {v: 1}}}]}}, {c: {set: {v: 2}}}]}}}]`, `[{"v":1},{"v":2}]`, "w x b c a"},
		"race":          {`do: [{a: {fork: {compete: true, branches: [{b: {do: [{w: {wait: PT2S}}, {x: {set: {v: 1}}}]}}, {c: {wait: PT1S}}]}}}]`, `{"n":1}`, "c a"},
		"fork fault":    {`do: [{a: {fork: {branches: [{b: {wait: PT2S}}, {c: {raise: {error: {type: urn:x, status: 418}}}}]}}}]`, `urn:x 418 /do/0/a/fork/branches/1/c`, ""},
		"race fault":    {`do: [{a: {fork: {compete: true, branches: [{b: {raise: {error: {type: urn:x, status: 418}}}}]}}}]`, `urn:x 418 /do/0/a/fork/branches/0/b`, ""},
		"call in time":  {`do: [{a: {call: f.slow, with: {x: 1}, timeout: {after: PT4S}}}]`, `{"x":1}`, "a"},
		"call timeout":  {`do: [{a: {call: f.slow, timeout: {after: PT1S}}}]`, `timeout 408 /do/0/a`, ""},
		"calls timeout": {"timeout: {after: PT5S}\n" + `do: [{a: {call: f.slow}}, {b: {call: f.slow}}]`, `timeout 408 `, "a"},
		"call and wait": {`do: [{a: {fork: {branches: [{b: {call: f.slow, with: {x: 1}}}, {c: {wait: PT1S}}]}}}]`, `[{"x":1},{"n":1}]`, "b c a"},
		"call or wait":  {`do: [{a: {fork: {compete: true, branches: [{b: {call: f.slow}}, {c: {wait: PT1S}}]}}}]`, `{"n":1}`, "c a"},
		"attempt at a call": {`do: [{a: {try: [{b: {call: f.slow}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1, duration: PT2S}}}, do: [{c: {set: {s: '${ $error.status }'}}}]}}}]`,
			`{"s":408}`, "c a"},
		"run": {`do: [{a: {run: {workflow: {namespace: n, name: w, version: 1.0.0, input: {q: '${ .n }'}}}}}]`, `{"q":1}`, "a"},
	} {
		output, completed := run(t, test.source)
		if output != test.output || completed != test.completed {
			t.Errorf("%s: %s after %q, want %s after %q", name, output, completed, test.output, test.completed)
		}
	}
}

func TestAgrees(t *testing.T) {
	t.Parallel()
	result := Result{Output: map[string]any{"x": 1}, Completed: []Completion{{Task: "/do/0/a", Output: 1}, {Task: "/do/0/a", Output: 2}, {Task: "/do/1/b", Output: map[string]any{"x": 1}}}}
	faulted := Result{Fault: &Fault{Kind: "runtime", Status: 500}, Completed: result.Completed[:1]}
	const (
		first  = `{"type":"task_completed","task":"/do/0/a","output":1}`
		second = `{"type":"task_completed","task":"/do/0/a","output":2}`
		called = `{"type":"call_completed","run":3,"output":{"x":1}}`
		third  = `{"type":"task_completed","task":"/do/1/b","run":3}`
		end    = `{"type":"execution_completed","output":{"x":1}}`
		fault  = `{"type":"execution_faulted"}`
	)
	for name, test := range map[string]struct {
		result  Result
		history []string
		want    string
	}{
		"equal":             {result, []string{`{"type":"execution_started"}`, first, second, called, third, end}, ""},
		"interleaved":       {result, []string{called, third, first, second, end}, ""},
		"no output":         {result, []string{first, second, third, end}, ""},
		"different output":  {result, []string{first, second, called, third, `{"type":"execution_completed","output":{"x":2}}`}, "completed with"},
		"different order":   {result, []string{second, first, called, third, end}, "output of /do/0/a, completion 1 of 2"},
		"missing task":      {result, []string{first, called, third, end}, "/do/0/a completed 1 times, want 2"},
		"additional task":   {result, []string{first, second, called, third, `{"type":"task_completed","task":"/do/2/c"}`, end}, "/do/2/c completed 1 times, want 0"},
		"unexpected fault":  {result, []string{first, fault}, "the execution faulted"},
		"expected fault":    {faulted, []string{first, fault}, ""},
		"compensated":       {faulted, []string{first, `{"type":"compensation_started"}`, second, end}, ""},
		"unexpected output": {faulted, []string{first, end}, "completed with"},
		"no end":            {result, []string{first}, "no final event"},
		"invalid event":     {result, []string{`{`}, "decoding event 1"},
	} {
		history := make([]json.RawMessage, len(test.history))
		for i, event := range test.history {
			history[i] = json.RawMessage(event)
		}
		err := test.result.Agrees(history)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
