package manifest

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Redacted replaces credentials in texts.
const Redacted = "[redacted]"

// The shortest credentials that are redacted, in bytes. Shorter ones occur in texts by chance.
const (
	minInMessage = 4
	minInOutput  = 8
)

// secrets are the secret texts of a connection in the encodings in which a provider may return them, longest first.
type secrets []string

// secretsOf returns the credentials of a connection that its authentication method does not declare public.
func (p *Provider) secretsOf(conn Connection) secrets {
	method, ok := p.AuthMethod(conn.Auth)
	if !ok {
		method = &AuthMethod{}
	}
	var found secrets
	for name, value := range conn.Credentials {
		if !method.public[name] {
			found = gather(value, found)
		}
	}
	if method.Kind == AuthBasic {
		username, _ := conn.Credentials["username"].(string)
		password, _ := conn.Credentials["password"].(string)
		found = append(found, base64.StdEncoding.EncodeToString([]byte(username+":"+password)))
	}
	return found.withEncodings()
}

// withEncodings adds the encodings of each secret: as a JSON string, in a query, in a path, and in base64.
func (s secrets) withEncodings() secrets {
	found := s
	for _, plain := range slices.Clone(found) {
		quoted, _ := encodeJSON(plain)
		for _, form := range []string{
			strings.Trim(string(quoted), `"`), url.QueryEscape(plain), url.PathEscape(plain),
			base64.StdEncoding.EncodeToString([]byte(plain)),
		} {
			if form != plain {
				found = append(found, form)
			}
		}
	}
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(found)
}

// gather appends the strings and numbers of a value.
func gather(value any, into secrets) secrets {
	switch v := value.(type) {
	case string:
		return append(into, v)
	case json.Number:
		return append(into, v.String())
	case []any:
		for _, item := range v {
			into = gather(item, into)
		}
	case map[string]any:
		for _, item := range v {
			into = gather(item, into)
		}
	}
	return into
}

// redact replaces every secret in a message.
func (s secrets) redact(text string) string { return s.replacer(minInMessage).Replace(text) }

// replacer replaces secrets in texts. Few texts contain one, so that it searches for them first: strings.Contains is much
// faster than a strings.Replacer.
type replacer struct {
	secrets []string
	all     *strings.Replacer
}

func (s secrets) replacer(shortest int) replacer {
	r := replacer{secrets: make([]string, 0, len(s))}
	pairs := make([]string, 0, 2*len(s))
	for _, secret := range s {
		if len(secret) >= shortest {
			r.secrets = append(r.secrets, secret)
			pairs = append(pairs, secret, Redacted)
		}
	}
	r.all = strings.NewReplacer(pairs...)
	return r
}

// Replace returns the text with each secret replaced by Redacted.
func (r replacer) Replace(text string) string {
	for _, secret := range r.secrets {
		if strings.Contains(text, secret) {
			return r.all.Replace(text)
		}
	}
	return text
}

// redactValue replaces every secret in the strings of a decoded value. It modifies objects and arrays in place.
func redactValue(value any, r replacer) any {
	switch v := value.(type) {
	case string:
		return r.Replace(v)
	case []any:
		for i, item := range v {
			v[i] = redactValue(item, r)
		}
	case map[string]any:
		for key, item := range v {
			v[key] = redactValue(item, r)
		}
	}
	return value
}

// display prepares a provider's text for display: one line of at most 500 printable characters, without secrets.
func (s secrets) display(text string) string {
	const most = 500
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r) || r == utf8.RuneError:
			return -1
		}
		return r
	}, text[:min(len(text), 16*most)])
	text = strings.Join(strings.Fields(s.redact(text)), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
