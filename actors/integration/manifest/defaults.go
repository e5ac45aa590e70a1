package manifest

import (
	"fmt"
	"maps"
	"slices"
)

// defaults compiles the values of fields that the input lacks. A field that has one is not required of callers, as long as the
// connection yields its value.
func (c *compiler) defaults(a *Action, spec ActionSpec, pointer string) {
	if len(spec.Defaults) == 0 {
		return
	}
	fields, _ := a.Input["properties"].(map[string]any)
	a.defaults = make(map[string]*tree, len(spec.Defaults))
	for _, name := range slices.Sorted(maps.Keys(spec.Defaults)) {
		if _, ok := fields[name]; !ok {
			c.fault(pointerTo(pointer, name), "the input has no field %s", name)
		}
		a.defaults[name] = c.value(spec.Defaults[name], pointerTo(pointer, name))
	}
	required, _ := a.Input["required"].([]any)
	a.Input = maps.Clone(a.Input)
	a.Input["required"] = slices.DeleteFunc(slices.Clone(required), func(name any) bool {
		text, _ := name.(string)
		return a.defaults[text] != nil
	})
}

// WithDefaults returns an input with the defaults of the fields that it lacks. Their expressions see the connection's settings and the
// account that the health probe identified. The error is that of an expression that fails.
func (a *Action) WithDefaults(input, settings, account map[string]any) (map[string]any, error) {
	if len(a.defaults) == 0 {
		return input, nil
	}
	root := map[string]any{}
	for name, value := range map[string]map[string]any{"settings": settings, "account": account} {
		plain, err := normalize(orEmpty(value))
		if err != nil {
			return nil, err
		}
		root[name] = plain
	}
	s := newScope(root, maxRequestValue)
	merged := make(map[string]any, len(input)+len(a.defaults))
	for name, t := range a.defaults {
		value, present, err := t.eval(s)
		if err != nil {
			return nil, fmt.Errorf("default of %s: %w", name, err)
		}
		if present {
			merged[name] = value
		}
	}
	maps.Copy(merged, input)
	return merged, nil
}
