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
	// field is the field of the input that whole consists of; "" if there is more to it.
	field string
	parts []pathPart
}

// pathPart is either a literal text or the value of a named parameter.
type pathPart struct {
	text  string
	name  string
	value *tree
}

var (
	placeholder = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)\}`)
	inputField  = regexp.MustCompile(`^\$\{\s*\.input\.([A-Za-z_][A-Za-z0-9_]*)\s*\}$`)
)

// path compiles an action's path. The value of a parameter is that of params, or the field of the input with its name, which
// must be required.
func (c *compiler) path(spec ActionSpec, pointer string) pathTemplate {
	at := pointerTo(pointer, "path")
	if isExpression(spec.Path) {
		t := pathTemplate{whole: c.optional(spec.Path, at)}
		if found := inputField.FindStringSubmatch(spec.Path); found != nil {
			t.field = found[1]
		}
		return t
	}
	if strings.Contains(spec.Path, "${") {
		c.fault(at, "%s", errPartial)
		return pathTemplate{}
	}
	if _, err := escapePath(placeholder.ReplaceAllString(spec.Path, "x")); err != nil {
		c.fault(at, "%v", err)
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

// eval returns the escaped path, which begins with /. An input that cannot be a path or a part of one is an *InputError.
func (t pathTemplate) eval(s *scope) (string, error) {
	if t.whole != nil {
		path, err := t.whole.evalString(s)
		if err != nil {
			return "", err
		}
		escaped, err := escapePath(path)
		if err != nil && t.field != "" {
			return "", &InputError{Fields: []FieldError{{Pointer: pointerTo("", t.field), Message: err.Error()}}}
		}
		return escaped, err
	}
	var b strings.Builder
	for _, part := range t.parts {
		if part.value == nil {
			b.WriteString(percentEncoded(part.text))
			continue
		}
		value, err := part.value.evalString(s)
		if err != nil {
			return "", err
		}
		if value == "" || hasDotSegments(value) {
			return "", &InputError{Fields: []FieldError{{
				Pointer: pointerTo("", part.name), Message: "must not be empty or have the segments . or .., because it is part of a path",
			}}}
		}
		b.WriteString(url.PathEscape(value))
	}
	return b.String(), nil
}

var (
	errPath     = errors.New("must begin with / and have no dot segments, backslashes or control characters")
	errQuery    = errors.New("must have no query: give it as the query, or write ? as %3F where it is part of the path")
	errFragment = errors.New("must have no fragment: write # as %23 where it is part of the path")
	errEscape   = errors.New("has a % that is not followed by two hexadecimal digits: write % as %25")
)

// escapePath checks and encodes a path below a base URL, which may be percent-encoded. It must not lead out of that URL, also if the
// server that receives it decodes or normalizes it.
func escapePath(path string) (string, error) {
	plain, err := url.PathUnescape(path)
	switch {
	case err != nil:
		return "", errEscape
	case strings.Contains(path, "?"):
		return "", errQuery
	case strings.Contains(path, "#"):
		return "", errFragment
	case !strings.HasPrefix(path, "/") || strings.Contains(path, `\`) || leavesBase(path):
		return "", errPath
	case strings.ContainsFunc(plain, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return "", errPath
	}
	return percentEncoded(path), nil
}

// percentEncoded encodes what a path must not contain (RFC 3986 §3.3) and keeps the percent-encoding that it has: %2F, which is data, is
// not the same as the delimiter / (§2.2).
func percentEncoded(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', strings.IndexByte("-._~!$&'()*+,;=:@/%", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// leavesBase reports whether a path has dot segments when it is decoded once or twice.
func leavesBase(path string) bool {
	for range 3 {
		again, err := url.PathUnescape(path)
		if hasDotSegments(path) {
			return true
		}
		if err != nil || again == path {
			return false
		}
		path = again
	}
	return false
}

// hasDotSegments reports whether a decoded path has a segment . or .. (RFC 3986 §3.3), also where a server takes a backslash for a slash
// or ignores what follows a semicolon.
func hasDotSegments(path string) bool {
	for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment, _, _ = strings.Cut(segment, ";"); segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
