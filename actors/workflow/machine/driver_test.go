package machine

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// driver runs executions to their end: it keeps the log, answers the calls, and advances its clock to the next timer.
type driver struct {
	t     testing.TB
	def   *language.Workflow
	env   Environment
	now   time.Time
	log   []Event
	made  []string // keys of calls in the order they were made
	done  map[string]bool
	reply func(*Call) (any, *Error)
	// took is how long a call takes; nil: no time.
	took func(*Call) time.Duration
	// slices draws the bounds of each call; nil: none are set.
	slices func(repeated bool) Slice
	// messages arrive when the execution waits for events and no call is outstanding.
	messages []map[string]any
}

// fixed returns constant secrets.
func fixed(secrets map[string]any) func() (map[string]any, error) {
	return func() (map[string]any, error) { return secrets, nil }
}

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func newDriver(t testing.TB, source string) *driver {
	t.Helper()
	def, faults := language.Parse([]byte(source))
	if len(faults) > 0 {
		t.Fatalf("parsing: %v", faults)
	}
	return &driver{t: t, def: def, now: epoch, done: map[string]bool{},
		reply: func(call *Call) (any, *Error) {
			if call.Kind == CallEmit {
				return call.Message, nil
			}
			return call.Arguments, nil
		}}
}

func (d *driver) start(input any) *Execution {
	x, events := StartWithin(d.slice(false), d.def, "e1", language.Normalize(input), d.now, d.env)
	for x == nil {
		x, events = StartWithin(d.slice(true), d.def, "e1", language.Normalize(input), d.now, d.env)
	}
	d.append(events)
	return x
}

// slice draws the bounds of a call; a strict slice that did not suffice is repeated with another.
func (d *driver) slice(repeated bool) Slice {
	if d.slices == nil {
		return Slice{}
	}
	return d.slices(repeated)
}

// handle passes an outcome to the machine until it is recorded.
func (d *driver) handle(x *Execution, outcome Outcome) []Event {
	d.t.Helper()
	if d.slices == nil {
		return x.Handle(outcome)
	}
	for !x.Settled() {
		d.append(d.proceed(x))
	}
	before := stateOf(d.t, x)
	for repeated := false; ; repeated = true {
		x.SetSlice(d.slice(repeated))
		events := x.Handle(outcome)
		if !x.Deferred() {
			return events
		}
		if after := stateOf(d.t, x); events != nil || !bytes.Equal(before, after) {
			d.t.Fatalf("an outcome that was not recorded changed the state from\n%s\nto\n%s", before, after)
		}
	}
}

func stateOf(t testing.TB, x *Execution) []byte {
	t.Helper()
	snapshot, err := x.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// proceed continues a transition that was split; it returns no events only when everything is decided.
func (d *driver) proceed(x *Execution) []Event {
	for repeated := false; ; repeated = true {
		x.SetSlice(d.slice(repeated))
		events := x.Continue(d.now)
		if len(events) > 0 || x.Settled() {
			return events
		}
	}
}

// append adds events to the log after encoding and decoding them as a store does.
func (d *driver) append(events []Event) {
	d.t.Helper()
	for _, event := range events {
		if len(d.log) < 5000 { // encoding the whole log of an endless execution would be slow
			event = stored(d.t, event)
		}
		d.log = append(d.log, event)
	}
}

func stored(t testing.TB, event Event) Event {
	t.Helper()
	data, err := json.Marshal(event)
	if err != nil {
		t.Fatalf("encoding an event: %v", err)
	}
	var back Event
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatalf("decoding the event %s: %v", data, err)
	}
	return back
}

// step performs one outstanding action and reports whether there was any.
func (d *driver) step(x *Execution) bool {
	d.t.Helper()
	if events := d.proceed(x); len(events) > 0 {
		d.append(events)
		return true
	}
	call, at := d.nextCall(x)
	if call != nil && !at.After(d.now) {
		d.call(x, call)
		return true
	}
	if call == nil && len(x.Listeners()) > 0 && len(d.messages) > 0 {
		message := d.messages[0]
		d.messages = d.messages[1:]
		d.append(d.handle(x, EventArrived(message, d.now)))
		return true
	}
	timers := x.Timers()
	if call != nil && !slices.ContainsFunc(timers, func(t Timer) bool { return t.At.Before(at) }) {
		d.now = at
		d.call(x, call)
		return true
	}
	if len(timers) == 0 {
		return false
	}
	first := slices.MinFunc(timers, func(a, b Timer) int { return a.At.Compare(b.At) })
	if first.At.After(d.now) {
		d.now = first.At
	}
	d.append(d.handle(x, TimerDue(first.ID, d.now)))
	return true
}

// nextCall is the outstanding call that is over first, and when it is; nil where no call is outstanding. A call that was made before a
// restart is still in flight.
func (d *driver) nextCall(x *Execution) (next *Call, at time.Time) {
	for _, call := range x.Calls() {
		over := d.now
		if d.took != nil {
			for i := range d.log {
				if d.log[i].Type == CallScheduled && strconv.Itoa(d.log[i].Run) == call.ID {
					over = d.log[i].At.Add(d.took(call))
				}
			}
		}
		if next == nil || over.Before(at) {
			next, at = call, over
		}
	}
	return next, at
}

func (d *driver) call(x *Execution, call *Call) {
	d.t.Helper()
	if d.done[call.ID] {
		d.t.Fatalf("the call %s of %s is outstanding after its result was recorded", call.ID, call.Key)
	}
	output, failure := (any)(nil), call.Fault
	if failure == nil {
		d.made = append(d.made, call.Key)
		output, failure = d.reply(call)
	}
	outcome := CallDone(call.ID, output, d.now)
	if failure != nil {
		outcome = CallFault(call.ID, failure, d.now)
	}
	events := d.handle(x, outcome)
	if len(events) == 0 {
		d.t.Fatalf("the outcome of the call %s yielded no events", call.ID)
	}
	d.append(events)
	d.done[call.ID] = true
}

func (d *driver) finish(x *Execution) *Execution {
	d.t.Helper()
	for range 100_000 {
		if x.Status().Ended() {
			return x
		}
		if !d.step(x) {
			return x
		}
	}
	d.t.Fatal("the execution did not end within 100,000 steps")
	return nil
}

func (d *driver) run(input any) *Execution {
	d.t.Helper()
	return d.finish(d.start(input))
}
