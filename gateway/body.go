package gateway

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weftmesh/weft/subjects"
)

// headersFieldName is the request field that takes the HTTP headers of a raw body.
const headersFieldName = "headers"

// omittedHeaders are not passed on with a raw body: the hop-by-hop headers (RFC 9110 §7.6.1), and Cookie, which may hold
// cookies of other applications on the same host.
var omittedHeaders = []string{"Connection", "Cookie", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// withBody reads the body, adds it to the message and finishes the message.
func (b *messageBuilder) withBody(m *message, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > b.maxBody {
		return nil, b.tooLarge()
	}
	format, err := b.formatOf(r)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, b.maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, b.tooLarge()
		}
		return nil, &subjects.Error{Code: subjects.CodeInvalid, Detail: "the body could not be read", Cause: err}
	}
	switch format {
	case formatForm:
		return b.formBody(m, data)
	case formatYAML:
		if err := m.add(&field{name: b.d.Body.Field, in: "body", kind: huma.TypeString}, []string{string(data)}); err != nil {
			return nil, err
		}
		return b.finish(m)
	case formatRaw:
		return b.rawBody(m, r.Header, data)
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

func (b *messageBuilder) tooLarge() error {
	return subjects.Errorf(subjects.CodeTooLarge, "the body exceeds %d bytes", b.maxBody)
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
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		// Validate returns the same error as the actor would.
		return nil, b.d.Validate(data)
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

func (b *messageBuilder) formBody(m *message, data []byte) ([]byte, error) {
	form, err := url.ParseQuery(string(data))
	if err != nil {
		return nil, subjects.Errorf(subjects.CodeInvalid, "the form is malformed")
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		f, ok := b.formFields[name]
		if !ok && b.d.IgnoreUnknown && b.places[name] == "" {
			continue
		}
		if !ok {
			return nil, b.unknownField(name, "body")
		}
		if err := m.add(f, form[name]); err != nil {
			return nil, err
		}
	}
	return b.finish(m)
}

// rawBody adds the bytes as base64 in the body's field, and the headers by their canonical names if the request has a field
// for them.
func (b *messageBuilder) rawBody(m *message, h http.Header, data []byte) ([]byte, error) {
	text := base64.StdEncoding.EncodeToString(data)
	if err := m.add(&field{name: b.d.Body.Field, in: "body", kind: huma.TypeString}, []string{text}); err != nil {
		return nil, err
	}
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
