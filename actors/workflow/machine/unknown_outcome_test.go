package machine

import "testing"

// crashedDuringCall returns an execution that was restored after a crash during a call.
func crashedDuringCall(t *testing.T, policy string) (*driver, *Execution) {
	d := newDriver(t, head+`do: [{a: {call: f.g, metadata: {onUnknown: `+policy+`}}}]`)
	x := d.start(nil)
	call := x.Calls()[0]
	if call.Started || call.OnUnknown != policy {
		t.Fatalf("call %+v", call)
	}
	if got := x.Handle(CallUnknown(call.ID, d.now)); got != nil {
		t.Errorf("CallUnknown before CallStarted yielded %v", got)
	}
	d.append(x.Handle(CallStarted(call.ID, d.now)))
	if got := x.Handle(CallStarted(call.ID, d.now)); got != nil || len(d.log) != 4 || d.log[3].Type != "call_started" {
		t.Errorf("after CallStarted: %+v; a second one yielded %v", d.log[len(d.log)-1], got)
	}
	x, err := Restore(d.def, d.env, d.log)
	if err != nil {
		t.Fatal(err)
	}
	if calls := x.Awaited(); len(x.Calls()) > 0 || x.Settled() || len(calls) != 1 || calls[0].ID != call.ID || calls[0].Key != call.Key || !calls[0].Started {
		t.Fatalf("awaited before Continue: %+v", calls)
	}
	if got := x.Continue(d.now); got != nil || !x.Settled() {
		t.Fatalf("Continue yielded %+v, settled %t", got, x.Settled())
	}
	if call := x.Calls()[0]; !call.Started {
		t.Fatalf("restored call %+v", call)
	}
	return d, x
}

func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	d, x := crashedDuringCall(t, "fail")
	if d.append(x.Handle(CallUnknown("1", d.now))); result(x) != TypeUnknown+" 500 /do/0/a" {
		t.Errorf("fail: %s", result(x))
	}
	d, x = crashedDuringCall(t, "retry")
	d.append(x.Handle(CallUnknown("1", d.now)))
	if call := x.Calls()[0]; call.Started || call.Function != "f.g" || call.Key != "e1/0/a" {
		t.Errorf("retry: %+v", call)
	}
	if d.append(x.Handle(CallDone("1", 5, d.now))); result(x) != "5" {
		t.Errorf("retry: %s", result(x))
	}
	for answer, want := range map[string]string{"approve": "5", "reject": TypeUnknown + " 500 /do/0/a"} {
		d, x = crashedDuringCall(t, "ask")
		d.append(x.Handle(CallUnknown("1", d.now)))
		call := x.Calls()[0]
		if !call.External() || call.Function != FunctionApproval || call.Key != "e1/0/a/unknown" || x.Status() != Waiting {
			t.Fatalf("ask: %+v, %s", call, x.Status())
		}
		if got := x.Handle(CallDone("1", 4, d.now)); got != nil {
			t.Errorf("the result of a superseded call yielded %v", got)
		}
		d.append(x.Handle(CallDone(call.ID, map[string]any{"decision": answer}, d.now)))
		if answer == "approve" {
			d.append(x.Handle(CallDone("1", 5, d.now)))
		}
		if result(x) != want {
			t.Errorf("%s: %s, want %s", answer, result(x), want)
		}
		replay(t, d)
	}
}

func TestExternalCalls(t *testing.T) {
	t.Parallel()
	for task, want := range map[string]Status{
		`call: approval.request`: Waiting,
		`call: f.g`:              Running,
		`run: {workflow: {namespace: n, name: w, version: 1.0.0}}`:               Waiting,
		`run: {await: false, workflow: {namespace: n, name: w, version: 1.0.0}}`: Running,
		`fork: {branches: [{b: {call: approval.request}}, {c: {call: f.g}}]}`:    Running,
		`fork: {branches: [{b: {call: approval.request}}, {c: {wait: P1D}}]}`:    Waiting,
	} {
		d := newDriver(t, head+`do: [{a: {`+task+`}}]`)
		x := d.start(nil)
		if x.Status() != want || x.Calls()[0].External() != (want == Waiting || len(x.Calls()) == 2) {
			t.Errorf("%s: %s", task, x.Status())
		}
	}
}
