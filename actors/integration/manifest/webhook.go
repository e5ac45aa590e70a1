package manifest

import (
	"strconv"

	"github.com/weftmesh/weft/actors/integration/webhook"
)

// WebhookSpec describes the provider's webhooks, as written.
type WebhookSpec struct {
	webhook.Spec
	Docs       string          `json:"docs"`
	Help       string          `json:"help"`
	Event      WebhookEvents   `json:"event"`
	Handshakes []HandshakeSpec `json:"handshakes"`
}

// WebhookEvents maps a verified delivery to events. Its expressions see {method, headers, query, body}, and with Each also
// item.
type WebhookEvents struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	// Each yields a list; each of its items is an event. Without it, the delivery is one event.
	Each string `json:"each"`
	// FormField is the field of a form-encoded delivery whose value is the delivery as JSON: the body that expressions and events see.
	FormField string `json:"form_field"`
}

// HandshakeSpec is a request by which a provider verifies the hook's address, as opposed to a delivery.
type HandshakeSpec struct {
	// Method is GET, HEAD or POST (the default).
	Method string `json:"method"`
	// When is an expression that is true for the handshake.
	When string `json:"when"`
	// Unsigned handshakes are answered without verifying a signature.
	Unsigned bool `json:"unsigned"`
	// KeepSecret is an expression that yields the hook's secret.
	KeepSecret string `json:"keep_secret"`
	// Reveal means that the user must enter the secret at the provider, so that weft shows it.
	Reveal bool            `json:"reveal"`
	HMAC   *HandshakeHMAC  `json:"hmac"`
	Answer HandshakeAnswer `json:"answer"`
}

// HandshakeHMAC is an HMAC with the hook's secret that expressions of the answer see as .hmac.
type HandshakeHMAC struct {
	Of        string `json:"of"`
	Algorithm string `json:"algorithm"`
	Encoding  string `json:"encoding"`
	Prefix    string `json:"prefix"`
}

// HandshakeAnswer is the response that the provider expects.
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

	formField                string
	eventType, eventID, each *tree
	handshakes               []handshake
}

// handshake is a compiled HandshakeSpec.
type handshake struct {
	spec                HandshakeSpec
	when, keep, of      *tree
	text, json, headers *tree
}

// webhook compiles the section webhook; nil if there is none.
func (c *compiler) webhook() *Webhook {
	spec := c.manifest.Webhook
	if spec == nil {
		return nil
	}
	const at = "/webhook"
	w := &Webhook{
		Docs: spec.Docs, Help: spec.Help, formField: spec.Event.FormField,
		eventType: c.optional(spec.Event.Type, at+"/event/type"),
		eventID:   c.optional(spec.Event.ID, at+"/event/id"),
		each:      c.optional(spec.Event.Each, at+"/event/each"),
	}
	w.Scheme = webhook.Compile(spec.Spec, func(pointer, format string, args ...any) { c.fault(at+pointer, format, args...) })
	keeps := false
	for i, h := range spec.Handshakes {
		pointer := pointerTo(at+"/handshakes", strconv.Itoa(i))
		w.handshakes = append(w.handshakes, handshake{
			spec: h,
			when: c.optional(h.When, pointer+"/when"), keep: c.optional(h.KeepSecret, pointer+"/keep_secret"),
			of:   c.handshakeHMAC(h, pointer+"/hmac"),
			text: c.optional(h.Answer.Text, pointer+"/answer/text"), json: c.tree(h.Answer.JSON, pointer+"/answer/json"),
			headers: c.tree(h.Answer.Headers, pointer+"/answer/headers"),
		})
		keeps = keeps || h.KeepSecret != ""
		if h.KeepSecret != "" && !h.Unsigned {
			c.fault(pointer+"/keep_secret", "requires unsigned: true, because the handshake cannot be signed with the secret it carries")
		}
	}
	if keeps != (spec.Secret.From == webhook.FromHandshake) {
		c.fault(at+"/secret/from", "must be handshake if, and only if, a handshake has keep_secret")
	}
	return w
}

func (c *compiler) handshakeHMAC(h HandshakeSpec, pointer string) *tree {
	if h.HMAC == nil {
		return nil
	}
	return c.optional(h.HMAC.Of, pointer+"/of")
}
