package machine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

func TestExtensions(t *testing.T) {
	t.Parallel()
	use := func(extensions string) string { return "use: {extensions: [" + extensions + "]}\n" }
	const log = `{log: {extend: all, before: [{b: {call: log.before, with: {at: '${ $task.name }'}}}], after: [{c: {call: log.after, with: {was: '${ . }'}}}]}}`
	for name, test := range map[string]struct{ source, calls, want string }{
		"before and after":  {use(log) + `do: [{a: {call: x.a, with: {n: '${ .q }'}, output: {as: .n}}}, {d: {set: {x: '${ . }'}}}]`, `log.before{"at":"a"} x.a{"n":7} log.after{"was":7} log.before{"at":"d"} log.after{"was":{"x":7}}`, `{"x":7}`},
		"one kind":          {use(strings.Replace(log, "all", "call", 1)) + `do: [{a: {set: {x: 1}}}, {d: {do: [{e: {call: x.e}}]}}]`, `log.before{"at":"e"} x.e{} log.after{"was":{}}`, `{}`},
		"composite":         {use(strings.Replace(log, "all", "composite", 1)) + `do: [{a: {fork: {branches: [{b: {set: {x: 1}}}]}}}, {d: {do: [{e: {set: {y: '${ . }'}}}]}}]`, `log.before{"at":"a"} log.after{"was":[{"x":1}]} log.before{"at":"d"} log.after{"was":{"y":[{"x":1}]}}`, `{"y":[{"x":1}]}`},
		"when":              {use(strings.Replace(log, "extend: all", `extend: call, when: '$task.with.n > 1'`, 1)) + `do: [{a: {call: x.a, with: {n: 1}}}, {b: {call: x.b, with: {n: 2}}}]`, `x.a{"n":1} log.before{"at":"b"} x.b{"n":2} log.after{"was":{"n":2}}`, `{"n":2}`},
		"bad when":          {use(`{m: {extend: call, when: '. | startswith(1)', before: [{b: {set: {x: 1}}}]}}`) + `do: [{a: {call: x.a}}]`, ``, `expression 400 /do/0/a@m`},
		"mock":              {use(`{m: {extend: call, before: [{b: {set: {code: 200, of: '${ $task.reference }'}, then: exit}}, {z: {call: x.z}}]}}`) + `do: [{a: {call: x.a, output: {as: .none}}}, {d: {set: {e: '${ . }'}}}]`, ``, `{"e":{"code":200,"of":"/do/0/a"}}`},
		"skipped":           {use(log) + `do: [{a: {if: 'false', call: x.a}}]`, ``, `{"q":7}`},
		"then":              {use(`{m: {extend: all, after: [{b: {call: x.z}}]}}`) + `do: [{a: {set: {x: 1}, then: c}}, {b: {call: x.b}}, {c: {switch: [{d: {then: e}}]}}, {d: {call: x.d}}, {e: {set: {x: 2}, then: end}}, {f: {call: x.f}}]`, `x.z{} x.z{} x.z{}`, `{"x":2}`},
		"exit":              {use(`{m: {extend: all, after: [{b: {call: x.z, then: exit}}, {c: {call: x.y}}]}}`) + `do: [{o: {do: [{a: {set: {x: 1}, then: exit}}, {b: {call: x.b}}]}}]`, `x.z{} x.z{}`, `{"x":1}`},
		"two":               {use(`{m: {extend: call, before: [{b: {call: m.b}}], after: [{c: {call: m.c}}]}}, {n: {extend: call, before: [{b: {call: n.b}}], after: [{c: {call: n.c}}]}}`) + `do: [{a: {call: x.a}}]`, `m.b{} n.b{} x.a{} n.c{} m.c{}`, `{}`},
		"directives before": {use(`{m: {extend: call, before: [{b: {set: {x: 1}, then: d}}, {c: {call: m.c}}, {d: {call: m.d, with: {x: '${ . }'}}}], after: [{b: {set: {x: 1}, then: d}}, {c: {call: m.c}}, {d: {call: m.e}}]}}`) + `do: [{a: {call: x.a}}]`, `m.d{"x":{"x":1}} x.a{} m.e{}`, `{}`},
		"fault before":      {use(`{m: {extend: call, before: [{b: {raise: {error: {type: urn:x, status: 400}}}}]}}`) + `do: [{t: {try: [{a: {call: x.a}}], catch: {do: [{c: {set: {s: '${ $error.instance }'}}}]}}}]`, ``, `{"s":"/use/extensions/0/m/before/0/b"}`},
		"in a loop":         {use(`{m: {extend: call, before: [{b: {call: m.b, with: {i: '${ $task.input }'}}}]}}`) + `do: [{l: {for: {each: v, in: '[1,2]'}, do: [{a: {call: x.a, with: {v: '${ $v }'}}}]}}]`, `m.b{"i":{"q":7}} x.a{"v":1} m.b{"i":{"v":1}} x.a{"v":2}`, `{"v":2}`},
		"functions":         {"use: {functions: {f: {do: [{i: {call: x.i}}]}}, extensions: [" + strings.Replace(log, "all", "call", 1) + "]}\n" + `do: [{a: {call: f}}]`, `log.before{"at":"a"} log.before{"at":"i"} x.i{} log.after{"was":{}} log.after{"was":{}}`, `{}`},
		"compensation":      {use(`{m: {extend: call, before: [{b: {call: m.b}}]}}`) + `do: [{a: {set: {x: 1}, metadata: {compensate: [{u: {call: x.u}}]}}}, {r: {raise: {error: {type: urn:x, status: 400}}}}]`, `m.b{} x.u{}`, `urn:x 400 /do/1/r`},
	} {
		d := newDriver(t, head+test.source)
		if refused := d.def.Unsupported(); len(refused) > 0 {
			t.Fatalf("%s: %v", name, refused)
		}
		var calls []string
		d.reply = func(call *Call) (any, *Error) {
			calls = append(calls, fmt.Sprintf("%s%s", call.Function, language.Canonical(call.Arguments)))
			return call.Arguments, nil
		}
		if got := result(d.run(map[string]any{"q": 7})); got != test.want || strings.Join(calls, " ") != test.calls {
			t.Errorf("%s: got %s after calls %s\nwant %s after calls %s", name, got, strings.Join(calls, " "), test.want, test.calls)
		}
		replay(t, d)
	}
}

func TestExtensionInHistory(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`use: {extensions: [{log: {extend: call, before: [{b: {set: {x: 1}}}]}}]}
do: [{a: {call: x.a}}]`)
	d.run(nil)
	runs := Tasks(d.log)
	if len(runs) != 3 || runs[0].Extension != "log" || runs[1].Name != "b" || runs[2].Task != "/do/0/a" || runs[2].Extension != "" || d.def.Tasks() != 2 {
		t.Errorf("%d tasks, history %+v", d.def.Tasks(), runs)
	}
}
