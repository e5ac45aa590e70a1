package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// logOverhead bounds what a message of the log needs besides its transitions. startOverhead is what most first transitions need
// besides their events, transitionOverhead what the others need, in bytes.
const (
	logOverhead        = 4 << 10
	startOverhead      = 512
	transitionOverhead = 64
)

// entry is one message of a partition's log: the transitions of many executions.
type entry struct {
	// Owner and Batch identify the message, so that an owner can find out whether an append succeeded.
	Owner string `json:"owner"`
	Batch uint64 `json:"batch"`
	// Transitions is empty in the message with which an owner takes the partition over.
	Transitions []transition `json:"transitions"`
}

// transition is what was decided about one execution at once.
type transition struct {
	ID string `json:"id"`
	// Start is set in an execution's first transition.
	Start *Row `json:"start,omitempty"`
	// Watch: the execution's history is published to the feed from now on.
	Watch bool `json:"watch,omitempty"`
	// Suspend: the execution, which has not started, is suspended, or resumed.
	Suspend *bool `json:"suspend,omitempty"`
	// Quarantine: the execution ends with the fault of its last event, whatever state it is in.
	Quarantine bool              `json:"quarantine,omitempty"`
	Events     []json.RawMessage `json:"events,omitempty"`
	// live, for a start under a guard, is asked right before the append.
	live func() bool
}

// head encodes a transition up to its events, as json.Marshal would.
func (t transition) head() ([]byte, error) {
	room := transitionOverhead
	if t.Start != nil {
		room = startOverhead + len(t.Start.Input)
	}
	data := append(append(make([]byte, 0, room), `{"id":"`...), t.ID...)
	data = append(data, '"')
	if t.Start != nil {
		var err error
		if data, err = t.Start.appendStart(append(data, `,"start":`...)); err != nil {
			return nil, fmt.Errorf("encoding a start: %w", err)
		}
	}
	if t.Watch {
		data = append(data, `,"watch":true`...)
	}
	if t.Suspend != nil {
		data = strconv.AppendBool(append(data, `,"suspend":`...), *t.Suspend)
	}
	if t.Quarantine {
		data = append(data, `,"quarantine":true`...)
	}
	return data, nil
}

// appendStart appends the JSON of an execution that starts, as json.Marshal would.
func (e *Row) appendStart(out []byte) ([]byte, error) {
	text := func(name, value string) {
		out = language.AppendText(append(out, name...), value)
	}
	some := func(name, value string) {
		if value != "" {
			text(name, value)
		}
	}
	text(`{"id":`, e.ID)
	text(`,"user_id":`, e.UserID)
	some(`,"chosen_id":`, e.ChosenID)
	text(`,"workflow_id":`, e.WorkflowID)
	out = strconv.AppendInt(append(out, `,"version":`...), int64(e.Version), 10)
	text(`,"name":`, e.Name)
	text(`,"consent_id":`, e.ConsentID)
	if e.Authority.Restricted() {
		authority, err := json.Marshal(e.Authority)
		if err != nil {
			return nil, err
		}
		out = append(append(out, `,"authority":`...), authority...)
	}
	if e.Priority != 0 {
		out = strconv.AppendInt(append(out, `,"priority":`...), int64(e.Priority), 10)
	}
	if e.Limits != nil {
		limits, err := json.Marshal(e.Limits)
		if err != nil {
			return nil, err
		}
		out = append(append(out, `,"limits":`...), limits...)
	}
	if e.Origin != (Origin{}) {
		origin, err := json.Marshal(e.Origin)
		if err != nil {
			return nil, err
		}
		out = append(append(out, `,"origin":`...), origin...)
	}
	some(`,"parent_id":`, e.ParentID)
	some(`,"parent_call":`, e.ParentCall)
	text(`,"input":`, string(e.Input))
	some(`,"attributes":`, e.Attributes)
	some(`,"trace":`, e.Trace)
	return append(strconv.AppendInt(append(out, `,"created_at":`...), e.CreatedAt, 10), '}'), nil
}

// size bounds the bytes of a transition in a message of the log.
func (t *pendingTransition) size() int {
	return len(t.head) + len(`,"events":[]},`) + rawBytes(t.raw) + len(t.raw)
}

// appendEntry appends an encoded message to data.
func appendEntry(data []byte, owner string, batch uint64, transitions []pendingTransition) []byte {
	size := logOverhead
	for i := range transitions {
		size += transitions[i].size()
	}
	data = append(append(slices.Grow(data, size), `{"owner":"`...), owner...)
	data = strconv.AppendUint(append(data, `","batch":`...), batch, 10)
	data = append(data, `,"transitions":[`...)
	for i := range transitions {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, transitions[i].head...)
		if len(transitions[i].raw) > 0 {
			data = append(data, `,"events":[`...)
			for n, event := range transitions[i].raw {
				if n > 0 {
					data = append(data, ',')
				}
				data = append(data, event...)
			}
			data = append(data, ']')
		}
		data = append(data, '}')
	}
	return append(data, "]}"...)
}

// encodeEvents encodes events, into one buffer where they fit.
func encodeEvents(events []machine.Event) []json.RawMessage {
	raw := make([]json.RawMessage, len(events))
	buffer := make([]byte, 0, min(len(events), manyEvents)*eventSizeHint)
	for i := range events {
		if cap(buffer)-len(buffer) < eventSizeHint { // those of earlier events stay where they are
			buffer = make([]byte, 0, min(len(events)-i, manyEvents)*eventSizeHint)
		}
		start := len(buffer)
		buffer = events[i].AppendJSON(buffer)
		raw[i] = buffer[start:len(buffer):len(buffer)]
	}
	return raw
}

const (
	// eventSizeHint is what most events need, in bytes.
	eventSizeHint = 256
	// manyEvents is for how many events memory is allocated at once: what one of them holds until SQL has it is not much more than its size.
	manyEvents = 64
)

// DecodeEvents decodes events.
func DecodeEvents(raw []json.RawMessage) ([]machine.Event, error) {
	events := make([]machine.Event, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &events[i]); err != nil {
			return nil, fmt.Errorf("decoding an event: %w", err)
		}
	}
	return events, nil
}

// joinEvents joins encoded events to a JSON list.
func joinEvents(raw []json.RawMessage) string {
	size := 2
	for _, event := range raw {
		size += len(event) + 1
	}
	var list strings.Builder
	list.Grow(size)
	list.WriteByte('[')
	for i, event := range raw {
		if i > 0 {
			list.WriteByte(',')
		}
		list.Write(event)
	}
	list.WriteByte(']')
	return list.String()
}
