package machine

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/reference"
)

// definitionGenerator draws definitions whose result does not depend on the order of simultaneous events: all waits
// differ, so that no two branches of a fork advance at the same time, and branches do not export to the context. The
// machine limits tasks and data and the interpreter does not, so every loop ends (each export increments seen and is never
// empty) and data does not grow exponentially with its iterations.
type definitionGenerator struct {
	t      *rapid.T
	count  int
	inFork int
}

func (s *definitionGenerator) pick(label string, of ...string) string {
	return rapid.SampledFrom(of).Draw(s.t, label)
}

func (s *definitionGenerator) name() string {
	s.count++
	return fmt.Sprintf("t%d", s.count)
}

// moment draws a unique duration. Sums of few of them also differ, except with a probability of about 10⁻⁶: their low
// digits are powers of 7 modulo a prime.
func (s *definitionGenerator) moment(most int) string {
	s.count++
	const unit = 1_000_003
	low := 1
	for range s.count {
		low = low * 7 % unit
	}
	return fmt.Sprintf("{milliseconds: %d}", rapid.IntRange(1, most).Draw(s.t, "moment")*unit+low)
}

func (s *definitionGenerator) list(depth int) string {
	n := rapid.IntRange(1, 3).Draw(s.t, "length")
	names := make([]string, n)
	for i := range names {
		names[i] = s.name()
	}
	tasks := make([]string, 0, n+2)
	for i, name := range names {
		then := s.pick("then", "", "", "", "", ", then: continue", ", then: exit", ", then: end", "later")
		if then == "later" {
			if then = ""; i < n-1 {
				then = ", then: " + names[n-1]
			}
		}
		tasks = append(tasks, "{"+name+": {"+s.around()+s.body(depth)+then+"}}")
	}
	if s.inFork == 0 && rapid.IntRange(0, 3).Draw(s.t, "back") == 0 {
		tasks = append(tasks, "{"+s.name()+`: {set: {n: '${ (.n? // 0) + 1 }'}, export: {as: '{seen: (($context.seen // 0) + 1)}'}}}`,
			"{"+s.name()+`: {switch: [{again: {when: '$context.seen < 6', then: `+names[0]+`}}]}}`)
	}
	return "[" + strings.Join(tasks, ", ") + "]"
}

// around draws the properties that any task may have.
func (s *definitionGenerator) around() string {
	text := s.pick("if", "", "", "", `if: '(.n? // 0) % 2 == 0', `) +
		s.pick("input", "", "", "", `input: {from: '{n: (.n? // 1)}'}, `, `input: {from: '.n + 1'}, `) +
		s.pick("output", "", "", "", `output: {as: '{n: ((.n? // 0) + ($input.n? // 0))}'}, `, `output: {as: '.n'}, `,
			`output: {as: '{n: ($task.input.n? // $task.output.n?), raw: ($task.output | type)}'}, `)
	if s.inFork == 0 {
		text += s.pick("export", "", "", `export: {as: '{seen: (($context.seen? // 0) + 1), last: .}'}, `,
			`export: {as: '{seen: (($context.seen? // 0) + 1), raw: ($task.output.n? // 0), in: ($task.input.n? // 0), at: $task.startedAt.epoch.milliseconds}'}, `)
	}
	if rapid.IntRange(0, 7).Draw(s.t, "timeout") == 0 {
		text += "timeout: {after: " + s.moment(9) + "}, "
	}
	return text
}

func (s *definitionGenerator) body(depth int) string {
	kinds := []string{"set", "set", "call", "call", "raise", "switch", "wait", "run"}
	if depth > 0 {
		kinds = append(kinds, "do", "for", "fork", "race", "try", "try", "retry", "retry")
	}
	switch s.pick("kind", kinds...) {
	case "set":
		return `set: ` + s.pick("set", `{n: '${ (.n? // 0) + 1 }', v: '${ $context.seen? }'}`, `{n: '${ $input.n + 1 }'}`, `'${ {n: ., m: ($context.last? | tojson | .[:40])} }'`,
			`{n: '${ $task.input.n? // 3 }', r: '${ $task.reference }', v: '${ $runtime.version }', c: '${ $context.n? }'}`)
	case "call":
		if rapid.Bool().Draw(s.t, "slow") {
			return `call: some.thing, with: {n: '${ .n? // 0 }', took: ` + s.moment(9) + `}`
		}
		return `call: some.thing, with: {n: '${ .n? // 0 }', c: '${ $context.seen? }'}`
	case "raise":
		return `raise: {error: {type: ` + s.pick("type", "urn:raised", "'urn:raised:{n}'") + `, status: ` + s.pick("status", "409", "410", `'${ 400 + ((.n? // 0) % 3) }'`) + `}}`
	case "switch":
		return `switch: [` + s.pick("default", "", "", `{other: {then: continue}}, `, `{other: {then: exit}}, `) +
			`{odd: {when: '(.n? // 0) % 2 == 1', then: exit}}, {big: {when: '(.n? // 0) > 5', then: end}}, {even: {when: '.n? != 4', then: continue}}]`
	case "wait":
		return `wait: ` + s.moment(6)
	case "run":
		return `run: {` + s.pick("await", "", "", "await: false, ") + `return: ` + s.pick("return", "stdout", "stderr", "code", "all", "none") +
			`, workflow: {namespace: n, name: w, version: 1.0.0` + s.pick("arguments", "", `, input: {n: '${ .n? }'}`) + `}}`
	case "do":
		return `do: ` + s.list(depth-1)
	case "for":
		return `for: {each: v, at: k, in: ` + s.pick("in", `'[1, 2, 3]'`, `'.n'`, `'[range(($context.seen // 2) % 4)]'`, `[1, '${ .n? }']`) + `}` +
			s.pick("while", "", `, while: '(.n? // 0) < 9'`, `, while: '$k < 2'`) + `, do: [{` + s.name() + `: {set: {n: '${ (.n? // 0) + ($v | tonumber? // 1) }', k: '${ $k }'}}}, ` +
			s.list(depth - 1)[1:]
	case "fork":
		return `fork: {branches: ` + s.branches(depth-1) + `}`
	case "race":
		return `fork: {compete: true, branches: ` + s.branches(depth-1) + `}`
	case "try":
		return `try: ` + s.list(depth-1) + `, catch: {as: e, ` + s.pick("filter", "", "", `errors: {with: {status: 409}}, `) +
			`do: [{` + s.name() + `: {set: {n: '${ $e.status }', at: '${ $e.instance }'}}}]}`
	}
	return `try: ` + s.list(depth-1) + `, catch: {` + s.pick("filter", "", "", `errors: {with: {status: 500}}, `) + `retry: {delay: ` + s.moment(3) +
		s.pick("backoff", "", `, backoff: {exponential: {}}`, `, backoff: {exponential: {factor: 3}}`) + `, limit: {attempt: {count: 2` +
		s.pick("attempt", "", ", duration: "+s.moment(9)) + `}` + s.pick("within", "", ", duration: "+s.moment(20)) + `}}` +
		s.pick("handler", "", `, do: [{`+s.name()+`: {set: {n: '${ $error.status }'}}}]`) + `}`
}

func (s *definitionGenerator) branches(depth int) string {
	s.inFork++
	defer func() { s.inFork-- }()
	var branches []string
	for range rapid.IntRange(1, 3).Draw(s.t, "branches") {
		branches = append(branches, "{"+s.name()+": {"+s.pick("if", "", "", `if: '(.n? // 0) % 2 == 0', `)+
			"do: [{"+s.name()+": {wait: "+s.moment(4)+"}}, "+s.list(depth)[1:]+"}}")
	}
	return "[" + strings.Join(branches, ", ") + "]"
}

// referenceResult formats a result of the reference interpreter like result.
func referenceResult(r reference.Result) string {
	if r.Fault != nil {
		return fmt.Sprintf("%s %d %s", r.Fault.Kind, r.Fault.Status, r.Fault.Instance)
	}
	return string(language.Canonical(r.Output))
}

// scriptedReply answers a call deterministically: about a third of the first attempts fail, and fewer of the later ones.
func scriptedReply(name string, arguments any, attempt int) (output any, fails bool) {
	hash := fnv.New32a()
	fmt.Fprintf(hash, "%s%s#%d", name, language.Canonical(arguments), attempt)
	return arguments, hash.Sum32()%uint32(2+attempt) == 0
}

// scriptedDuration is how long a call takes that says so.
func scriptedDuration(arguments any) time.Duration {
	given, _ := arguments.(map[string]any)
	took, _ := given["took"].(map[string]any)
	milliseconds, _ := took["milliseconds"].(int)
	return time.Duration(milliseconds) * time.Millisecond
}

// TestReference runs random definitions on the machine and on the reference interpreter: both must return the same output
// or fault, and complete the same tasks with the same outputs. So must the machine after a restore from any prefix of its
// log.
func TestReference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		s := &definitionGenerator{t: r}
		source := head + s.pick("limit", "", "timeout: {after: {hours: 11}}\n") + s.pick("in", "", "input: {from: '{n: .n}'}\n") +
			s.pick("out", "", "output: {as: '{out: .}'}\n") + "do: " + s.list(3)
		input := map[string]any{"n": rapid.IntRange(0, 5).Draw(r, "n"), "other": "x"}
		d := newDriver(t, source)
		d.reply = func(call *Call) (any, *Error) {
			var arguments any = call.Arguments
			if call.Workflow != nil {
				arguments = call.Workflow.Input
			}
			output, fails := scriptedReply(call.Name, arguments, call.Attempt)
			if fails {
				return nil, NewError(TypeCommunication, "down")
			}
			return output, nil
		}
		d.took = func(call *Call) time.Duration { return scriptedDuration(call.Arguments) }
		machine := result(d.run(map[string]any{"n": input["n"], "other": "x"}))
		want := reference.Run(d.def, input, epoch, func(task *language.Task, arguments any, attempt int) reference.CallReply {
			output, fails := scriptedReply(task.Name, arguments, attempt)
			return reference.CallReply{Output: output, Failed: fails, Took: scriptedDuration(arguments)}
		})
		if machine != referenceResult(want) {
			r.Fatalf("%s\nthe machine:   %s\nthe reference: %s", source, machine, referenceResult(want))
		}
		history := make([]json.RawMessage, len(d.log))
		for i := range d.log {
			var err error
			if history[i], err = json.Marshal(&d.log[i]); err != nil {
				r.Fatal(err)
			}
		}
		if err := want.Agrees(history); err != nil {
			r.Fatalf("%s\n%v", source, err)
		}
		cuts := make([]int, 0, 13)
		for cut := 1; cut < len(d.log); cut += 1 + len(d.log)/12 {
			cuts = append(cuts, cut)
		}
		for _, cut := range cuts {
			again := resumed(t, d, cut)
			x, err := Restore(d.def, d.env, again.log)
			if err != nil {
				r.Fatal(err)
			}
			if got := result(again.finish(x)); got != machine || len(again.log) != len(d.log) {
				r.Fatalf("%s\ncut at %d of %d: %s after %d events, want %s", source, cut, len(d.log), got, len(again.log), machine)
			}
		}
	})
}
