package pattern

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The classes of ECMA-262 §22.2.2.9 as the inside of a class of RE2.
const (
	digits    = `0-9`
	notDigits = `\x{0}-/:-\x{10ffff}`
	words     = `0-9A-Za-z_`
	notWords  = "\\x{0}-/:-@\\[-\\^`\\{-\\x{10ffff}"
	spaces    = `\t\n\x{b}\f\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	notSpaces = `\x{0}-\x{8}\x{e}-\x{1f}!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}` +
		`\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}`
	notNewline = `[^\n\r\x{2028}\x{2029}]`
)

// classes are the inside of the classes that a letter after a backslash stands for.
var classes = map[byte]string{'d': digits, 'D': notDigits, 'w': words, 'W': notWords, 's': spaces, 'S': notSpaces}

// translator writes a pattern of ECMA-262 as one of RE2 that matches the same texts.
type translator struct {
	rest string
	out  strings.Builder
	// inexact is set by what RE2 lacks, or by what is doubtful.
	inexact bool
}

// translate returns a pattern of RE2 that matches the same texts; false if there is none, or none that is certain.
func translate(text string) (string, bool) {
	t := translator{rest: text}
	for t.rest != "" && !t.inexact {
		t.next()
	}
	return t.out.String(), !t.inexact && utf8.ValidString(text)
}

// forRegexp2 writes a pattern so that regexp2 matches it as ECMA-262 has it: its word boundaries are by the words of Unicode, not by the
// characters of \w (§22.2.2.4), and its dot matches the line terminators U+2028 and U+2029 (§12.3).
func forRegexp2(text string) string {
	var out strings.Builder
	for inClass := false; text != ""; {
		width := 1
		switch {
		case text[0] == '\\' && len(text) > 1:
			width = 2
		case text[0] == '[':
			inClass = true
		case text[0] == ']':
			inClass = false
		}
		switch {
		case !inClass && strings.HasPrefix(text, `\b`):
			out.WriteString(`(?:(?<=\w)(?!\w)|(?<!\w)(?=\w))`)
		case !inClass && strings.HasPrefix(text, `\B`):
			out.WriteString(`(?:(?<=\w)(?=\w)|(?<!\w)(?!\w))`)
		case !inClass && text[0] == '.':
			out.WriteString(`[^\n\r\u2028\u2029]`)
		default:
			out.WriteString(text[:width])
		}
		text = text[width:]
	}
	return out.String()
}

func (t *translator) next() {
	c := t.rest[0]
	switch c {
	case '.':
		t.write(1, notNewline)
	case '$':
		t.write(1, `\z`)
	case '(':
		t.group()
	case '[':
		t.class()
	case '\\':
		t.escape()
	case '{':
		t.braces()
	case ')', '|', '*', '+', '?', '^':
		t.write(1, string(c))
	default:
		r, width := utf8.DecodeRuneInString(t.rest)
		t.write(width, literal(r))
	}
}

func (t *translator) write(width int, text string) {
	t.rest = t.rest[width:]
	t.out.WriteString(text)
}

// literal writes a character by its code point, which needs no escape in a class either.
func literal(r rune) string {
	if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
		return string(r)
	}
	return fmt.Sprintf(`\x{%x}`, r)
}

// group translates the beginning of a group. Names do not matter to whether a pattern matches.
func (t *translator) group() {
	switch {
	case strings.HasPrefix(t.rest, "(?:"):
		t.write(3, "(?:")
	case strings.HasPrefix(t.rest, "(?"):
		t.inexact = true
	default:
		t.write(1, "(?:")
	}
}

// braces translates a quantifier; braces that are none stand for themselves, which RE2 reads in its own way.
func (t *translator) braces() {
	end := strings.IndexByte(t.rest, '}')
	if end < 0 {
		t.inexact = true
		return
	}
	low, high, ranged := strings.Cut(t.rest[1:end], ",")
	if !isCount(low) || ranged && high != "" && !isCount(high) {
		t.inexact = true
		return
	}
	t.write(end+1, t.rest[:end+1])
}

func isCount(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 0 && n <= 1000 && text[0] != '+' && text[0] != '-'
}

// escape translates an escape outside of a class.
func (t *translator) escape() {
	if len(t.rest) < 2 {
		t.inexact = true
		return
	}
	c := t.rest[1]
	if class, ok := classes[c]; ok {
		t.write(2, "["+class+"]")
		return
	}
	switch c {
	case 'b', 'B':
		t.write(2, t.rest[:2])
	case 'p', 'P':
		t.property()
	default:
		if r, ok := t.character(); ok {
			t.out.WriteString(literal(r))
		}
	}
}

// property translates \p{L} and other general categories by their short names; RE2 has other names for the rest.
func (t *translator) property() {
	end := strings.IndexByte(t.rest, '}')
	if end < 0 || len(t.rest) < 4 || t.rest[2] != '{' || unicode.Categories[t.rest[3:end]] == nil || len(t.rest[3:end]) > 2 {
		t.inexact = true
		return
	}
	t.write(end+1, t.rest[:end+1])
}

// character reads an escape that stands for one character.
func (t *translator) character() (rune, bool) {
	c := t.rest[1]
	if at := strings.IndexByte("tnvfr", c); at >= 0 {
		t.rest = t.rest[2:]
		return rune("\t\n\v\f\r"[at]), true
	}
	switch {
	case c == 'x' && len(t.rest) >= 4:
		return t.code(2, 4)
	case c == 'u' && len(t.rest) >= 6 && t.rest[2] != '{':
		return t.code(2, 6)
	case c < utf8.RuneSelf && !unicode.IsLetter(rune(c)) && !unicode.IsDigit(rune(c)) && c != '_':
		t.rest = t.rest[2:]
		return rune(c), true
	}
	t.inexact = true
	return 0, false
}

func (t *translator) code(from, to int) (rune, bool) {
	n, err := strconv.ParseUint(t.rest[from:to], 16, 32)
	if err != nil || n >= 0xd800 && n <= 0xdfff {
		t.inexact = true
		return 0, false
	}
	t.rest = t.rest[to:]
	return rune(n), true
}

// class translates a class of characters. Empty ones, and ranges whose ends are classes, are left to the backtracking matcher.
func (t *translator) class() {
	t.write(1, "[")
	if strings.HasPrefix(t.rest, "^") {
		t.write(1, "^")
	}
	for first := true; ; first = false {
		switch {
		case t.rest == "" || first && t.rest[0] == ']':
			t.inexact = true
		case t.rest[0] == ']':
			t.write(1, "]")
			return
		default:
			t.member()
		}
		if t.inexact {
			return
		}
	}
}

// member translates a character of a class, a range or a class within it.
func (t *translator) member() {
	if t.rest[0] == '\\' && len(t.rest) >= 2 {
		if class, ok := classes[t.rest[1]]; ok {
			t.write(2, class)
			t.inexact = strings.HasPrefix(t.rest, "-") && !strings.HasPrefix(t.rest, "-]")
			return
		}
		if c := t.rest[1]; c == 'p' || c == 'P' {
			t.property()
			return
		}
	}
	low, ok := t.single()
	if !ok {
		return
	}
	t.out.WriteString(literal(low))
	if len(t.rest) < 2 || t.rest[0] != '-' || t.rest[1] == ']' {
		return
	}
	t.rest = t.rest[1:]
	if high, ok := t.single(); ok && high >= low {
		t.out.WriteString("-" + literal(high))
		return
	}
	t.inexact = true
}

// single reads one character of a class.
func (t *translator) single() (rune, bool) {
	if t.rest[0] != '\\' {
		r, width := utf8.DecodeRuneInString(t.rest)
		t.rest = t.rest[width:]
		return r, true
	}
	if len(t.rest) < 2 {
		t.inexact = true
		return 0, false
	}
	if t.rest[1] == 'b' {
		t.rest = t.rest[2:]
		return '\b', true
	}
	return t.character()
}
