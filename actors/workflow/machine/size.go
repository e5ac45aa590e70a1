package machine

import (
	"reflect"
	"unsafe"
)

// Approximate sizes in memory, in bytes.
const (
	runSize   = 512
	entrySize = 48
	itemSize  = 16
	// sharedText is from what length on a text counts once, however often the state holds it.
	sharedText = 64
)

// identity is a map, a list or a text in memory. length is that of a list or a text; of a map it is -1.
type identity struct {
	data   unsafe.Pointer
	length int
}

// identify is the identity of a value that may be shared; false for scalars, for short texts and for what is empty.
func identify(value any) (identity, bool) {
	switch value := value.(type) {
	case map[string]any:
		return identity{reflect.ValueOf(value).UnsafePointer(), -1}, len(value) > 0
	case []any:
		return identity{unsafe.Pointer(unsafe.SliceData(value)), len(value)}, len(value) > 0 //nolint:gosec // it is only compared
	case string:
		return identity{unsafe.Pointer(unsafe.StringData(value)), len(value)}, len(value) >= sharedText //nolint:gosec // it is only compared
	}
	return identity{}, false
}

// Size is the approximate size in memory of what the state and the built calls hold, in bytes; values that they share count once. It
// walks over the state, except where nothing has happened since it was last called.
func (x *Execution) Size() int {
	if x.sizedAt == x.state.Sequence && x.size > 0 && x.sizeSettled == x.settled {
		return x.size
	}
	s := &holdings{seen: map[identity]bool{}}
	state := &x.state
	s.values(state.Input, state.Context, state.Output)
	for _, run := range state.Runs {
		s.size += runSize + len(run.Key) + itemSize*(len(run.MatchedFilters)+len(run.Visits))
		s.add(run.Input)
		s.values(run.Raw)
		s.add(run.Data)
		s.add(run.Result)
		s.add(run.Items)
		s.add(run.Results)
		s.add(run.Messages)
		s.add(run.Outputs)
		s.add(run.Correlation)
		s.call(run.call)
	}
	for i := range state.Compensable {
		s.size += runSize / 2
		s.add(state.Compensable[i].Input)
		s.add(state.Compensable[i].Output)
	}
	for i := range state.Arrivals {
		s.size += entrySize + len(state.Arrivals[i].ID) + itemSize*len(state.Arrivals[i].Taken)
	}
	x.size, x.sizedAt, x.sizeSettled = s.size, state.Sequence, x.settled
	return s.size
}

type holdings struct {
	size int
	seen map[identity]bool
}

func (s *holdings) values(values ...Value) {
	for _, value := range values {
		s.add(value.V)
	}
}

func (s *holdings) call(call *Call) {
	if call == nil {
		return
	}
	s.size += runSize
	s.add(call.Arguments)
	s.add(call.Message)
	if call.Workflow != nil {
		s.add(call.Workflow.Input)
	}
	if call.HTTP != nil {
		s.size += len(call.HTTP.URL) + len(call.HTTP.Body)
	}
	if call.OpenAPI != nil {
		s.add(call.OpenAPI.Parameters)
	}
}

func (s *holdings) add(value any) {
	id, shared := identify(value)
	if shared {
		if s.seen[id] {
			return
		}
		s.seen[id] = true
	}
	switch value := value.(type) {
	case string:
		s.size += len(value)
	case map[string]any:
		s.size += entrySize
		for key, item := range value {
			s.size += entrySize + len(key)
			s.add(item)
		}
	case []any:
		s.size += entrySize
		for _, item := range value {
			s.size += itemSize
			s.add(item)
		}
	default:
		s.size += itemSize / 2
	}
}
