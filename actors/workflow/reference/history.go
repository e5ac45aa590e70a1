package reference

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// recorded is what of a history's event tells of a task that was done.
type recorded struct {
	Type   string          `json:"type"`
	Run    int             `json:"run"`
	Task   string          `json:"task"`
	Output json.RawMessage `json:"output"`
}

// Agrees compares a history, as JSON, with the result: the tasks that it has completed, how often, in which order each, and
// their outputs as far as they are recorded; the output of the execution, or that it has faulted. What compensates is passed over.
func (r Result) Agrees(history []json.RawMessage) error {
	done := map[string][]json.RawMessage{}
	calls := map[int]json.RawMessage{}
	for i, data := range history {
		var event recorded
		if err := json.Unmarshal(data, &event); err != nil {
			return fmt.Errorf("reading event %d: %w", i+1, err)
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
			if r.Fault != nil || !same(r.Output, event.Output) {
				return fmt.Errorf("the execution has completed with %s, want %s (%v)", event.Output, language.Canonical(r.Output), r.Fault)
			}
			return r.agreesOn(done)
		case "execution_faulted", "compensation_started":
			if r.Fault == nil {
				return fmt.Errorf("the execution has faulted, want %s", language.Canonical(r.Output))
			}
			return r.agreesOn(done)
		}
	}
	return fmt.Errorf("the history of %d events has no end", len(history))
}

func (r Result) agreesOn(done map[string][]json.RawMessage) error {
	want := map[string][]any{}
	for _, d := range r.Done {
		want[d.Task] = append(want[d.Task], d.Output)
	}
	tasks := maps.Clone(done)
	for task := range want {
		tasks[task] = done[task]
	}
	for _, task := range slices.Sorted(maps.Keys(tasks)) {
		if len(done[task]) != len(want[task]) {
			return fmt.Errorf("%s was completed %d times, want %d", task, len(done[task]), len(want[task]))
		}
		for i, output := range done[task] {
			if output != nil && !same(want[task][i], output) {
				return fmt.Errorf("the output of %s, completion %d of %d, is %s, want %s", task, i+1, len(done[task]), output, language.Canonical(want[task][i]))
			}
		}
	}
	return nil
}

func same(value any, data json.RawMessage) bool {
	decoded, err := language.Decode(data)
	return err == nil && bytes.Equal(language.Canonical(decoded), language.Canonical(value))
}
