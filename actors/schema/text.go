package schema

import (
	"strings"
	"unicode/utf8"
)

// Pointer is the RFC 6901 pointer of a location, as far as a message repeats it.
func Pointer(location []string) string {
	var out strings.Builder
	for _, token := range location {
		if out.WriteByte('/'); out.Len() > maxReasonText {
			break
		}
		out.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(Cut(token, maxReasonText)))
	}
	return out.String()
}

// Cut returns a text of at most limit bytes, cut after a whole character, with an ellipsis in place of the rest.
func Cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
