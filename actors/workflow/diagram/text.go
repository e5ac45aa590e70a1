package diagram

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longest is how many characters of a text are drawn.
const longest = 60

// label is a quoted label of some lines; empty ones are left out.
func label(lines ...string) string {
	var drawn []string
	for _, line := range lines {
		if text := escaped(line); text != "" {
			drawn = append(drawn, text)
		}
	}
	return `"` + strings.Join(drawn, "<br/>") + `"`
}

// escaped is a text on one line, shortened, with every character as a Mermaid entity that Mermaid or HTML could take for
// something else. The first one is one unless it is a letter: Mermaid would make a list of `1. ask`.
func escaped(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) > longest {
		text = string([]rune(text)[:longest-1]) + "…"
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
