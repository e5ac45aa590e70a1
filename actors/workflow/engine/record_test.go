package engine

import (
	"encoding/json"
	"reflect"
	"testing"
	"testing/quick"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// TestEntryEncoding compares the encoder of messages with encoding/json, for any content.
func TestEntryEncoding(t *testing.T) {
	t.Parallel()
	roundTrip := func(id, user, workflow, name, consent, origin, parent, call, input, attributes, trace, owner string, version, priority int, created int64,
		watch bool, types []string, limit uint16,
	) bool {
		row := Row{ID: id, UserID: user, WorkflowID: workflow, Version: version, Name: name, ConsentID: consent, Priority: priority,
			Origin: Origin{Kind: OriginKind(origin), ID: origin}, ParentID: parent, ParentCall: call, Input: Packed(input), Attributes: attributes, Trace: trace, CreatedAt: created}
		if limit%2 == 0 {
			row.Limits = &definition.Limits{ConcurrencyKey: input, MaxConcurrent: int(limit)}
		}
		events := make([]machine.Event, len(types))
		for i, kind := range types {
			events[i] = machine.Event{Type: machine.EventType(kind), Sequence: uint64(i), Task: kind}
		}
		raw := encodeEvents(events)
		whole := entry{Owner: "o", Batch: uint64(limit), Transitions: []transition{{ID: "i", Start: &row, Watch: watch, Events: raw}, {ID: "j"}, {}}}
		want, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		pendings := make([]pendingTransition, len(whole.Transitions))
		for i, one := range whole.Transitions {
			head, err := one.head()
			if err != nil {
				t.Fatal(err)
			}
			pendings[i] = pendingTransition{head: head, raw: one.Events}
		}
		data := appendEntry(nil, whole.Owner, whole.Batch, pendings)
		var got, meant entry
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		if err := json.Unmarshal(want, &meant); err != nil {
			t.Fatal(err)
		}
		gotTransitions, gotEvents := plain(t, got)
		wantTransitions, wantEvents := plain(t, meant)
		if !reflect.DeepEqual(gotTransitions, wantTransitions) || !reflect.DeepEqual(gotEvents, wantEvents) {
			t.Errorf("read %+v from %s, want %+v", got, data, meant)
			return false
		}
		return true
	}
	if err := quick.Check(roundTrip, nil); err != nil {
		t.Error(err)
	}
}

// plain is an entry whose events are values: json.Marshal writes <, > and & of a text in another way than encodeEvents does.
func plain(t *testing.T, e entry) (whole entry, events [][]any) {
	t.Helper()
	for i, one := range e.Transitions {
		values := make([]any, len(one.Events))
		for k, raw := range one.Events {
			if err := json.Unmarshal(raw, &values[k]); err != nil {
				t.Fatal(err)
			}
		}
		events = append(events, values)
		e.Transitions[i].Events = nil
	}
	return e, events
}
