package machine

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

const saga = head + `do:
- flight: {call: book.flight, with: {n: 1}, output: {as: .n}, metadata: {compensate: [{noFlight: {call: cancel.flight, with: {was: '${ $compensate.output }', of: '${ $compensate.input.q }'}}}]}}
- each: {for: {in: '[1, 2]'}, do: [{hotel: {call: book.hotel, metadata: {compensate: [{noHotel: {call: cancel.hotel}}, {after: {call: cancel.more}}]}}}]}
- late: {call: book.late}
`

func sagaDriver(t *testing.T, fails ...string) (*driver, *[]string) {
	d := newDriver(t, saga)
	var made []string
	d.reply = func(call *Call) (any, *Error) {
		made = append(made, strings.TrimSpace(call.Function+" "+language.Text(call.Arguments["was"])+language.Text(call.Arguments["of"])))
		for _, name := range fails {
			if call.Function == name {
				return nil, NewError(TypeCommunication, "down")
			}
		}
		return call.Arguments, nil
	}
	return d, &made
}

func TestCompensation(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fails      []string
		want, ends string
	}{
		"nothing fails": {nil, "book.flight, book.hotel, book.hotel, book.late", "completed"},
		"reverse order": {[]string{"book.late"}, "book.flight, book.hotel, book.hotel, book.late, cancel.hotel, cancel.more, cancel.hotel, cancel.more, cancel.flight 17",
			"communication 500 /do/2/late"},
		"one compensation fails": {[]string{"book.late", "cancel.hotel"}, "book.flight, book.hotel, book.hotel, book.late, cancel.hotel, cancel.hotel, cancel.flight 17",
			"communication 500 /do/2/late"},
		"nothing completed": {[]string{"book.flight"}, "book.flight", "communication 500 /do/0/flight"},
		"some completed":    {[]string{"book.hotel"}, "book.flight, book.hotel, cancel.flight 17", "communication 500 /do/1/each/do/0/hotel"},
	} {
		d, made := sagaDriver(t, test.fails...)
		x := d.run(map[string]any{"q": 7})
		ends := result(x)
		if x.Status() == Completed {
			ends = string(Completed)
		}
		if got := strings.Join(*made, ", "); got != test.want || ends != test.ends {
			t.Errorf("%s: %s after the calls\n%s\nwant\n%s", name, ends, got, test.want)
		}
		replay(t, d)
	}
}

func TestCompensationOfACancelledExecution(t *testing.T) {
	t.Parallel()
	d, made := sagaDriver(t)
	x := d.start(map[string]any{"q": 7})
	d.step(x)
	if calls := x.Calls(); len(calls) != 1 || calls[0].Function != "book.hotel" {
		t.Fatalf("calls %+v", calls)
	}
	d.append(x.Handle(Cancel("enough", d.now)))
	if !x.Compensating() || x.Status() != Running || x.Calls()[0].Function != "cancel.flight" {
		t.Fatalf("after Cancel: status %s, compensating %v", x.Status(), x.Compensating())
	}
	if got := x.Handle(Cancel("again", d.now)); got != nil {
		t.Errorf("a second Cancel yielded %v", got)
	}
	snapshot, err := x.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if x, err = RestoreSnapshot(d.def, d.env, snapshot); err != nil {
		t.Fatal(err)
	}
	if d.finish(x); x.Status() != Cancelled || d.log[len(d.log)-1].Reason != "enough" {
		t.Errorf("status %s, last event %+v", x.Status(), d.log[len(d.log)-1])
	}
	if got := strings.Join(*made, ", "); got != "book.flight, cancel.flight 17" {
		t.Errorf("calls: %s", got)
	}
	runs := Tasks(d.log)
	if last := runs[len(runs)-1]; last.Name != "noFlight" || last.Status != TaskStatusCompleted || runs[1].Status != TaskStatusCancelled {
		t.Errorf("history %+v", runs)
	}
	d, made = sagaDriver(t)
	x = d.start(map[string]any{"q": 7})
	d.step(x)
	if d.append(x.Handle(Terminate("now", d.now))); x.Status() != Cancelled || len(*made) != 1 {
		t.Errorf("after Terminate: status %s, calls %v", x.Status(), *made)
	}
}

func TestCompensationIsValidated(t *testing.T) {
	t.Parallel()
	for metadata, want := range map[string]string{
		`{compensate: [{b: {set: {x: '${ $nothing }'}}}]}`:          language.CodeExpression,
		`{compensate: [{b: {set: {x: 1}, then: c}}]}`:               language.CodeReference,
		`{compensate: {b: {set: {x: 1}}}}`:                          language.CodeType,
		`{onUnknown: maybe}`:                                        language.CodeValue,
		`{compensate: [{b: {run: {shell: {command: ls}}}}]}`:        language.CodeUnsupported,
		`{compensate: [{b: {set: {x: '${ $compensate.input }'}}}]}`: "",
		`{anything: else, onUnknown: ask}`:                          "",
	} {
		w, faults := language.Parse([]byte(head + `do: [{a: {set: {x: 1}, metadata: ` + metadata + `}}]`))
		if w != nil {
			faults = w.Unsupported()
		}
		got := ""
		if len(faults) > 0 {
			got = faults[0].Code
		}
		if got != want {
			t.Errorf("%s: %v, want %q", metadata, faults, want)
		}
	}
}
