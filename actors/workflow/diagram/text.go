package diagram

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTextLength bounds a text, in characters.
const maxTextLength = 60

// label is a quoted label of several lines; empty lines are omitted.
func label(lines ...string) string {
	var drawn []string
	for _, line := range lines {
		if text := escape(line); text != "" {
			drawn = append(drawn, text)
		}
	}
	return `"` + strings.Join(drawn, "<br/>") + `"`
}

// escape puts a text on one line, shortens it, and replaces every character that Mermaid or HTML could interpret by a
// Mermaid entity. The first character is replaced unless it is a letter, because Mermaid renders `1. ask` as a list.
func escape(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) > maxTextLength {
		text = string([]rune(text)[:maxTextLength-1]) + "…"
	}
	var out strings.Builder
	for i, r := range text {
		switch {
		case unicode.IsLetter(r), i > 0 && (unicode.IsDigit(r) || strings.ContainsRune(" .,_/-()+=!?…×", r)):
			out.WriteRune(r)
		case unicode.IsControl(r), r == utf8.RuneError, unicode.Is(unicode.Cf, r):
			out.WriteRune('·')
		default:
			fmt.Fprintf(&out, "#%d;", r)
		}
	}
	return out.String()
}
