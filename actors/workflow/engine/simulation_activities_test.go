package engine

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// simulatedWorkflow is a workflow that schedules use, with its tasks and its limits.
type simulatedWorkflow struct {
	def *language.Workflow
	// child: only other workflows start it.
	child bool
}

// simulated are the workflows of schedules, by name.
var simulated = func() map[string]simulatedWorkflow {
	all := map[string]simulatedWorkflow{}
	add := func(name, metadata, tasks string) {
		source := "document: {dsl: '1.0.3', namespace: test, name: " + name + ", version: '0.1.0'" + metadata + "}\ndo:\n" + tasks
		def, faults := language.Parse([]byte(source))
		if len(faults) > 0 {
			panic(name + ": " + faults.Error())
		}
		all[name] = simulatedWorkflow{def: def, child: slices.Contains([]string{"child", "slowchild", "costly", "bulky", "endless"}, name)}
	}
	add("steps", "", `
- one: {call: svc.put, with: {n: 1}}
- two: {call: echo, with: {n: 2}}
- three: {call: http, with: {method: post, endpoint: 'https://a.example/x', body: {n: 3}}}
- four: {call: http, with: {method: get, endpoint: 'https://a.example/x'}, metadata: {onUnknown: retry}}
- five: {call: notification.send, with: {subject: hi}}
`)
	add("unknown", "", `
- one: {call: http, with: {method: post, endpoint: 'https://a.example/x', body: {n: 3}}, metadata: {onUnknown: retry}}
- two: {call: svc.put, with: {n: 1}, metadata: {onUnknown: retry}}
`)
	add("short", "", "- a: {call: svc.put}\n- b: {wait: {milliseconds: 50}}\n- c: {call: svc.put}\n- d: {wait: {milliseconds: 300}}\n- e: {call: svc.put}\n")
	add("long", "", "- a: {wait: {seconds: 2}}\n- b: {call: svc.put}\n- c: {wait: {milliseconds: 3500}}\n- d: {call: svc.put}\n")
	add("fork", "", `
- both:
    fork:
      branches:
      - left: {do: [{a: {call: svc.put}}, {w: {wait: {milliseconds: 700}}}]}
      - right: {do: [{b: {call: http, with: {method: post, endpoint: 'https://a.example/x'}}}, {c: {call: svc.put}}]}
- after: {call: svc.put}
`)
	add("race", "", `
- race:
    fork:
      compete: true
      branches:
      - slow: {run: {workflow: {namespace: test, name: slowchild, version: '0.1.0'}}}
      - fast: {do: [{a: {call: svc.put}}, {w: {wait: {milliseconds: 900}}}]}
- after: {call: svc.put}
- rest: {wait: {seconds: 3}}
`)
	add("retry", "", `
- attempt:
    try:
    - ask: {call: svc.flaky}
    - more: {call: svc.flaky}
    catch:
      errors: {with: {status: 500}}
      retry: {delay: {milliseconds: 300}, backoff: {exponential: {}}, limit: {attempt: {count: 3}}}
- after: {call: svc.put}
`)
	add("listen", "", "- a: {call: svc.put}\n- l: {listen: {to: {one: {with: {type: ping}}}}}\n- b: {call: svc.put}\n")
	add("timeout", "", "- l: {listen: {to: {one: {with: {type: never}}}}, timeout: {after: {milliseconds: 1500}}}\n")
	add("parent", "", "- c: {run: {workflow: {namespace: test, name: child, version: '0.1.0', input: {k: a}}}}\n- after: {call: svc.put}\n")
	add("retrychild", "", `
- attempt:
    try:
    - c: {run: {workflow: {namespace: test, name: child, version: '0.1.0'}}}
    catch:
      retry: {delay: {milliseconds: 100}, limit: {attempt: {count: 2}}}
- after: {call: svc.put}
`)
	add("child", "", "- a: {call: svc.put}\n- w: {wait: {milliseconds: 600}}\n- b: {call: svc.put}\n")
	add("slowchild", "", "- a: {call: svc.put}\n- w: {wait: {minutes: 30}}\n- b: {call: svc.put}\n")
	add("spawn", "", "- s: {call: workflow.start, with: {name: child, namespace: test}}\n- b: {call: svc.put}\n")
	add("approve", "", "- q: {call: approval.request, with: {title: ok}}\n- b: {call: svc.put}\n")
	add("narrow", ", metadata: {flow: {concurrency: {limit: 2, key: '${ .k }'}}}", "- a: {call: svc.put}\n- w: {wait: {milliseconds: 400}}\n- b: {call: svc.put}\n")
	add("paced", ", metadata: {flow: {rate: {limit: 2, period: {seconds: 1}}}}", "- a: {call: svc.put}\n")
	add("both", ", metadata: {flow: {concurrency: {limit: 1}, rate: {limit: 2, period: {seconds: 1}, key: '${ .k }'}, priority: '${ .p }'}}",
		"- a: {call: svc.put}\n- w: {wait: {seconds: 1}}\n- b: {call: svc.put}\n")
	add("large", "", "- a: {call: svc.put}\n- b: {call: svc.large}\n- c: {call: svc.put}\n")
	add("deadline", "", "- a: {call: svc.slow, timeout: {after: {milliseconds: 500}}}\n")
	add("slowrace", "", `
- race: {fork: {compete: true, branches: [{slow: {call: svc.slow}}, {fast: {wait: {milliseconds: 300}}}]}}
- after: {call: svc.put}
`)
	add("slowfork", "", `
- both:
    fork:
      branches:
      - slow: {call: svc.slow}
      - waits: {do: [{w: {wait: {milliseconds: 200}}}, {a: {call: svc.put}}]}
      - retries: {try: [{r: {raise: {error: {type: urn:x, status: 418}}}}], catch: {retry: {delay: {milliseconds: 200}, limit: {attempt: {count: 2}}}, do: [{s: {set: {n: 1}}}]}}
`)
	add("slowattempt", "", `
- attempt:
    try: [{a: {call: svc.slow}}]
    catch:
      errors: {with: {status: 408}}
      retry: {delay: {milliseconds: 100}, limit: {attempt: {count: 2, duration: {milliseconds: 400}}}}
      do: [{s: {set: {n: 1}}}]
- after: {call: svc.put}
`)
	add("slownested", "", `
- outer:
    timeout: {after: {milliseconds: 2500}}
    for: {each: i, in: '[1, 2, 3]'}
    do:
    - guarded: {try: [{inner: {timeout: {after: {milliseconds: 700}}, do: [{a: {call: svc.slow}}, {b: {call: svc.put}}]}}], catch: {do: [{c: {call: svc.put}}]}}
`)
	add("slowapprove", "", `
- early: {fork: {compete: true, branches: [{ask: {call: approval.request, with: {title: ok}}}, {fast: {wait: {milliseconds: 80}}}]}}
- late: {fork: {compete: true, branches: [{ask: {call: approval.request, with: {title: ok}}}, {fast: {wait: {milliseconds: 400}}}]}}
- rest: {wait: {minutes: 30}}
`)
	add("slowparent", "", `
- a: {try: [{c: {run: {workflow: {namespace: test, name: slowchild, version: '0.1.0'}}, timeout: {after: {milliseconds: 800}}}}], catch: {do: [{s: {set: {n: 1}}}]}}
- after: {call: svc.put}
`)
	add("costly", "", `
- sum: {for: {each: i, in: '[range(30)]'}, do: [{add: {set: {sum: '${ reduce range(3000) as $x (0; . + $x) }'}}}]}
- rest: {wait: {seconds: 4}}
- after: {call: svc.put, output: {as: $input}}
`)
	add("bulky", "", `
- fill: {set: {sum: '${ "a" * 45000 }'}}
- rest: {wait: {seconds: 4}}
- after: {call: svc.put, output: {as: $input}}
`)
	add("endless", "", `
- loop: {for: {each: i, in: '[range(9000)]'}, do: [{add: {set: {sum: '${ reduce range(3000) as $x (0; . + $x) }'}}}]}
`)
	add("compensate", "", `
- a: {call: svc.put, metadata: {compensate: [{undo: {call: svc.put}}]}}
- w: {wait: {milliseconds: 500}}
- b: {call: svc.flaky}
`)
	return all
}()

// dispatch is the activities' side of a process.
func (p *process) dispatch(ctx context.Context, row Row, call *machine.Call, repeated bool) (any, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w := p.w
	r := w.random("call/" + call.Key)
	if w.profile.FaultyCalls && call.Kind == machine.CallHTTP && r.IntN(8) == 0 {
		return nil, &egress.Error{Kind: egress.KindConnect} // nothing was sent
	}
	done := w.ledger.effect(p, row, call, repeated)
	defer done()
	duration := time.Duration(1+r.IntN(150)) * time.Millisecond
	if w.profile.FaultyCalls && r.IntN(40) == 0 {
		duration = time.Duration(1+r.IntN(3000)) * time.Millisecond
	}
	if call.Function == "svc.slow" {
		duration = time.Duration(900+r.IntN(1000)) * time.Millisecond
	}
	cancelled := ctx.Done()
	answersLate := (call.Function == "svc.slow" || call.External()) && r.IntN(3) == 0 // it does not notice that it is cancelled
	if answersLate {
		cancelled = nil
	}
	CallSent(ctx)
	select {
	case <-time.After(duration):
	case <-cancelled:
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil && !answersLate {
		return nil, ctx.Err()
	}
	switch {
	case call.Kind == machine.CallWorkflow:
		return p.startChild(ctx, row, call)
	case call.Function == machine.FunctionStart:
		started, _, err := p.begin(ctx, order{userID: row.UserID, workflow: "child", id: DerivedID(call.Key), origin: Origin{Kind: OriginWorkflow, ID: row.ID}}, nil)
		return map[string]any{"execution_id": started.ID}, err
	case call.Function == machine.FunctionApproval:
		if !w.store.isOwner(row.Partition, ownerOf(ctx)) { // see HoldPartition
			return nil, errPartitionMoving
		}
		w.store.requestApproval(row.ID, call.ID)
		return nil, ErrExternal
	}
	return p.outcome(r, call, repeated)
}

// outcome draws the result of a call.
func (p *process) outcome(r *rand.Rand, call *machine.Call, repeated bool) (any, error) {
	if !p.w.profile.FaultyCalls {
		return map[string]any{"n": json.Number("1")}, nil
	}
	switch {
	case call.Function == "svc.large": // more than a message of the log has room for, in some schedules
		return map[string]any{"text": strings.Repeat("x", 4000)}, nil
	case call.Function == "svc.flaky" && r.IntN(3) == 0:
		return nil, machine.NewError(machine.TypeCommunication, "simulated")
	case call.Kind == machine.CallFunction && repeated && r.IntN(3) == 0:
		return nil, &subjects.Error{Code: subjects.CodeConflict, Fields: []subjects.FieldError{{Code: subjects.FieldUnknownOutcome}}}
	case call.Function == machine.FunctionNotify && r.IntN(4) == 0:
		return nil, &subjects.Error{Code: subjects.CodeUnavailable}
	case r.IntN(40) == 0:
		return nil, machine.NewError(machine.TypeRuntime, "simulated")
	}
	return map[string]any{"n": json.Number("1")}, nil
}

// order is what an execution is started with, as the actor has it.
type order struct {
	userID, workflow string
	// id is empty for a new one.
	id, input, schedule string
	origin              Origin
	parent, parentCall  string
}

// startChild starts a child as the actor does.
func (p *process) startChild(ctx context.Context, row Row, call *machine.Call) (any, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	o := order{userID: row.UserID, workflow: call.Workflow.Name, id: ChildID(call), origin: Origin{Kind: OriginWorkflow, ID: row.ID}}
	if call.Workflow.Await {
		o.parent, o.parentCall = row.ID, call.ID
	}
	started, _, err := p.begin(ctx, o, nil)
	switch {
	case err != nil:
		return nil, err
	case !call.Workflow.Await:
		return map[string]any{"execution_id": started.ID}, nil
	case !started.Ended():
		return nil, ErrExternal
	}
	if fault := FaultOfRow(started); fault != nil {
		return nil, fault
	}
	return p.engine.Output(json.RawMessage(started.Output))
}

// begin starts an execution as the actor does. started is false where the order's id has an execution already.
func (p *process) begin(ctx context.Context, o order, ended chan Result) (row Row, started bool, err error) {
	if o.input == "" {
		o.input = "{}"
	}
	row = Row{
		ID: o.id, UserID: o.userID, WorkflowID: o.workflow, Version: 1, Name: o.workflow, ConsentID: "c", Input: Packed(o.input),
		Origin: o.origin, ParentID: o.parent, ParentCall: o.parentCall, CreatedAt: time.Now().UnixMicro(),
	}
	if row.Limits, row.Priority, err = definition.LimitsOf(simulated[o.workflow].def, o.workflow, o.input); err != nil {
		return row, false, err
	}
	var number int
	if row.Limits == nil {
		if row.ID == "" {
			row.ID = p.engine.NewExecutionID()
		}
		number = PartitionOf(row.ID)
	} else {
		number = LimitedPartition(o.workflow)
		if row.ID == "" {
			row.ID = IDIn(p.newID(), number)
		}
	}
	if o.id != "" && number != PartitionOf(o.id) {
		if found, known, err := p.known(ctx, o.id, number); err != nil || known {
			return found, false, err
		}
	}
	p.w.ledger.starting(row, o.schedule)
	err = p.engine.Start(ctx, number, row, o.schedule, o.id == "", ended)
	if subjects.CodeOf(err) == subjects.CodeConflict {
		found, known, failed := p.known(ctx, row.ID, number)
		if failed == nil && !known {
			p.w.violatef("%s: a start of %s found its id taken, and no execution has it", p.name, row.ID)
		}
		if failed != nil || known {
			return found, false, failed
		}
	}
	if err == nil {
		p.w.ledger.started(row)
	}
	return row, err == nil, err
}

func (p *process) known(ctx context.Context, id string, number int) (row Row, found bool, err error) {
	row, err = p.engine.Current(ctx, id)
	if IsNotFound(err) && number != PartitionOf(id) {
		row, err = p.engine.CurrentIn(ctx, id, number)
	}
	if IsNotFound(err) {
		return row, false, nil
	}
	return row, err == nil, err
}
