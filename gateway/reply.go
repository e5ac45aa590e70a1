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

// documentPolicy is the Content-Security-Policy of an HTML document from an actor: inline styles and images, no scripts.
var documentPolicy = []string{"default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"}

// copyMarks sets Idempotency-Replayed if the reply, successful or not, is a stored one, and Weft-As-Of if it is an edge node's. m is nil if
// there is no reply.
func (rc *requestContext) copyMarks(m *nats.Msg) {
	if m == nil {
		return
	}
	for _, name := range []string{mesh.HeaderIdempotencyReplayed, mesh.HeaderAsOf} {
		if values := m.Header[name]; len(values) > 0 {
			rc.w.Header()[name] = values
		}
	}
}

// reply writes the actor's reply as the endpoint declares.
func (rt *route) reply(rc *requestContext, m *nats.Msg) error {
	if len(m.Data) > largeReply {
		release, err := rc.holdReply(len(m.Data), rt.d.Mutating)
		if err != nil {
			return err
		}
		defer release()
	}
	h := rc.w.Header()
	switch {
	case rt.d.Stream:
		return rt.stream(rc, m.Data)
	case rt.d.Produces != "":
		return rt.writeDocument(rc, m.Data)
	}
	if rt.location != nil {
		location, err := rt.location.fill(m.Data)
		if err != nil {
			return fmt.Errorf("building the Location of %s: %w", rt.d.Name(), err)
		}
		h["Location"] = []string{location}
	}
	if rt.d.Cookie != nil {
		if err := rc.setCookie(rt.d.Cookie, m.Data); err != nil {
			return fmt.Errorf("setting the cookie of %s: %w", rt.d.Name(), err)
		}
	}
	if wants, _ := rc.wantsCookies(); rt.signsIn && wants {
		return rt.replyWithCookies(rc, m.Data)
	}
	if rt.signsOut && rc.caller.browser != nil {
		rc.clearSessionCookies()
	}
	if rt.d.Tag != "" && rt.tag(rc, m.Data) {
		rc.notModified()
		return nil
	}
	if rt.d.Status == http.StatusNoContent {
		rc.write(rt.d.Status, nil, nil)
		return nil
	}
	rc.write(rt.d.Status, typeJSON, m.Data)
	return nil
}

// writeDocument writes the bytes of a document reply.
func (rt *route) writeDocument(rc *requestContext, data []byte) error {
	var doc subjects.Document
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("decoding a document of %s: %w", rt.d.Name(), err)
	}
	h := rc.w.Header()
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
	rc.write(status, []string{doc.ContentType}, doc.Body)
	return nil
}

// locationTemplate is a Location with {field} placeholders for fields of the reply.
type locationTemplate struct {
	literals, fields []string
}

// newLocationTemplate parses a template. It returns nil for an empty text.
func newLocationTemplate(text string) *locationTemplate {
	if text == "" {
		return nil
	}
	t := &locationTemplate{}
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

// fill replaces the placeholders by the reply's fields, path-escaped. If the template is a single placeholder, the field is a
// complete URL and is not escaped.
func (t *locationTemplate) fill(reply []byte) (string, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(reply, &values); err != nil {
		return "", fmt.Errorf("decoding the reply: %w", err)
	}
	var b strings.Builder
	for i, literal := range t.literals {
		b.WriteString(literal)
		if i == len(t.fields) {
			break
		}
		var value string
		if err := json.Unmarshal(values[t.fields[i]], &value); err != nil {
			return "", fmt.Errorf("decoding field %s: %w", t.fields[i], err)
		}
		if len(t.fields) > 1 || t.literals[0] != "" || t.literals[1] != "" {
			value = url.PathEscape(value)
		}
		b.WriteString(value)
	}
	return b.String(), nil
}
