package manifest

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// pathTemplate is a compiled path below the base URL: either literal parts and parameters, or one expression.
type pathTemplate struct {
	whole *tree
	parts []pathPart
}

// pathPart is either a literal text or the value of a named parameter.
type pathPart struct {
	text  string
	name  string
	value *tree
}

var placeholder = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// path compiles an action's path. The value of a parameter is that of params, or the field of the input with its name, which
// must be required.
func (c *compiler) path(spec ActionSpec, pointer string) pathTemplate {
	at := pointerTo(pointer, "path")
	if isExpression(spec.Path) {
		return pathTemplate{whole: c.optional(spec.Path, at)}
	}
	if !strings.HasPrefix(spec.Path, "/") || strings.ContainsAny(spec.Path, "?#\\") || hasDotSegments(spec.Path) {
		c.fault(at, "must begin with / and have no query, fragment, backslash or dot segments")
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
		c.fault(at, "path parameters must be written as {name}")
	}
	for name := range spec.Params {
		if !used[name] {
			c.fault(pointerTo(pointer, "params", name), "the path has no parameter {%s}", name)
		}
	}
	return t
}

// parameter compiles the value of a path parameter.
func (c *compiler) parameter(spec ActionSpec, name, pointer string) *tree {
	if value, ok := spec.Params[name]; ok {
		return c.value(value, pointerTo(pointer, "params", name))
	}
	required, _ := spec.Input["required"].([]any)
	if !slices.Contains(required, any(name)) {
		c.fault(pointerTo(pointer, "path"), "{%s} must be in params or a required field of the input", name)
	}
	return c.optional("${ .input."+name+" }", pointerTo(pointer, "path"))
}

// eval returns the escaped path, which begins with /. A parameter that is empty or a dot segment is an *InputError.
func (t pathTemplate) eval(s *scope) (string, error) {
	if t.whole != nil {
		path, err := t.whole.evalString(s)
		if err != nil {
			return "", err
		}
		return escapePath(path)
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
			return "", &InputError{Fields: []FieldError{{Pointer: pointerTo("", part.name), Message: "must not be empty, . or .., because it is part of a path"}}}
		}
		b.WriteString(url.PathEscape(value))
	}
	return b.String(), nil
}

var errPath = errors.New("the path must begin with / and have no dot segments, backslashes or control characters")

// escapePath escapes a whole path. It keeps existing percent-encoding.
func escapePath(path string) (string, error) {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return "", fmt.Errorf("the path has invalid percent-encoding")
	}
	if !strings.HasPrefix(path, "/") || hasDotSegments(plain) || strings.ContainsFunc(plain, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
		return "", errPath
	}
	escaped := (&url.URL{Path: plain, RawPath: path}).EscapedPath()
	return strings.NewReplacer("?", "%3F", "#", "%23").Replace(escaped), nil
}

// hasDotSegments reports whether a path has a segment . or .. (RFC 3986, section 3.3).
func hasDotSegments(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
