package subjects

import (
	"encoding/json"
	"time"
)

// Hook is an address to which a provider delivers the events of a connection.
type Hook struct {
	ID            string `json:"id"`
	IntegrationID string `json:"integration_id"`
	Provider      string `json:"provider"`
	Label         string `json:"label,omitempty"`
	URL           string `json:"url" doc:"What the provider is to deliver to. Where the provider signs nothing, the secret is part of it, and it is whole only when the secret is shown."`
	Status        string `json:"status" enum:"pending,active" doc:"pending: it has no secret yet, and refuses every delivery."`
	SecretFrom    string `json:"secret_from" enum:"weft,provider,handshake" doc:"Who makes the secret; with handshake the provider tells it in its first delivery."`
	Secret        string `json:"secret,omitempty" doc:"Shown where weft has just made it, and where the provider asks for it back until the first delivery has been verified."`
	// OldSecretUntil is the end of a rotation.
	OldSecretUntil *time.Time `json:"old_secret_until,omitempty" doc:"Until when the secret before this one verifies too."`
	Help           string     `json:"help,omitempty" doc:"What to do at the provider."`
	ReceivedAt     *time.Time `json:"received_at,omitempty" doc:"When the last delivery passed."`
	CreatedAt      time.Time  `json:"created_at"`
	UpdatedAt      time.Time  `json:"updated_at"`
}

// CreateHookRequest names a connection.
type CreateHookRequest struct {
	IntegrationID string `json:"integration_id" in:"path" format:"uuid"`
	Label         string `json:"label,omitempty" minLength:"1" maxLength:"64"`
	Secret        string `json:"secret,omitempty" minLength:"1" maxLength:"4096" doc:"The one that the provider made. It may also be given later, by rotate_hook_secret."`
}

// CreateHook makes an address for a provider's events.
var CreateHook = declare(Endpoint[CreateHookRequest, Hook]{
	Subject: "weft.v1.integration.create_hook", Route: "POST /v1/integrations/{integration_id}/hooks", Status: 201,
	Access: Scope(ScopeIntegrationsConnect), Location: "/v1/integrations/{integration_id}/hooks/{id}", Secret: []string{"secret", "url"},
	Summary: "Receive a provider's events",
	Doc: "Makes an address to which the connection's provider may deliver events. Every delivery is verified by the provider's own " +
		"scheme; until the hook has a secret, all are refused. unsupported: the provider delivers none, or none that can be verified; " +
		"conflict: the connection has as many hooks as are kept.",
})

// HookRequest names a hook.
type HookRequest struct {
	IntegrationID string `json:"integration_id" in:"path" format:"uuid"`
	HookID        string `json:"hook_id" in:"path" format:"uuid"`
}

// ListHooksRequest names a connection.
type ListHooksRequest struct {
	IntegrationRequest
	PageRequest
}

// ListHooks lists a connection's hooks.
var ListHooks = declare(Endpoint[ListHooksRequest, Page[Hook]]{
	Subject: "weft.v1.integration.list_hooks", Route: "GET /v1/integrations/{integration_id}/hooks",
	Access:  Scope(ScopeIntegrationsRead),
	Summary: "A connection's hooks", Doc: "Lists a connection's hooks, newest first, without secrets.",
})

// GetHook answers with a hook.
var GetHook = declare(Endpoint[HookRequest, Hook]{
	Subject: "weft.v1.integration.get_hook", Route: "GET /v1/integrations/{integration_id}/hooks/{hook_id}",
	Access:  Scope(ScopeIntegrationsConnect),
	Summary: "One hook",
	Doc:     "Answers with a hook. Its secret is there only while the provider waits to be given back what it sent in a handshake.",
})

// DeleteHook forgets a hook.
var DeleteHook = declare(Endpoint[HookRequest, Empty]{
	Subject: "weft.v1.integration.delete_hook", Route: "DELETE /v1/integrations/{integration_id}/hooks/{hook_id}",
	Access:  Scope(ScopeIntegrationsConnect),
	Summary: "Stop receiving", Doc: "Forgets a hook: its address answers not_found from then on.",
})

// RotateHookSecretRequest names a hook, and its next secret where the provider makes it.
type RotateHookSecretRequest struct {
	IntegrationID string `json:"integration_id" in:"path" format:"uuid"`
	HookID        string `json:"hook_id" in:"path" format:"uuid"`
	Secret        string `json:"secret,omitempty" minLength:"1" maxLength:"4096" doc:"The one that the provider made."`
	DropOld       bool   `json:"drop_old,omitempty" doc:"The old secret verifies nothing from now on: it is known to somebody."`
}

// RotateHookSecret gives a hook its next secret.
var RotateHookSecret = declare(Endpoint[RotateHookSecretRequest, Hook]{
	Subject: "weft.v1.integration.rotate_hook_secret", Route: "POST /v1/integrations/{integration_id}/hooks/{hook_id}/secret",
	Access: Scope(ScopeIntegrationsConnect), Secret: []string{"secret", "url"},
	Summary: "Give a hook its next secret",
	Doc: "Gives a hook its first or its next secret: weft makes it and shows it this once, or takes the one that the provider made; " +
		"of a hook whose secret comes in a handshake, it lets the next handshake in. The old secret verifies for another day, " +
		"unless drop_old.",
})

// ReceiveWebhookRequest is a delivery as it came.
type ReceiveWebhookRequest struct {
	Provider string              `json:"provider" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	HookID   string              `json:"hook_id" in:"path" format:"uuid"`
	Query    string              `json:"query,omitempty" in:"raw_query" maxLength:"8192"`
	Headers  map[string][]string `json:"headers"`
	Body     []byte              `json:"body" doc:"The bytes, base64 in JSON."`
}

// ReceiveWebhook takes a provider's delivery.
var ReceiveWebhook = declare(Endpoint[ReceiveWebhookRequest, Document]{
	Subject: "weft.v1.integration.receive_webhook", Route: "POST /v1/hooks/{provider}/{hook_id}",
	Access: Public, Body: Body{Kind: BodyRaw, Field: "body"}, Produces: "application/json", ReadOnly: true,
	Limits: []Limit{PerIP(1200, time.Minute)}, OwnLimits: true, Concurrency: 128,
	Summary: "A provider's delivery",
	Doc: "Takes a delivery of a provider's, as bytes, verifies it by the provider's scheme and tells it as the event " +
		"webhook_received, once: a delivery that came before is answered like the first and told to nobody. The vendors' handshakes " +
		"are answered in their own forms. unauthenticated: it is not signed, or not by the provider, or too long ago, or the hook " +
		"has no secret yet.",
})

// AnswerWebhookRequest is a question about a hook.
type AnswerWebhookRequest struct {
	Provider string `json:"provider" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	HookID   string `json:"hook_id" in:"path" format:"uuid"`
	Query    string `json:"query,omitempty" in:"raw_query" maxLength:"8192"`
}

// AnswerWebhook answers what a provider asks before it delivers.
var AnswerWebhook = declare(Endpoint[AnswerWebhookRequest, Document]{
	Subject: "weft.v1.integration.answer_webhook", Route: "GET /v1/hooks/{provider}/{hook_id}",
	Access: Public, Produces: "text/plain", Limits: []Limit{PerIP(120, time.Minute)}, OwnLimits: true,
	Summary: "A provider's question",
	Doc:     "Answers the challenge by which some providers make sure, before they deliver, that a hook is there (GET or HEAD).",
})

// WebhookDelivery is what a provider told.
type WebhookDelivery struct {
	IntegrationID string          `json:"integration_id"`
	HookID        string          `json:"hook_id"`
	Provider      string          `json:"provider"`
	Label         string          `json:"label" doc:"The connection's."`
	Event         string          `json:"event" doc:"What happened, in the provider's words."`
	DeliveryID    string          `json:"delivery_id"`
	Payload       json.RawMessage `json:"payload" doc:"What the provider sent: JSON as it came, a form as an object, anything else as a text (base64 where it is none)."`
}

// WebhookReceived is told once for each thing that a verified delivery tells. Its CloudEvents type is
// <provider>.<event>, its source /integrations/<connection>.
var WebhookReceived = declareEvent(Event[WebhookDelivery]{
	Subject: "weft.event.v1.integration.webhook_received",
	Doc:     "A provider delivered an event, and the delivery was verified. Type <provider>.<event>, source /integrations/<connection>.",
})

// NewWebhookReceived is the event's message.
func NewWebhookReceived(id, userID string, at time.Time, d WebhookDelivery) Envelope[WebhookDelivery] {
	e := WebhookReceived.New(id, userID, at, d)
	e.Type, e.Source = d.Provider+"."+d.Event, "/integrations/"+d.IntegrationID
	return e
}
