package manifest

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// tree is a compiled YAML value whose leaves may be expressions.
type tree struct {
	literal any
	expr    *expression
	keys    []string
	object  map[string]*tree
	array   []*tree
}

// tree compiles a value that may be absent; nil if it is. Expressions that do not compile are faults.
func (c *compiler) tree(value any, pointer string) *tree {
	if value == nil {
		return nil
	}
	return c.value(value, pointer)
}

func (c *compiler) value(value any, pointer string) *tree {
	switch v := value.(type) {
	case string:
		if !isExpression(v) {
			if !c.trusted && strings.Contains(v, "${") {
				c.fault(pointer, "%s", errPartial)
			}
			return &tree{literal: v}
		}
		expr := &expression{text: v}
		if !c.trusted {
			if err := expr.compile(); err != nil {
				c.fault(pointer, "%v", err)
			}
			c.placed = append(c.placed, placed{v, pointer})
		}
		return &tree{expr: expr}
	case map[string]any:
		t := &tree{keys: slices.Sorted(maps.Keys(v)), object: make(map[string]*tree, len(v))}
		for _, key := range t.keys {
			if !c.trusted && strings.Contains(key, "${") {
				c.fault(pointer, "the key %s is not evaluated: an expression must yield the whole object", key)
			}
			t.object[key] = c.value(v[key], pointerTo(pointer, key))
		}
		return t
	case []any:
		t := &tree{array: make([]*tree, len(v))}
		for i, item := range v {
			t.array[i] = c.value(item, pointerTo(pointer, strconv.Itoa(i)))
		}
		return t
	}
	return &tree{literal: value}
}

// eval returns the tree's value. present is false if the tree is nil, or an expression that yields nothing or null.
func (t *tree) eval(s *scope) (value any, present bool, err error) {
	switch {
	case t == nil:
		return nil, false, nil
	case t.expr != nil:
		value, present, err = t.expr.eval(s)
		return value, present && value != nil, err
	case t.object != nil:
		object := make(map[string]any, len(t.object))
		for _, key := range t.keys {
			item, ok, err := t.object[key].eval(s)
			if err != nil {
				return nil, false, err
			}
			if ok {
				object[key] = item
			}
		}
		return object, true, nil
	case t.array != nil:
		items := make([]any, 0, len(t.array))
		for _, below := range t.array {
			item, ok, err := below.eval(s)
			if err != nil {
				return nil, false, err
			}
			if ok {
				items = append(items, item)
			}
		}
		return items, true, nil
	}
	return t.literal, true, nil
}

// evalString returns the tree's value as text; "" if it yields nothing. A value that is not a scalar is an error.
func (t *tree) evalString(s *scope) (string, error) {
	value, present, err := t.eval(s)
	if err != nil || !present {
		return "", err
	}
	return scalarText(value)
}

// isTrue reports whether the tree yields true; false for a nil tree.
func (t *tree) isTrue(s *scope) (bool, error) {
	value, _, err := t.eval(s)
	return value == true, err
}
