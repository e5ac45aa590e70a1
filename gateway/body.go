package gateway

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
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

// rawHeaders is the request field that takes the HTTP headers beside a raw body.
const rawHeaders = "headers"

// hopByHop are headers that concern the connection, and the cookies of whatever else lives at the host.
var hopByHop = []string{"Connection", "Cookie", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// withBody reads the body and finishes the message.
func (b *builder) withBody(m *message, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > b.maxBody {
		return nil, b.tooLarge()
	}
	kind, err := b.kindOf(r)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, b.maxBody))
	if err != nil {
		var past *http.MaxBytesError
		if errors.As(err, &past) {
			return nil, b.tooLarge()
		}
		return nil, &subjects.Error{Code: subjects.CodeInvalid, Detail: "the body could not be read", Cause: err}
	}
	switch kind {
	case kindForm:
		return b.formBody(m, data)
	case kindYAML:
		if err := m.add(&field{name: b.d.Body.Field, where: "body", kind: huma.TypeString}, []string{string(data)}); err != nil {
			return nil, err
		}
		return b.finish(m)
	case kindRaw:
		return b.rawBody(m, r.Header, data)
	}
	return b.jsonBody(m, data)
}

func (b *builder) tooLarge() error {
	return subjects.Errorf(subjects.CodeTooLarge, "the body has more than %d bytes", b.maxBody)
}

type bodyKind int

const (
	kindJSON bodyKind = iota
	kindForm
	kindYAML
	kindRaw
)

// kindOf tells from the Content-Type how to read the body. The error is CodeUnsupportedMediaType.
func (b *builder) kindOf(r *http.Request) (bodyKind, error) {
	if b.d.Body.Kind == subjects.BodyRaw {
		return kindRaw, nil
	}
	header := r.Header.Get("Content-Type")
	if header == "application/json" {
		return kindJSON, nil
	}
	media, params, err := mime.ParseMediaType(header)
	charset := params["charset"]
	switch {
	case err != nil || charset != "" && !strings.EqualFold(charset, "utf-8"):
	case media == "application/json", strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"):
		return kindJSON, nil
	case b.form != nil && media == "application/x-www-form-urlencoded":
		return kindForm, nil
	case b.d.Body.Kind == subjects.BodyJSONOrYAML && slices.Contains(
		[]string{"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}, media):
		return kindYAML, nil
	}
	return 0, subjects.Errorf(subjects.CodeUnsupportedMediaType, "send the body as %s, in UTF-8, with that Content-Type", b.takes())
}

// takes words the content types of the body.
func (b *builder) takes() string {
	switch b.d.Body.Kind {
	case subjects.BodyForm:
		return "application/json or application/x-www-form-urlencoded"
	case subjects.BodyJSONOrYAML:
		return "application/json or application/yaml"
	}
	return "application/json"
}

// jsonBody merges the body's own bytes with what path, query and header gave, so that no number loses a digit.
func (b *builder) jsonBody(m *message, data []byte) ([]byte, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return b.finish(m)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		// Validate words what is wrong with it, the same as the actor would.
		return nil, b.d.Validate(data)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, b.d.ValidateValue(v)
	}
	for name, value := range m.value {
		if _, twice := object[name]; twice {
			return nil, subjects.InvalidField(name, "is given twice: it belongs in the %s", b.elsewhere[name])
		}
		object[name] = value
	}
	for name := range b.elsewhere {
		if _, given := object[name]; given && m.value[name] == nil {
			return nil, b.stray(name, "body")
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

func (b *builder) formBody(m *message, data []byte) ([]byte, error) {
	form, err := url.ParseQuery(string(data))
	if err != nil {
		return nil, subjects.Errorf(subjects.CodeInvalid, "the form is malformed")
	}
	for name, texts := range form {
		f, ok := b.form[name]
		if !ok {
			return nil, b.stray(name, "body")
		}
		if err := m.add(f, texts); err != nil {
			return nil, err
		}
	}
	return b.finish(m)
}

// rawBody puts the bytes base64 into the body's field and the headers beside them, under their canonical names.
func (b *builder) rawBody(m *message, h http.Header, data []byte) ([]byte, error) {
	text := base64.StdEncoding.EncodeToString(data)
	if err := m.add(&field{name: b.d.Body.Field, where: "body", kind: huma.TypeString}, []string{text}); err != nil {
		return nil, err
	}
	if !b.withHeaders {
		return b.finish(m)
	}
	headers := make(map[string]any, len(h))
	for name, values := range h {
		if slices.Contains(hopByHop, name) || name == "Authorization" && !b.d.Access.Anyone {
			continue // the proof of who calls goes where every endpoint has it
		}
		for i := range values {
			values[i] = strings.ToValidUTF8(values[i], "\uFFFD")
		}
		if !b.listed {
			headers[name] = strings.Join(values, ", ")
			continue
		}
		list := make([]any, len(values))
		for i, value := range values {
			list[i] = value
		}
		headers[name] = list
	}
	m.value[rawHeaders] = headers
	m.name(rawHeaders)
	encoded, err := json.Marshal(headers, jsontext.AllowInvalidUTF8(false))
	if err != nil {
		return nil, subjects.Errorf(subjects.CodeInvalid, "a header is not text")
	}
	m.members = append(m.members, encoded...)
	return b.finish(m)
}

// headersField tells whether the request has the field "headers", and from its schema whether it is an object of lists
// or of strings.
func headersField(d *subjects.Descriptor) (there, listed bool) {
	for _, f := range d.Fields {
		if f.Name == rawHeaders {
			of, ok := resolve(f.Schema).AdditionalProperties.(*huma.Schema)
			return true, ok && resolve(of).Type == huma.TypeArray
		}
	}
	return false, false
}
