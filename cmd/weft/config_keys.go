package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// keySet knows every setting of a Config by its path. A map's keys are the user's: its path has a * there.
type keySet struct {
	leaves   map[string]reflect.Type
	sections map[string]bool
}

func knownKeys(c Config) keySet {
	known := keySet{leaves: map[string]reflect.Type{}, sections: map[string]bool{}}
	known.add("", reflect.TypeOf(c))
	return known
}

func (k keySet) add(path string, t reflect.Type) {
	switch {
	case t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]():
		if path != "" {
			k.sections[path] = true
			path += "."
		}
		for _, f := range reflect.VisibleFields(t) {
			if name, _, _ := strings.Cut(f.Tag.Get("koanf"), ","); name != "" && name != "-" {
				k.add(path+name, f.Type)
			}
		}
	case t.Kind() == reflect.Map:
		k.sections[path] = true
		k.add(path+".*", t.Elem())
	default:
		k.leaves[path] = t
	}
}

func (k keySet) leaf(path string) bool {
	_, ok := k.leaves[k.pattern(path)]
	return ok
}

func (k keySet) section(path string) bool { return k.sections[k.pattern(path)] }

// pattern replaces the user's own keys in a path by *.
func (k keySet) pattern(path string) string {
	pattern := ""
	for part := range strings.SplitSeq(path, ".") {
		next := strings.TrimPrefix(pattern+"."+part, ".")
		if _, leaf := k.leaves[next]; !leaf && !k.sections[next] {
			next = pattern + ".*"
		}
		pattern = next
	}
	return pattern
}

// ignoredEnvironment are variables that begin with WEFT_ and set nothing.
var ignoredEnvironment = []string{"WEFT_TEST_", "WEFT_CONFORMANCE", "WEFT_CONFIG", "WEFT_BENCH_", "WEFT_TORTURE_"}

// fromEnvironment reads the WEFT_ variables; one that sets nothing is refused by name.
func (k keySet) fromEnvironment(environ []string) (map[string]any, error) {
	values := map[string]any{}
	var errs []error
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "WEFT_") || slices.ContainsFunc(ignoredEnvironment, func(p string) bool {
			return strings.HasPrefix(name, p)
		}) {
			continue
		}
		path, t, ok := k.byVariable(name)
		if !ok {
			errs = append(errs, fmt.Errorf("unknown setting %s", name))
			continue
		}
		values[path] = value
		if t.Kind() == reflect.Slice {
			values[path] = splitList(value)
		}
	}
	return values, errors.Join(errs...)
}

func (k keySet) byVariable(name string) (string, reflect.Type, bool) {
	for path, t := range k.leaves {
		if name == variableOf(path) {
			return path, t, true
		}
	}
	for path, t := range k.leaves {
		before, after, free := strings.Cut(path, "*")
		prefix, suffix := variableOf(before), strings.TrimPrefix(variableOf(after), "WEFT_")
		if free && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) && len(name) > len(prefix)+len(suffix) {
			id := strings.ToLower(name[len(prefix) : len(name)-len(suffix)])
			return before + id + after, t, true
		}
	}
	return "", nil, false
}

func variableOf(path string) string {
	return "WEFT_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

func splitList(value string) []string {
	list := []string{}
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}
