package manifest

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// pathTemplate is a path below the base URL: literal parts and parameters, or one expression.
type pathTemplate struct {
	whole *tree
	parts []pathPart
}

// pathPart is either text, or the value of a named parameter.
type pathPart struct {
	text  string
	name  string
	value *tree
}

var placeholder = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// path compiles an action's path. A parameter comes from params, or from the input's field of its name, which
// must then be required.
func (c *compiler) path(spec ActionSpec, pointer string) pathTemplate {
	at := pointerTo(pointer, "path")
	if isExpression(spec.Path) {
		return pathTemplate{whole: c.optional(spec.Path, at)}
	}
	if !strings.HasPrefix(spec.Path, "/") || strings.ContainsAny(spec.Path, "?#\\") || climbs(spec.Path) {
		c.fault(at, "a path begins with / and has neither query, fragment nor dot segments")
	}
	var t pathTemplate
	rest, used := spec.Path, map[string]bool{}
	for _, found := range placeholder.FindAllStringSubmatch(spec.Path, -1) {
		before, after, _ := strings.Cut(rest, found[0])
		rest = after
		t.parts = append(t.parts, pathPart{text: before}, pathPart{name: found[1], value: c.parameter(spec, found[1], pointer)})
		used[found[1]] = true
	}
	t.parts = append(t.parts, pathPart{text: rest})
	if strings.ContainsAny(placeholder.ReplaceAllString(spec.Path, ""), "{}") {
		c.fault(at, "a path parameter is {name}")
	}
	for name := range spec.Params {
		if !used[name] {
			c.fault(pointerTo(pointer, "params", name), "the path has no {%s}", name)
		}
	}
	return t
}

func (c *compiler) parameter(spec ActionSpec, name, pointer string) *tree {
	if value, ok := spec.Params[name]; ok {
		return c.value(value, pointerTo(pointer, "params", name))
	}
	required, _ := spec.Input["required"].([]any)
	if !slices.Contains(required, any(name)) {
		c.fault(pointerTo(pointer, "path"), "{%s} is neither in params nor a required field of the input", name)
	}
	return c.optional("${ .input."+name+" }", pointerTo(pointer, "path"))
}

// eval is the escaped path, beginning with /.
func (t pathTemplate) eval(s *scope) (string, error) {
	if t.whole != nil {
		path, err := t.whole.evalString(s)
		if err != nil {
			return "", err
		}
		return escapeWhole(path)
	}
	var b strings.Builder
	for _, part := range t.parts {
		if part.value == nil {
			b.WriteString((&url.URL{Path: part.text}).EscapedPath())
			continue
		}
		value, err := part.value.evalString(s)
		if err != nil {
			return "", err
		}
		if value == "" || value == "." || value == ".." {
			return "", &InputError{Fields: []FieldError{{Pointer: pointerTo("", part.name), Message: "cannot stand in a path"}}}
		}
		b.WriteString(url.PathEscape(value))
	}
	return b.String(), nil
}

var errPath = errors.New("the path must begin with / and have neither dot segments, backslashes nor control characters")

// escapeWhole escapes a path that a caller gave as a whole. What is percent-encoded already stays so.
func escapeWhole(path string) (string, error) {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return "", fmt.Errorf("the path is not percent-encoded properly")
	}
	if !strings.HasPrefix(path, "/") || climbs(plain) || strings.ContainsFunc(plain, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
		return "", errPath
	}
	escaped := (&url.URL{Path: plain, RawPath: path}).EscapedPath()
	return strings.NewReplacer("?", "%3F", "#", "%23").Replace(escaped), nil
}

// climbs reports whether a path has a segment that leads elsewhere.
func climbs(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
