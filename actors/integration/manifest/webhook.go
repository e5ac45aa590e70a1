package manifest

import (
	"github.com/weftmesh/weft/actors/integration/webhook"
)

// WebhookSpec is how the provider delivers events, as written.
type WebhookSpec struct {
	webhook.Spec
	Docs       string          `json:"docs"`
	Help       string          `json:"help"`
	Event      WebhookEvents   `json:"event"`
	Handshakes []HandshakeSpec `json:"handshakes"`
}

// WebhookEvents is what a verified delivery tells. Its expressions see {method, headers, query, body} and, of each, item.
type WebhookEvents struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Each string `json:"each"`
	// Repeats is for vendors whose deliveries carry no id and may be the same twice, each time with a meaning of its own.
	Repeats bool `json:"repeats"`
}

// HandshakeSpec is a request that is a question and no delivery.
type HandshakeSpec struct {
	Method string `json:"method"`
	When   string `json:"when"`
	// Unsigned handshakes are answered to anybody.
	Unsigned   bool            `json:"unsigned"`
	KeepSecret string          `json:"keep_secret"`
	Reveal     bool            `json:"reveal"`
	HMAC       *HandshakeHMAC  `json:"hmac"`
	Answer     HandshakeAnswer `json:"answer"`
}

// HandshakeHMAC is a digest that the answer may show as .hmac, keyed with the hook's secret.
type HandshakeHMAC struct {
	Of        string `json:"of"`
	Algorithm string `json:"algorithm"`
	Encoding  string `json:"encoding"`
	Prefix    string `json:"prefix"`
}

// HandshakeAnswer is what the vendor wants to hear.
type HandshakeAnswer struct {
	Status  int    `json:"status"`
	Text    string `json:"text"`
	JSON    any    `json:"json"`
	Headers any    `json:"headers"`
}

// Webhook is a compiled WebhookSpec. It is immutable and safe for concurrent use.
type Webhook struct {
	Scheme     *webhook.Scheme
	Docs, Help string
	// Repeats has two deliveries of the same bytes be two.
	Repeats bool

	eventType, eventID, each *tree
	handshakes               []handshake
}

type handshake struct {
	spec                HandshakeSpec
	when, keep, of      *tree
	text, json, headers *tree
}

// webhook compiles the section; nil where there is none.
func (c *compiler) webhook() *Webhook {
	spec := c.manifest.Webhook
	if spec == nil {
		return nil
	}
	const at = "/webhook"
	w := &Webhook{
		Docs: spec.Docs, Help: spec.Help, Repeats: spec.Event.Repeats,
		eventType: c.optional(spec.Event.Type, at+"/event/type"),
		eventID:   c.optional(spec.Event.ID, at+"/event/id"),
		each:      c.optional(spec.Event.Each, at+"/event/each"),
	}
	w.Scheme = webhook.Compile(spec.Spec, func(pointer, format string, args ...any) { c.fault(at+pointer, format, args...) })
	keeps := false
	for i, h := range spec.Handshakes {
		pointer := pointerTo(at+"/handshakes", number(i))
		w.handshakes = append(w.handshakes, handshake{
			spec: h,
			when: c.optional(h.When, pointer+"/when"), keep: c.optional(h.KeepSecret, pointer+"/keep_secret"),
			of:   c.handshakeHMAC(h, pointer+"/hmac"),
			text: c.optional(h.Answer.Text, pointer+"/answer/text"), json: c.tree(h.Answer.JSON, pointer+"/answer/json"),
			headers: c.tree(h.Answer.Headers, pointer+"/answer/headers"),
		})
		keeps = keeps || h.KeepSecret != ""
		if h.KeepSecret != "" && !h.Unsigned {
			c.fault(pointer+"/keep_secret", "cannot be signed with itself: say unsigned")
		}
	}
	if keeps != (spec.Secret.From == webhook.FromHandshake) {
		c.fault(at+"/secret/from", "handshake and a handshake with keep_secret go together")
	}
	return w
}

func (c *compiler) handshakeHMAC(h HandshakeSpec, pointer string) *tree {
	if h.HMAC == nil {
		return nil
	}
	return c.optional(h.HMAC.Of, pointer+"/of")
}
