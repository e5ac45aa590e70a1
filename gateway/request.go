package gateway

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

// builder makes an endpoint's request message from an HTTP request, as the endpoint's fields say.
type builder struct {
	d       *subjects.Descriptor
	path    []field
	query   map[string]*field
	headers []field
	// cookieFields come from the cookie that a field's header names.
	cookieFields []field
	// rawQuery is the field that takes the whole query as it came; then the query has no fields of its own.
	rawQuery *field
	// origins tells a request that came over TLS.
	origins origins
	// form are the body's fields as a form carries them; nil unless the endpoint takes forms.
	form map[string]*field
	// elsewhere says where a field belongs that a body must not carry.
	elsewhere map[string]string
	// withHeaders has a raw body's headers beside it; listed has their values as lists rather than joined.
	withHeaders, listed bool
	// maxBody bounds the body in bytes.
	maxBody int64
}

func newBuilder(d *subjects.Descriptor, maxBody int64) (*builder, error) {
	b := &builder{d: d, query: map[string]*field{}, elsewhere: map[string]string{}, maxBody: maxBody}
	if d.Body.Kind == subjects.BodyForm {
		b.form = map[string]*field{}
	}
	for _, f := range d.Fields {
		f.In = placeOf(d, f)
		if f.In == "body" && b.form == nil || f.In == "part" {
			continue
		}
		made, err := newField(f)
		if err != nil {
			return nil, err
		}
		switch f.In {
		case "path":
			b.path = append(b.path, made)
		case "query":
			b.query[f.Name] = &made
		case "raw_query":
			b.rawQuery = &made
		case "header":
			made.header = textproto.CanonicalMIMEHeaderKey(f.Header)
			b.headers = append(b.headers, made)
		case "cookie":
			made.header = f.Header
			b.cookieFields = append(b.cookieFields, made)
		case "body":
			b.form[f.Name] = &made
			continue
		}
		b.elsewhere[f.Name] = f.In
	}
	if d.Body.Kind == subjects.BodyRaw {
		b.withHeaders, b.listed = headersField(d)
	}
	return b, nil
}

// placeOf is where HTTP carries a field: what its tag says; the query for what a GET leaves untagged.
func placeOf(d *subjects.Descriptor, f subjects.Field) string {
	if f.In == "body" && d.HTTPMethod == http.MethodGet {
		return "query"
	}
	return f.In
}

// build makes the message, validated; nil for an endpoint without fields. The error is CodeInvalid, CodeTooLarge or
// CodeUnsupportedMediaType.
func (b *builder) build(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if len(b.d.Fields) == 0 && r.ContentLength == 0 && r.URL.RawQuery == "" {
		return nil, nil
	}
	var m message
	if err := b.addPath(&m, r); err != nil {
		return nil, err
	}
	if b.rawQuery != nil {
		if err := m.add(b.rawQuery, []string{r.URL.RawQuery}); err != nil {
			return nil, err
		}
	} else if r.URL.RawQuery != "" {
		if err := b.addQuery(&m, r.URL.RawQuery); err != nil {
			return nil, err
		}
	}
	for i := range b.headers {
		if values := r.Header[b.headers[i].header]; len(values) > 0 {
			if err := m.add(&b.headers[i], values); err != nil {
				return nil, err
			}
		}
	}
	for i := range b.cookieFields {
		if values := b.cookies(r, b.cookieFields[i].header); len(values) > 0 {
			if err := m.add(&b.cookieFields[i], values); err != nil {
				return nil, err
			}
		}
	}
	if b.d.Body.Kind != subjects.BodyParts && (r.ContentLength != 0 || b.d.Body.Kind == subjects.BodyRaw) {
		return b.withBody(&m, w, r)
	}
	return b.finish(&m)
}

// finish validates the message and renders it.
func (b *builder) finish(m *message) ([]byte, error) {
	if m.value == nil {
		m.value = map[string]any{}
	}
	if err := b.d.ValidateValue(m.value); err != nil {
		return nil, err
	}
	data := make([]byte, 0, len(m.members)+2)
	data = append(data, '{')
	data = append(data, m.members...)
	return append(data, '}'), nil
}

func (b *builder) addPath(m *message, r *http.Request) error {
	for i := range b.path {
		f := &b.path[i]
		if err := m.add(f, []string{r.PathValue(f.name)}); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) addQuery(m *message, raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return subjects.Errorf(subjects.CodeInvalid, "the query is malformed")
	}
	for name, texts := range query {
		f, ok := b.query[name]
		if !ok {
			return b.stray(name, "query")
		}
		if err := m.add(f, texts); err != nil {
			return err
		}
	}
	return nil
}

// stray words that a field came where it does not belong.
func (b *builder) stray(name, where string) error {
	if place, ok := b.elsewhere[name]; ok && place != where {
		return subjects.InvalidField(name, "belongs in the %s, not in the %s", place, where)
	}
	if where == "query" {
		return subjects.InvalidField(printable(name), "is no query parameter of this endpoint")
	}
	return subjects.InvalidField(printable(name), "unexpected property")
}

// printable bounds a name that a client made up, for the answer that repeats it.
func printable(name string) string {
	name = strings.ToValidUTF8(name, "?")
	if len(name) > 64 {
		return strings.ToValidUTF8(name[:64], "") + "…"
	}
	return name
}
