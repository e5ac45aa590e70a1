package machine

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// faultOf is the detail of an execution's fault.
func faultOf(t *testing.T, x *Execution) string {
	t.Helper()
	if x.Status() != Faulted || x.Fault() == nil {
		t.Fatalf("status %s, error %v", x.Status(), x.Fault())
	}
	return x.Fault().Detail
}

// TestHistoriesAreBounded: an execution whose events carry too much data ends with a fault that no task catches; its compensations still
// run, within a reserve.
func TestHistoriesAreBounded(t *testing.T) {
	t.Parallel()
	const loop = `for: {in: '[range(3000)]'}, do: [{b: {set: {x: '${ "a" * 500000 }'}}}]`
	const bound = 4 << 20
	const want = "the execution's history exceeds 4194304 bytes"
	for name, tasks := range map[string]string{
		"a loop":                  `[{a: {` + loop + `}}]`,
		"a loop within a catch":   `[{a: {try: [{l: {` + loop + `}}], catch: {do: [{c: {set: {x: 1}}}]}}}]`,
		"a loop that is retried":  `[{a: {try: [{l: {` + loop + `}}], catch: {retry: {delay: PT0S}}}}]`,
		"a loop that compensates": `[{u: {set: {x: 1}, metadata: {compensate: [{r: {call: undo.it}}]}}}, {a: {` + loop + `}}]`,
		"compensations as large":  `[{u: {set: {x: 1}, metadata: {compensate: [{r: {` + loop + `}}]}}}, {a: {` + loop + `}}]`,
	} {
		d := newDriver(t, head+"do: "+tasks)
		d.env.MaxHistory = bound
		x := d.run(map[string]any{})
		if got := faultOf(t, x); got != want {
			t.Errorf("%s: fault %s", name, got)
		}
		if x.Bytes() > bound+bound/reserve+1<<10 {
			t.Errorf("%s: a history of %d bytes", name, x.Bytes())
		}
		if undone := len(d.made) == 1; undone != (name == "a loop that compensates") {
			t.Errorf("%s: calls %v", name, d.made)
		}
		if back, err := Restore(d.def, d.env, d.log); err != nil || back.Bytes() != x.Bytes() {
			t.Errorf("%s: restored with %v bytes, was %d", name, back.Bytes(), x.Bytes())
		}
	}
	d := newDriver(t, head+`do: [{a: {call: f.g}}]`)
	d.env.MaxHistory = 10_000
	d.reply = func(*Call) (any, *Error) { return strings.Repeat("a", 20_000), nil }
	if got := faultOf(t, d.run(nil)); got != "the execution's history exceeds 10000 bytes" {
		t.Errorf("the output of a call: %s", got)
	}
}

// TestEvaluationsAreBounded: the steps of an execution's life are bounded, as are those of one event. The log counts them.
//
//nolint:paralleltest // an expression has a bound on the wall clock too, which other tests would use up
func TestEvaluationsAreBounded(t *testing.T) {
	spin := `[range(5)] | map(reduce range(100) as $i (0; . + 1)) | length`
	d := newDriver(t, head+`do: [{a: {for: {in: '[range(3000)]'}, do: [{b: {set: {x: '${ `+spin+` }'}}}]}}]`)
	x := d.start(nil)
	x.state.Steps = MaxLifeSteps - 500_000
	if got := faultOf(t, d.finish(x)); got != "the execution's evaluations take more than 500000000 steps" {
		t.Errorf("the steps of a life: %s", got)
	}
	d = newDriver(t, head+`do: [{a: {for: {in: '[range(60)]'}, do: [{b: {set: {x: '${ `+spin+` }'}}}]}}]`)
	x = d.run(nil)
	back, err := Restore(d.def, d.env, d.log)
	if err != nil || x.state.Steps < 50_000 || back.state.Steps != x.state.Steps {
		t.Errorf("restored with %d steps, %v; was %d", back.state.Steps, err, x.state.Steps)
	}
	many := make([]string, 700)
	for i := range many {
		many[i] = `'${ ` + spin + ` }'`
	}
	d = newDriver(t, head+`do: [{a: {try: [{b: {set: {x: [`+strings.Join(many, ", ")+`]}}}], catch: {as: e, do: [{c: {set: {detail: '${ $e.detail }'}}}]}}}]`)
	if got, want := result(d.run(nil)), `{"detail":"the evaluations for one event take more than 4000000 steps"}`; got != want {
		t.Errorf("the steps of an event: %s", got)
	}
	many = many[:40]
	for i := range many {
		many[i] = `'${ "a" * 900000 }'`
	}
	d = newDriver(t, head+`do: [{a: {try: [{b: {set: {x: [`+strings.Join(many, ", ")+`]}}}], catch: {as: e, do: [{c: {set: {detail: '${ $e.detail }'}}}]}}}]`)
	if got, want := result(d.run(nil)), `{"detail":"the evaluations for one event produce more than 33554432 bytes"}`; got != want {
		t.Errorf("the bytes of an event: %s", got)
	}
}

// TestLoopsWithoutRunsEnd: loops that start no task run, or end each at once, end by a bound of the execution.
func TestLoopsWithoutRunsEnd(t *testing.T) {
	t.Parallel()
	for name, tasks := range map[string]string{
		"skipped tasks":          `[{a: {for: {in: '[range(30000)]'}, do: [{b: {for: {in: '[range(30000)]'}, do: [{c: {if: 'false', set: {x: 1}}}]}}]}}]`,
		"a switch to itself":     `[{a: {switch: [{x: {then: a}}]}}]`,
		"retries without delay":  `[{a: {try: [{b: {raise: {error: {type: x, status: 400}}}}], catch: {retry: {delay: PT0S}}}}]`,
		"catches that go back":   `[{a: {try: [{b: {raise: {error: {type: x, status: 400}}}}], catch: {then: a}}}]`,
		"an extended loop":       `[{a: {set: {x: 1}}}, {b: {switch: [{x: {then: a}}]}}]`,
		"loops of loops":         `[{a: {for: {in: '[range(30000)]'}, do: [{b: {for: {in: '[range(9)]'}, do: [{c: {set: {x: 1}}}]}}]}}]`,
		"compensations in loops": `[{a: {for: {in: '[range(30000)]'}, do: [{e: {for: {in: '[range(9)]'}, do: [{c: {set: {x: 1}, metadata: {compensate: [{d: {set: {x: 1}}}]}}}]}}]}}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDriver(t, head+"use: {extensions: [{e: {extend: switch, before: [{f: {if: 'false', set: {x: 1}}}]}}]}\ndo: "+tasks)
			d.env.MaxHistory = 4 << 20
			x, _ := Start(d.def, "e1", nil, d.now, d.env)
			events := 0
			for !x.Settled() || len(x.Timers()) > 0 {
				n := len(x.Continue(d.now))
				if timers := x.Timers(); n == 0 && len(timers) > 0 {
					n = len(x.Handle(TimerDue(timers[0].ID, d.now)))
				}
				if events += n; events > 100_000 {
					t.Fatal("100,000 events")
				}
			}
			faultOf(t, x)
		})
	}
}

// TestDataIsNestedWithinABound: what would be nested too deeply for decoders faults the task that it comes from.
func TestDataIsNestedWithinABound(t *testing.T) {
	t.Parallel()
	deep := func(levels int) any {
		var value any = 1
		for range levels {
			value = []any{value}
		}
		return value
	}
	d := newDriver(t, head+`do: [{a: {call: f.g}}]`)
	if got := faultOf(t, d.run(deep(100_000))); !strings.HasPrefix(got, "the input is nested more than") {
		t.Errorf("input: %s", got)
	}
	d = newDriver(t, head+`do: [{a: {call: f.g}}]`)
	d.reply = func(*Call) (any, *Error) { return deep(100_000), nil }
	if got := faultOf(t, d.run(nil)); !strings.HasPrefix(got, "the output of the call is nested more than") {
		t.Errorf("output: %s", got)
	}
	d = newDriver(t, head+`do: [{a: {for: {in: '[range(30000)]'}, do: [{f: {fork: {branches: [{b: {switch: [{x: {then: continue}}]}}]}}}]}}]`)
	if got := faultOf(t, d.run(nil)); !strings.HasPrefix(got, "the data is nested more than") {
		t.Errorf("nested forks: %s", got)
	}
	d = newDriver(t, head+`do: [{a: {listen: {to: {any: [], until: 'false'}}}}]`)
	x := d.start(nil)
	if got := x.Handle(EventArrived(map[string]any{"type": "t", "data": deep(100_000)}, d.now)); got != nil {
		t.Errorf("a message: %d events", len(got))
	}
	d = newDriver(t, head+"use: {secrets: [s]}\n"+`do: [{a: {call: http, with: {method: get, endpoint: 'http://x.test', query: {k: '${ $secrets.s | tojson }'}}}}]`)
	d.env.Secrets = fixed(map[string]any{"s": deep(100_000)})
	if got := faultOf(t, d.run(nil)); got != "one of the secrets is nested more than 512 levels deep" {
		t.Errorf("secrets: %s", got)
	}
}

// TestLogsThatDoNotFitAreErrors: a log with an event that does not fit is an error of Restore, whatever is wrong with it, and not a panic.
func TestLogsThatDoNotFitAreErrors(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		d := newDriver(t, head+"do: "+(&replayGenerator{t: r}).list(2, 3))
		d.reply = answer
		d.run(map[string]any{"n": 1})
		log := slices.Clone(d.log)
		at := rapid.IntRange(0, len(log)-1).Draw(r, "at")
		wrong := drawEvent(r)
		kinds := []EventType{
			ExecutionStarted, TaskStarted, TaskSkipped, TaskCompleted, TaskFaulted, TaskRetried, ErrorCaught, IterationStarted, IterationCompleted, CallScheduled,
			CallCompleted, TimerScheduled, TimerFired, ListenerStarted, EventReceived, CompensationStarted, TaskCompensating, TaskCompensated, "unknown",
		}
		wrong.Type = rapid.SampledFrom(kinds).Draw(r, "type")
		wrong.Sequence, wrong.Version = log[at].Sequence, EventVersion
		log[at] = wrong
		if _, err := Restore(d.def, d.env, log); err == nil && wrong.Type == "unknown" {
			r.Fatalf("an unknown event was applied: %+v", wrong)
		}
	})
}

// TestDelaysAreBounded: a delay between attempts is from 0 to MaxRetryDelay, whatever the factor.
func TestDelaysAreBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		delay  time.Duration
		factor float64
		tries  int
		want   time.Duration
	}{
		{time.Second, 2, 3, 4 * time.Second}, {time.Second, 1e308, 50_000, MaxRetryDelay}, {0, 1e308, 50_000, 0}, {time.Second, math.NaN(), 3, 0},
		{time.Second, math.Inf(1), 3, MaxRetryDelay}, {0, math.Inf(1), 3, 0}, {time.Second, -3, 2, 0}, {time.Second, -3, 3, 9 * time.Second},
		{time.Second, math.Inf(-1), 2, 0}, {language.MaxDuration, 1, 2, MaxRetryDelay}, {time.Second, 0, 1, time.Second}, {time.Second, 1e-308, 50_000, 0},
	} {
		x := newExecution(&language.Workflow{}, Environment{})
		policy := &language.RetryPolicy{Delay: &language.Duration{Value: test.delay}, Backoff: language.Backoff{Kind: "exponential", Factor: test.factor}}
		if got, err := x.eval.delay(&Run{Tries: test.tries}, policy, language.Scope{}); err != nil || got != test.want {
			t.Errorf("%+v: %s, %v", test, got, err)
		}
	}
	d := newDriver(t, head+`do: [{a: {raise: {error: {type: x, status: '${ 1e300 }'}}}}]`)
	if got := faultOf(t, d.run(nil)); got != "the status of an error must be a status code" {
		t.Errorf("a status: %s", got)
	}
}

// TestOpenCallsAreBounded: the data of the calls that are open at the same time is bounded, also after a restore.
func TestOpenCallsAreBounded(t *testing.T) {
	t.Parallel()
	arguments, branches := make([]string, 8), make([]string, 12)
	for i := range arguments {
		arguments[i] = fmt.Sprintf(`x%d: '${ "a" * 500000 }'`, i)
	}
	for i := range branches {
		branches[i] = fmt.Sprintf("{b%d: {call: f.g, with: {%s}}}", i, strings.Join(arguments, ", "))
	}
	d := newDriver(t, head+`do: [{f: {fork: {branches: [`+strings.Join(branches, ", ")+`]}}}]`)
	if got := faultOf(t, d.start(nil)); got != "the calls that are being made have more than 33554432 bytes of data" {
		t.Errorf("twelve calls of 4 MB: %s", got)
	}
	d = newDriver(t, head+`do: [{f: {fork: {branches: [`+strings.Join(branches[:8], ", ")+`]}}}]`)
	x := d.start(nil)
	if len(x.Calls()) != 8 || x.Size() < MaxOpenCalls*9/10 {
		t.Fatalf("%d calls, %d bytes", len(x.Calls()), x.Size())
	}
	back, err := RestoreSnapshot(d.def, d.env, stateOf(t, x))
	if err != nil || len(back.Calls()) > 0 || back.Size() > MaxOpenCalls/10 {
		t.Fatalf("restored: %v, %d calls", err, len(back.Calls()))
	}
	for back.SetSlice(Slice{Bytes: 5 << 20}); !back.Settled(); {
		built := len(back.Calls())
		if back.Continue(d.now); len(back.Calls()) != built+1 {
			t.Fatalf("%d calls were built in one slice", len(back.Calls())-built)
		}
	}
}

// TestListenersAreBounded: a listener that holds too much faults; what it has handled and discarded does not count.
func TestListenersAreBounded(t *testing.T) {
	t.Parallel()
	message := func(i int) map[string]any {
		return map[string]any{"type": "t", "source": "s", "id": language.Text(i), "data": strings.Repeat("a", 250_000)}
	}
	d := newDriver(t, head+`do: [{a: {listen: {to: {any: [], until: '${ length > 100 }'}}}}]`)
	x := d.start(nil)
	for i := 0; !x.Status().Ended(); i++ {
		x.Handle(EventArrived(message(i), d.now))
	}
	if got := faultOf(t, x); got != "the listener holds events of more than 8388608 bytes" {
		t.Errorf("a listener: %s", got)
	}
	d = newDriver(t, head+`do: [{a: {listen: {to: {any: [], until: 'false'}}, foreach: {do: [{b: {set: {x: 1}}}]}}}]`)
	x = d.start(nil)
	for i := range 50 {
		x.Handle(EventArrived(message(i), d.now))
	}
	if x.Status() != Waiting || x.state.Runs[1].Held != 0 {
		t.Errorf("a listener that listens forever: %s, %v, holds %d", x.Status(), x.Fault(), x.state.Runs[1].Held)
	}
	// Messages that cannot be matched within the bounds are faults and not mismatches.
	d = newDriver(t, head+`do: [{a: {try: [{l: {listen: {to: {any: [{with: {type: t, data: '${ until(false; . + "") }'}}]}}}}], catch: {as: e, do: [{c: {set: {x: 1}}}]}}}]`)
	x = d.start(nil)
	x.Handle(EventArrived(map[string]any{"type": "u", "id": "1", "data": "x"}, d.now))
	if x.Status() != Waiting {
		t.Errorf("another message: %s", x.Status())
	}
}

// TestUntilSeesTheContext: the condition of a listener is evaluated again when the context has changed.
func TestUntilSeesTheContext(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{f: {fork: {branches: [
  {a: {listen: {to: {any: [], until: '${ $context.n >= 2 }'}}}},
  {b: {do: [{c: {wait: PT1S}}, {d: {set: {n: 2}, export: {as: '.'}}}]}}]}}}]`)
	x := d.start(map[string]any{"n": 1})
	d.append(x.Handle(EventArrived(map[string]any{"type": "t", "id": "1", "data": "x"}, d.now)))
	if d.finish(x); x.Status() != Completed {
		t.Errorf("status %s", x.Status())
	}
}

// TestEventsHoldABoundedAmount: a task whose event the log could not hold faults, and its fault can be caught.
func TestEventsHoldABoundedAmount(t *testing.T) {
	t.Parallel()
	for name, task := range map[string]string{
		"the data":               `{b: {set: {x: '${ "a" * 20000 }'}}}`,
		"the output of the call": `{b: {call: f.g}}`,
		"the results of a fork":  `{b: {fork: {branches: [{c: {set: {x: '${ "a" * 6000 }'}}}, {d: {set: {x: '${ "a" * 6000 }'}}}]}}}`,
		"a transformed input":    `{b: {input: {from: '"a" * 20000'}, set: {x: 1}}}`,
	} {
		d := newDriver(t, head+`do: [{a: {try: [`+task+`], catch: {as: e, do: [{c: {set: {detail: '${ $e.detail }'}}}]}}}]`)
		d.env.MaxEvent = 10_000
		d.reply = func(*Call) (any, *Error) { return strings.Repeat("\x00", 2_000), nil }
		if got := result(d.run(nil)); !strings.Contains(got, "has more than 10000 bytes, which one event of the log can hold") {
			t.Errorf("%s: %s", name, got)
		}
		for i := range d.log {
			if encoded := d.log[i].AppendJSON(nil); len(encoded) > 11_000 {
				t.Errorf("%s: an event of %d bytes", name, len(encoded))
			}
		}
	}
}

// TestWeightsAreSizesOfEncodings: the weight of a value is the size of its encoding, before and after it was in the log.
func TestWeightsAreSizesOfEncodings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		list := []any{drawValue(r, 3)}
		for range rapid.IntRange(0, 4).Draw(r, "more") {
			switch rapid.IntRange(0, 4).Draw(r, "kind") {
			case 0:
				list = append(list, rapid.Float64().Draw(r, "float")+0) // no negative zero
			case 1:
				list = append(list, float64(rapid.Int().Draw(r, "whole float")))
			case 2:
				list = append(list, new(big.Int).Exp(big.NewInt(rapid.Int64().Draw(r, "base")), big.NewInt(rapid.Int64Range(0, 20).Draw(r, "power")), nil))
			case 3:
				list = append(list, string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(r, "bytes")))
			default:
				list = append(list, json.Number("1234567890123456.789"), "\u2028\u2029\x00\"\\/<>")
			}
		}
		value := rewrite(list, validText, func(number any) any { return number })
		encoded := language.Canonical(value)
		decoded, err := language.Decode(encoded)
		if err != nil {
			r.Fatal(err)
		}
		if before, after := weightOf(value), weightOf(decoded); before != len(encoded) || after != before {
			r.Fatalf("weights %d and %d, want %d: %s", before, after, len(encoded), encoded)
		}
	})
}
