package mesh

import (
	"slices"
	"strings"
)

// Authority restricts what is done on a user's behalf to what API keys may do: an action that a key caused has at most the
// key's scopes, also when a service performs it later. The zero Authority restricts nothing: no key took part, as in what a
// user does in a session.
type Authority struct {
	// Keys are the ids of the API keys, space-separated and in order.
	Keys string `bun:"keys" json:"keys,omitempty"`
	// Scopes are the scopes that all of them have, space-separated and in order.
	Scopes string `bun:"scopes" json:"scopes,omitempty"`
}

// maxAuthorityKeys bounds the keys of an Authority. One with more allows nothing.
const maxAuthorityKeys = 32

// KeyAuthority is the Authority of an API key with space-separated scopes.
func KeyAuthority(keyID, scopes string) Authority {
	return Authority{Keys: keyID, Scopes: sorted(scopes)}
}

// Restricted reports whether an API key took part.
func (a Authority) Restricted() bool { return a.Keys != "" }

// KeyIDs are the ids of the API keys.
func (a Authority) KeyIDs() []string { return strings.Fields(a.Keys) }

// Allows reports whether the scopes include one. It does not tell whether the keys are still valid.
func (a Authority) Allows(scope string) bool {
	return !a.Restricted() || scope != "" && slices.Contains(strings.Fields(a.Scopes), scope)
}

// Intersect is what both allow.
func (a Authority) Intersect(b Authority) Authority {
	switch {
	case !a.Restricted() || a == b:
		return b
	case !b.Restricted():
		return a
	}
	keys := strings.Fields(sorted(a.Keys + " " + b.Keys))
	scopes := slices.DeleteFunc(strings.Fields(sorted(a.Scopes)), func(scope string) bool { return !b.Allows(scope) })
	if len(keys) > maxAuthorityKeys {
		keys, scopes = keys[:maxAuthorityKeys], nil
	}
	return Authority{Keys: strings.Join(keys, " "), Scopes: strings.Join(scopes, " ")}
}

// sorted returns the words of a text in order, each once.
func sorted(text string) string {
	words := strings.Fields(text)
	slices.Sort(words)
	return strings.Join(slices.Compact(words), " ")
}
