package template

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// scanner reads the inside of a tag.
type scanner struct {
	source string
	at     int
}

// isSpace reports what JavaScript's \s matches.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r == '\uFEFF' }

// isName reports whether a rune may be in a name, as in Handlebars' lexer.
func isName(r rune) bool {
	return !isSpace(r) && r != utf8.RuneError && !strings.ContainsRune("!\"#%&'()*+,./;<=>@[\\]^`{|}~", r) && r >= ' '
}

func (s *scanner) space() {
	for s.at < len(s.source) {
		r, size := utf8.DecodeRuneInString(s.source[s.at:])
		if !isSpace(r) {
			return
		}
		s.at += size
	}
}

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.source[s.at:], prefix) }

// take consumes a prefix if it is next.
func (s *scanner) take(prefix string) bool {
	if !s.has(prefix) {
		return false
	}
	s.at += len(prefix)
	return true
}

// name consumes a name; empty if there is none.
func (s *scanner) name() string {
	start := s.at
	for s.at < len(s.source) {
		r, size := utf8.DecodeRuneInString(s.source[s.at:])
		if !isName(r) {
			break
		}
		s.at += size
	}
	return s.source[start:s.at]
}

// next is the next rune, 0 at the end.
func (s *scanner) next() rune {
	if s.at >= len(s.source) {
		return 0
	}
	r, _ := utf8.DecodeRuneInString(s.source[s.at:])
	return r
}

// ends reports whether a word ends here: before whitespace, a bracket or the end of the tag.
func (s *scanner) ends() bool {
	r := s.next()
	return r == 0 || isSpace(r) || strings.ContainsRune("~})", r)
}

// number consumes a number; false if there is none.
func (s *scanner) number() (string, bool) {
	start := s.at
	digits := func() bool {
		first := s.at
		for s.at < len(s.source) && s.source[s.at] >= '0' && s.source[s.at] <= '9' {
			s.at++
		}
		return s.at > first
	}
	s.take("-")
	if digits() && (!s.take(".") || digits()) && s.ends() {
		return s.source[start:s.at], true
	}
	s.at = start
	return "", false
}
