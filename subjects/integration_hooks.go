package subjects

import (
	"encoding/json"
	"time"
)

// Statuses of a hook.
const (
	HookPending = "pending"
	HookActive  = "active"
)

// Hook is a webhook address of a connection, to which its provider delivers events.
type Hook struct {
	ID            string `json:"id"`
	IntegrationID string `json:"integration_id"`
	Provider      string `json:"provider"`
	Label         string `json:"label,omitempty"`
	URL           string `json:"url" doc:"The address to configure at the provider. If the provider does not sign deliveries, the address contains the secret, and is complete only in responses that show the secret."`
	Status        string `json:"status" enum:"pending,active" doc:"pending: it has no secret yet and rejects every delivery."`
	SecretFrom    string `json:"secret_from" enum:"weft,provider,handshake" doc:"Who creates the secret: weft, the provider, or the provider in its first delivery (handshake)."`
	Secret        string `json:"secret,omitempty" doc:"Shown when weft has just created it, and, if the provider expects it back, until the first delivery has been verified."`
	// OldSecretUntil is the end of a rotation's overlap.
	OldSecretUntil *time.Time `json:"old_secret_until,omitempty" doc:"How long the previous secret remains valid."`
	Help           string     `json:"help,omitempty" doc:"Instructions for the set-up at the provider."`
	ReceivedAt     *time.Time `json:"received_at,omitempty" doc:"When the last delivery was accepted."`
	CreatedAt      time.Time  `json:"created_at"`
	UpdatedAt      time.Time  `json:"updated_at"`
}

// CreateHookRequest names a connection and describes the hook.
type CreateHookRequest struct {
	IntegrationID string `json:"integration_id" in:"path" format:"uuid"`
	Label         string `json:"label,omitempty" minLength:"1" maxLength:"64"`
	Secret        string `json:"secret,omitempty" minLength:"1" maxLength:"4096" doc:"The secret that the provider created. It can also be set later, by rotate_hook_secret."`
}

// CreateHook creates a webhook address for a provider's events.
var CreateHook = declare(Endpoint[CreateHookRequest, Hook]{
	Subject: "weft.v1.integration.create_hook", Route: "POST /v1/integrations/{integration_id}/hooks", Status: 201,
	Access: Scope(ScopeIntegrationsConnect), Location: "/v1/integrations/{integration_id}/hooks/{id}", Secret: []string{"secret", "url"},
	Summary: "Receive a provider's events",
	Doc: "Creates an address to which the connection's provider can deliver events. Every delivery is verified by the provider's own " +
		"scheme; until the hook has a secret, all deliveries are rejected. Errors: unsupported if the provider delivers no events, or " +
		"none that can be verified; conflict if the connection has the maximum number of hooks.",
})

// HookRequest names a hook.
type HookRequest struct {
	IntegrationID string `json:"integration_id" in:"path" format:"uuid"`
	HookID        string `json:"hook_id" in:"path" format:"uuid"`
}

// ListHooksRequest names a connection and selects a page.
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

// GetHook returns a hook.
var GetHook = declare(Endpoint[HookRequest, Hook]{
	Subject: "weft.v1.integration.get_hook", Route: "GET /v1/integrations/{integration_id}/hooks/{hook_id}",
	Access:  Scope(ScopeIntegrationsConnect),
	Summary: "One hook",
	Doc:     "Returns a hook. Its secret is included only while the provider's handshake expects it back.",
})

// DeleteHook deletes a hook.
var DeleteHook = declare(Endpoint[HookRequest, Empty]{
	Subject: "weft.v1.integration.delete_hook", Route: "DELETE /v1/integrations/{integration_id}/hooks/{hook_id}",
	Access:  Scope(ScopeIntegrationsConnect),
	Summary: "Delete a hook", Doc: "Deletes a hook: its address then answers not_found.",
})

// RotateHookSecretRequest names a hook, and its next secret if the provider creates it.
type RotateHookSecretRequest struct {
	IntegrationID string `json:"integration_id" in:"path" format:"uuid"`
	HookID        string `json:"hook_id" in:"path" format:"uuid"`
	Secret        string `json:"secret,omitempty" minLength:"1" maxLength:"4096" doc:"The secret that the provider created."`
	DropOld       bool   `json:"drop_old,omitempty" doc:"Invalidate the old secret at once, for example because it leaked."`
}

// RotateHookSecret sets a hook's next secret.
var RotateHookSecret = declare(Endpoint[RotateHookSecretRequest, Hook]{
	Subject: "weft.v1.integration.rotate_hook_secret", Route: "POST /v1/integrations/{integration_id}/hooks/{hook_id}/secret",
	Access: Scope(ScopeIntegrationsConnect), Secret: []string{"secret", "url"},
	Summary: "Rotate a hook's secret",
	Doc: "Sets a hook's first or next secret: weft creates it and shows it in this answer only, or takes the one that the provider " +
		"created; for a hook whose secret comes in a handshake, it admits the next handshake. The old secret remains valid for a day " +
		"unless drop_old is set.",
})

// ReceiveWebhookRequest is a webhook delivery as received.
type ReceiveWebhookRequest struct {
	Provider string              `json:"provider" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	HookID   string              `json:"hook_id" in:"path" format:"uuid"`
	Query    string              `json:"query,omitempty" in:"raw_query" maxLength:"8192"`
	Headers  map[string][]string `json:"headers"`
	Body     []byte              `json:"body" doc:"The raw body, base64 in JSON."`
}

// ReceiveWebhook receives a provider's delivery.
var ReceiveWebhook = declare(Endpoint[ReceiveWebhookRequest, Document]{
	Subject: "weft.v1.integration.receive_webhook", Route: "POST /v1/hooks/{provider}/{hook_id}",
	Access: Public, Body: Body{Kind: BodyRaw, Field: "body"}, Produces: "application/json", ReadOnly: true,
	Limits: []Limit{PerIP(1200, time.Minute)}, OwnLimits: true, Concurrency: 128,
	Summary: "A provider's delivery",
	Doc: "Takes a provider's delivery as raw bytes, verifies it by the provider's scheme and publishes it as the event " +
		"webhook_received, once: one with the id of an earlier one, or with its signature and time, is not published again. Providers' handshakes are " +
		"answered as they prescribe. unauthenticated: the delivery is unsigned, its signature is invalid or too old, or the hook has " +
		"no secret yet.",
})

// AnswerWebhookRequest is a provider's challenge to a hook.
type AnswerWebhookRequest struct {
	Provider string `json:"provider" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	HookID   string `json:"hook_id" in:"path" format:"uuid"`
	Query    string `json:"query,omitempty" in:"raw_query" maxLength:"8192"`
}

// AnswerWebhook answers the challenge that some providers send before they deliver.
var AnswerWebhook = declare(Endpoint[AnswerWebhookRequest, Document]{
	Subject: "weft.v1.integration.answer_webhook", Route: "GET /v1/hooks/{provider}/{hook_id}",
	Access: Public, Produces: "text/plain", Limits: []Limit{PerIP(120, time.Minute)}, OwnLimits: true,
	Summary: "A provider's challenge",
	Doc:     "Answers the challenge (GET or HEAD) by which some providers verify an address before they deliver.",
})

// WebhookDelivery is the data of WebhookReceived.
type WebhookDelivery struct {
	IntegrationID string          `json:"integration_id"`
	HookID        string          `json:"hook_id"`
	Provider      string          `json:"provider"`
	Label         string          `json:"label" doc:"The connection's label."`
	Event         string          `json:"event" doc:"The event's name as the provider gives it."`
	DeliveryID    string          `json:"delivery_id"`
	Payload       json.RawMessage `json:"payload" doc:"The delivery's content: JSON unchanged, a form as an object, anything else as a string, in base64 if it is not text."`
}

// WebhookReceived is published once for each event in a verified delivery. Its CloudEvents type is <provider>.<event>, its
// source /integrations/<connection>.
var WebhookReceived = declareEvent(Event[WebhookDelivery]{
	Subject: "weft.event.v1.integration.webhook_received",
	Doc:     "A provider delivered an event, and weft verified the delivery. Type <provider>.<event>, source /integrations/<connection>.",
})

// NewWebhookReceived builds the event's message.
func NewWebhookReceived(id, userID string, at time.Time, d WebhookDelivery) Envelope[WebhookDelivery] {
	e := WebhookReceived.New(id, userID, at, d)
	e.Type, e.Source = d.Provider+"."+d.Event, "/integrations/"+d.IntegrationID
	return e
}
