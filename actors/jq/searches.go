package jq

import (
	"math/bits"
)

// transposed takes a matrix whose rows are as long as the longest.
func transposed(m *meter, input any, _ []any) error {
	rows, _ := input.([]any)
	longest := 0
	for _, row := range rows {
		list, _ := row.([]any)
		longest = max(longest, len(list))
	}
	cells := float64(longest+1) * float64(len(rows)+1)
	if cells > MaxAllocation {
		return m.part.Allocate(unpayable)
	}
	return m.take(int(cells)/itemsPerStep, 16*int(cells))
}

// product takes the steps of work that is in proportion to the product of two numbers.
func (m *meter) product(left, right, perStep int) error {
	return m.part.Step(int(min(float64(left)*float64(right)/float64(perStep), unpayable)))
}

// searched takes the search for one operand in the other.
func searched(m *meter, input any, args []any) error {
	return m.search(input, args[0])
}

func (m *meter) search(input, argument any) error {
	text, isText := input.(string)
	sought, both := argument.(string)
	if isText && both {
		if err := m.take(1, 24*(len(text)+len(sought))); err != nil {
			return err
		}
		return m.product(len(text), len(sought)+1, 16)
	}
	in, err := m.weigh(input)
	if err != nil {
		return err
	}
	of, err := m.weigh(argument)
	if err != nil {
		return err
	}
	if err := m.take(in.nodes/itemsPerStep, 16*in.nodes); err != nil {
		return err
	}
	return m.product(in.nodes+in.bytes/bytesPerStep, of.nodes+of.bytes/bytesPerStep, nodesPerStep)
}

// bisected takes the comparisons of a binary search.
func bisected(m *meter, _ any, args []any) error {
	w, err := m.weigh(args[0])
	if err != nil {
		return err
	}
	return m.part.Step(4 * w.nodes)
}

// keysOf is the operand by which a function compares: its argument, if it has one.
func keysOf(input any, args []any) any {
	if len(args) == 1 {
		return args[0]
	}
	return input
}

func compared(m *meter, input any, args []any) error {
	w, err := m.weigh(keysOf(input, args))
	if err != nil {
		return err
	}
	return m.part.Step(w.nodes/2 + w.bytes/bytesPerStep)
}

// sorted takes the comparisons of a sort: each key takes part in a number that grows with the logarithm of the length.
func sorted(m *meter, input any, args []any) error {
	list, _ := input.([]any)
	w, err := m.weigh(keysOf(input, args))
	if err != nil {
		return err
	}
	if err := m.product(w.nodes+w.bytes/bytesPerStep, bits.Len(uint(len(list))), 3); err != nil {
		return err
	}
	return m.part.Allocate(80 * len(list))
}

// indexed takes the search that an index which is a list means, or the characters before a character.
func indexed(m *meter, _ any, args []any) error { return m.index(args[0], args[1]) }

func (m *meter) index(value, key any) error {
	switch key.(type) {
	case string, nil, bool:
		return nil
	case []any:
		return m.search(value, key)
	}
	if text, isText := value.(string); isText {
		return m.part.Step(len(text) / bytesPerStep)
	}
	return nil
}

// followed takes the steps of a path.
func followed(m *meter, input any, args []any) error {
	path, _ := args[0].([]any)
	if err := m.part.Step(len(path)); err != nil {
		return err
	}
	for _, key := range path {
		if _, isList := key.([]any); isList {
			if err := m.search(input, key); err != nil {
				return err
			}
		}
	}
	return nil
}
