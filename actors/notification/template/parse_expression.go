package template

import (
	"slices"
	"strconv"
	"strings"
)

// dataNames are the variables of loops.
var dataNames = []string{"index", "key", "first", "last"}

// value parses the expression of {{ … }}: a variable, or a helper with arguments.
func (p *parser) value(raw bool) *expression {
	p.space()
	start := p.at
	if r := p.next(); r == '"' || r == '\'' || r == '(' {
		p.fail(start, "expected a variable or a helper, found %s", p.found())
	}
	if _, number := p.number(); number {
		p.fail(start, "expected a variable or a helper, found a number")
	}
	path := p.path()
	e := &expression{offset: start, path: path}
	name := path.bare()
	if name == "true" || name == "false" || name == "null" || name == "undefined" {
		p.fail(start, "expected a variable or a helper, found %s", name)
	}
	arguments, hash := p.arguments()
	h := helpers[name]
	switch {
	case h == nil && len(arguments)+len(hash) > 0:
		p.fail(start, "unknown helper %q", path.text)
	case h == nil && slices.Contains(blocks, name):
		p.fail(start, "%s is a block: {{#%s}}", name, name)
	case h != nil && len(arguments)+len(hash) == 0:
		p.fail(start, "the helper %s takes arguments; this.%s is the variable", name, name)
	case h != nil:
		return p.call(start, h, name, arguments, hash)
	}
	if p.options.Kind == Layout && p.options.Part == HTML && name == Body && !raw {
		p.fail(start, "the body of an html layout is written {{{body}}}")
	}
	return e
}

// call makes the call of a helper, and checks its arguments.
func (p *parser) call(offset int, h *helper, name string, arguments []*expression, hash []pair) *expression {
	if len(arguments) < h.least || h.most >= 0 && len(arguments) > h.most {
		p.fail(offset, "%s takes %s", name, h.usage)
	}
	for _, option := range hash {
		if !slices.Contains(h.options, option.name) {
			p.fail(option.value.offset, "%s has no option %s", name, option.name)
		}
	}
	e := &expression{offset: offset, helper: h, arguments: arguments, hash: hash}
	if h.check != nil {
		if at, message := h.check(e, p.options.Locale); message != "" {
			p.fail(at, "%s", message)
		}
	}
	return e
}

// arguments parses the arguments of a tag up to its end: positional ones, then named ones.
func (p *parser) arguments() (positional []*expression, named []pair) {
	for {
		p.space()
		if p.at >= len(p.source) {
			p.fail(p.at, "the tag is not closed")
		}
		if r := p.next(); r == '}' || r == '~' || r == ')' {
			return positional, named
		}
		if p.has("as |") || p.has("|") {
			p.fail(p.at, "block parameters are not supported")
		}
		start := p.at
		if name := p.name(); name != "" {
			if p.space(); p.take("=") {
				p.space()
				if slices.ContainsFunc(named, func(n pair) bool { return n.name == name }) {
					p.fail(start, "%s is given twice", name)
				}
				named = append(named, pair{name, p.argument()})
				continue
			}
		}
		p.at = start
		if named != nil {
			p.fail(start, "named arguments come last")
		}
		positional = append(positional, p.argument())
	}
}

// argument parses one argument.
func (p *parser) argument() *expression {
	start := p.at
	p.count(start)
	if r := p.next(); r == '"' || r == '\'' {
		return &expression{offset: start, literal: p.quoted()}
	}
	if p.take("(") {
		return p.subexpression(start)
	}
	if text, ok := p.number(); ok {
		return &expression{offset: start, literal: number(text)}
	}
	path := p.path()
	switch path.bare() {
	case "true", "false":
		return &expression{offset: start, literal: path.text == "true"}
	case "null":
		return &expression{offset: start, literal: nil}
	case "undefined":
		return &expression{offset: start, literal: undefined}
	}
	return &expression{offset: start, path: path}
}

// subexpression parses the inside of ( … ).
func (p *parser) subexpression(start int) *expression {
	p.enter(start)
	defer p.leave()
	p.space()
	at := p.at
	name := p.name()
	h := helpers[name]
	if h == nil || p.has(".") {
		p.fail(at, "unknown helper %q", name+p.rest())
	}
	arguments, hash := p.arguments()
	e := p.call(at, h, name, arguments, hash)
	if !p.take(")") {
		p.fail(p.at, "expected ), found %s", p.found())
	}
	return e
}

// quoted parses a text in quotes. A backslash before the quote keeps it; any other is a character.
func (p *parser) quoted() string {
	start := p.at
	quote := p.source[p.at : p.at+1]
	for i := start + 1; i < len(p.source); i++ {
		if p.source[i:i+1] == quote && p.source[i-1] != '\\' {
			p.at = i + 1
			return strings.ReplaceAll(p.source[start+1:i], `\`+quote, quote)
		}
	}
	p.fail(start, "the text is not closed")
	return ""
}

// path parses a path.
func (p *parser) path() *path {
	start := p.at
	result := &path{}
	data := p.take("@")
	for {
		switch {
		case p.take("../"):
			result.up++
			continue
		case p.has(".."):
			p.take("..")
			result.up++
			p.single(start)
		case p.take("./"):
			continue
		case p.has("."):
			p.take(".")
			p.single(start)
		default:
			p.segments(result)
		}
		break
	}
	result.text = p.source[start:p.at]
	if data {
		p.dataPath(result, start)
	}
	if !data && result.up > p.contexts {
		p.fail(start, "%s leads out of the template: it is in %d blocks each or with", result.text, p.contexts)
	}
	return result
}

// single requires the end of a word behind . and ..
func (p *parser) single(start int) {
	if !p.ends() {
		p.fail(start, "invalid path")
	}
}

// segments parses the names of a path.
func (p *parser) segments(result *path) {
	for first := true; ; first = false {
		at := p.at
		name := p.segment()
		p.count(at)
		if name == "this" && p.source[at] != '[' {
			if !first {
				p.fail(at, "invalid path")
			}
			if !p.take(".") && !p.take("/") {
				result.segments = nil
				return
			}
			p.segments(result)
			return
		}
		result.segments = append(result.segments, name)
		if p.has("/") {
			p.fail(p.at, "names in a path are separated by dots")
		}
		if !p.take(".") {
			return
		}
	}
}

// segment parses one name of a path.
func (p *parser) segment() string {
	if p.has("[") {
		return p.bracketed()
	}
	name := p.name()
	if name == "" {
		p.fail(p.at, "expected a name, found %s", p.found())
	}
	return name
}

// bracketed parses a name in brackets.
func (p *parser) bracketed() string {
	start := p.at
	var name strings.Builder
	for p.at++; p.at < len(p.source); p.at++ {
		switch c := p.source[p.at]; {
		case c == ']':
			p.at++
			return name.String()
		case c == '\\' && p.at+1 < len(p.source) && (p.source[p.at+1] == '\\' || p.source[p.at+1] == ']'):
			p.at++
			name.WriteByte(p.source[p.at])
		default:
			name.WriteByte(c)
		}
	}
	p.fail(start, "the name is not closed")
	return ""
}

// dataPath checks a path that begins with @.
func (p *parser) dataPath(result *path, start int) {
	if len(result.segments) == 0 {
		p.fail(start, "expected a name behind @")
	}
	result.data, result.segments = result.segments[0], result.segments[1:]
	if result.data == "root" && result.up == 0 {
		return
	}
	if !slices.Contains(dataNames, result.data) || len(result.segments) > 0 {
		p.fail(start, "unknown variable %s; there are @root, @index, @key, @first and @last", result.text)
	}
	if result.up >= p.loops && (p.options.Kind != Partial || result.up > p.loops) {
		p.fail(start, "%s is in %s blocks each", result.text, strconv.Itoa(p.loops))
	}
}

// bare is the name of a path that is one name without anything else; empty for any other path.
func (p *path) bare() string {
	if p.data == "" && p.up == 0 && len(p.segments) == 1 && p.text == p.segments[0] {
		return p.text
	}
	return ""
}
