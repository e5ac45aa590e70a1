package template

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

var errObject = errors.New("the value is an object, not a text; use the helper json, or name one of its members")

// value evaluates an expression. A variable that is missing is recorded unless it may be missing.
func (e *evaluation) value(x *expression, f *frame, mayMiss bool) (any, error) {
	if err := e.env.Budget.Step(1); err != nil {
		return nil, err
	}
	switch {
	case x.helper != nil:
		value, err := e.help(x, f)
		if err != nil {
			return nil, e.fail(x.offset, err)
		}
		return value, nil
	case x.path == nil:
		return x.literal, nil
	}
	value, err := e.lookup(x.path, f)
	if err != nil {
		return nil, err
	}
	if value == undefined && !mayMiss {
		e.miss(x)
	}
	return value, nil
}

// lookup returns the value of a path; undefined if it is missing.
func (e *evaluation) lookup(p *path, f *frame) (any, error) {
	var value any
	switch {
	case p.data == "root":
		value = f.root
	case p.data != "":
		l := f.loop
		for range p.up {
			if l != nil {
				l = l.parent
			}
		}
		if l == nil {
			return undefined, nil
		}
		return l.value(p.data), nil
	default:
		for range p.up {
			if f = f.parent; f == nil {
				return undefined, nil
			}
		}
		value = f.context
	}
	for _, name := range p.segments {
		if err := e.read(value); err != nil { // the length of a text is counted
			return nil, err
		}
		if value = member(value, name); value == undefined {
			return undefined, nil
		}
	}
	return value, nil
}

// miss records a missing variable.
func (e *evaluation) miss(x *expression) {
	if e.env.Missing == nil || len(*e.env.Missing) >= MaxMissing {
		return
	}
	known := slices.ContainsFunc(*e.env.Missing, func(m Missing) bool {
		return m.Name == x.path.text && m.Template == e.name
	})
	if known {
		return
	}
	line, column := position(e.template.source, x.offset)
	*e.env.Missing = append(*e.env.Missing, Missing{x.path.text, e.name, e.template.options.Part, line, column})
}

// text returns the text of a value.
func (e *evaluation) text(value any) (string, error) {
	var out strings.Builder
	err := e.appendText(&out, value)
	return out.String(), err
}

func (e *evaluation) appendText(out *strings.Builder, value any) error {
	if err := e.env.Budget.Step(1); err != nil {
		return err
	}
	switch v := value.(type) {
	case string:
		out.WriteString(v)
	case bool:
		out.WriteString(strconv.FormatBool(v))
	case number:
		out.WriteString(v.String())
	case []any: // as JavaScript's join
		for i, item := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := e.read(item); err != nil {
				return err
			}
			if err := e.appendText(out, item); err != nil {
				return err
			}
		}
	case *Object:
		return errObject
	}
	return nil
}

var lineBreaks = strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ")

// oneLine replaces line breaks by spaces: a value cannot begin a header of an e-mail.
func oneLine(text string) string { return strings.TrimSpace(lineBreaks.Replace(text)) }

// escapes are those of handlebars.js.
var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;", "`", "&#x60;", "=", "&#x3D;")

func escaped(text string) string { return escapes.Replace(text) }
