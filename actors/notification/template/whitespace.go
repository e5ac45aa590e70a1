package template

import (
	"strings"
	"unicode/utf8"
)

// arrange removes the whitespace around tags that stand alone on their line, and what `~` removes. It follows handlebars.js step by step
// (lib/compiler/whitespace-control.js), with its order and its exceptions.
func arrange(p *program, root bool) {
	for i, n := range p.body {
		var openStandalone, closeStandalone, inlineStandalone bool
		edges := n.strip
		switch n.kind {
		case nodeContent:
			continue
		case nodeBlock:
			openStandalone, closeStandalone = arrangeBlock(n)
			edges = strip{open: n.strip.open, close: n.closeStrip.close}
		case nodeComment, nodePartial:
			inlineStandalone = true
		}
		before, after := whitespaceBefore(p.body, i, root), whitespaceAfter(p.body, i, root)
		if edges.close {
			omitRight(p.body, i+1, true)
		}
		if edges.open {
			omitLeft(p.body, i-1, true)
		}
		if inlineStandalone && before && after {
			omitRight(p.body, i+1, false)
			if omitLeft(p.body, i-1, false) && n.kind == nodePartial {
				line := p.body[i-1].original
				n.indent = line[len(strings.TrimRight(line, " \t")):]
			}
		}
		if openStandalone && before {
			omitRight(n.program.body, 0, false)
			omitLeft(p.body, i-1, false)
		}
		if closeStandalone && after {
			last := n.program
			if n.inverse != nil {
				last = n.inverse
			}
			omitRight(p.body, i+1, false)
			omitLeft(last.body, len(last.body)-1, false)
		}
	}
}

// arrangeBlock does the same inside a block. It reports whether the block's opening and closing tag may stand alone.
func arrangeBlock(n *node) (openStandalone, closeStandalone bool) {
	arrange(n.program, false)
	first, last := n.inverse, n.inverse
	if n.inverse != nil {
		arrange(n.inverse, false)
		if n.inverse.chained {
			first = n.inverse.body[0].program
			last = first
		}
	}
	body := n.program.body
	openStandalone = whitespaceAfter(body, -1, false)
	if first != nil {
		closeStandalone = whitespaceBefore(first.body, len(first.body), false)
	} else {
		closeStandalone = whitespaceBefore(body, len(body), false)
	}
	if n.strip.close {
		omitRight(body, 0, true)
	}
	if first == nil {
		if n.closeStrip.open {
			omitLeft(body, len(body)-1, true)
		}
		return openStandalone, closeStandalone
	}
	if n.inverseStrip.open {
		omitLeft(body, len(body)-1, true)
	}
	if n.inverseStrip.close {
		omitRight(first.body, 0, true)
	}
	if n.closeStrip.open {
		omitLeft(last.body, len(last.body)-1, true)
	}
	if whitespaceBefore(body, len(body), false) && whitespaceAfter(first.body, -1, false) {
		omitLeft(body, len(body)-1, false)
		omitRight(first.body, 0, false)
	}
	return openStandalone, closeStandalone
}

// whitespaceBefore reports whether only whitespace is between the node and the start of its line.
func whitespaceBefore(body []*node, i int, root bool) bool {
	if i == 0 {
		return root
	}
	previous := body[i-1]
	if previous.kind != nodeContent {
		return false
	}
	rest := strings.TrimRightFunc(previous.original, isSpace)
	if rest == "" && i == 1 && root {
		return true
	}
	return strings.Contains(previous.original[len(rest):], "\n")
}

// whitespaceAfter reports whether only whitespace is between the node and the end of its line.
func whitespaceAfter(body []*node, i int, root bool) bool {
	if i+1 >= len(body) {
		return root
	}
	following := body[i+1]
	if following.kind != nodeContent {
		return false
	}
	rest := strings.TrimLeftFunc(following.original, isSpace)
	if rest == "" && i+2 >= len(body) && root {
		return true
	}
	return strings.Contains(following.original[:len(following.original)-len(rest)], "\n")
}

// omitRight removes whitespace from the start of the content at i: all, or up to and with the end of the line, once.
func omitRight(body []*node, i int, all bool) {
	if i >= len(body) || body[i].kind != nodeContent || !all && body[i].rightStripped {
		return
	}
	n, before := body[i], body[i].value
	if all {
		n.value = strings.TrimLeftFunc(before, isSpace)
	} else {
		n.value = strings.TrimPrefix(strings.TrimPrefix(strings.TrimLeft(before, " \t"), "\r"), "\n")
	}
	n.rightStripped = n.value != before
}

// omitLeft removes whitespace from the end of the content at i: all, or that of the last line, once. It reports whether there was any.
func omitLeft(body []*node, i int, all bool) bool {
	if i < 0 || body[i].kind != nodeContent || !all && body[i].leftStripped {
		return false
	}
	n, before := body[i], body[i].value
	if all {
		n.value = strings.TrimRightFunc(before, isSpace)
	} else {
		n.value = strings.TrimRight(before, " \t")
	}
	n.leftStripped = n.value != before
	return n.leftStripped
}

// valid reports whether a source is UTF-8 without NUL.
func valid(source string) bool { return utf8.ValidString(source) && !strings.Contains(source, "\x00") }
