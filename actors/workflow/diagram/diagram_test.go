package diagram

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

const head = "document: {dsl: 1.0.3, namespace: test, name: sample, version: 0.1.0}\n"

func parse(t testing.TB, source string) *language.Workflow {
	t.Helper()
	w, faults := language.Parse([]byte(head + source))
	if len(faults) > 0 {
		t.Fatalf("parsing: %v", faults)
	}
	return w
}

func TestDefinition(t *testing.T) {
	t.Parallel()
	w := parse(t, `
schedule: {cron: 0 6 * * 1-5}
do:
- ask: {call: github.get_repository, with: {repo: weft}}
- judge:
    switch:
    - popular: {when: '${ .stars > 2 }', then: tell}
    - otherwise: {then: end}
- tell: {call: notification.send, if: .loud, with: {subject: Hello}}
`)
	want := `flowchart TD
  start(["test.sample 0.1.0<br/>cron 0 6 #42; #42; 1-5"])
  n1["ask<br/>github.get_repository"]
  n2{"judge"}
  n3["tell<br/>notification.send<br/>if .loud"]
  done(["end"])
  n1 --> n2
  n2 -->|"popular#58; .stars #62; 2"| n3
  n2 -->|"otherwise"| done
  n3 --> done
  start --> n1
`
	if got := Definition(w); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// allConstructs contains every construct, with all kinds of directives.
const allConstructs = `
use:
  errors: {full: {type: 'urn:example:full', status: 409}}
  retries: {often: {delay: PT1S, backoff: {exponential: {}}, limit: {attempt: {count: 3}}}}
  functions: {greet: {set: {hello: '${ .name }'}}, ask: {do: [{first: {call: greet}}, {second: {set: {x: 1}, then: end}}]}}
  extensions:
  - log:
      extend: call
      before: [{note: {set: {a: 1}}}, {stop: {if: .skip, set: {b: 2}, then: exit}}]
      after: [{told: {set: {c: 1}}}]
do:
- call: {call: ask}
- get: {call: http, with: {method: get, endpoint: 'https://example.com/{id}'}, timeout: {after: PT5S}, metadata: {compensate: [{undo: {call: echo}}]}}
- many:
    for: {each: x, in: '${ .list }'}
    while: $x < 3
    do:
    - inner: {switch: [{big: {when: $x > 2, then: exit}}, {stop: {when: $x > 9, then: end}}]}
    - last: {set: {y: '${ $x }'}, then: inner}
- nothing: {do: []}
- both: {fork: {branches: [{left: {wait: PT1S}}, {right: {do: [{a: {set: {x: 1}}}]}}]}}
- race: {fork: {compete: true, branches: [{left: {wait: PT1S, then: end}}, {right: {wait: PT2S}}]}}
- careful:
    try: [{risky: {raise: {error: full}}}, {never: {set: {x: 1}}}]
    catch: {errors: {with: {type: 'urn:example:full'}}, when: .x, retry: often, do: [{mend: {set: {x: 2}}}], then: careful}
- hear: {listen: {to: {any: [{with: {type: a}}, {with: {type: b}}], until: '. == 1'}}, foreach: {do: [{keep: {set: {e: '${ $item }'}}}]}}
- heard: {listen: {to: {one: {with: {type: c}}}}}
- tell: {emit: {event: {with: {type: order.placed, source: 'https://example.com'}}}}
- child: {run: {workflow: {namespace: n, name: w, version: 1.0.0}}}
- maybe: {if: .bad, raise: {error: {type: 'https://example.com/bad', status: 400, title: Bad}}}
- again: {switch: [{loop: {when: .n < 3, then: many}}, {self: {when: .n < 5, then: again}}, {rest: {then: continue}}]}
- approve: {call: approval.request, with: {title: 'Ship?'}}
- self: {do: [{x: {set: {x: 1}}}], then: self}
`

// TestWellFormed: every node is defined once, every edge connects defined nodes, and no edge connects a subgraph with a
// node inside it, which Mermaid rejects as a cycle.
func TestWellFormed(t *testing.T) {
	t.Parallel()
	text := Definition(parse(t, allConstructs))
	inside := wellFormed(t, text)
	for _, want := range []string{"for each x in .list", "fork#58; first branch wins", "catch type full", "retry up to 3× after 1s, exponential",
		"function greet", "extension log", "any of a, b until", "emit order.placed", "run n.w 1.0.0", "raise Bad", "compensate get", "within 5s"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if len(inside) < 50 {
		t.Errorf("%d nodes", len(inside))
	}
}

var (
	nodeLine  = regexp.MustCompile(`^(?:subgraph )?(\w+)[\[({>]+/?"[^"]*"/?[\])}]+$`)
	edgeLine  = regexp.MustCompile(`^(\w+) -\.?->(?:\|"[^"]*"\|)? (\w+)$`)
	classLine = regexp.MustCompile(`^(?:classDef \w+ [-\w:#, ]+|class [\w,]+ \w+)$`)
)

// wellFormed parses a flowchart and returns the subgraphs that enclose each node, outermost first.
func wellFormed(t *testing.T, text string) map[string][]string {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	around, open := map[string][]string{}, []string{}
	edges := map[string]string{}
	for _, line := range lines[1:] {
		line = strings.TrimSpace(line)
		switch node, edge := nodeLine.FindStringSubmatch(line), edgeLine.FindStringSubmatch(line); {
		case line == "end" && len(open) > 0:
			open = open[:len(open)-1]
		case node != nil:
			if _, twice := around[node[1]]; twice {
				t.Errorf("node %s is defined twice", node[1])
			}
			around[node[1]] = append([]string{}, open...)
			if strings.HasPrefix(line, "subgraph") {
				open = append(open, node[1])
			}
		case edge != nil:
			edges[line] = edge[1] + " " + edge[2]
		case !classLine.MatchString(line):
			t.Errorf("unexpected line: %s", line)
		}
	}
	for line, ends := range edges {
		from, to, _ := strings.Cut(ends, " ")
		_, known := around[from]
		_, toKnown := around[to]
		if !known || !toKnown {
			t.Errorf("%s: undefined node", line)
		}
		for _, group := range around[from] {
			if group == to {
				t.Errorf("%s: edge from a node to its enclosing subgraph", line)
			}
		}
		for _, group := range around[to] {
			if group == from {
				t.Errorf("%s: edge from a subgraph to a node inside it", line)
			}
		}
	}
	return around
}

// TestEscaping: names and expressions of a definition cannot leave their labels.
func TestEscaping(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain_name":                 "plain_name",
		`a"] --> done`:               "a#34;#93; --#62; done",
		"%%{init: {}}%%":             "#37;#37;#123;init#58; #123;#125;#125;#37;#37;",
		"<img src=x>":                "#60;img src=x#62;",
		"1. list":                    "#49;. list",
		"- list":                     "#45; list",
		"`code` *b* ~~s~~ $$x$$ \\n": "#96;code#96; #42;b#42; #126;#126;s#126;#126; #36;#36;x#36;#36; #92;n",
		"two\nlines\u202e":           "two lines·",
		"größe 漢字":                   "größe 漢字",
		strings.Repeat("a", 100):     strings.Repeat("a", maxTextLength-1) + "…",
	} {
		if got := escape(text); got != want {
			t.Errorf("%q is escaped as %q, want %q", text, got, want)
		}
	}
	w := parse(t, `do: [{'a"] --> start; click n1 "javascript:alert(1)"': {set: {'"]; end': 1}, then: end}}]`)
	wellFormed(t, Definition(w))
}

// TestExecution: the flowchart of an execution shows the status of each task.
func TestExecution(t *testing.T) {
	t.Parallel()
	w := parse(t, `
do:
- first: {set: {x: 1}, metadata: {compensate: [{undo: {set: {y: 1}}}]}}
- never: {if: 'false', set: {x: 2}}
- each: {for: {in: '[1,2,3]'}, do: [{one: {set: {x: '${ $item }'}}}]}
- careful: {try: [{risky: {call: flaky.call}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}, do: [{mend: {set: {x: 3}}}]}}
- slow: {call: slow.call}
- last: {set: {x: 4}}
`)
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	x, events := machine.Start(w, "e1", map[string]any{}, now, machine.Environment{})
	fail := func(call *machine.Call) machine.Outcome {
		return machine.CallFault(call.ID, machine.NewError(machine.TypeCommunication, "no answer"), now)
	}
	events = append(events, x.Handle(fail(x.Calls()[0]))...)
	now = now.Add(time.Second)
	events = append(events, x.Handle(machine.TimerDue(x.Timers()[0].ID, now))...)
	events = append(events, x.Handle(fail(x.Calls()[0]))...)
	running := Execution(w, x.Status(), events)
	wellFormed(t, running)
	wantClasses(t, running, map[string]string{"first": classCompleted, "never": classSkipped, "each": classCompleted, "careful": classCompleted,
		"risky": classFaulted, "mend": classCompleted, "slow": classRunning, "last": "", "start": classCompleted, "done": ""})
	for _, want := range []string{"completed, 3 iterations", "completed, 1 retry", "faulted, 2 runs, Communication Error 500", "running"} {
		if !strings.Contains(running, want) {
			t.Errorf("%q is missing in\n%s", want, running)
		}
	}
	events = append(events, x.Handle(fail(x.Calls()[0]))...)
	faulted := Execution(w, x.Status(), events)
	wantClasses(t, faulted, map[string]string{"slow": classFaulted, "last": "", "done": classFaulted, "compensate first": classCompleted, "undo": classCompleted})
	if !strings.Contains(faulted, "faulted#58; Communication Error 500") {
		t.Errorf("the end node does not show the error:\n%s", faulted)
	}
	if none := Execution(w, machine.Pending, nil); strings.Contains(none, "class") || !strings.Contains(none, "pending") {
		t.Errorf("a pending execution:\n%s", none)
	}
}

// wantClasses compares the classes of nodes, given by the first line of their labels or by id.
func wantClasses(t *testing.T, text string, want map[string]string) {
	t.Helper()
	ids, classes := map[string]string{"start": "start", "done": "done"}, map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^ *(?:subgraph )?(n\d+)[^"\n]+"([^"<]*)`).FindAllStringSubmatch(text, -1) {
		if _, known := ids[m[2]]; !known {
			ids[m[2]] = m[1]
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^  class (\S+) (\w+)$`).FindAllStringSubmatch(text, -1) {
		for id := range strings.SplitSeq(m[1], ",") {
			classes[id] = m[2]
		}
	}
	for name, class := range want {
		if got := classes[ids[name]]; got != class || ids[name] == "" {
			t.Errorf("%s (%s) is %q, want %q", name, ids[name], got, class)
		}
	}
}

// TestLargeDefinition: a flowchart of many tasks shows only their names.
func TestLargeDefinition(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	source.WriteString("do:\n")
	for i := range maxDetailedTasks + 1 {
		source.WriteString("- t" + strings.Repeat("i", i%7) + string(rune('a'+i%26)) + strings.Repeat("z", i/26) + ": {call: some.function}\n")
	}
	if text := Definition(parse(t, source.String())); strings.Contains(text, "some.function") || !strings.Contains(text, "n501[") {
		t.Error("a large definition is shown with details or incompletely")
	}
}
