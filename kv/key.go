package kv

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// maxKey is the maximum length of a key in bytes. With prefix, reply subject and headers it is far below the 4 KiB limit of a
// NATS control line.
const maxKey = 1024

// escaped begins a token that is base64url-encoded. It is allowed in keys and never begins a token that is not encoded.
const escaped = "="

// EncodeKey joins parts into a key, with one token per part. A part of letters, digits, '_' and '-' is used unchanged; any
// other, including the empty one, becomes '=' and its unpadded base64url encoding. The encoding is injective and reversed by
// DecodeKey, and no part can add tokens: "a.b" becomes one token.
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

// DecodeKey returns the parts that EncodeKey joined; ErrInvalidKey if EncodeKey cannot have returned the key.
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

// plainToken reports whether s can be used unchanged as a token.
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

// checkKey rejects invalid keys. The alphabet is that of nats.go, so that the nats CLI can read every key.
func checkKey(key string) error {
	if !validKey(key, "") {
		return fmt.Errorf("%w: %q", ErrInvalidKey, key)
	}
	return nil
}

// checkFilter is checkKey for a filter, in which any token may be '*' and the last may be '>'.
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
