// Package langtag has the rules of language tags (BCP 47) that several actors need.
package langtag

import (
	"strings"

	"golang.org/x/text/language"
)

// Canonical returns the canonical form of a BCP 47 tag; false if it is none.
func Canonical(tag string) (string, bool) {
	parsed, err := language.Parse(tag)
	if err != nil || parsed == language.Und {
		return "", false
	}
	return parsed.String(), true
}

// Fallback returns the locales to look in for a reader's locale, most specific first: `de-CH`, `de` and the default locale. It shortens the
// tag as RFC 4647 §3.4 does. A tag that is invalid leaves the default.
func Fallback(tag, otherwise string) []string {
	var chain []string
	canonical, ok := Canonical(tag)
	for ok && canonical != "" {
		chain = append(chain, canonical)
		end := strings.LastIndexByte(canonical, '-')
		if end < 0 {
			break
		}
		if canonical = canonical[:end]; len(canonical) > 2 && canonical[len(canonical)-2] == '-' { // a singleton has no meaning at the end
			canonical = canonical[:len(canonical)-2]
		}
	}
	for _, locale := range chain {
		if locale == otherwise {
			return chain
		}
	}
	return append(chain, otherwise)
}
