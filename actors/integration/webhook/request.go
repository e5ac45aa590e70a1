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
	"sync"

	"github.com/go-openapi/jsonpointer"
)

// Request is a delivery as it was received.
type Request struct {
	Method string
	// URL is the address that the provider was given, with the query as received.
	URL    string
	Header http.Header
	Query  url.Values
	Body   []byte
	// decoded is what JSON has decoded, see Decoded.
	decoded *decodedBody
}

type decodedBody struct {
	once  sync.Once
	value any
	ok    bool
}

// Decoded returns the request with a body that JSON decodes once. The value must not be changed then.
func (r Request) Decoded() Request {
	r.decoded = &decodedBody{}
	return r
}

// Form decodes a body of type application/x-www-form-urlencoded; ok is false for any other body.
func (r Request) Form() (form url.Values, ok bool) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, false
	}
	form, err = url.ParseQuery(string(r.Text()))
	return form, err == nil
}

// byteOrderMark is U+FEFF in UTF-8.
var byteOrderMark = []byte("\xef\xbb\xbf")

// Text returns the body without a byte order mark, which a parser of JSON may ignore (RFC 8259 §8.1). Signatures cover the whole body.
func (r Request) Text() []byte { return bytes.TrimPrefix(r.Body, byteOrderMark) }

// JSON decodes the body, with numbers as json.Number; ok is false if the body is not exactly one JSON value.
func (r Request) JSON() (value any, ok bool) {
	if d := r.decoded; d != nil {
		d.once.Do(func() { d.value, d.ok = r.decode() })
		return d.value, d.ok
	}
	return r.decode()
}

func (r Request) decode() (value any, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(r.Text()))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return nil, false
	}
	_, err := decoder.Token()
	return value, errors.Is(err, io.EOF)
}

// source is a place within a request. Its notation is header:NAME, query:NAME, form:NAME, body:/json/pointer (RFC 6901),
// bearer or basic (the credentials of the header Authorization), pair:NAME (a pair of the signature's list), or claim:NAME
// (a claim of the signature's JWT).
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
		return source{}, fmt.Errorf("%q: body: must be followed by a JSON pointer", text)
	case kind == "header":
		name = http.CanonicalHeaderKey(name)
	}
	return source{kind, name}, nil
}

// read returns the text at the place. A place that occurs more than once is treated as absent, because it is ambiguous.
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

// sources are alternative places. The first one that has a text counts.
type sources []source

func (list sources) read(r Request) (string, bool) {
	for _, s := range list {
		if text, ok := s.read(r); ok {
			return text, true
		}
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

// textAt returns the string or number at a JSON pointer as text; ok is false if there is none, or an empty string.
func textAt(value any, pointer string) (string, bool) {
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = jsonpointer.Unescape(token)
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
