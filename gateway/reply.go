package gateway

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// documentPolicy lets a document of an actor's show its own styles and images, and run nothing.
var documentPolicy = []string{"default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"}

// markReplayed tells the client that the answer, good or bad, is a stored one. m is nil where nobody has answered.
func (x *exchange) markReplayed(m *nats.Msg) {
	if m == nil {
		return
	}
	if replayed := m.Header[mesh.HeaderIdempotencyReplayed]; len(replayed) > 0 {
		x.w.Header()[mesh.HeaderIdempotencyReplayed] = replayed
	}
}

// reply renders an actor's answer as the endpoint says.
func (rt *route) reply(x *exchange, m *nats.Msg) error {
	h := x.w.Header()
	switch {
	case rt.d.Stream:
		return rt.stream(x, m.Data)
	case rt.d.Produces != "":
		return rt.document(x, m.Data)
	}
	if rt.location != nil {
		location, err := rt.location.fill(m.Data)
		if err != nil {
			return fmt.Errorf("making the Location of %s: %w", rt.d.Name(), err)
		}
		h["Location"] = []string{location}
	}
	if rt.d.Cookie != nil {
		if err := x.setCookie(rt.d.Cookie, m.Data); err != nil {
			return fmt.Errorf("setting the cookie of %s: %w", rt.d.Name(), err)
		}
	}
	if rt.d.Status == http.StatusNoContent {
		x.write(rt.d.Status, nil, nil)
		return nil
	}
	x.write(rt.d.Status, typeJSON, m.Data)
	return nil
}

// document answers with the bytes themselves.
func (rt *route) document(x *exchange, data []byte) error {
	var doc subjects.Document
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("reading a document of %s: %w", rt.d.Name(), err)
	}
	h := x.w.Header()
	if doc.Filename != "" {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": doc.Filename}))
	}
	if doc.ContentType == "" {
		doc.ContentType = rt.d.Produces
	}
	for name, value := range doc.Headers {
		h.Set(name, value)
	}
	status := rt.d.Status
	if doc.Status != 0 {
		status = doc.Status
	}
	if strings.HasPrefix(doc.ContentType, "text/html") {
		h["Content-Security-Policy"] = documentPolicy
	}
	x.write(status, []string{doc.ContentType}, doc.Body)
	return nil
}

// template is a Location with {field} where a field of the reply goes.
type template struct {
	literals, fields []string
}

// newTemplate returns nil for an empty text.
func newTemplate(text string) *template {
	if text == "" {
		return nil
	}
	t := &template{}
	for {
		before, rest, found := strings.Cut(text, "{")
		t.literals = append(t.literals, before)
		if !found {
			return t
		}
		var name string
		name, text, _ = strings.Cut(rest, "}")
		t.fields = append(t.fields, name)
	}
}

// fill puts the reply's fields in, escaped; a template that is one field and nothing else takes it as it is: then the
// reply names a whole address.
func (t *template) fill(reply []byte) (string, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(reply, &values); err != nil {
		return "", fmt.Errorf("reading the reply: %w", err)
	}
	var b strings.Builder
	for i, literal := range t.literals {
		b.WriteString(literal)
		if i == len(t.fields) {
			break
		}
		var value string
		if err := json.Unmarshal(values[t.fields[i]], &value); err != nil {
			return "", fmt.Errorf("reading field %s: %w", t.fields[i], err)
		}
		if len(t.fields) > 1 || t.literals[0] != "" || t.literals[1] != "" {
			value = url.PathEscape(value)
		}
		b.WriteString(value)
	}
	return b.String(), nil
}
