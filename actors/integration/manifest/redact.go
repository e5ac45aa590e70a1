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

// Redacted stands where a credential stood.
const Redacted = "[redacted]"

// Shorter credentials than these are not looked for: they would deface what they happen to occur in.
const (
	minInMessage = 4
	minInOutput  = 8
)

// secrets are a connection's secret texts in the forms in which a provider may give them back.
type secrets []string

// secretsOf gathers what the connection's way to authenticate does not declare public.
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
	return found.inAllForms()
}

// secretTexts are these texts as secrets.
func secretTexts(texts []string) secrets {
	return slices.DeleteFunc(secrets(slices.Clone(texts)), func(text string) bool { return text == "" }).inAllForms()
}

// inAllForms adds the forms in which a text may come back.
func (s secrets) inAllForms() secrets {
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

// redact replaces every secret in text.
func (s secrets) redact(text string) string { return s.replacer(minInMessage).Replace(text) }

// replacer replaces the secrets in texts. Few texts hold one, so that it first looks whether there is any: that is quick, and
// a strings.Replacer is slow to make and to run.
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

// Replace is text with Redacted in each secret's place.
func (r replacer) Replace(text string) string {
	for _, secret := range r.secrets {
		if strings.Contains(text, secret) {
			return r.all.Replace(text)
		}
	}
	return text
}

// clean replaces every secret in the strings of a decoded value, in place where it can.
func clean(value any, r replacer) any {
	switch v := value.(type) {
	case string:
		return r.Replace(v)
	case []any:
		for i, item := range v {
			v[i] = clean(item, r)
		}
	case map[string]any:
		for key, item := range v {
			v[key] = clean(item, r)
		}
	}
	return value
}

// forPeople makes a provider's text fit to show: one line, printable, short, without secrets.
func (s secrets) forPeople(text string) string {
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
