package gateway

import (
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

// messageBuilder builds an endpoint's request message from an HTTP request.
type messageBuilder struct {
	d            *subjects.Descriptor
	pathFields   []field
	queryFields  map[string]*field
	headerFields []field
	cookieFields []field
	// rawQuery is the field that takes the whole query string; there are then no queryFields.
	rawQuery *field
	// formFields are the fields of a form body; nil unless the endpoint accepts forms.
	formFields map[string]*field
	// places has the place of every field that does not belong in the body, by name.
	places map[string]string
	// includeHeaders adds the HTTP headers to the message of a raw body, as lists of values if headerLists is set, or else
	// joined by commas.
	includeHeaders, headerLists bool
	// proxies determines whether the client used TLS.
	proxies trustedProxies
	// maxBody bounds the body in bytes.
	maxBody int64
}

func newMessageBuilder(d *subjects.Descriptor, proxies trustedProxies, maxBody int64) (*messageBuilder, error) {
	b := &messageBuilder{
		d: d, queryFields: map[string]*field{}, places: map[string]string{}, proxies: proxies, maxBody: min(maxBody, d.MessageLimit()),
	}
	if d.Body.Kind == subjects.BodyForm {
		b.formFields = map[string]*field{}
	}
	for _, f := range d.Fields {
		f.In = placeOf(d, f)
		if f.In == "body" && b.formFields == nil || f.In == "part" {
			continue
		}
		parsed, err := newField(f)
		if err != nil {
			return nil, err
		}
		switch f.In {
		case "path":
			b.pathFields = append(b.pathFields, parsed)
		case "query":
			b.queryFields[f.Name] = &parsed
		case "raw_query":
			b.rawQuery = &parsed
		case "header":
			parsed.httpName = textproto.CanonicalMIMEHeaderKey(f.Header)
			b.headerFields = append(b.headerFields, parsed)
		case "cookie":
			parsed.httpName = f.Header
			b.cookieFields = append(b.cookieFields, parsed)
		case "body":
			b.formFields[f.Name] = &parsed
			continue
		}
		b.places[f.Name] = f.In
	}
	if d.Body.Kind == subjects.BodyRaw {
		b.includeHeaders, b.headerLists = headersField(d)
	}
	return b, nil
}

// placeOf returns where an HTTP request carries a field: in the place that its tag names, or in the query for an untagged
// field of a GET.
func placeOf(d *subjects.Descriptor, f subjects.Field) string {
	if f.In == "body" && d.HTTPMethod == http.MethodGet {
		return "query"
	}
	return f.In
}

// build returns the validated message; nil for an endpoint without fields. The error is CodeInvalid, CodeTooLarge or
// CodeUnsupportedMediaType.
// body is released by the caller, when the message is no longer needed.
func (b *messageBuilder) build(w http.ResponseWriter, r *http.Request, body *body) ([]byte, error) {
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
	for i := range b.headerFields {
		if values := r.Header[b.headerFields[i].httpName]; len(values) > 0 {
			if err := m.add(&b.headerFields[i], values); err != nil {
				return nil, err
			}
		}
	}
	for i := range b.cookieFields {
		if values := b.proxies.cookieValues(r, b.cookieFields[i].httpName); len(values) > 0 {
			if err := m.add(&b.cookieFields[i], values); err != nil {
				return nil, err
			}
		}
	}
	if err := b.checkEncoding(r.Header); err != nil {
		return nil, err
	}
	if b.d.Body.Kind != subjects.BodyParts && (r.ContentLength != 0 || b.d.Body.Kind == subjects.BodyRaw) {
		return b.withBody(&m, w, r, body)
	}
	return b.finish(&m)
}

// finish validates the message and encodes it.
func (b *messageBuilder) finish(m *message) ([]byte, error) {
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

func (b *messageBuilder) addPath(m *message, r *http.Request) error {
	for i := range b.pathFields {
		f := &b.pathFields[i]
		if err := m.add(f, []string{r.PathValue(f.name)}); err != nil {
			return err
		}
	}
	return nil
}

func (b *messageBuilder) addQuery(m *message, raw string) error {
	query, err := b.pairs(raw, "query", b.queryFields)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if err := m.add(b.queryFields[name], query[name]); err != nil {
			return err
		}
	}
	return nil
}

// unknownField returns the error for a field that the endpoint does not have in this place.
func (b *messageBuilder) unknownField(name, place string) error {
	if want, ok := b.places[name]; ok && want != place {
		return subjects.InvalidField(name, "belongs in the %s, not in the %s", want, place)
	}
	if place == "query" {
		return subjects.InvalidField(printable(name), "unknown query parameter")
	}
	return subjects.InvalidField(printable(name), "unexpected property")
}

// printable makes a name from the client valid UTF-8 and shortens it to 64 bytes, for use in an error.
func printable(name string) string {
	name = strings.ToValidUTF8(name, "?")
	if len(name) > 64 {
		return strings.ToValidUTF8(name[:64], "") + "…"
	}
	return name
}
