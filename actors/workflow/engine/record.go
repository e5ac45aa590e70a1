package engine

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// logRoom is what a message of the log needs besides its turns, turnRoom what most first turns need besides their events, and
// headRoom what the others do.
const (
	logOverhead        = 4 << 10
	startOverhead      = 512
	transitionOverhead = 64
)

// entry is one message of a partition's log: the turns of many executions.
type entry struct {
	// Owner and Batch tell this message from any other: who is not sure whether it was appended looks for them.
	Owner string `json:"owner"`
	Batch uint64 `json:"batch"`
	// Turns is empty where an owner takes the partition over.
	Transitions []transition `json:"turns"`
}

// turn is what was decided about one execution at once.
type transition struct {
	ID string `json:"id"`
	// Start is set on an execution's first turn.
	Start *Row `json:"start,omitempty"`
	// Watch: the execution's history is to be told to the feed from now on.
	Watch bool `json:"watch,omitempty"`
	// Suspend: the execution, which has not begun, is suspended, or is not any more.
	Suspend *bool             `json:"suspend,omitempty"`
	Events  []json.RawMessage `json:"events,omitempty"`
}

// head renders a turn up to its events, as json.Marshal would.
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
	return data, nil
}

// appendStart appends what the log is told of an execution that begins: what json.Marshal makes of it.
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
	text(`,"workflow_id":`, e.WorkflowID)
	out = strconv.AppendInt(append(out, `,"version":`...), int64(e.Version), 10)
	text(`,"name":`, e.Name)
	text(`,"consent_id":`, e.ConsentID)
	if e.Priority != 0 {
		out = strconv.AppendInt(append(out, `,"priority":`...), int64(e.Priority), 10)
	}
	if e.Limits != nil {
		terms, err := json.Marshal(e.Limits)
		if err != nil {
			return nil, err
		}
		out = append(append(out, `,"limits":`...), terms...)
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
	text(`,"input":`, e.Input)
	some(`,"attributes":`, e.Attributes)
	some(`,"trace":`, e.Trace)
	return append(strconv.AppendInt(append(out, `,"created_at":`...), e.CreatedAt, 10), '}'), nil
}

// size bounds the bytes of a turn in a message of the log.
func (t *pendingTransition) size() int {
	size := len(t.head) + len(`,"events":[]},`)
	for _, event := range t.raw {
		size += len(event) + 1
	}
	return size
}

// encodeEntry renders a message of turns.
func encodeEntry(owner string, batch uint64, turns []pendingTransition) []byte {
	size := logOverhead
	for i := range turns {
		size += turns[i].size()
	}
	data := make([]byte, 0, size)
	data = append(append(data, `{"owner":"`...), owner...)
	data = strconv.AppendUint(append(data, `","batch":`...), batch, 10)
	data = append(data, `,"turns":[`...)
	for i := range turns {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, turns[i].head...)
		if len(turns[i].raw) > 0 {
			data = append(data, `,"events":[`...)
			for n, event := range turns[i].raw {
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

// encodeEvents renders events, into one buffer where it has room for them.
func encodeEvents(events []machine.Event) []json.RawMessage {
	raw := make([]json.RawMessage, len(events))
	buffer := make([]byte, 0, len(events)*eventSizeHint)
	for i := range events {
		start := len(buffer)
		buffer = events[i].AppendJSON(buffer)
		raw[i] = buffer[start:len(buffer):len(buffer)]
	}
	return raw
}

// eventRoom is what most events need.
const eventSizeHint = 256

// decodeEvents reads events.
func DecodeEvents(raw []json.RawMessage) ([]machine.Event, error) {
	events := make([]machine.Event, len(raw))
	for i := range raw {
		if err := json.Unmarshal(raw[i], &events[i]); err != nil {
			return nil, fmt.Errorf("decoding an event: %w", err)
		}
	}
	return events, nil
}

// joinEvents renders events as one JSON list.
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
