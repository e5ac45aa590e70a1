package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Request is a delivery as it came.
type Request struct {
	Method string
	// URL is the address as the vendor was given it, with the query as it came.
	URL    string
	Header http.Header
	Query  url.Values
	Body   []byte
}

// Form is the body of a form; ok is false for any other.
func (r Request) Form() (form url.Values, ok bool) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, false
	}
	form, err = url.ParseQuery(string(r.Body))
	return form, err == nil
}

// JSON is the body decoded, numbers with all their digits; ok is false where it is not JSON.
func (r Request) JSON() (value any, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(r.Body))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return nil, false
	}
	_, err := decoder.Token()
	return value, errors.Is(err, io.EOF)
}

// source is a compiled place in a request. The notation: header:NAME, query:NAME, form:NAME, body:/json/pointer,
// pair:NAME (in the signature's own list of pairs), bearer and basic (of the header Authorization), claim:NAME.
type source struct{ kind, name string }

var sourceKinds = []string{"header", "query", "form", "body", "pair", "claim"}

func compileSource(text string) (source, error) {
	if text == "bearer" || text == "basic" {
		return source{kind: text}, nil
	}
	kind, name, found := strings.Cut(text, ":")
	switch {
	case !found || name == "" || !slices.Contains(sourceKinds, kind):
		return source{}, fmt.Errorf("%q is not a place such as header:X-Signature, query:token, form:token or body:/token", text)
	case kind == "body" && name[0] != '/':
		return source{}, fmt.Errorf("%q: after body: goes a JSON pointer", text)
	case kind == "header":
		name = http.CanonicalHeaderKey(name)
	}
	return source{kind, name}, nil
}

// read is the text at the place; a place that is there twice counts as absent, for nobody can tell which was meant.
func (s source) read(r Request) (string, bool) {
	switch s.kind {
	case "header":
		return only(r.Header[s.name])
	case "query":
		return only(r.Query[s.name])
	case "form":
		form, _ := r.Form()
		return only(form[s.name])
	case "body":
		value, ok := r.JSON()
		if !ok {
			return "", false
		}
		return textAt(value, s.name)
	case "bearer":
		token, ok := authorization(r, "Bearer")
		return token, ok
	case "basic":
		encoded, ok := authorization(r, "Basic")
		if !ok {
			return "", false
		}
		plain, err := base64.StdEncoding.Strict().DecodeString(encoded)
		return string(plain), err == nil
	}
	return "", false
}

func only(values []string) (string, bool) {
	if len(values) != 1 || values[0] == "" {
		return "", false
	}
	return values[0], true
}

func authorization(r Request, scheme string) (string, bool) {
	value, ok := only(r.Header["Authorization"])
	got, rest, found := strings.Cut(value, " ")
	return rest, ok && found && strings.EqualFold(got, scheme) && rest != ""
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// textAt is the scalar that a JSON pointer leads to, as text.
func textAt(value any, pointer string) (string, bool) {
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = unescape.Replace(token)
		switch v := value.(type) {
		case map[string]any:
			value = v[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return "", false
			}
			value = v[i]
		default:
			return "", false
		}
	}
	switch v := value.(type) {
	case string:
		return v, v != ""
	case json.Number:
		return v.String(), true
	}
	return "", false
}
