package settings

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Keys has the paths of all settings. A path has * for a key of a map, which the user chooses.
type Keys struct {
	// leaves maps the path of a setting to the type of its value.
	leaves map[string]reflect.Type
	// sections has the paths of structs and maps.
	sections map[string]bool
}

// KnownKeys returns the settings of Config, by its koanf tags.
func KnownKeys() Keys {
	known := Keys{leaves: map[string]reflect.Type{}, sections: map[string]bool{}}
	known.add("", reflect.TypeFor[Config]())
	return known
}

func (k Keys) add(path string, t reflect.Type) {
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

// Leaves returns the type of every setting by path.
func (k Keys) Leaves() map[string]reflect.Type { return k.leaves }

// Leaf reports whether the path is a setting.
func (k Keys) Leaf(path string) bool {
	_, ok := k.leaves[k.pattern(path)]
	return ok
}

// Section reports whether the path is a section, whose value is a mapping.
func (k Keys) Section(path string) bool { return k.sections[k.pattern(path)] }

// TypeOf returns the type of a setting's value; nil if there is no such setting.
func (k Keys) TypeOf(path string) reflect.Type { return k.leaves[k.pattern(path)] }

// pattern replaces the keys of maps in a path by *.
func (k Keys) pattern(path string) string {
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

// ignoredEnvironment has prefixes of variables that are no settings: those of tests, and WEFT_CONFIG, which names the file.
var ignoredEnvironment = []string{"WEFT_TEST_", "WEFT_CONFORMANCE", "WEFT_CONFIG", "WEFT_BENCH_", "WEFT_TORTURE_"}

// FromEnvironment reads the settings of WEFT_ variables by path and notes the variable of each in origins. It reports every
// variable that is not a setting.
func (k Keys) FromEnvironment(environ []string, origins map[string]string) (map[string]any, error) {
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
		values[path], origins[path] = value, name
		if t.Kind() == reflect.Slice {
			values[path] = splitList(value)
		}
	}
	return values, errors.Join(errs...)
}

// byVariable returns the path and type of the setting that a variable sets. A setting with a fixed path precedes one in a map,
// whose key is what the variable's name has in its place, in lower case.
func (k Keys) byVariable(name string) (string, reflect.Type, bool) {
	for path, t := range k.leaves {
		if name == VariableOf(path) {
			return path, t, true
		}
	}
	for path, t := range k.leaves {
		before, after, inMap := strings.Cut(path, "*")
		prefix, suffix := VariableOf(before), strings.TrimPrefix(VariableOf(after), "WEFT_")
		if inMap && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) && len(name) > len(prefix)+len(suffix) {
			key := strings.ToLower(name[len(prefix) : len(name)-len(suffix)])
			return before + key + after, t, true
		}
	}
	return "", nil, false
}

// VariableOf returns the environment variable of a setting.
func VariableOf(path string) string {
	return "WEFT_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// splitList splits a comma-separated list.
func splitList(value string) []string {
	list := []string{}
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}
