package reference

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// historyEvent is the part of a recorded event that Agrees compares.
type historyEvent struct {
	Type   string          `json:"type"`
	Run    int             `json:"run"`
	Task   string          `json:"task"`
	Output json.RawMessage `json:"output"`
}

// Agrees compares an execution's recorded events, as JSON, with the result: the output of the execution, or that it
// faulted; and for each task the number of completions and their outputs in order, as far as they are recorded.
// Compensations are ignored.
func (r Result) Agrees(history []json.RawMessage) error {
	done := map[string][]json.RawMessage{}
	calls := map[int]json.RawMessage{}
	for i, data := range history {
		var event historyEvent
		if err := json.Unmarshal(data, &event); err != nil {
			return fmt.Errorf("decoding event %d: %w", i+1, err)
		}
		switch event.Type {
		case "call_completed":
			calls[event.Run] = event.Output
		case "task_completed":
			if event.Output == nil {
				event.Output = calls[event.Run]
			}
			done[event.Task] = append(done[event.Task], event.Output)
		case "execution_completed":
			if r.Fault != nil || !equalJSON(r.Output, event.Output) {
				return fmt.Errorf("the execution completed with %s, want %s (%v)", event.Output, language.Canonical(r.Output), r.Fault)
			}
			return r.compareCompletions(done)
		case "execution_faulted", "compensation_started":
			if r.Fault == nil {
				return fmt.Errorf("the execution faulted, want the output %s", language.Canonical(r.Output))
			}
			return r.compareCompletions(done)
		}
	}
	return fmt.Errorf("the history of %d events has no final event", len(history))
}

func (r Result) compareCompletions(done map[string][]json.RawMessage) error {
	want := map[string][]any{}
	for _, d := range r.Completed {
		want[d.Task] = append(want[d.Task], d.Output)
	}
	tasks := maps.Clone(done)
	for task := range want {
		tasks[task] = done[task]
	}
	for _, task := range slices.Sorted(maps.Keys(tasks)) {
		if len(done[task]) != len(want[task]) {
			return fmt.Errorf("%s completed %d times, want %d", task, len(done[task]), len(want[task]))
		}
		for i, output := range done[task] {
			if output != nil && !equalJSON(want[task][i], output) {
				return fmt.Errorf("output of %s, completion %d of %d: %s, want %s", task, i+1, len(done[task]), output, language.Canonical(want[task][i]))
			}
		}
	}
	return nil
}

func equalJSON(value any, data json.RawMessage) bool {
	decoded, err := language.Decode(data)
	return err == nil && bytes.Equal(language.Canonical(decoded), language.Canonical(value))
}
