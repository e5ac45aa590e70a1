//go:build torture

package e2e_test

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/reference"
)

// kind is a workflow of the workflow storm with the expected result of an execution with the input {"n": n}.
type kind struct {
	name, do string
	// status and output are the expected result; output may use $n, and is not checked if empty. With mayBeUnknown a fault
	// because of an unknown outcome is also right.
	status, output string
	mayBeUnknown   bool
	// timedChild means that the result depends on the duration of a child, which the reference interpreter does not know.
	timedChild bool
	// waits is the least duration of the task "rest".
	waits time.Duration
}

// kinds has the workflows of the storm.
var kinds = []kind{
	{name: "steps", do: `
- a: {call: echo, with: {n: '${ .n }'}}
- b: {call: echo, with: {n: '${ .n + 1 }'}}
- c: {call: echo, with: {n: '${ .n + 1 }'}}
`, status: "completed", output: `{"n":$n+2}`},
	{name: "waits", do: `
- rest: {wait: {milliseconds: 400}}
- say: {call: echo, with: {n: '${ $workflow.input.n }'}}
`, status: "completed", output: `{"n":$n}`, waits: 400 * time.Millisecond},
	{name: "parks", do: `
- rest: {wait: {milliseconds: 2600}}
- say: {call: echo, with: {n: '${ $workflow.input.n }'}}
`, status: "completed", output: `{"n":$n}`, waits: 2600 * time.Millisecond},
	{name: "loops", do: `
- each:
    for: {each: i, in: '${ [range(5)] }'}
    do:
    - one: {call: echo, with: {n: '${ .n + $i }'}}
`, status: "completed", output: `{"n":$n+10}`},
	{name: "forks", do: `
- both:
    fork:
      branches:
      - left: {call: echo, with: {n: '${ .n }'}}
      - right: {do: [{rest: {wait: {milliseconds: 50}}}, {say: {call: echo, with: {n: '${ $workflow.input.n + 1 }'}}}]}
- sum: {set: {n: '${ .[0].n + .[1].n }'}}
`, status: "completed", output: `{"n":$n+$n+1}`},
	{name: "races", do: `
- first:
    fork:
      compete: true
      branches:
      - slow: {do: [{rest: {wait: {hours: 1}}}, {say: {set: {n: -1}}}]}
      - fast: {do: [{rest: {wait: {milliseconds: 20}}}, {say: {call: echo, with: {n: '${ $workflow.input.n }'}}}]}
`, status: "completed", output: `{"n":$n}`},
	{name: "retries", do: `
- guarded:
    try: [{fail: {raise: {error: {type: 'https://example.com/sad', status: 503, title: Sad}}}}]
    catch:
      errors: {with: {status: 503}}
      retry: {delay: {milliseconds: 30}, limit: {attempt: {count: 2}}}
      do: [{mend: {set: {n: '${ $workflow.input.n }'}}}]
`, status: "completed", output: `{"n":$n}`},
	{name: "calls", do: `
- get: {call: http.get, with: {connection: shop, path: '${ "/x/\(.n)" }'}}
- say: {set: {n: '${ $workflow.input.n }'}}
`, status: "completed", output: `{"n":$n}`},
	{name: "posts", do: `
- send: {call: http.post, with: {connection: shop, path: '${ "/post/\(.n)" }', body: {n: '${ .n }'}}}
- say: {set: {n: '${ $workflow.input.n }'}}
`, status: "completed", output: `{"n":$n}`, mayBeUnknown: true},
	{name: "parent", do: `
- inner: {run: {workflow: {namespace: storm, name: steps, version: latest, input: {n: '${ .n }'}}}}
`, status: "completed", output: `{"n":$n+2}`},
	{name: "outruns", do: `
- first:
    fork:
      compete: true
      branches:
      - slow: {run: {workflow: {namespace: storm, name: resting, version: latest}}}
      - fast: {do: [{rest: {wait: {milliseconds: 300}}}, {say: {call: echo, with: {n: '${ $workflow.input.n }'}}}]}
- rest: {wait: {milliseconds: 2100}}
- say: {set: {n: '${ $workflow.input.n }'}}
`, status: "completed", output: `{"n":$n}`, timedChild: true},
	{name: "saga", do: `
- book:
    call: echo
    with: {n: '${ .n }'}
    metadata: {compensate: [{undo: {call: echo, with: {undone: '${ $workflow.input.n }'}}}]}
- fail: {raise: {error: {type: 'https://example.com/sad', status: 500, title: Sad}}}
`, status: "faulted"},
	{name: "mixed", do: `
- prepare: {set: {n: '${ .n / 7 | floor }', list: '${ [range((.n / 7 | floor) % 4)] }'}, export: {as: '{seen: .n}'}}
- choose:
    switch:
    - third: {when: '.n % 3 == 0', then: triple}
    - other: {then: once}
- triple: {call: echo, with: {n: '${ .n * 3 }', list: '${ .list }'}, then: both}
- once: {do: [{add: {call: echo, with: {n: '${ .n + 1 }', list: '${ .list }'}}}, {never: {if: .n < 0, call: echo}}]}
- both:
    fork:
      branches:
      - each:
          for: {each: i, at: k, in: .list}
          while: $k < 3 and $i < 2
          do: [{add: {call: echo, with: {n: '${ .n + $i }'}}}, {rest: {wait: {milliseconds: 30}}}]
      - guarded:
          try: [{say: {call: echo, with: {n: '${ .n }'}}}, {fail: {raise: {error: {type: 'https://example.com/sad', status: 409, title: Sad}}}}]
          catch: {as: e, do: [{mend: {set: {status: '${ $e.status }', of: '${ $e.instance }'}}}]}
- sum: {set: {n: '${ .[0].n }', mended: '${ .[1] }', seen: '${ $context.seen }'}}
`, status: "completed"},
}

// stormDocument returns a workflow definition. schedule is the whole section, or empty.
func stormDocument(name, metadata, schedule, do string) string {
	return "document: {dsl: 1.0.3, namespace: storm, name: " + name + ", version: 1.0.0, metadata: " + metadata + "}\n" + schedule + "do:" + do
}

// compareWithReference compares the history of an execution with the reference interpreter.
func (s *workflowStorm) compareWithReference(id string, one startedExecution, history []json.RawMessage) {
	input := map[string]any{"n": one.n}
	if err := s.runReference(one.kind, input, history).Agrees(history); err != nil {
		s.t.Errorf("%s %s with %d: %v", kinds[one.kind].name, id, one.n, err)
	}
}

// runReference runs a kind in the reference interpreter, with the responses of providers from a history.
func (s *workflowStorm) runReference(kind int, input any, history []json.RawMessage) reference.Result {
	outputs := map[string]any{}
	runs := map[int]string{}
	for _, data := range history {
		var event struct {
			Type, Task string
			Run        int
			Output     any
		}
		if err := json.Unmarshal(data, &event); err != nil {
			s.t.Error(err)
		}
		switch event.Type {
		case "task_started":
			runs[event.Run] = event.Task
		case "call_completed":
			outputs[runs[event.Run]] = event.Output
		}
	}
	return reference.Run(s.definitions[kind], language.Normalize(input), time.Now(), func(task *language.Task, arguments any, _ int) reference.CallReply {
		switch {
		case task.Kind == language.KindRun:
			child := s.runReference(kindNamed(task.Run.Workflow.Name), arguments, nil)
			return reference.CallReply{Output: child.Output, Failed: child.Fault != nil}
		case task.Call.Function == "echo":
			return reference.CallReply{Output: arguments}
		}
		output, ok := outputs[task.Pointer]
		return reference.CallReply{Output: language.Normalize(output), Failed: !ok}
	})
}

// kindNamed returns the index of a kind.
func kindNamed(name string) int {
	return slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
}
