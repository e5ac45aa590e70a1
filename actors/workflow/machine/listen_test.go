package machine

import (
	"slices"
	"strconv"
	"testing"
)

// arrive delivers a numbered event to an execution, records the events it yields, and compares with Listener.Wants.
func (d *driver) arrive(x *Execution, kind string, data any, id int) []Event {
	d.t.Helper()
	event := map[string]any{"type": kind, "source": "s", "id": strconv.Itoa(id), "data": data}
	wanted := slices.ContainsFunc(x.Listeners(), func(l Listener) bool { return l.Wants(event) })
	events := x.Handle(EventArrived(event, d.now))
	if wanted != (len(events) > 0) {
		d.t.Errorf("event %d: Wants is %v, Handle returned %d events", id, wanted, len(events))
	}
	d.append(events)
	return events
}

func TestListenerConsumesEventOnce(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {fork: {branches: [
  {b: {for: {in: '[1, 2]'}, do: [{c: {listen: {to: {one: {with: {type: t.a}}}}}}]}},
  {e: {listen: {to: {any: [{with: {type: t.a}}, {with: {type: t.b}}], until: '(. | length) == 3'}}}}]}}}]`)
	x := d.start(nil)
	d.arrive(x, "t.a", 1, 1)
	for range 2 { // redelivered before and after a restart
		if got := d.arrive(x, "t.a", 1, 1); got != nil {
			t.Fatalf("a redelivered event yielded %+v", got)
		}
		var err error
		if x, err = Restore(d.def, d.env, d.log); err != nil {
			t.Fatal(err)
		}
	}
	d.arrive(x, "t.b", 2, 2)
	d.arrive(x, "t.a", 3, 3)
	if got := result(x); got != `[[3],[1,2,3]]` {
		t.Errorf("got %s", got)
	}
	replay(t, d)
}

func TestListenerTypes(t *testing.T) {
	t.Parallel()
	for to, want := range map[string][]string{
		`{one: {with: {type: com.a.b}}}`: {"com.a.b"},
		`{any: [{with: {type: a}}, {with: {type: b}}], until: {one: {with: {type: c}}}}`: {"a", "b", "c"},
		`{any: [{with: {type: a}}, {with: {type: a, source: x}}], until: '${ false }'}`:  {"a"},
		`{any: [{with: {type: a}}], until: {any: []}}`:                                   nil,
		`{any: []}`:                                       nil,
		`{one: {with: {type: 'com\..*'}}}`:                nil,
		`{one: {with: {type: '${ . == "a" }'}}}`:          nil,
		`{all: [{with: {type: a}}, {with: {source: x}}]}`: nil,
	} {
		d := newDriver(t, head+`do: [{a: {listen: {to: `+to+`}}}]`)
		listeners := d.start(nil).Listeners()
		if len(listeners) != 1 || !slices.Equal(listeners[0].Types, want) || (listeners[0].Types == nil) != (want == nil) {
			t.Errorf("%s: %+v, want %v", to, listeners, want)
		}
	}
}

func TestListenForeach(t *testing.T) {
	t.Parallel()
	each := `foreach: {item: ev, at: i, do: [{b: {set: {v: '${ $ev * 10 + $i }', raw: '${ . }'}}}], output: {as: .v}, export: {as: '{last: .}'}}`
	for name, test := range map[string]struct{ task, want string }{
		"one":      {`listen: {to: {one: {with: {type: t.a}}}}, ` + each, `[10]`},
		"any":      {`listen: {to: {any: [{with: {type: t.b}}]}}, ` + each, `[30]`},
		"all":      {`listen: {to: {all: [{with: {type: t.b}}, {with: {type: t.a}}]}}, ` + each, `[10,31]`},
		"until":    {`listen: {to: {any: [], until: '(. | length) == 3'}}, ` + each, `[10,21,32]`},
		"context":  {`listen: {to: {any: [], until: '$context.last == 21'}}, ` + each, `[10,21]`},
		"consumed": {`listen: {to: {any: [{with: {type: t.a}}], until: {one: {with: {type: t.end}}}}}, ` + each, `[10,21]`},
		"part":     {`listen: {to: {any: [{with: {type: t.a}}], until: {all: [{with: {type: t.b}}, {with: {type: t.end}}]}}}`, `[1,2]`},
		"not all":  {`listen: {to: {any: [{with: {type: t.a}}], until: {all: [{with: {type: t.b}}, {with: {type: t.c}}]}}}`, `waiting`},
		"nothing":  {`listen: {to: {any: [{with: {type: t.a}}], until: {one: {with: {type: t.a}}}}}, ` + each, `[]`},
		"exit":     {`listen: {to: {any: [], until: '${ false }'}}, foreach: {do: [{b: {if: $index == 1, set: {v: 1}, then: exit}}]}`, `[]`},
		"end":      {`listen: {to: {any: [], until: '${ false }'}}, foreach: {do: [{b: {if: $index == 1, set: {v: '${ $item }'}, then: end}}]}`, `{"v":2}`},
		"forever":  {`listen: {to: {any: [], until: '${ false }'}}, ` + each, `waiting`},
		"fault":    {`listen: {to: {any: []}}, foreach: {do: [{b: {raise: {error: {type: urn:x, status: 418}}}}]}`, `urn:x 418 /do/0/a/foreach/do/0/b`},
		"schema":   {`listen: {to: {any: []}}, foreach: {do: [{b: {set: {x: 1}}}], output: {schema: {document: {type: string}}}}`, `validation 400 /do/0/a`},
		"no tasks": {`listen: {to: {any: []}}, foreach: {item: e}`, `[1]`},
		"whole":    {`listen: {to: {one: {with: {type: t.b}}}, read: envelope}, foreach: {do: [{b: {set: {x: '${ $item.id + .type }'}}}]}`, `[{"x":"3t.b"}]`},
		"raw":      {`listen: {to: {one: {with: {type: t.b}}}, read: raw}`, `["3"]`},
	} {
		d := newDriver(t, head+`do: [{a: {`+test.task+`}}]`)
		x := d.start(nil)
		for i, kind := range []string{"t.a", "t.a", "t.b", "t.end"} {
			if !x.Status().Ended() {
				d.arrive(x, kind, i+1, i+1)
			}
		}
		if got := result(x); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
		replay(t, d)
		if name == "forever" && len(x.state.Runs[1].Messages)+len(x.state.Runs[1].Outputs) > 0 {
			t.Errorf("a listener that listens forever retains %+v", x.state.Runs[1])
		}
	}
}

// TestListenWhileTasksRun delivers events while the tasks for an earlier event run: they are handled in order.
func TestListenWhileTasksRun(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {listen: {to: {any: [], until: '(. | length) == 3'}}, foreach: {do: [{b: {call: f.g, with: {v: '${ $item }'}}}]}}}]`)
	x := d.start(nil)
	for i := range 5 {
		d.arrive(x, "t", i, i)
	}
	if calls := x.Calls(); len(calls) != 1 || calls[0].Key != "e1/0/a[0]/0/b" || x.Status() != Running {
		t.Fatalf("%s: %+v", x.Status(), calls)
	}
	snapshot, err := x.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if x, err = RestoreSnapshot(d.def, d.env, snapshot); err != nil {
		t.Fatal(err)
	}
	if got := result(d.finish(x)); got != `[{"v":0},{"v":1},{"v":2}]` {
		t.Errorf("got %s", got)
	}
	if len(d.made) != 3 {
		t.Errorf("calls %v", d.made)
	}
}

// TestCorrelationKeepsDigits: events still correlate by a large integer after the listener was restored from its log.
func TestCorrelationKeepsDigits(t *testing.T) {
	t.Parallel()
	const order = 9007199254740993 // not representable as a float64
	d := newDriver(t, head+`do: [{a: {listen: {to: {all: [{with: {type: t.a}, correlate: {o: {from: .data}}}, {with: {type: t.b}, correlate: {o: {from: .data}}}]}}}}]`)
	x := d.start(nil)
	d.arrive(x, "t.a", order, 1)
	x, err := Restore(d.def, d.env, d.log)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.arrive(x, "t.b", order-1, 2); got != nil {
		t.Errorf("an event with another value was consumed: %+v", got)
	}
	d.arrive(x, "t.b", order, 3)
	if got := result(x); got != `[9007199254740993,9007199254740993]` {
		t.Errorf("got %s", got)
	}
}
