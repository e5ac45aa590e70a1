package workflow

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// logRoom is what a message of the log needs besides its turns, and a turn besides its events.
const (
	logRoom  = 4 << 10
	turnRoom = 512
)

// entry is one message of a partition's log: the turns of many executions.
type entry struct {
	// Owner and Batch tell this message from any other: who is not sure whether it was appended looks for them.
	Owner string `json:"owner"`
	Batch uint64 `json:"batch"`
	// Turns is empty where an owner takes the partition over.
	Turns []turn `json:"turns"`
}

// turn is what was decided about one execution at once.
type turn struct {
	ID string `json:"id"`
	// Start is set on an execution's first turn.
	Start *executionRow `json:"start,omitempty"`
	// Watch: the execution's history is to be told to the feed from now on.
	Watch  bool              `json:"watch,omitempty"`
	Events []json.RawMessage `json:"events,omitempty"`
}

// encode renders a turn. It is json.Marshal of it, without looking at the events again.
func (t turn) encode() ([]byte, error) {
	size := turnRoom
	for _, event := range t.Events {
		size += len(event) + 1
	}
	data := make([]byte, 0, size)
	data = append(append(append(data, `{"id":"`...), t.ID...), '"')
	if t.Start != nil {
		start, err := json.Marshal(t.Start)
		if err != nil {
			return nil, fmt.Errorf("encoding a start: %w", err)
		}
		data = append(append(data, `,"start":`...), start...)
	}
	if t.Watch {
		data = append(data, `,"watch":true`...)
	}
	if len(t.Events) > 0 {
		data = append(data, `,"events":[`...)
		for i, event := range t.Events {
			if i > 0 {
				data = append(data, ',')
			}
			data = append(data, event...)
		}
		data = append(data, ']')
	}
	return append(data, '}'), nil
}

// encodeEntry renders a message of encoded turns.
func encodeEntry(owner string, batch uint64, turns [][]byte) []byte {
	size := logRoom
	for _, t := range turns {
		size += len(t) + 1
	}
	data := make([]byte, 0, size)
	data = append(append(data, `{"owner":"`...), owner...)
	data = strconv.AppendUint(append(data, `","batch":`...), batch, 10)
	data = append(data, `,"turns":[`...)
	for i, t := range turns {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, t...)
	}
	return append(data, "]}"...)
}

// encodeEvents renders events.
func encodeEvents(events []machine.Event) []json.RawMessage {
	raw := make([]json.RawMessage, len(events))
	for i, event := range events {
		raw[i] = event.AppendJSON(make([]byte, 0, eventRoom))
	}
	return raw
}

// eventRoom is what most events need.
const eventRoom = 256

// decodeEvents reads events.
func decodeEvents(raw []json.RawMessage) ([]machine.Event, error) {
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
	data := make([]byte, 0, size)
	data = append(data, '[')
	for i, event := range raw {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, event...)
	}
	return string(append(data, ']'))
}
