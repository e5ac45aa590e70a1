package kv

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// maxKey bounds a key's length in bytes: with prefix, reply and headers it stays far below the 4 KiB that
// a NATS control line may have.
const maxKey = 1024

// escaped begins a token that holds base64url instead of itself. It is allowed in a key and never begins a
// token that stands for itself.
const escaped = "="

// EncodeKey joins parts into one key, a token per part. A part of letters, digits, '_' and '-' stands for
// itself; anything else, the empty part included, becomes '=' and its unpadded base64url. Different parts give different keys,
// and DecodeKey gives the parts back. No part can reach into another's tokens: "a.b" is one token.
func EncodeKey(parts ...string) string {
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		if plainToken(part) {
			b.WriteString(part)
			continue
		}
		b.WriteString(escaped)
		b.WriteString(base64.RawURLEncoding.EncodeToString([]byte(part)))
	}
	return b.String()
}

// DecodeKey returns the parts that EncodeKey joined, ErrInvalidKey for a key that EncodeKey never returns.
func DecodeKey(key string) ([]string, error) {
	tokens := strings.Split(key, ".")
	parts := make([]string, len(tokens))
	for i, token := range tokens {
		if plainToken(token) {
			parts[i] = token
			continue
		}
		raw, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(token, escaped))
		if err != nil || !strings.HasPrefix(token, escaped) || plainToken(string(raw)) {
			return nil, fmt.Errorf("decoding key: %w: token %d", ErrInvalidKey, i+1)
		}
		parts[i] = string(raw)
	}
	return parts, nil
}

// plainToken reports whether s may stand for itself as a token.
func plainToken(s string) bool {
	for i := range len(s) {
		if !letterOrDigit(s[i]) && s[i] != '_' && s[i] != '-' {
			return false
		}
	}
	return s != ""
}

func letterOrDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// checkKey refuses what is not a key: the alphabet is that of nats.go, so that the nats CLI reads every key.
func checkKey(key string) error {
	if !validKey(key, "") {
		return fmt.Errorf("%w: %q", ErrInvalidKey, key)
	}
	return nil
}

// checkFilter is checkKey for a filter: a key in which a token may be '*' and the last may be '>'.
func checkFilter(filter string) error {
	if !validKey(filter, "*>") {
		return fmt.Errorf("%w: filter %q", ErrInvalidKey, filter)
	}
	return nil
}

func validKey(key, wildcards string) bool {
	if len(key) > maxKey {
		return false
	}
	tokens := strings.Split(key, ".")
	for i, token := range tokens {
		if token == "" {
			return false
		}
		if len(token) == 1 && strings.Contains(wildcards, token) {
			if token == ">" && i < len(tokens)-1 {
				return false
			}
			continue
		}
		for j := range len(token) {
			if !letterOrDigit(token[j]) && strings.IndexByte("-/_=", token[j]) < 0 {
				return false
			}
		}
	}
	return true
}

// matches reports whether key matches filter, by the rules of NATS subjects.
func matches(filter, key string) bool {
	want, have := strings.Split(filter, "."), strings.Split(key, ".")
	for i, token := range want {
		if token == ">" {
			return len(have) > i
		}
		if i >= len(have) || token != "*" && token != have[i] {
			return false
		}
	}
	return len(want) == len(have)
}
