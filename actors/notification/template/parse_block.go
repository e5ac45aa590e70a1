package template

import "slices"

// blocks are the blocks of the language.
var blocks = []string{"if", "unless", "each", "with"}

// block parses {{#name argument}} … {{else}} … {{/name}}.
func (p *parser) block(offset int, s strip) *node {
	p.take("#")
	switch {
	case p.has(">"):
		p.fail(offset, "partial blocks are not supported; use a layout")
	case p.has("*"):
		p.fail(offset, "inline partials and decorators are not supported")
	}
	p.space()
	start := p.at
	name := p.name()
	if !slices.Contains(blocks, name) || p.has(".") {
		p.fail(start, "unknown block %q; the blocks are if, unless, each and with", name+p.rest())
	}
	n := p.opened(name, offset, start, s)
	last := p.body(n)
	if last.kind != endClose {
		p.fail(offset, "the block %s is not closed", name)
	}
	if last.name != name {
		p.fail(last.offset, "%s is closed by %q", name, last.name)
	}
	n.closeStrip = last.strip
	if n.inverse != nil && n.inverse.chained {
		n.inverse.body[0].closeStrip = last.strip
	}
	return n
}

// rest is what follows a name up to the next space, for a message.
func (p *parser) rest() string {
	start := p.at
	for !p.ends() && p.at < len(p.source) && p.at < start+32 {
		p.at++
	}
	return p.source[start:p.at]
}

// opened parses the arguments of a block's opening tag.
func (p *parser) opened(name string, offset, start int, s strip) *node {
	n := &node{kind: nodeBlock, offset: offset, block: name}
	arguments, hash := p.arguments()
	if len(arguments) != 1 {
		p.fail(start, "%s takes one argument", name)
	}
	n.expression = arguments[0]
	for _, h := range hash {
		zero, constant := h.value.literal.(bool)
		if h.name != "includeZero" || name != "if" && name != "unless" || !constant {
			p.fail(h.value.offset, "%s has no option %s", name, h.name)
		}
		n.zero = zero
	}
	n.strip = p.close(s)
	return n
}

// body parses the programs of a block up to its closing tag, which it returns, or another tag that does not belong there.
func (p *parser) body(n *node) end {
	p.enter(n.offset)
	defer p.leave()
	if n.block == "each" || n.block == "with" {
		p.contexts++
	}
	if n.block == "each" {
		p.loops++
	}
	inner, last := p.program()
	if n.block == "each" || n.block == "with" {
		p.contexts--
	}
	if n.block == "each" {
		p.loops--
	}
	n.program = inner
	switch last.kind {
	case endElse:
		n.inverseStrip = last.strip
		n.inverse, last = p.program()
		if last.kind == endElse || last.kind == endElseIf {
			p.fail(last.offset, "the block has an {{else}} already")
		}
	case endElseIf:
		chained := p.opened("if", last.offset, last.offset, last.strip)
		n.inverseStrip = chained.strip
		n.inverse = &program{body: []*node{chained}, chained: true}
		// handlebars.js gives the blocks of a chain, except the first, the strip of their own opening tag.
		last = p.body(chained)
		chained.closeStrip = chained.strip
	}
	return last
}

// enter bounds the nesting.
func (p *parser) enter(offset int) {
	if p.nesting++; p.nesting > MaxNesting {
		p.fail(offset, "the template is nested more than %d deep", MaxNesting)
	}
}

func (p *parser) leave() { p.nesting-- }
