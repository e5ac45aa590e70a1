package template

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// The kinds of templates.
const (
	Message = "message"
	Partial = "partial"
	Layout  = "layout"
)

// Body is the variable of a layout that has the rendered message.
const Body = "body"

// Options say what a source is.
type Options struct {
	// Part is Subject, HTML or Text. Kind is Message, Partial or Layout.
	Part, Kind string
	// Locale is the language that the source is written in.
	Locale language.Tag
}

// parser builds the tree of a source. A failed parse panics with *Error, which Parse recovers.
type parser struct {
	scanner
	options Options
	nodes   int
	nesting int
	// contexts counts the enclosing blocks that change the context, loops those that are each.
	contexts, loops int
	references      []Reference
}

// Parse parses a source. The error is an *Error.
func Parse(source string, o Options) (t *Template, err error) {
	p := &parser{scanner: scanner{source: source}, options: o}
	defer func() {
		switch failed := recover().(type) {
		case nil:
		case *Error:
			t, err = nil, failed
		default: // a fault of the parser
			panic(failed)
		}
	}()
	if len(source) > MaxSource {
		p.fail(MaxSource, "the source is longer than %d bytes", MaxSource)
	}
	if !valid(source) {
		p.fail(0, "the source is not UTF-8, or has a NUL character")
	}
	root, end := p.program()
	if end.kind != endOfSource {
		p.fail(end.offset, "there is no block that this tag belongs to")
	}
	arrange(root, true)
	return &Template{source: source, options: o, program: root, references: p.references, nodes: p.nodes}, nil
}

// fail ends the parse with an error at an offset.
func (p *parser) fail(offset int, format string, arguments ...any) {
	line, column := position(p.source, offset)
	panic(&Error{Part: p.options.Part, Line: line, Column: column, Message: fmt.Sprintf(format, arguments...)})
}

// count bounds the size of the tree.
func (p *parser) count(offset int) {
	if p.nodes++; p.nodes > MaxNodes {
		p.fail(offset, "the template has more than %d elements", MaxNodes)
	}
}

// The tags that end a program.
type endKind int

const (
	endOfSource endKind = iota
	endElse
	endElseIf
	endClose
)

// end is the tag that ends a program. After endElseIf the scanner is behind `if`; after endClose, name is that of the block.
type end struct {
	kind   endKind
	offset int
	strip  strip
	name   string
}

// program parses nodes up to a tag that ends them.
func (p *parser) program() (*program, end) {
	result := &program{}
	for {
		if !p.content(result) {
			return result, end{offset: p.at}
		}
		n, last := p.tag()
		if n == nil {
			return result, last
		}
		result.body = append(result.body, n)
	}
}

// content parses the text before a tag. It reports false at the end of the source.
func (p *parser) content(to *program) bool {
	for {
		length := strings.Index(p.source[p.at:], "{{")
		if length < 0 {
			p.text(to, p.at, len(p.source))
			p.at = len(p.source)
			return false
		}
		begin := p.at + length
		switch text := p.source[p.at:begin]; {
		case strings.HasSuffix(text, `\\`): // a backslash before a tag
			p.text(to, p.at, begin-1)
		case strings.HasSuffix(text, `\`): // braces that are text
			p.text(to, p.at, begin-1)
			p.at = begin + 2
			if length = strings.Index(p.source[p.at:], "{{"); length < 0 {
				length = len(p.source) - p.at
			}
			plain := p.source[p.at : p.at+length]
			if p.at+length < len(p.source) {
				plain = strings.TrimSuffix(strings.TrimSuffix(plain, `\`), `\`)
			}
			p.at += len(plain)
			p.text(to, begin, p.at)
			continue
		default:
			p.text(to, p.at, begin)
		}
		p.at = begin
		return true
	}
}

// text adds a part of the source as content.
func (p *parser) text(to *program, from, until int) {
	if from >= until {
		return
	}
	p.count(from)
	text := p.source[from:until]
	to.body = append(to.body, &node{kind: nodeContent, offset: from, original: text, value: text})
}

// tag parses a tag: a node, or nil and the tag that ends the program.
func (p *parser) tag() (*node, end) {
	offset := p.at
	p.count(offset)
	p.take("{{")
	if p.has("{{") {
		p.fail(offset, "raw blocks are not supported")
	}
	opening := strip{open: p.take("~")}
	switch {
	case p.has("!"):
		return p.comment(offset, opening), end{}
	case p.has("#"):
		return p.block(offset, opening), end{}
	case p.take("/"):
		p.space()
		name := p.name()
		return nil, end{endClose, offset, p.close(opening), name}
	case p.take(">"):
		return p.partial(offset, opening), end{}
	case p.has("^"):
		p.fail(offset, "inverted sections are not supported; use {{else}} or {{#unless}}")
	case p.has("*"):
		p.fail(offset, "decorators are not supported")
	case p.has("{"), p.has("&"):
		return p.rawValue(offset, opening), end{}
	}
	p.space()
	word := p.at
	if p.name() == "else" {
		p.space()
		if p.has("}}") || p.has("~}}") {
			return nil, end{kind: endElse, offset: offset, strip: p.close(opening)}
		}
		if chain := p.at; p.name() != "if" || !isSpace(p.next()) {
			p.fail(chain, "only if may follow else")
		}
		return nil, end{kind: endElseIf, offset: offset, strip: opening}
	}
	p.at = word
	n := &node{kind: nodeValue, offset: offset, expression: p.value(false)}
	n.strip = p.close(opening)
	return n, end{}
}

// close parses the end of a tag and returns the tag's strip.
func (p *parser) close(s strip) strip {
	p.space()
	if p.has("}}}") {
		p.fail(p.at, "expected }}, found }}}")
	}
	return p.closed(s)
}

func (p *parser) closed(s strip) strip {
	s.close = p.take("~")
	if !p.take("}}") {
		p.fail(p.at, "expected }}, found %s", p.found())
	}
	return s
}

// found describes what is at the position.
func (p *parser) found() string {
	if p.at >= len(p.source) {
		return "the end of the source"
	}
	return fmt.Sprintf("%q", p.next())
}

// comment parses {{! … }} and {{!-- … --}}.
func (p *parser) comment(offset int, s strip) *node {
	closing := "}}"
	if p.has("!--") {
		closing = "--}}"
		if length, other := strings.Index(p.source[p.at:], closing), strings.Index(p.source[p.at:], "--~}}"); length < 0 || other >= 0 && other < length {
			closing = "--~}}"
		}
	}
	length := strings.Index(p.source[p.at:], closing)
	if length < 0 {
		p.fail(offset, "the comment is not closed")
	}
	p.at += length + len(closing)
	s.close = strings.HasSuffix(p.source[offset:p.at], "~}}")
	return &node{kind: nodeComment, offset: offset, strip: s}
}

// rawValue parses {{{ … }}} and {{& … }}.
func (p *parser) rawValue(offset int, s strip) *node {
	triple := p.take("{")
	if !triple {
		p.take("&")
	}
	n := &node{kind: nodeValue, offset: offset, expression: p.value(true), raw: true}
	if p.options.Part != HTML && (p.options.Kind != Layout || n.expression.path == nil || n.expression.path.text != Body) {
		p.fail(offset, "{{{ and {{& are for html; in a subject and a text nothing is escaped")
	}
	p.space()
	if triple && (p.has("}}}}") || !p.take("}")) {
		p.fail(p.at, "expected }}}, found %s", p.found())
	}
	if triple {
		n.strip = p.closed(s)
	} else {
		n.strip = p.close(s)
	}
	return n
}

// partial parses {{> name context key=value}}.
func (p *parser) partial(offset int, s strip) *node {
	p.space()
	start := p.at
	n := &node{kind: nodePartial, offset: offset}
	if p.has("(") {
		p.fail(start, "the name of a partial is a constant")
	}
	if quote := p.next(); quote == '"' || quote == '\'' {
		n.name = p.quoted()
	} else {
		for !p.ends() {
			if p.at++; p.at >= len(p.source) {
				break
			}
		}
		n.name = p.source[start:p.at]
	}
	if !isTemplateName(n.name) {
		p.fail(start, "%q is not the name of a template", n.name)
	}
	arguments, hash := p.arguments()
	if len(arguments) > 1 {
		p.fail(arguments[1].offset, "a partial takes one context")
	}
	if len(arguments) == 1 {
		n.expression = arguments[0]
	}
	n.hash = hash
	if !slices.ContainsFunc(p.references, func(r Reference) bool { return r.Name == n.name }) {
		line, column := position(p.source, start)
		p.references = append(p.references, Reference{n.name, line, column})
	}
	n.strip = p.close(s)
	return n
}

// isTemplateName reports whether a text can be a template's name: lower-case letters, digits, `.`, `_` and `-`, a letter first, at most 64.
func isTemplateName(name string) bool {
	for i, r := range name {
		if r >= 'a' && r <= 'z' || i > 0 && (r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-') {
			continue
		}
		return false
	}
	return name != "" && len(name) <= 64
}
