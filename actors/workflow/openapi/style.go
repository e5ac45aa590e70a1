package openapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// The styles of parameters (OpenAPI 3.1.1 §4.8.12.2).
const (
	styleMatrix = "matrix"
	styleLabel  = "label"
	styleForm   = "form"
	styleSimple = "simple"
	styleSpace  = "spaceDelimited"
	stylePipe   = "pipeDelimited"
	styleDeep   = "deepObject"
	// styleTab is the collectionFormat tsv of Swagger 2.0.
	styleTab = "tabDelimited"
)

// reservedCharacters are those of RFC 3986 §2.2, which allowReserved leaves as they are.
const reservedCharacters = ":/?#[]@!$&'()*+,;="

// serializer writes the value of one parameter by its style (OpenAPI 3.1.1 §4.8.12, which follows RFC 6570).
type serializer struct {
	name    string
	style   string
	explode bool
	// encode encodes a name or a value for the place where it is written.
	encode func(string) string
}

// pair is a name with a value, both encoded.
type pair struct{ name, value string }

// scalar is a value that is neither an object nor a list, encoded. Anything else is written as JSON: the styles are not
// defined for nested values.
func (s *serializer) scalar(value any) string { return s.encode(language.Text(value)) }

// items are the encoded items of a list, without null.
func (s *serializer) items(list []any) []string {
	var texts []string
	for _, item := range list {
		if item != nil {
			texts = append(texts, s.scalar(item))
		}
	}
	return texts
}

// properties are the encoded properties of an object, sorted by name, without null.
func (s *serializer) properties(object map[string]any) []pair {
	var pairs []pair
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if object[name] != nil {
			pairs = append(pairs, pair{s.encode(name), s.scalar(object[name])})
		}
	}
	return pairs
}

func joinPairs(pairs []pair, between, separator string) string {
	texts := make([]string, len(pairs))
	for i, p := range pairs {
		texts[i] = p.name + between + p.value
	}
	return strings.Join(texts, separator)
}

// path writes the value of a path parameter or, with the style simple, of a header.
func (s *serializer) path(value any) (string, error) {
	list, isList := value.([]any)
	object, isObject := value.(map[string]any)
	between := ","
	if s.explode {
		between = "="
	}
	switch s.style {
	case styleSimple:
		switch {
		case isList:
			return strings.Join(s.items(list), ","), nil
		case isObject:
			return joinPairs(s.properties(object), between, ","), nil
		}
		return s.scalar(value), nil
	case styleLabel:
		separator := ","
		if s.explode {
			separator = "."
		}
		switch {
		case isList:
			return "." + strings.Join(s.items(list), separator), nil
		case isObject:
			return "." + joinPairs(s.properties(object), between, separator), nil
		}
		return "." + s.scalar(value), nil
	case styleMatrix:
		return s.matrix(value), nil
	}
	return "", fmt.Errorf("the OpenAPI description gives the parameter %.60q the style %.40q, which its place does not have", s.name, s.style)
}

func (s *serializer) matrix(value any) string {
	name := ";" + s.encode(s.name)
	list, isList := value.([]any)
	object, isObject := value.(map[string]any)
	switch {
	case isList && s.explode:
		var out strings.Builder
		for _, item := range s.items(list) {
			out.WriteString(name + "=" + item)
		}
		return out.String()
	case isList:
		return name + "=" + strings.Join(s.items(list), ",")
	case isObject && s.explode:
		return ";" + joinPairs(s.properties(object), "=", ";")
	case isObject:
		return name + "=" + joinPairs(s.properties(object), ",", ",")
	}
	if text := s.scalar(value); text != "" {
		return name + "=" + text
	}
	return name
}

// delimiters are the encoded delimiters of the styles that have one.
var delimiters = map[string]string{styleForm: ",", styleSpace: "%20", stylePipe: "%7C", styleTab: "%09"}

// query writes the value of a query parameter, a cookie or a field of a form, as name=value pairs.
func (s *serializer) query(value any) ([]pair, error) {
	name := s.encode(s.name)
	list, isList := value.([]any)
	object, isObject := value.(map[string]any)
	delimiter, delimited := delimiters[s.style]
	switch {
	case s.style == styleDeep && isObject:
		return s.deep(s.name, object), nil
	case !delimited && (s.style != styleDeep || isObject):
		return nil, fmt.Errorf("the OpenAPI description gives the parameter %.60q the style %.40q, which its place does not have", s.name, s.style)
	case isList && (s.explode || s.style == styleDeep):
		var pairs []pair
		for _, item := range s.items(list) {
			pairs = append(pairs, pair{name, item})
		}
		return pairs, nil
	case isList:
		return []pair{{name, strings.Join(s.items(list), delimiter)}}, nil
	case isObject && s.explode:
		return s.properties(object), nil
	case isObject:
		return []pair{{name, joinPairs(s.properties(object), delimiter, delimiter)}}, nil
	}
	return []pair{{name, s.scalar(value)}}, nil
}

// deep writes an object as name[property]=value. OpenAPI leaves nested objects and lists open: they continue the brackets and
// repeat the name, as the common parsers read them.
func (s *serializer) deep(name string, object map[string]any) []pair {
	var pairs []pair
	for _, key := range slices.Sorted(maps.Keys(object)) {
		at := name + "[" + key + "]"
		switch value := object[key].(type) {
		case nil:
		case map[string]any:
			pairs = append(pairs, s.deep(at, value)...)
		case []any:
			for _, item := range s.items(value) {
				pairs = append(pairs, pair{s.encode(at), item})
			}
		default:
			pairs = append(pairs, pair{s.encode(at), s.scalar(value)})
		}
	}
	return pairs
}
