package channel

import "unicode/utf8"

// Truncate cuts s to at most limit bytes without splitting a rune.
func Truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
