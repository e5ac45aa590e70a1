package machine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// TestLifecycleTypes: which lifecycle events a definition may receive follows from the types that its filters name.
func TestLifecycleTypes(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]int{
		`do: [{a: {set: {x: 1}}}]`:                                                                                                   0,
		`do: [{a: {listen: {to: {any: []}}}}]`:                                                                                       0,
		`do: [{a: {listen: {to: {one: {with: {source: x}}}}}}]`:                                                                      0,
		`do: [{a: {listen: {to: {one: {with: {type: io.serverlessworkflow.workflow.started.v1}}}}}}]`:                                1,
		`do: [{a: {listen: {to: {one: {with: {type: io.serverlessworkflow.workflow.absent.v1}}}}}}]`:                                 0,
		`do: [{a: {listen: {to: {any: [{with: {type: x}}], until: {one: {with: {type: 'io\.serverlessworkflow\.task\..*'}}}}}}}]`:    8,
		`do: [{a: {do: [{b: {listen: {to: {all: [{with: {type: '${ endswith("workflow.faulted.v1") }'}}]}}}}]}}]`:                    1,
		`do: [{a: {listen: {to: {one: {with: {type: '${ . == $input.t }'}}}}}}]`:                                                     16,
		"schedule: {on: {one: {with: {type: io.serverlessworkflow.workflow.completed.v1}}}}\ndo: [{a: {set: {x: 1}}}]":               1,
		"schedule: {on: {any: [{with: {type: a}}], until: {all: [{with: {type: 'io[.].*cancelled.*'}}]}}}\ndo: [{a: {set: {x: 1}}}]": 2,
	} {
		def := newDriver(t, head+source).def
		if got := LifecycleTypes(def); len(got) != want || !slices.IsSorted(got) {
			t.Errorf("%s: %v, want %d", source, got, want)
		}
	}
}

// kindsOf lists the lifecycle events of a history, without the common prefix and the version.
func kindsOf(events []map[string]any) (kinds []string) {
	for _, event := range events {
		data, _ := event["data"].(map[string]any)
		kind, _ := event["type"].(string)
		task, _ := data["task"].(string)
		kinds = append(kinds, strings.TrimSuffix(strings.TrimPrefix(kind, lifecyclePrefix), ".v1")+task)
	}
	return kinds
}

// TestLifecycleEvents: the events of a history, with the data that the specification requires.
func TestLifecycleEvents(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`do: [{a: {set: {x: 1}}}]`:                                "workflow.started task.created/do/0/a task.started/do/0/a task.completed/do/0/a workflow.completed",
		`do: [{a: {raise: {error: {type: urn:x, status: 418}}}}]`: "workflow.started task.created/do/0/a task.started/do/0/a task.faulted/do/0/a workflow.faulted",
		`do: [{a: {try: [{b: {raise: {error: {type: urn:x, status: 418}}}}], catch: {retry: {limit: {attempt: {count: 1}}}}}}]`: "workflow.started task.created/do/0/a task.started/do/0/a " +
			"task.created/do/0/a/try/0/b task.started/do/0/a/try/0/b task.faulted/do/0/a/try/0/b task.retried/do/0/a " +
			"task.created/do/0/a/try/0/b task.started/do/0/a/try/0/b task.faulted/do/0/a/try/0/b task.faulted/do/0/a workflow.faulted",
		`do: [{a: {listen: {to: {one: {with: {type: x}}}}}}]`: "workflow.started task.created/do/0/a task.started/do/0/a workflow.correlation-started workflow.correlation-completed task.completed/do/0/a workflow.completed",
		// A definition that receives lifecycle events publishes none that its tasks cause.
		`do: [{a: {listen: {to: {any: [{with: {type: x}}, {with: {type: io.serverlessworkflow.workflow.started.v1}}]}}}}]`: "workflow.started workflow.completed",
	} {
		d := newDriver(t, head+source)
		d.messages = []map[string]any{{"id": "1", "source": "s", "type": "x"}}
		x := d.start(map[string]any{})
		d.finish(x)
		made := (&Lifecycle{Def: d.def, Execution: "e1"}).Of(d.log)
		if got := strings.Join(kindsOf(made), " "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", source, got, want)
		}
		again := (&Lifecycle{Def: d.def, Execution: "e1"}).Of(d.log)
		if !bytes.Equal(language.Canonical(made), language.Canonical(again)) {
			t.Errorf("%s: the events differ the second time", source)
		}
	}
}

func TestLifecycleData(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {wait: PT1H}}]`)
	x := d.start(map[string]any{})
	for _, outcome := range []Outcome{Suspend("", epoch), Resume(epoch), Cancel("", epoch)} {
		d.append(x.Handle(outcome))
	}
	lifecycle := &Lifecycle{Def: d.def, Execution: "e1", Open: func(sequence uint64) []TaskRun {
		return slices.DeleteFunc(Tasks(d.log[:sequence-1]), func(run TaskRun) bool { return run.Status != TaskStatusRunning })
	}}
	made := lifecycle.Of(d.log)
	const want = "workflow.started task.created/do/0/a task.started/do/0/a workflow.suspended task.suspended/do/0/a workflow.resumed " +
		"task.resumed/do/0/a task.cancelled/do/0/a workflow.cancelled"
	if got := strings.Join(kindsOf(made), " "); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	const started = `{"data":{"definition":{"name":"sample","namespace":"test","version":"0.1.0"},"name":"sample-e1.test","startedAt":"2026-11-01T12:00:00Z"},` +
		`"datacontenttype":"application/json","id":"1-io.serverlessworkflow.workflow.started.v1","source":"urn:weft:execution:e1","specversion":"1.0",` +
		`"subject":"e1","time":"2026-11-01T12:00:00Z","type":"io.serverlessworkflow.workflow.started.v1"}`
	if got := string(language.Canonical(made[0])); got != started {
		t.Errorf("got %s", got)
	}
	ids := map[any]bool{}
	for _, event := range made {
		ids[event["id"]] = true
	}
	if len(ids) != len(made) {
		t.Errorf("%d ids of %d events", len(ids), len(made))
	}
}

// TestLifecycleReachesOnlyFiltersWithAType: a listener or a schedule that takes every event takes no lifecycle events, and an
// execution takes none of its own.
func TestLifecycleReachesOnlyFiltersWithAType(t *testing.T) {
	t.Parallel()
	event := func(execution string) map[string]any {
		return map[string]any{"id": "1", "source": lifecycleSource + execution, "subject": execution, "type": lifecycleStarted, "data": map[string]any{}}
	}
	for to, want := range map[string]bool{
		`{any: []}`: false, `{one: {with: {source: '.*'}}}`: false, `{one: {with: {type: '.*'}}}`: true,
		`{any: [{with: {type: x}}], until: {any: []}}`: false, `{any: [], until: {one: {with: {type: ` + lifecycleStarted + `}}}}`: true,
	} {
		d := newDriver(t, head+`do: [{a: {listen: {to: `+to+`}}}]`)
		x := d.start(nil)
		if got := x.Listeners()[0].Wants(event("other")); got != want {
			t.Errorf("%s: %v", to, got)
		}
		if x.Listeners()[0].Wants(event("e1")) {
			t.Errorf("%s: the execution takes its own", to)
		}
		scheduled := newDriver(t, head+`schedule: {on: `+to+"}\ndo: [{a: {set: {x: 1}}}]").def
		if !CorrelatesEvents(scheduled) {
			if _, starts, err := Trigger(scheduled, event("other"), epoch); starts != want || err != nil {
				t.Errorf("schedule %s: %v", to, starts)
			}
		}
	}
}

// TestEventNamespaces: which extensions' events a definition may receive, by the types that its schedule and listeners name.
func TestEventNamespaces(t *testing.T) {
	t.Parallel()
	for types, want := range map[string]string{
		"order.placed": "", "ext.acme.ordered": "acme", "ext.acme.ordered ext.b-2.paid ext.acme.paid": "acme b-2", "ext.acme.(a.b)": "acme", "ext.acme.*": "acme",
		"ext.*": "*", "ext.(acme.a|b.b)": "*", ".*": "*", "ext.acme": "", "ext.acme.a ext..*": "*", "${.==\"x\"}": "*", "ext.a[cm]*e.x": "*", "": "*",
	} {
		text := "document: {dsl: '1.0.3', namespace: test, name: events, version: '1.0.0'}\ndo:\n"
		for i, kind := range strings.Fields(types + " ") {
			text += fmt.Sprintf("- wait%d: {listen: {to: {one: {with: {type: '%s'}}}}}\n", i, kind)
		}
		if types == "" {
			text += "- wait: {listen: {to: {one: {with: {source: /x}}}}}\n"
		}
		def, faults := language.Parse([]byte(text))
		if len(faults) > 0 {
			t.Fatalf("%s: %v", text, faults)
		}
		if got := strings.Join(EventNamespaces(def, "ext."), " "); got != want {
			t.Errorf("%q: %q, want %q", types, got, want)
		}
	}
}
