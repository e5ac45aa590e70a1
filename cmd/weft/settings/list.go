package settings

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/mesh"
)

// Setting describes one setting.
type Setting struct {
	// Path is its name, such as auth.access_ttl; Variable is its environment variable.
	Path, Variable string
	// Type says what its values are.
	Type string
	// Default is its value if it is not set; empty if that is empty.
	Default string
	// Doc says what it means.
	Doc string
}

// Section is the first part of the path, such as auth; empty for a setting without a section.
func (s Setting) Section() string {
	section, _, found := strings.Cut(s.Path, ".")
	if !found {
		return ""
	}
	return section
}

//go:embed descriptions.json
var descriptionsJSON []byte

// Descriptions returns the meaning of every setting and section by path. weft-generate writes it from the comments in the code.
var Descriptions = sync.OnceValue(func() map[string]string {
	var descriptions map[string]string
	_ = json.Unmarshal(descriptionsJSON, &descriptions)
	return descriptions
})

// List returns every setting in the order of the code, those without a section first.
func List(descriptions map[string]string) []Setting {
	var general, sections []Setting
	Walk(reflect.ValueOf(Default()), "", func(path string, value reflect.Value, section bool) {
		if section {
			return
		}
		s := Setting{
			Path: path, Variable: VariableOf(path), Type: TypeName(value.Type()), Default: textOf(value), Doc: descriptions[path],
		}
		if s.Section() == "" {
			general = append(general, s)
		} else {
			sections = append(sections, s)
		}
	})
	return append(general, sections...)
}

// Walk calls visit for each section and setting of a struct of settings, in order. The values of a map are visited under the map's
// keys; those of an empty map as zero values under the key *.
func Walk(v reflect.Value, path string, visit func(path string, value reflect.Value, section bool)) {
	switch {
	case v.Kind() == reflect.Struct:
		if path != "" {
			visit(path, v, true)
			path += "."
		}
		for _, f := range reflect.VisibleFields(v.Type()) {
			if name, _, _ := strings.Cut(f.Tag.Get("koanf"), ","); name != "" && name != "-" {
				Walk(v.FieldByIndex(f.Index), path+name, visit)
			}
		}
	case v.Kind() == reflect.Map:
		visit(path, v, true)
		if v.Len() == 0 {
			Walk(reflect.Zero(v.Type().Elem()), path+".*", visit)
		}
		for _, key := range SortedKeys(v) {
			Walk(v.MapIndex(reflect.ValueOf(key)), path+"."+key, visit)
		}
	default:
		visit(path, v, false)
	}
}

// SortedKeys returns the keys of a map of settings in order.
func SortedKeys(v reflect.Value) []string {
	keys := make([]string, 0, v.Len())
	for _, key := range v.MapKeys() {
		keys = append(keys, key.String())
	}
	slices.Sort(keys)
	return keys
}

// Describe returns the meaning of a setting or section; empty if it has none.
func Describe(path string) string {
	if text, ok := Descriptions()[path]; ok {
		return text
	}
	return Descriptions()[KnownKeys().pattern(path)]
}

// TypeName says what the values of a type are.
func TypeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[mesh.Secret]():
		return "secret"
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float64:
		return "number"
	}
	return "integer"
}

func textOf(v reflect.Value) string {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		return DurationText(time.Duration(v.Int()))
	case v.Kind() == reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = fmt.Sprint(v.Index(i).Interface())
		}
		return strings.Join(items, ",")
	}
	return fmt.Sprint(v.Interface())
}

// DurationText writes a duration without zero parts at its end: 15m and not 15m0s.
func DurationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
