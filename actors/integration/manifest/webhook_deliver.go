package manifest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors/integration/webhook"
)

// WebhookEvent is one thing that a delivery tells.
type WebhookEvent struct {
	// Type is what happened, in the vendor's words and a bounded alphabet.
	Type string
	// ID is the delivery's own; empty where it has none.
	ID      string
	Payload json.RawMessage
}

// HandshakeReply is an answer to a handshake.
type HandshakeReply struct {
	Status      int
	ContentType string
	Body        []byte
	Headers     map[string]string
	// Secret is to be kept as the hook's; Reveal says that the vendor asks the user for it.
	Secret string
	Reveal bool
}

// maxWebhookEvents bounds what one delivery can make weft tell.
const maxWebhookEvents = 500

// Bounds of what a vendor chooses.
const (
	maxEventType = 128
	maxEventID   = 256
)

var errNoEvent = errors.New("the delivery is not what the vendor sends")

// challengePattern is what a challenge that is answered with its digest may look like. It keeps a hook from signing, for
// anybody who asks, what would pass for a delivery.
var challengePattern = regexp.MustCompile(`^[A-Za-z0-9_+/=-]{1,512}$`)

// Handshake answers a request that is a handshake; nil where it is none. verified says whether its signature has been
// verified: before that, only unsigned handshakes are answered. secrets are the hook's, the newest first.
func (w *Webhook) Handshake(r webhook.Request, verified bool, secrets []string) (*HandshakeReply, error) {
	if len(w.handshakes) == 0 {
		return nil, nil //nolint:nilnil // none is an answer
	}
	root := webhookRoot(r)
	for _, h := range w.handshakes {
		method := h.spec.Method
		if method == "" {
			method = http.MethodPost
		}
		if h.spec.Unsigned == verified || method != r.Method && (method != http.MethodGet || r.Method != http.MethodHead) {
			continue
		}
		scope, end := newScope(root, maxRequestValue)
		reply, err := h.reply(scope, secrets)
		end()
		if err != nil || reply != nil {
			return reply, err
		}
	}
	return nil, nil //nolint:nilnil // none is an answer
}

func (h handshake) reply(s *scope, secrets []string) (*HandshakeReply, error) {
	if h.when != nil {
		// What an expression fails on is no handshake of this kind.
		if holds, err := h.when.holds(s); err != nil || !holds {
			return nil, nil //nolint:nilerr,nilnil // none is an answer
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

// fill makes the answer: JSON, or a plain text that no browser takes for a page.
func (h handshake) fill(s *scope, reply *HandshakeReply) error {
	if h.json != nil {
		value, _, err := h.json.eval(s)
		if err != nil {
			return err
		}
		reply.ContentType = "application/json"
		if reply.Body, err = json.Marshal(value); err != nil {
			return fmt.Errorf("encoding an answer: %w", err)
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

// Events is what a verified delivery tells. A delivery that is not what the vendor sends is an error.
func (w *Webhook) Events(r webhook.Request) ([]WebhookEvent, error) {
	root := webhookRoot(r)
	scope, end := newScope(root, maxResponseValue)
	defer end()
	if w.each == nil {
		event, err := w.event(scope)
		if err != nil {
			return nil, err
		}
		event.Payload, err = payloadOf(r, root["body"])
		return []WebhookEvent{event}, err
	}
	value, _, err := w.each.eval(scope)
	if err != nil {
		return nil, errNoEvent
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
		if event.Payload, err = json.Marshal(item); err != nil {
			return nil, fmt.Errorf("encoding an item: %w", err)
		}
		events = append(events, event)
	}
	return events, nil
}

func (w *Webhook) event(s *scope) (WebhookEvent, error) {
	kind, err := w.eventType.evalString(s)
	if err != nil {
		return WebhookEvent{}, errNoEvent
	}
	id, err := w.eventID.evalString(s)
	if err != nil || len(id) > maxEventID || !utf8.ValidString(id) {
		return WebhookEvent{}, errNoEvent
	}
	return WebhookEvent{Type: eventType(kind), ID: id}, nil
}

// eventType is a vendor's name of an event as a CloudEvents type may end.
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

// payloadOf is a body as an event carries it.
func payloadOf(r webhook.Request, decoded any) (json.RawMessage, error) {
	if _, form := r.Form(); !form && json.Valid(r.Body) {
		return json.RawMessage(r.Body), nil
	}
	payload, err := json.Marshal(decoded)
	if err != nil {
		return nil, fmt.Errorf("encoding a payload: %w", err)
	}
	return payload, nil
}

// webhookRoot is what the expressions of a delivery see.
func webhookRoot(r webhook.Request) map[string]any {
	headers, query := make(map[string]any, len(r.Header)), make(map[string]any, len(r.Query))
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	for name, values := range r.Query {
		query[name] = values[0]
	}
	return map[string]any{"method": r.Method, "headers": headers, "query": query, "body": bodyValue(r)}
}

// bodyValue is a body decoded: JSON, a form's fields (a list where one is there twice), or a text, base64 of what is none.
func bodyValue(r webhook.Request) any {
	if form, ok := r.Form(); ok {
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
		return string(r.Body)
	}
	return base64.StdEncoding.EncodeToString(r.Body)
}

func number(i int) string { return strconv.Itoa(i) }
