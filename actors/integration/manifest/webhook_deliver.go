package manifest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/webhook"
)

// WebhookEvent is one event of a delivery.
type WebhookEvent struct {
	// Type is the provider's event type, in letters, digits and . _ : / -, of at most 128 characters.
	Type string
	// ID is the provider's id of the event; "" if it has none.
	ID string
	// Payload is JSON.
	Payload json.RawMessage
}

// HandshakeReply is the response to a handshake.
type HandshakeReply struct {
	Status      int
	ContentType string
	Body        []byte
	Headers     map[string]string
	// Secret is the hook's secret from now on; "" if the handshake carries none. Reveal means that the user must enter it at
	// the provider.
	Secret string
	Reveal bool
}

// maxWebhookEvents is the greatest number of events of one delivery.
const maxWebhookEvents = 500

// The greatest lengths of an event's type, which is truncated, and of its id, in bytes.
const (
	maxEventType = 128
	maxEventID   = 256
)

var errNoEvent = errors.New("the delivery does not match the provider's format")

// challengePattern is the form of a challenge that is answered with its HMAC. It excludes JSON and forms: otherwise anyone
// could have the hook sign a forged delivery.
var challengePattern = regexp.MustCompile(`^[A-Za-z0-9_+/=-]{1,512}$`)

// Handshake returns the response to a handshake; nil if the request is not one. verified reports whether its signature has
// been verified: unsigned handshakes are answered only before, and others only after. secrets are the hook's, newest first.
func (w *Webhook) Handshake(r webhook.Request, verified bool, secrets []string) (*HandshakeReply, error) {
	if len(w.handshakes) == 0 {
		return nil, nil //nolint:nilnil // not a handshake
	}
	root := w.root(r)
	for _, h := range w.handshakes {
		if h.spec.Unsigned == verified || retrieval(cmp.Or(h.spec.Method, http.MethodPost)) != retrieval(r.Method) {
			continue
		}
		scope := newScope(root, maxRequestValue)
		reply, err := h.reply(scope, secrets)
		if err != nil || reply != nil {
			return reply, err
		}
	}
	return nil, nil //nolint:nilnil // not a handshake
}

// retrieval returns GET for HEAD, and any other method itself. The response to HEAD is that to GET without its content (RFC 9110
// §9.3.2), so that a handshake by one of them is answered to both.
func retrieval(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

// reply returns the response; nil if the request is not this handshake.
func (h handshake) reply(s *scope, secrets []string) (*HandshakeReply, error) {
	if h.when != nil {
		// An expression that fails does not match; one that exceeds the budget has no verdict.
		matches, err := h.when.isTrue(s)
		if errors.Is(err, ErrBudget) {
			return nil, err
		}
		if err != nil || !matches {
			return nil, nil //nolint:nilerr,nilnil // not this handshake
		}
	}
	reply := &HandshakeReply{Status: h.spec.Answer.Status, ContentType: "text/plain; charset=utf-8", Reveal: h.spec.Reveal}
	var err error
	if reply.Secret, err = h.keep.evalString(s); err != nil {
		return nil, err
	}
	if h.of != nil {
		of, err := h.of.evalString(s)
		if err != nil || len(secrets) == 0 || !challengePattern.MatchString(of) {
			return nil, errNoEvent
		}
		s.root["hmac"] = h.spec.HMAC.Prefix + webhook.Digest(h.spec.HMAC.Algorithm, h.spec.HMAC.Encoding, secrets[0], of)
	}
	if err := h.fill(s, reply); err != nil {
		return nil, err
	}
	return reply, nil
}

// fill sets the body and the headers of the response. The body is JSON, or plain text, which browsers do not render as HTML.
func (h handshake) fill(s *scope, reply *HandshakeReply) error {
	if h.json != nil {
		value, _, err := h.json.eval(s)
		if err != nil {
			return err
		}
		reply.ContentType = "application/json"
		if reply.Body, err = json.Marshal(value); err != nil {
			return fmt.Errorf("encoding handshake response: %w", err)
		}
	} else {
		text, err := h.text.evalString(s)
		if err != nil {
			return err
		}
		reply.Body = []byte(text)
	}
	headers, _, err := h.headers.eval(s)
	if err != nil {
		return err
	}
	object, _ := headers.(map[string]any)
	for name, value := range object {
		text, err := scalarText(value)
		if err != nil || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) {
			return errNoEvent
		}
		if reply.Headers == nil {
			reply.Headers = map[string]string{}
		}
		reply.Headers[name] = text
	}
	return nil
}

// Events returns the events of a verified delivery. A delivery that does not match the manifest is an error.
func (w *Webhook) Events(r webhook.Request) ([]WebhookEvent, error) {
	root := w.root(r)
	scope := newScope(root, maxResponseValue)
	if w.each == nil {
		event, err := w.event(scope)
		if err != nil {
			return nil, err
		}
		event.Payload, err = w.payloadOf(r, root["body"])
		return []WebhookEvent{event}, err
	}
	value, _, err := w.each.eval(scope)
	if err != nil {
		return nil, noEvent(err)
	}
	items, ok := value.([]any)
	if !ok || len(items) > maxWebhookEvents {
		return nil, errNoEvent
	}
	events := make([]WebhookEvent, 0, len(items))
	for _, item := range items {
		root["item"] = item
		event, err := w.event(scope)
		if err != nil {
			return nil, err
		}
		if event.Payload, err = encodeJSON(item); err != nil {
			return nil, fmt.Errorf("encoding event payload: %w", err)
		}
		events = append(events, event)
	}
	return events, nil
}

// noEvent is the error of a delivery whose expressions failed with err; it keeps that of a budget.
func noEvent(err error) error {
	if errors.Is(err, ErrBudget) {
		return err
	}
	return errNoEvent
}

func (w *Webhook) event(s *scope) (WebhookEvent, error) {
	kind, err := w.eventType.evalString(s)
	if err != nil {
		return WebhookEvent{}, noEvent(err)
	}
	id, err := w.eventID.evalString(s)
	if err != nil || len(id) > maxEventID || !utf8.ValidString(id) {
		return WebhookEvent{}, noEvent(err)
	}
	return WebhookEvent{Type: eventType(kind), ID: id}, nil
}

// eventType converts a provider's event type to the suffix of a CloudEvents type. The default is delivery.
func eventType(text string) string {
	if text == "" {
		return "delivery"
	}
	text = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._:/-", c) {
			return c
		}
		return '_'
	}, text)
	return text[:min(len(text), maxEventType)]
}

// payloadOf returns the payload of a delivery that is one event: its text if that is JSON, or else the decoded body as JSON.
func (w *Webhook) payloadOf(r webhook.Request, decoded any) (json.RawMessage, error) {
	text := r.Text()
	if form, ok := r.Form(); ok {
		text = egress.TrimBOM([]byte(form.Get(w.formField)))
	}
	if json.Valid(text) {
		return json.RawMessage(text), nil
	}
	payload, err := encodeJSON(decoded)
	if err != nil {
		return nil, fmt.Errorf("encoding event payload: %w", err)
	}
	return payload, nil
}

// root returns the input of a delivery's expressions.
func (w *Webhook) root(r webhook.Request) map[string]any {
	headers, query := make(map[string]any, len(r.Header)), make(map[string]any, len(r.Query))
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	for name, values := range r.Query {
		query[name] = values[0]
	}
	return map[string]any{"method": r.Method, "headers": headers, "query": query, "body": w.bodyValue(r)}
}

// bodyValue decodes a body: a form to the JSON in its formField or, if there is none, to an object, in which repeated fields are lists;
// JSON to its value; anything else to a string, in base64 if it is not UTF-8. An empty body that is not a form is nil.
func (w *Webhook) bodyValue(r webhook.Request) any {
	if form, ok := r.Form(); ok {
		if values := form[w.formField]; len(values) == 1 {
			if value, err := decodeJSON(egress.TrimBOM([]byte(values[0]))); err == nil {
				return value
			}
		}
		fields := make(map[string]any, len(form))
		for name, values := range form {
			if len(values) == 1 {
				fields[name] = values[0]
				continue
			}
			list := make([]any, len(values))
			for i, value := range values {
				list[i] = value
			}
			fields[name] = list
		}
		return fields
	}
	if len(r.Body) == 0 {
		return nil
	}
	if value, ok := r.JSON(); ok {
		return value
	}
	if utf8.Valid(r.Body) {
		return string(r.Text())
	}
	return base64.StdEncoding.EncodeToString(r.Body)
}
