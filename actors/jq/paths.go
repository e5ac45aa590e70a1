package jq

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"

	"github.com/itchyny/gojq"
)

// updated takes the copies of what a path leads through. Within one assignment, gojq copies each of them once and lists the copies in
// args[2]. What is dropped again costs steps; bytes are what the value grows by.
func updated(m *meter, input any, args []any) error {
	path, _ := args[0].([]any)
	if err := boundIndices(path); err != nil {
		return err
	}
	if err := m.part.Step(len(path)); err != nil {
		return err
	}
	var owned map[uintptr]struct{}
	if len(args) == 3 {
		owned, _ = reflect.ValueOf(args[2]).Convert(reflect.TypeFor[map[uintptr]struct{}]()).Interface().(map[uintptr]struct{})
	}
	value := input
	for _, key := range path {
		var err error
		if value, err = m.updateStep(value, key, owned); err != nil {
			return err
		}
	}
	return nil
}

// updateStep takes the copy of one container, and returns what the key leads to.
func (m *meter) updateStep(value, key any, owned map[uintptr]struct{}) (any, error) {
	switch container := value.(type) {
	case map[string]any:
		name, _ := key.(string)
		if !isOwned(container, owned) {
			if err := m.take(len(container)/namesPerStep, 64); err != nil {
				return nil, err
			}
		}
		return container[name], nil
	case []any:
		copies := 0
		if !isOwned(container, owned) {
			copies = len(container)
		}
		if _, isSlice := key.(map[string]any); isSlice {
			if err := m.take(len(container)/itemsPerStep, 16*len(container)); err != nil {
				return nil, err
			}
			return gojqIndex(container, key), nil
		}
		at := indexOf(key, len(container))
		grown := max(at+1-len(container), 0)
		if err := m.take((copies+grown)/itemsPerStep, 16*grown); err != nil {
			return nil, err
		}
		if at < 0 || at >= len(container) {
			return nil, nil
		}
		return container[at], nil
	case nil:
		if _, isName := key.(string); isName {
			return nil, m.take(1, 64)
		}
		at := indexOf(key, 0)
		return nil, m.take(max(at, 0)/itemsPerStep, 16*max(at+1, 0))
	}
	return nil, nil
}

func isOwned(container any, owned map[uintptr]struct{}) bool {
	_, ok := owned[reflect.ValueOf(container).Pointer()]
	return ok
}

// boundIndices rejects large indices, up to which an assignment would allocate an array.
func boundIndices(path []any) error {
	for _, key := range path {
		switch key := key.(type) {
		case int, float64, json.Number:
			if number, _ := asFloat(key); number > MaxIndex {
				return errIndex
			}
		case *big.Int:
			return errIndex
		case map[string]any:
			for _, end := range key {
				if number, _ := asFloat(end); number > MaxIndex {
					return errIndex
				}
			}
		}
	}
	return nil
}

var errIndex = fmt.Errorf("an index may be at most %d", MaxIndex)

// indexOf is an index that counts from the end if it is negative; -1 for what is no index.
func indexOf(key any, length int) int {
	at, isNumber := gojq.ToInt(key)
	if !isNumber {
		return -1
	}
	if at < 0 {
		at += length
	}
	return max(at, -1)
}

// bounds are the ends of a slice of a list.
func bounds(key map[string]any, length int) (start, end int) {
	end = length
	if from, ok := asFloat(key["start"]); ok {
		start = clamp(int(math.Floor(from)), length)
	}
	if to, ok := asFloat(key["end"]); ok {
		end = clamp(int(math.Ceil(to)), length)
	}
	return start, max(start, end)
}

func clamp(at, length int) int {
	if at < 0 {
		at += length
	}
	return min(max(at, 0), length)
}

func gojqIndex(list []any, key any) any {
	slice, _ := key.(map[string]any)
	start, end := bounds(slice, len(list))
	return list[start:end]
}

// deletion is a set of paths to delete, as a tree.
type deletion struct {
	// whole deletes the value itself.
	whole bool
	names map[string]*deletion
	items map[int]*deletion
}

// deletePaths deletes paths from a copy of the input. That of gojq also writes to what it keeps, which other evaluations may be reading.
func deletePaths(m *meter, input any, args []any) any {
	paths, isList := args[0].([]any)
	if !isList {
		return fmt.Errorf("delpaths cannot be applied to %s", gojq.Preview(args[0]))
	}
	tree := &deletion{}
	for _, path := range paths {
		keys, isPath := path.([]any)
		if !isPath {
			return fmt.Errorf("delpaths: a path must be an array, not %s", gojq.Preview(path))
		}
		if err := m.take(2+len(keys), 128*(len(keys)+1)); err != nil {
			return err
		}
		if err := tree.add(m, input, keys); err != nil {
			return err
		}
	}
	result, err := tree.prune(m, input)
	if err != nil {
		return err
	}
	return result
}

// add adds a path. A path that leads nowhere deletes nothing.
func (d *deletion) add(m *meter, value any, keys []any) error {
	if len(keys) == 0 {
		d.whole = true
		return nil
	}
	switch container := value.(type) {
	case nil:
		return nil
	case map[string]any:
		name, isName := keys[0].(string)
		if !isName {
			return fmt.Errorf("expected a string for object key but got: %s", gojq.Preview(keys[0]))
		}
		item, known := container[name]
		if !known {
			return nil
		}
		return d.name(name).add(m, item, keys[1:])
	case []any:
		return d.addItems(m, container, 0, keys)
	}
	if _, isName := keys[0].(string); isName {
		return fmt.Errorf("expected an object but got: %s", gojq.Preview(value))
	}
	return fmt.Errorf("expected an array but got: %s", gojq.Preview(value))
}

// addItems adds a path through a list, which begins at an offset of the list that d is about.
func (d *deletion) addItems(m *meter, list []any, offset int, keys []any) error {
	if len(keys) == 0 {
		for i := range list {
			d.item(offset + i).whole = true
		}
		return m.take(len(list), 64*len(list))
	}
	slice, isSlice := keys[0].(map[string]any)
	if isSlice {
		start, end := bounds(slice, len(list))
		return d.addItems(m, list[start:end], offset+start, keys[1:])
	}
	if _, isNumber := gojq.ToInt(keys[0]); !isNumber {
		return fmt.Errorf("expected a number for indexing an array but got: %s", gojq.Preview(keys[0]))
	}
	at := indexOf(keys[0], len(list))
	if at < 0 || at >= len(list) {
		return nil
	}
	return d.item(offset+at).add(m, list[at], keys[1:])
}

func (d *deletion) name(name string) *deletion {
	if d.names == nil {
		d.names = map[string]*deletion{}
	}
	if d.names[name] == nil {
		d.names[name] = &deletion{}
	}
	return d.names[name]
}

func (d *deletion) item(at int) *deletion {
	if d.items == nil {
		d.items = map[int]*deletion{}
	}
	if d.items[at] == nil {
		d.items[at] = &deletion{}
	}
	return d.items[at]
}

// prune returns a value without what is deleted. What has nothing to delete is shared.
func (d *deletion) prune(m *meter, value any) (any, error) {
	if d.whole {
		return nil, nil
	}
	if len(d.names) == 0 && len(d.items) == 0 {
		return value, nil
	}
	if err := m.take(1+width(value)/bytesPerStep, width(value)); err != nil {
		return nil, err
	}
	switch container := value.(type) {
	case map[string]any:
		kept := make(map[string]any, len(container))
		for name, item := range container {
			if below := d.names[name]; below == nil {
				kept[name] = item
			} else if !below.whole {
				pruned, err := below.prune(m, item)
				if err != nil {
					return nil, err
				}
				kept[name] = pruned
			}
		}
		return kept, nil
	case []any:
		kept := make([]any, 0, len(container))
		for i, item := range container {
			if below := d.items[i]; below == nil {
				kept = append(kept, item)
			} else if !below.whole {
				pruned, err := below.prune(m, item)
				if err != nil {
					return nil, err
				}
				kept = append(kept, pruned)
			}
		}
		return slices.Clip(kept), nil
	}
	return value, nil
}
