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

// compose is what the signature covers; ok is false where a part is missing.
func (s *Scheme) compose(r Request, stamp, secret string) (payload []byte, ok bool) {
	for _, part := range s.payload {
		if part.Text != "" {
			payload = append(payload, part.Text...)
			continue
		}
		switch part.Name {
		case "timestamp":
			payload = append(payload, stamp...)
		case "id":
			id, ok := s.id.read(r)
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

// appendForm appends each of a form's names and values, sorted, a value that is there twice once. A body that is no form must be told by its digest: it
// would not be covered at all.
func (s *Scheme) appendForm(payload []byte, r Request) ([]byte, bool) {
	form, isForm := r.Form()
	if s.bodyDigest != nil {
		if digest, given := s.bodyDigest.read(r); given {
			sum := sha256.Sum256(r.Body)
			return payload, sameText(digest, hex.EncodeToString(sum[:]))
		}
	}
	if !isForm {
		return payload, len(r.Body) == 0 && r.Method == http.MethodGet
	}
	if lowerEscape.Match(r.Body) {
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

// addresses are the ways in which a vendor may have written the address: with and without the scheme's usual port, and
// with the escapes that HubSpot undoes.
func (s *Scheme) addresses(address string) []string {
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

// lowerEscape finds an escape that the vendors do not write: the signature covers what a form decodes to, and only one way
// of writing it is taken.
var lowerEscape = regexp.MustCompile(`%([a-f]|.[a-f])`)

var unescapeURL = strings.NewReplacer(
	"%3A", ":", "%3a", ":", "%2F", "/", "%2f", "/", "%3F", "?", "%3f", "?", "%40", "@", "%21", "!", "%24", "$", "%27", "'",
	"%28", "(", "%29", ")", "%2A", "*", "%2a", "*", "%2C", ",", "%2c", ",", "%3B", ";", "%3b", ";")
