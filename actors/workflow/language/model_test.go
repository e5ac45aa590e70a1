package language

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDefaults: fields that a definition omits have the specification's defaults.
func TestDefaults(t *testing.T) {
	t.Parallel()
	loop := task(t, "for: {in: .x}, do: []").For
	if loop.Each != "item" || loop.At != "index" || loop.While != "" {
		t.Errorf("for: %+v", loop)
	}
	catch := task(t, "try: [], catch: {}").Try.Catch
	if catch.As != "error" || catch.Retry != nil || catch.With != nil {
		t.Errorf("catch: %+v", catch)
	}
	listen := task(t, "listen: {to: {any: []}}, foreach: {}").Listen
	if listen.Read != "data" || listen.Foreach.Item != "item" || listen.Foreach.At != "index" {
		t.Errorf("listen: %+v, %+v", listen, listen.Foreach)
	}
	run := task(t, "run: {workflow: {namespace: n, name: w, version: latest}}").Run
	if !run.Await || run.Return != "stdout" || run.Kind != "workflow" {
		t.Errorf("run: %+v", run)
	}
	call := task(t, "call: http, with: {method: get, endpoint: 'https://x.test/'}").Call.HTTP
	if call.Output != "content" || call.Redirect || call.HasBody || call.Headers != nil {
		t.Errorf("call: %+v", call)
	}
	if fork := task(t, "fork: {branches: [{b: {wait: PT1S}}]}").Fork; fork.Compete {
		t.Errorf("fork: %+v", fork)
	}
	w := parse(t, "do: [{a: {wait: PT1S}}]")
	if w.Loose || w.Schedule != nil || w.Timeout != nil || w.Input != nil || w.Output != nil || w.Do[0].OnUnknown != UnknownFail {
		t.Errorf("workflow: %+v", w)
	}
}

func TestRetryPolicies(t *testing.T) {
	t.Parallel()
	retry := func(policy string) *RetryPolicy {
		return task(t, "try: [], catch: {retry: {"+policy+"}}").Try.Catch.Retry
	}
	p := retry("delay: PT2S, when: .a, exceptWhen: .b, limit: {attempt: {count: 3, duration: PT5S}, duration: PT1M}, jitter: {from: PT0S, to: {milliseconds: 500}}")
	if p.Delay.Value != 2*time.Second || p.When != ".a" || p.ExceptWhen != ".b" || p.Attempts != 3 || p.AttemptDuration.Value != 5*time.Second ||
		p.Duration.Value != time.Minute || p.JitterFrom.Value != 0 || p.JitterTo.Value != 500*time.Millisecond {
		t.Errorf("policy: %+v", p)
	}
	for policy, want := range map[string]Backoff{
		"":                                               {Kind: "constant", Factor: 2},
		"backoff: {constant: {}}":                        {Kind: "constant", Factor: 2},
		"backoff: {constant: null}":                      {Kind: "constant", Factor: 2},
		"backoff: {linear: {}}":                          {Kind: "linear", Factor: 2},
		"backoff: {linear: {increment: PT1S}}":           {Kind: "linear", Factor: 2, Increment: &Duration{Value: time.Second}},
		"backoff: {exponential: {}}":                     {Kind: "exponential", Factor: 2},
		"backoff: {exponential: {factor: 1.5}}":          {Kind: "exponential", Factor: 1.5},
		"backoff: {exponential: {maxDelay: PT10S}}":      {Kind: "exponential", Factor: 2, MaxDelay: &Duration{Value: 10 * time.Second}},
		"backoff: {linear: {maxDelay: '${ .longest }'}}": {Kind: "linear", Factor: 2, MaxDelay: &Duration{Expression: "${ .longest }"}},
	} {
		if got := retry(policy).Backoff; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", policy, got, want)
		}
	}
	w := parse(t, "use: {retries: {r: {limit: {attempt: {count: 7}}}}}\ndo: [{a: {try: [], catch: {retry: r}}}]")
	if got := w.Do[0].Try.Catch.Retry; got == nil || got.Attempts != 7 {
		t.Errorf("a named policy: %+v", got)
	}
}

func TestUseIsResolved(t *testing.T) {
	t.Parallel()
	w := parse(t, `use:
  errors: {e: {type: 'urn:e', status: 409, title: E}}
  timeouts: {t: {after: PT9S}}
  authentications: {p: {bearer: {use: s}}}
  secrets: [s]
timeout: t
do:
- a: {raise: {error: e}, timeout: t}
- b: {call: http, with: {method: get, endpoint: {uri: 'https://x.test/', authentication: {use: p}}}}`)
	if w.Timeout.After.Value != 9*time.Second || w.Do[0].Timeout != w.Timeout {
		t.Errorf("timeouts: %+v, %+v", w.Timeout, w.Do[0].Timeout)
	}
	if e := w.Do[0].Raise.Error; e != w.Use.Errors["e"] || e.Title != "E" || e.Status != 409 {
		t.Errorf("error: %+v", e)
	}
	if p := w.Do[1].Call.HTTP.Endpoint.Authentication; p.Use != "p" || w.Use.Authentications["p"].Secret != "s" || w.Use.Authentications["p"].Scheme != SchemeBearer {
		t.Errorf("authentication: %+v", p)
	}
}

// TestScopes: each task sees the variables of the tasks that enclose it, outermost first.
func TestScopes(t *testing.T) {
	t.Parallel()
	w := parse(t, `do:
- loop:
    for: {each: x, at: i, in: .l}
    do:
    - try:
        try: [{tried: {wait: PT1S}}]
        catch: {as: e, do: [{caught: {wait: PT1S}}]}
    - listen:
        listen: {to: {any: []}}
        foreach: {item: m, do: [{heard: {wait: PT1S}}]}
      
- undone: {wait: PT1S, metadata: {compensate: [{undo: {wait: PT1S}}]}}
- fork: {fork: {branches: [{branch: {for: {in: .l}, do: [{inner: {wait: PT1S}}]}}]}}`)
	for name, want := range map[string]string{
		"loop": "", "try": "x i", "tried": "x i", "caught": "x i e", "listen": "x i", "heard": "x i m index", "undone": "", "undo": "compensate",
		"branch": "", "inner": "item index",
	} {
		found := false
		w.Each(func(task *Task) {
			if task.Name == name {
				found = true
				if got := strings.Join(task.Scope, " "); got != want {
					t.Errorf("%s sees %q, want %q", name, got, want)
				}
			}
		})
		if !found {
			t.Errorf("there is no task %s", name)
		}
	}
}

func TestPointers(t *testing.T) {
	t.Parallel()
	w := parse(t, `use:
  functions: {f: {do: [{g: {wait: PT1S}}]}}
  extensions: [{x: {extend: wait, before: [{b: {set: {v: 1}}}]}}]
do:
- a: {do: [{b: {wait: PT1S}}]}
- c/d: {fork: {branches: [{e: {set: {v: 1}}}]}}
- h: {try: [{i: {set: {v: 1}}}], catch: {do: [{j: {set: {v: 1}}}]}}`)
	want := []string{
		"/do/0/a", "/do/0/a/do/0/b", "/do/0/a/do/0/b@x", "/do/1/c~1d", "/do/1/c~1d/fork/branches/0/e", "/do/2/h", "/do/2/h/catch/do/0/j",
		"/do/2/h/try/0/i", "/use/extensions/0/x/before/0/b", "/use/functions/f", "/use/functions/f/do/0/g", "/use/functions/f/do/0/g@x",
	}
	if got := w.Pointers(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, pointer := range want {
		if task := w.Task(pointer); task == nil || task.Pointer != pointer {
			t.Errorf("Task(%s) is %+v", pointer, task)
		}
	}
	if w.Task("/do/9/z") != nil {
		t.Error("an unknown pointer has a task")
	}
	if got := w.Tasks(); got != 10 {
		t.Errorf("%d tasks", got)
	}
	visited := 0
	w.Each(func(task *Task) {
		visited++
		if task.Kind == KindExtension {
			t.Errorf("Each visits the extension %s", task.Pointer)
		}
	})
	if visited != 10 {
		t.Errorf("Each visits %d tasks", visited)
	}
}

// TestExtensionOrder: the first extension is outermost, and tasks of extensions are not extended.
func TestExtensionOrder(t *testing.T) {
	t.Parallel()
	w := parse(t, `use:
  extensions:
  - one: {extend: all, before: [{o1: {wait: PT1S}}], after: [{o2: {wait: PT1S}}]}
  - two: {extend: call, before: [{t1: {call: x.y}}]}
  - three: {extend: composite}
do:
- a: {call: x.z}
- b: {set: {v: 1}}
- c: {do: [{d: {wait: PT1S}}]}
- e: {for: {in: .l}, do: []}`)
	shape := func(task *Task) string {
		var names []string
		for task.Kind == KindExtension {
			names = append(names, task.Extension.Name)
			inner := task.Extended
			if len(task.Do) != len(task.Extension.Before)+1+len(task.Extension.After) || task.Do[len(task.Extension.Before)] != inner {
				t.Errorf("%s runs %d tasks", task.Pointer, len(task.Do))
			}
			task = inner
		}
		return strings.Join(append(names, task.Name), " ")
	}
	for i, want := range []string{"one two a", "one b", "one three c", "one e"} {
		if got := shape(w.Do[i]); got != want {
			t.Errorf("task %d is %q, want %q", i, got, want)
		}
	}
	if got := shape(w.Task("/do/2/c").Do[0]); got != "one d" {
		t.Errorf("a nested task is %q", got)
	}
	if got := w.Use.Extensions[1].Before[0]; got.Kind != KindCall {
		t.Errorf("a task of an extension is extended: %+v", got)
	}
}

func TestDeferredInput(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][2]bool{
		`call: x.y, input: {from: '{k: $secrets.s}'}`:      {true, true},
		`call: x.y, input: {from: {k: '${ $secrets.s }'}}`: {true, true},
		`call: x.y, input: {from: .k}`:                     {false, false},
		`call: x.y, with: {k: '${ $secrets.s }'}`:          {false, true},
		`call: x.y, with: {k: '${ $secretsauce }'}`:        {false, false},
		`call: x.y`: {false, false},
	} {
		source := "use: {secrets: [s]}\ndo: [{a: {" + body + "}}, {b: {for: {each: secretsauce, in: .x}, do: []}}]"
		a := parse(t, source).Do[0]
		if a.DeferredInput != want[0] || a.UsesSecrets() != want[1] {
			t.Errorf("%s: deferred %v, uses secrets %v, want %v", body, a.DeferredInput, a.UsesSecrets(), want)
		}
	}
}

// TestDefinitionIsJSON: the definition and its tasks are available as the JSON values that expressions read.
func TestDefinitionIsJSON(t *testing.T) {
	t.Parallel()
	w := parse(t, "do:\n- a: &t\n    set: {x: 0x10, y: ~}\n- b: *t")
	const want = `{"set":{"x":16,"y":null}}`
	for _, task := range w.Do {
		if got := string(Canonical(task.Definition)); got != want {
			t.Errorf("%s is defined as %s", task.Name, got)
		}
	}
	if got := string(Canonical(w.Definition["do"])); got != `[{"a":`+want+`},{"b":`+want+`}]` {
		t.Errorf("do is %s", got)
	}
	if !strings.HasPrefix(w.Digest, "sha256:") || len(w.Digest) != len("sha256:")+64 {
		t.Errorf("digest %s", w.Digest)
	}
}
