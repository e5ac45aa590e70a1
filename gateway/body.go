package gateway

import (
	"bytes"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/subjects"
)

// headersFieldName is the request field that takes the HTTP headers of a raw body.
const headersFieldName = "headers"

// omittedHeaders are not passed on with a raw body: the hop-by-hop headers (RFC 9110 §7.6.1), and Cookie, which may hold
// cookies of other applications on the same host.
var omittedHeaders = []string{"Connection", "Cookie", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// withBody reads the body, adds it to the message and finishes the message.
func (b *messageBuilder) withBody(m *message, w http.ResponseWriter, r *http.Request, body *body) ([]byte, error) {
	if r.ContentLength > body.max {
		return nil, tooLargeBody(body.max)
	}
	format, err := b.formatOf(r)
	if err != nil {
		return nil, err
	}
	if format == formatYAML {
		body.factor = yamlFactor
	}
	data, err := body.read(w, r)
	if err != nil {
		return nil, err
	}
	var message []byte
	failed := compute.Default.DoLarge(r.Context(), body.owner(), len(data), func() { message, err = b.decodeBody(m, format, r.Header, data) })
	if failed != nil {
		return nil, &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded, RetryAfter: subjects.RetrySoon, Cause: failed}
	}
	return message, err
}

// decodeBody adds a body of a format to the message and finishes the message.
func (b *messageBuilder) decodeBody(m *message, format bodyFormat, h http.Header, data []byte) ([]byte, error) {
	switch format {
	case formatForm:
		return b.formBody(m, data)
	case formatYAML:
		if err := m.add(&field{name: b.d.Body.Field, in: "body", kind: huma.TypeString}, []string{string(data)}); err != nil {
			return nil, err
		}
		return b.finish(m)
	case formatRaw:
		return b.rawBody(m, h, data)
	}
	return b.jsonBody(m, data)
}

// checkEncoding refuses a body that the endpoint would take for something else: one with a content coding (RFC 9110 §8.4), and a
// form of several parts around a file. An endpoint that takes every header, such as one for webhooks, interprets the body itself.
func (b *messageBuilder) checkEncoding(h http.Header) error {
	if b.d.Body.Kind == subjects.BodyRaw && len(b.d.Body.Headers) == 0 {
		return nil
	}
	for _, coding := range h["Content-Encoding"] {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return subjects.Errorf(subjects.CodeUnsupportedMediaType, "unsupported Content-Encoding: send the body without a content coding")
		}
	}
	if media, _, _ := strings.Cut(h.Get("Content-Type"), ";"); strings.HasPrefix(strings.ToLower(strings.TrimSpace(media)), "multipart/") {
		return subjects.Errorf(subjects.CodeUnsupportedMediaType,
			"unsupported Content-Type: send the content itself as the body, not a form (curl --data-binary @file or -T file, not -F)")
	}
	return nil
}

type bodyFormat int

const (
	formatJSON bodyFormat = iota
	formatForm
	formatYAML
	formatRaw
)

// formatOf returns the format of the body by its Content-Type. The error is CodeUnsupportedMediaType.
func (b *messageBuilder) formatOf(r *http.Request) (bodyFormat, error) {
	if b.d.Body.Kind == subjects.BodyRaw {
		return formatRaw, nil
	}
	header := r.Header.Get("Content-Type")
	if header == "application/json" {
		return formatJSON, nil
	}
	media, params, err := mime.ParseMediaType(header)
	charset := params["charset"]
	switch {
	case err != nil || charset != "" && !strings.EqualFold(charset, "utf-8"):
	case media == "application/json", strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"):
		return formatJSON, nil
	case b.formFields != nil && media == "application/x-www-form-urlencoded":
		return formatForm, nil
	case b.d.Body.Kind == subjects.BodyJSONOrYAML && slices.Contains(
		[]string{"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}, media):
		return formatYAML, nil
	}
	return 0, subjects.Errorf(subjects.CodeUnsupportedMediaType, "unsupported Content-Type or charset: send %s in UTF-8", b.acceptedTypes())
}

// acceptedTypes lists the accepted content types, for an error.
func (b *messageBuilder) acceptedTypes() string {
	switch b.d.Body.Kind {
	case subjects.BodyForm:
		return "application/json or application/x-www-form-urlencoded"
	case subjects.BodyJSONOrYAML:
		return "application/json or application/yaml"
	}
	return "application/json"
}

// jsonBody merges the bytes of the body with the members from path, query, headers and cookies. The body is not encoded
// again, so that its numbers keep their digits. A byte order mark is ignored (RFC 8259 §8.1).
func (b *messageBuilder) jsonBody(m *message, data []byte) ([]byte, error) {
	data = bytes.TrimSpace(subjects.TrimBOM(data))
	if len(data) == 0 {
		return b.finish(m)
	}
	v, err := b.d.OutlineFields(data)
	if err != nil {
		return nil, err // the same as the actor would return
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, b.d.ValidateValue(v)
	}
	for name, value := range m.value {
		if _, exists := object[name]; exists {
			return nil, subjects.InvalidField(name, "given more than once: it belongs in the %s", b.places[name])
		}
		object[name] = value
	}
	for name := range b.places {
		if _, given := object[name]; given && m.value[name] == nil {
			return nil, b.unknownField(name, "body")
		}
	}
	if err := b.d.ValidateValue(object); err != nil {
		return nil, err
	}
	if len(m.members) == 0 {
		return data, nil
	}
	inner := bytes.TrimSpace(data[1:])
	out := make([]byte, 0, len(m.members)+len(inner)+2)
	out = append(out, '{')
	out = append(out, m.members...)
	if inner[0] != '}' {
		out = append(out, ',')
	}
	return append(out, inner...), nil
}

// formBody adds the fields of a form. A name that the endpoint does not know is refused, or skipped, where it is met.
func (b *messageBuilder) formBody(m *message, data []byte) ([]byte, error) {
	form, err := b.pairs(string(data), "body", b.formFields)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if err := m.add(b.formFields[name], form[name]); err != nil {
			return nil, err
		}
	}
	return b.finish(m)
}

// pairs parses application/x-www-form-urlencoded text and returns the values of the fields that it knows. Another name is skipped if the
// endpoint ignores unknown fields, else refused.
func (b *messageBuilder) pairs(text, place string, known map[string]*field) (url.Values, error) {
	values := url.Values{}
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(key)
		if err != nil || strings.Contains(key, ";") {
			return nil, malformedPairs(place)
		}
		if known[name] == nil {
			if b.d.IgnoreUnknown && b.places[name] == "" {
				continue
			}
			return nil, b.unknownField(name, place)
		}
		if value, err = url.QueryUnescape(value); err != nil || strings.Contains(pair, ";") {
			return nil, malformedPairs(place)
		}
		if len(values[name]) > maxRepeated {
			return nil, subjects.InvalidField(name, "given more than %d times", maxRepeated)
		}
		values[name] = append(values[name], value)
	}
	return values, nil
}

// maxRepeated is how often a form or query may repeat a name.
const maxRepeated = 1000

func malformedPairs(place string) error {
	if place == "body" {
		place = "form"
	}
	return subjects.Errorf(subjects.CodeInvalid, "the %s is malformed", place)
}

// rawBody adds the bytes as base64 in the body's field, and the headers by their canonical names if the request has a field
// for them.
func (b *messageBuilder) rawBody(m *message, h http.Header, data []byte) ([]byte, error) {
	m.addBytes(b.d.Body.Field, data)
	if !b.includeHeaders {
		return b.finish(m)
	}
	headers := make(map[string]any, len(h))
	for name, values := range h {
		if !b.takesHeader(name) || slices.Contains(omittedHeaders, name) || name == "Authorization" && !b.d.Access.Anyone {
			continue // the token is passed on in the message header, as for every endpoint
		}
		for i := range values {
			values[i] = strings.ToValidUTF8(values[i], "\uFFFD")
		}
		if !b.headerLists {
			headers[name] = strings.Join(values, ", ")
			continue
		}
		list := make([]any, len(values))
		for i, value := range values {
			list[i] = value
		}
		headers[name] = list
	}
	m.value[headersFieldName] = headers
	m.addName(headersFieldName)
	encoded, err := json.Marshal(headers, jsontext.AllowInvalidUTF8(false))
	if err != nil {
		return nil, subjects.Errorf(subjects.CodeInvalid, "a header is not valid UTF-8")
	}
	m.members = append(m.members, encoded...)
	return b.finish(m)
}

// takesHeader reports whether the request takes the header of a canonical name.
func (b *messageBuilder) takesHeader(name string) bool {
	return len(b.d.Body.Headers) == 0 || slices.ContainsFunc(b.d.Body.Headers, func(taken string) bool {
		return name == taken || strings.HasSuffix(taken, "-") && strings.HasPrefix(name, taken)
	})
}

// headersField reports whether the request has the field "headers", and whether its schema is an object of lists rather
// than of strings.
func headersField(d *subjects.Descriptor) (exists, lists bool) {
	for _, f := range d.Fields {
		if f.Name == headersFieldName {
			values, ok := resolve(f.Schema).AdditionalProperties.(*huma.Schema)
			return true, ok && resolve(values).Type == huma.TypeArray
		}
	}
	return false, false
}
