package machine

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// drawValue draws a JSON value.
func drawValue(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 6).Draw(t, "kind"); {
	case kind == 0:
		return nil
	case kind == 1:
		return rapid.Bool().Draw(t, "bool")
	case kind == 2:
		return rapid.Int().Draw(t, "int")
	case kind == 3 && depth > 0:
		object := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "size") {
			object[rapid.String().Draw(t, "key")] = drawValue(t, depth-1)
		}
		return object
	case kind == 4 && depth > 0:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "size") {
			list = append(list, drawValue(t, depth-1))
		}
		return list
	}
	return rapid.String().Draw(t, "string")
}

// drawEvent draws an event with any combination of fields.
func drawEvent(t *rapid.T) Event {
	text := func(name string) string {
		if rapid.Bool().Draw(t, name+" set") {
			return rapid.String().Draw(t, name)
		}
		return ""
	}
	value := func(name string) Value {
		if rapid.Bool().Draw(t, name+" set") {
			return ValueOf(drawValue(t, 2))
		}
		return Value{}
	}
	instant := func(name string) *time.Time {
		if !rapid.Bool().Draw(t, name+" set") {
			return nil
		}
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, name), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
		return &at
	}
	number := rapid.IntRange(-1, 5)
	event := Event{
		Version: number.Draw(t, "version"), Sequence: rapid.Uint64().Draw(t, "sequence"), Type: EventType(text("type")), Execution: text("execution"),
		Run: number.Draw(t, "run"), Parent: number.Draw(t, "parent"), Slot: number.Draw(t, "slot"), Task: text("task"), Name: text("name"), Key: text("key"),
		Attempt: number.Draw(t, "attempt"), Index: number.Draw(t, "index"), Extension: text("extension"), Input: value("input"), Data: value("data"),
		Output: value("output"), Context: value("context"), Items: value("items"), Then: text("then"), Due: instant("due"), Deadline: instant("deadline"),
		AttemptDue: instant("attempt"), Timer: text("timer"), Message: value("message"), Filters: rapid.SliceOfN(number, 0, 3).Draw(t, "filters"),
		MessageID: text("message id"), Reason: text("reason"), Size: number.Draw(t, "size"), Steps: number.Draw(t, "steps"),
	}
	if at := instant("at"); at != nil {
		event.At = *at
	}
	if rapid.Bool().Draw(t, "definition") {
		event.Definition = &Definition{Namespace: text("namespace"), Name: text("workflow"), Version: text("version"), Digest: text("digest")}
	}
	if rapid.Bool().Draw(t, "error") {
		event.Error = &Error{Type: text("error type"), Status: number.Draw(t, "status"), Title: text("title"), Detail: text("detail"), Instance: text("instance"), Outcome: text("outcome")}
	}
	for range rapid.IntRange(0, 2).Draw(t, "interrupted") {
		event.Interrupted = append(event.Interrupted, InterruptedCall{number.Draw(t, "run"), text("task"), text("key"), text("outcome")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "correlation") {
		if event.Correlation == nil {
			event.Correlation = map[string]any{}
		}
		event.Correlation[rapid.String().Draw(t, "correlation key")] = drawValue(t, 1)
	}
	return event
}

// TestAppendJSONOfRandomEvents: AppendJSON writes what json.Marshal writes for the plain struct, and the result decodes to
// the same encoding.
func TestAppendJSONOfRandomEvents(t *testing.T) {
	t.Parallel()
	type plain Event
	rapid.Check(t, func(t *rapid.T) {
		event := drawEvent(t)
		got := event.AppendJSON(nil)
		if want := language.Canonical(plain(event)); !bytes.Equal(got, want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		var decoded Event
		if err := json.Unmarshal(got, &decoded); err != nil {
			t.Fatalf("decoding %s: %v", got, err)
		}
		if again := decoded.AppendJSON(nil); !bytes.Equal(again, got) {
			t.Fatalf("decoded and encoded again as %s\nwant %s", again, got)
		}
	})
}

// TestSuspendingChangesNothing suspends and resumes a random execution at random points, and delivers outcomes twice: the
// result is the same.
func TestSuspendingChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		// The clock does not advance between Suspend and Resume, so timers are not reordered.
		source := head + "do: " + (&replayGenerator{t: r}).list(2, 3)
		d := newDriver(t, source)
		d.reply = answer
		want := result(d.run(map[string]any{"n": 1}))
		again := newDriver(t, source)
		again.reply = answer
		x := again.start(map[string]any{"n": 1})
		for steps := 0; steps < 1000 && !x.Status().Ended(); steps++ {
			if rapid.IntRange(0, 4).Draw(r, "suspend") == 0 {
				again.append(x.Handle(Suspend("test", again.now)))
				if len(x.Calls())+len(x.Timers()) > 0 {
					r.Fatalf("a suspended execution has outstanding calls or timers\n%s", source)
				}
				if got := x.Handle(Suspend("test", again.now)); got != nil {
					r.Fatalf("a second Suspend yielded %v", got)
				}
				again.append(x.Handle(Resume(again.now)))
			}
			calls := x.Calls()
			if !again.step(x) {
				break
			}
			if len(calls) > 0 && again.done[calls[0].ID] {
				if got := x.Handle(CallDone(calls[0].ID, 1, again.now)); got != nil {
					r.Fatalf("a second result of %s yielded %v", calls[0].Key, got)
				}
			}
		}
		if got := result(x); got != want {
			r.Fatalf("got %s, want %s\n%s", got, want, source)
		}
	})
}

// TestTerminateEndsEverything terminates a random execution at a random point: it ends, and nothing is outstanding or running.
func TestTerminateEndsEverything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		source := head + "do: " + (&replayGenerator{t: r}).list(2, 3)
		d := newDriver(t, source)
		d.reply = answer
		x := d.start(map[string]any{"n": 1})
		for range rapid.IntRange(0, 20).Draw(r, "steps") {
			if x.Status().Ended() || !d.step(x) {
				break
			}
		}
		ended := x.Status().Ended()
		d.append(x.Handle(Terminate("test", d.now)))
		if !ended && x.Status() != Cancelled || len(x.Calls())+len(x.Timers())+len(x.Listeners())+len(x.Awaited()) > 0 || x.EndedAt().IsZero() {
			r.Fatalf("status %s, %d calls\n%s", x.Status(), len(x.Calls()), source)
		}
		for _, run := range Tasks(d.log) {
			if run.Status == TaskStatusRunning || run.EndedAt.IsZero() {
				r.Fatalf("%s is %s\n%s", run.Key, run.Status, source)
			}
		}
		if got := x.Continue(d.now); got != nil {
			r.Fatalf("a cancelled execution decided %v", got)
		}
	})
}

// TestTransitionsAreBounded: a transition of many events is split, and Continue decides the rest.
func TestTransitionsAreBounded(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {for: {in: '[range(3000)]'}, do: [{b: {set: {x: 1}}}]}}]`)
	x, events := Start(d.def, "e1", map[string]any{}, d.now, d.env)
	transitions, total := 1, len(events)
	for !x.Settled() {
		if len(events) != MaxTransition {
			t.Fatalf("transition %d has %d events, want %d", transitions, len(events), MaxTransition)
		}
		if x.Status() != Running {
			t.Fatalf("status %s within a transition", x.Status())
		}
		events = x.Continue(d.now)
		transitions, total = transitions+1, total+len(events)
	}
	if x.Status() != Completed || transitions != 5 || total != 2+2+3000*3 {
		t.Errorf("status %s after %d transitions of %d events", x.Status(), transitions, total)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	branches := make([]string, MaxOpen+1)
	for i := range branches {
		branches[i] = "{b" + language.Text(i) + ": {wait: PT1S}}"
	}
	d := newDriver(t, head+"do: [{a: {fork: {branches: ["+strings.Join(branches, ", ")+"]}}}]")
	if got := result(d.run(nil)); got != "runtime 500 /do/0/a" {
		t.Errorf("too many open runs: %s", got)
	}
	d = newDriver(t, head+`do: [{a: {listen: {to: {any: [], until: '${ length > 100000 }'}}}}]`)
	x := d.start(nil)
	for i := range MaxMessages + 1 {
		x.Handle(EventArrived(map[string]any{"type": "t", "id": language.Text(i), "data": i}, d.now))
	}
	if got := result(x); got != "runtime 500 /do/0/a" {
		t.Errorf("too many messages: %s", got)
	}
	d = newDriver(t, head+`do: [{a: {try: [{b: {call: f.g}}], catch: {retry: {delay: P10Y}}}}]`)
	d.reply = func(*Call) (any, *Error) { return nil, NewError(TypeCommunication, "down") }
	x = d.start(nil)
	d.step(x)
	if timers := x.Timers(); len(timers) != 1 || timers[0].At.Sub(d.now) != MaxRetryDelay {
		t.Errorf("timers %v", timers)
	}
}
