package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// signedPayload returns the bytes that the signature covers; ok is false if the delivery lacks one of the parts.
func (s *Scheme) signedPayload(r Request, timestamp, secret string) (payload []byte, ok bool) {
	for _, part := range s.payload {
		if part.Text != "" {
			payload = append(payload, part.Text...)
			continue
		}
		switch part.Name {
		case "timestamp":
			payload = append(payload, timestamp...)
		case "id":
			id, ok := s.ids.read(r)
			if !ok {
				return nil, false
			}
			payload = append(payload, id...)
		case "body":
			payload = append(payload, r.Body...)
		case "url":
			payload = append(payload, r.URL...)
		case "method":
			payload = append(payload, r.Method...)
		case "secret":
			payload = append(payload, secret...)
		case "form":
			if payload, ok = s.appendForm(payload, r); !ok {
				return nil, false
			}
		}
	}
	return payload, true
}

// appendForm appends the names and values of a form, sorted by name and value and without repetitions. A body that is not
// a form must have a matching digest, because the payload would not cover it otherwise.
func (s *Scheme) appendForm(payload []byte, r Request) ([]byte, bool) {
	form, isForm := r.Form()
	if s.bodyDigest != nil {
		if digest, given := s.bodyDigest.read(r); given {
			sum := sha256.Sum256(r.Body)
			return payload, equal(digest, hex.EncodeToString(sum[:]))
		}
	}
	if !isForm {
		return payload, len(r.Body) == 0 && r.Method == http.MethodGet
	}
	if lowerCaseEscape.Match(r.Body) {
		return payload, false
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := slices.Compact(slices.Sorted(slices.Values(form[name])))
		for _, value := range values {
			payload = append(payload, name...)
			payload = append(payload, value...)
		}
	}
	return payload, true
}

// addressForms returns the spellings of the address that a provider may have signed: with and without the scheme's default
// port, and without the percent-encoding that HubSpot decodes before signing.
func (s *Scheme) addressForms(address string) []string {
	if !s.covers("url") {
		return []string{address}
	}
	list := []string{address}
	if plain := unescapeURL.Replace(address); plain != address {
		list = append(list, plain)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return list
	}
	port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	for _, one := range slices.Clone(list) {
		before, after, found := strings.Cut(one, u.Host)
		switch {
		case !found || port == "":
		case u.Port() == "":
			list = append(list, before+u.Host+port+after)
		case ":"+u.Port() == port:
			list = append(list, before+u.Hostname()+after)
		}
	}
	return list
}

// lowerCaseEscape matches percent-encoding with lower-case hexadecimal digits. The signature covers decoded fields, so
// that only one encoding of a form is accepted: upper case, which the providers send.
var lowerCaseEscape = regexp.MustCompile(`%([a-f]|.[a-f])`)

// unescapeURL decodes the characters that HubSpot's version 3 signatures cover in decoded form.
var unescapeURL = strings.NewReplacer(
	"%3A", ":", "%3a", ":", "%2F", "/", "%2f", "/", "%3F", "?", "%3f", "?", "%40", "@", "%21", "!", "%24", "$", "%27", "'",
	"%28", "(", "%29", ")", "%2A", "*", "%2a", "*", "%2C", ",", "%2c", ",", "%3B", ";", "%3b", ";")
