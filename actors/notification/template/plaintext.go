package template

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// blockTags begin a new line; those with true have an empty line around them.
var blockTags = map[atom.Atom]bool{
	atom.P: true, atom.H1: true, atom.H2: true, atom.H3: true, atom.H4: true, atom.H5: true, atom.H6: true, atom.Ul: true, atom.Ol: true,
	atom.Table: true, atom.Blockquote: true, atom.Pre: true, atom.Hr: true,
	atom.Div: false, atom.Li: false, atom.Tr: false, atom.Section: false, atom.Article: false, atom.Header: false, atom.Footer: false,
	atom.Main: false, atom.Dt: false, atom.Dd: false, atom.Body: false,
}

// hiddenTags have content that is not shown.
var hiddenTags = map[atom.Atom]bool{atom.Head: true, atom.Style: true, atom.Script: true, atom.Title: true, atom.Template: true}

// plain writes the text of HTML.
type plain struct {
	out strings.Builder
	// breaks are the line breaks before the next word, space that there is one before it.
	breaks int
	space  bool
	hidden int
	link   string
	label  strings.Builder
}

// plainText returns the text of an HTML document: paragraphs and headings with an empty line between them, `- ` before the items of lists,
// the address of a link in brackets behind its text where that is another one, the alternative text of images. Styles, scripts and the
// head are left out.
func plainText(document string) string {
	p := &plain{}
	for z := html.NewTokenizer(strings.NewReader(document)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			return p.out.String()
		}
		token := z.Token()
		switch kind {
		case html.TextToken:
			p.text(token.Data)
		case html.StartTagToken, html.SelfClosingTagToken:
			p.start(token, kind == html.SelfClosingTagToken)
		case html.EndTagToken:
			p.end(token)
		case html.CommentToken, html.DoctypeToken, html.ErrorToken:
		}
	}
}

func (p *plain) start(token html.Token, closed bool) {
	if hiddenTags[token.DataAtom] && !closed {
		p.hidden++
	}
	p.around(token.DataAtom)
	switch token.DataAtom {
	case atom.Body:
		p.hidden = 0 // the end tag of the head may be left out
	case atom.Br:
		p.breaks++
	case atom.Li:
		p.word("-")
		p.space = true
	case atom.Td, atom.Th:
		p.space = true
	case atom.Img:
		p.text(attribute(token, "alt"))
	case atom.A:
		p.link = attribute(token, "href")
		p.label.Reset()
	}
}

func (p *plain) end(token html.Token) {
	if hiddenTags[token.DataAtom] && p.hidden > 0 {
		p.hidden--
	}
	p.around(token.DataAtom)
	if token.DataAtom == atom.A && p.link != "" {
		if label := p.label.String(); p.link != label && p.link != "mailto:"+label && !strings.HasPrefix(p.link, "#") {
			p.space = true
			p.word("(" + p.link + ")")
		}
		p.link = ""
	}
}

// around sets the line breaks around a block.
func (p *plain) around(tag atom.Atom) {
	if apart, block := blockTags[tag]; block {
		lines := 1
		if apart {
			lines = 2
		}
		p.breaks = max(p.breaks, lines)
	}
}

// text writes text with its whitespace collapsed.
func (p *plain) text(text string) {
	if p.hidden > 0 || text == "" {
		return
	}
	first, _ := utf8.DecodeRuneInString(text)
	last, _ := utf8.DecodeLastRuneInString(text)
	p.space = p.space || isSpace(first)
	for i, word := range strings.Fields(text) {
		p.space = p.space || i > 0
		p.word(word)
	}
	p.space = p.space || isSpace(last)
}

// word writes a word with the whitespace that is due before it.
func (p *plain) word(word string) {
	if p.hidden > 0 {
		return
	}
	if p.out.Len() > 0 {
		switch {
		case p.breaks > 0:
			p.out.WriteString(strings.Repeat("\n", min(p.breaks, 2)))
		case p.space:
			p.out.WriteByte(' ')
		}
	}
	if p.link != "" {
		if p.label.Len() > 0 && p.space {
			p.label.WriteByte(' ')
		}
		p.label.WriteString(word)
	}
	p.breaks, p.space = 0, false
	p.out.WriteString(word)
}

func attribute(token html.Token, name string) string {
	for _, a := range token.Attr {
		if a.Key == name {
			return strings.TrimSpace(a.Val)
		}
	}
	return ""
}
