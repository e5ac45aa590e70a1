package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// A snapshot is a JSON object: state has the fields of State that hold no data, values the data by the place in the state that holds it,
// and shared the data that several places hold. A value in shared is written once; in its places, and in others of shared, it is the
// object {"$shared": index}. An object of the data with only that name has a further $ before it.

// sharedMark is the name in the object that stands for a shared value.
const sharedMark = "$shared"

// isMark reports whether a name is sharedMark, or one that was escaped.
func isMark(name string) bool {
	return strings.HasSuffix(name, sharedMark) && strings.Trim(name[:len(name)-len(sharedMark)], "$") == ""
}

// Snapshot encodes the execution's state as JSON. A value that the state holds in several places is written once, so the snapshot is
// about as large as the state in memory; Bytes bounds it but for what each open task run needs. Equal states that share in the same way
// have equal snapshots.
func (x *Execution) Snapshot() ([]byte, error) {
	state, err := json.Marshal(&x.state)
	if err != nil {
		return nil, fmt.Errorf("writing a snapshot: %w", err)
	}
	values := x.state.values()
	w := &sharingWriter{seen: map[identity]*occurrences{}}
	w.count(values)
	w.out = append(append(append(w.out, `{"state":`...), state...), `,"values":`...)
	w.write(values)
	w.writeShared()
	return append(w.out, '}'), nil
}

// RestoreSnapshot rebuilds an execution from the result of Snapshot. Later events are applied with Apply. It decides nothing; Continue
// does.
func RestoreSnapshot(def *language.Workflow, env Environment, snapshot []byte) (*Execution, error) {
	decoder := json.NewDecoder(bytes.NewReader(snapshot))
	decoder.UseNumber()
	x := newExecution(def, env)
	document := struct {
		State  *State `json:"state"`
		Values any    `json:"values"`
		Shared []any  `json:"shared"`
	}{State: &x.state}
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("restoring a snapshot: %w", err)
	}
	r := sharingReader{shared: document.Shared, read: make([]readState, len(document.Shared))}
	values, _ := r.value(document.Values).(map[string]any)
	if r.err == nil && (document.State == nil || x.state.Sequence == 0 || !x.state.setValues(values)) {
		r.err = errors.New("it is incomplete")
	}
	if r.err != nil {
		return nil, fmt.Errorf("restoring a snapshot: %w", r.err)
	}
	x.state.countChildren()
	return x, nil
}

// occurrences is how often a value occurs, its weight, and its index in the shared values, from 1; 0 before it is written.
type occurrences struct{ count, weight, index int }

func (o *occurrences) shared() bool { return o.count > 1 && o.weight >= sharedText }

type sharingWriter struct {
	out  []byte
	seen map[identity]*occurrences
	// shared are the shared values, in the order of their first places.
	shared []any
}

// count counts the occurrences of a value and those within it, and returns its weight.
func (w *sharingWriter) count(value any) int {
	id, known := identify(value)
	if known {
		if seen := w.seen[id]; seen != nil {
			seen.count++
			return seen.weight
		}
		w.seen[id] = &occurrences{count: 1}
	}
	weight := nullWeight
	switch value := value.(type) {
	case string:
		weight += len(value)
	case map[string]any:
		for name, item := range value {
			weight += len(name) + w.count(item)
		}
	case []any:
		for _, item := range value {
			weight += w.count(item)
		}
	}
	weight = min(weight, sharedText) // more makes no difference
	if known {
		w.seen[id].weight = weight
	}
	return weight
}

func (w *sharingWriter) write(value any) {
	if id, known := identify(value); known {
		if seen := w.seen[id]; seen.shared() {
			if seen.index == 0 {
				w.shared = append(w.shared, value)
				seen.index = len(w.shared)
			}
			w.out = append(w.out, `{"`+sharedMark+`":`...)
			w.out = append(strconv.AppendInt(w.out, int64(seen.index-1), 10), '}')
			return
		}
	}
	w.writeContent(value)
}

func (w *sharingWriter) writeContent(value any) {
	switch value := value.(type) {
	case map[string]any:
		w.out = append(w.out, '{')
		for i, name := range slices.Sorted(maps.Keys(value)) {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			written := name
			if len(value) == 1 && isMark(name) {
				written = "$" + name
			}
			w.out = append(language.AppendText(w.out, written), ':')
			w.write(value[name])
		}
		w.out = append(w.out, '}')
	case []any:
		w.out = append(w.out, '[')
		for i, item := range value {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			w.write(item)
		}
		w.out = append(w.out, ']')
	default:
		w.out = language.Append(w.out, value)
	}
}

// writeShared writes the shared values. Those within them follow.
func (w *sharingWriter) writeShared() {
	if len(w.shared) == 0 {
		return
	}
	w.out = append(w.out, `,"shared":[`...)
	for written := 0; written < len(w.shared); written++ { //nolint:intrange // writing a value may append others
		if written > 0 {
			w.out = append(w.out, ',')
		}
		w.writeContent(w.shared[written])
	}
	w.out = append(w.out, ']')
}

// readState is how far a shared value has been read.
type readState int

const (
	unreadValue readState = iota
	readingValue
	readValue
)

type sharingReader struct {
	shared []any
	read   []readState
	err    error
}

// value puts the shared values into a decoded value and normalizes it, in place.
func (r *sharingReader) value(value any) any {
	switch value := value.(type) {
	case map[string]any:
		if len(value) == 1 {
			for name, item := range value {
				if name == sharedMark {
					return r.sharedValue(item)
				}
				if isMark(name) {
					return map[string]any{name[1:]: r.value(item)}
				}
			}
		}
		for name, item := range value {
			value[name] = r.value(item)
		}
		return value
	case []any:
		for i, item := range value {
			value[i] = r.value(item)
		}
		return value
	}
	return language.Normalize(value)
}

func (r *sharingReader) sharedValue(index any) any {
	number, _ := index.(json.Number)
	at, err := strconv.Atoi(string(number))
	if err != nil || at < 0 || at >= len(r.shared) || r.read[at] == readingValue {
		r.err = fmt.Errorf("%v is not the index of a shared value", index)
		return nil
	}
	if r.read[at] == unreadValue {
		r.read[at] = readingValue
		r.shared[at] = r.value(r.shared[at])
		r.read[at] = readValue
	}
	return r.shared[at]
}

// values is the data of the state, by the places that hold it.
func (s *State) values() map[string]any {
	values := map[string]any{}
	put(values, "input", s.Input)
	put(values, "context", s.Context)
	put(values, "output", s.Output)
	runs := make([]any, len(s.Runs))
	for i, run := range s.Runs {
		runs[i] = run.values()
	}
	compensable := make([]any, len(s.Compensable))
	for i := range s.Compensable {
		compensable[i] = []any{s.Compensable[i].Input, s.Compensable[i].Output}
	}
	values["runs"], values["compensable"] = runs, compensable
	return values
}

func (r *Run) values() map[string]any {
	values := map[string]any{}
	put(values, "raw", r.Raw)
	for name, value := range map[string]any{"input": r.Input, "data": r.Data, "result": r.Result} {
		if value != nil {
			values[name] = value
		}
	}
	for name, list := range map[string][]any{"items": r.Items, "messages": r.Messages, "outputs": r.Outputs} {
		if list != nil {
			values[name] = list
		}
	}
	for name, object := range map[string]map[string]any{"results": r.Results, "correlation": r.Correlation} {
		if object != nil {
			values[name] = object
		}
	}
	return values
}

func put(values map[string]any, name string, value Value) {
	if value.Set {
		values[name] = value.V
	}
}

func get(values map[string]any, name string) Value {
	value, set := values[name]
	return Value{Set: set, V: value}
}

// setValues sets the data of the state. It returns false where the values do not fit.
func (s *State) setValues(values map[string]any) bool {
	s.Input, s.Context, s.Output = get(values, "input"), get(values, "context"), get(values, "output")
	runs, _ := values["runs"].([]any)
	compensable, _ := values["compensable"].([]any)
	if values == nil || len(runs) != len(s.Runs) || len(compensable) != len(s.Compensable) {
		return false
	}
	for i, run := range s.Runs {
		object, isObject := runs[i].(map[string]any)
		if !isObject {
			return false
		}
		run.setValues(object)
	}
	for i := range s.Compensable {
		pair, _ := compensable[i].([]any)
		if len(pair) != 2 {
			return false
		}
		s.Compensable[i].Input, s.Compensable[i].Output = pair[0], pair[1]
	}
	return true
}

func (r *Run) setValues(values map[string]any) {
	r.Raw = get(values, "raw")
	r.Input, r.Data, r.Result = values["input"], values["data"], values["result"]
	r.Items, _ = values["items"].([]any)
	r.Messages, _ = values["messages"].([]any)
	r.Outputs, _ = values["outputs"].([]any)
	r.Results, _ = values["results"].(map[string]any)
	r.Correlation, _ = values["correlation"].(map[string]any)
}
