package subjects

import (
	"encoding/json"
	"time"
)

// Statuses of a webhook.
const (
	WebhookEnabled            = "enabled"
	WebhookDisabled           = "disabled"
	WebhookDisabledByFailures = "disabled_by_failures"
	WebhookGone               = "gone"
)

// Signature schemes and schedules of webhooks.
const (
	SignatureV1     = "v1"
	SignatureV1a    = "v1a"
	ScheduleDefault = "default"
	ScheduleDays    = "days"
)

// Webhook is an address of a user to which weft delivers events (Standard Webhooks 1.0).
type Webhook struct {
	ID             string   `json:"id"`
	URL            string   `json:"url"`
	Description    string   `json:"description,omitempty"`
	Events         []string `json:"events" doc:"The event types that are delivered; empty for all."`
	Condition      string   `json:"condition,omitempty" doc:"A jq expression over the payload; only events for which it is true are delivered."`
	PayloadVersion int      `json:"payload_version"`
	Signature      string   `json:"signature" enum:"v1,v1a"`
	Secret         string   `json:"secret,omitempty" doc:"The secret of v1, whsec_…, or the private key of v1a, whsk_…. Shown when it has just been created, and never again."`
	PublicKey      string   `json:"public_key,omitempty" doc:"The public key of v1a, whpk_…."`
	OldPublicKey   string   `json:"old_public_key,omitempty" doc:"The public key that signs along until old_secret_until."`
	// OldSecretUntil is the end of a rotation's overlap.
	OldSecretUntil *time.Time `json:"old_secret_until,omitempty" doc:"Until when the previous secret signs along."`
	Enabled        bool       `json:"enabled"`
	Status         string     `json:"status" enum:"enabled,disabled,disabled_by_failures,gone" doc:"disabled: by its owner. disabled_by_failures: no delivery has succeeded for days. gone: it answered 410. Events to a webhook that is not enabled are kept."`
	DisabledAt     *time.Time `json:"disabled_at,omitempty"`
	DisabledReason string     `json:"disabled_reason,omitempty"`
	Ordered        bool       `json:"ordered" doc:"Deliveries with the same ordering key, such as one execution's, are made one after the other; see list_event_types."`
	PerMinute      int        `json:"per_minute" doc:"The most attempts in any minute."`
	Schedule       string     `json:"schedule" enum:"default,days" doc:"default: 5 attempts within an hour. days: 10 attempts within 3 days."`
	HeaderNames    []string   `json:"header_names" doc:"The names of the additional headers. Their values are write-only."`
	FailingSince   *time.Time `json:"failing_since,omitempty" doc:"The first failure after the last success."`
	LastSuccessAt  *time.Time `json:"last_success_at,omitempty" doc:"The last success, to within a minute."`
	LastError      string     `json:"last_error,omitempty" doc:"Why the last failed attempt failed."`
	// ConditionErrors counts evaluations that failed since the condition was set.
	ConditionErrors    int64     `json:"condition_errors" doc:"How often the condition failed to evaluate since it was set. Such an event is not delivered."`
	LastConditionError string    `json:"last_condition_error,omitempty"`
	Dropped            int64     `json:"dropped" doc:"Events that were not stored because the user has as many pending deliveries as a user may have."`
	CreatedAt          time.Time `json:"created_at"`
	UpdatedAt          time.Time `json:"updated_at"`
}

// RegisterWebhookRequest describes a webhook.
type RegisterWebhookRequest struct {
	URL            string                `json:"url" minLength:"1" maxLength:"2048" doc:"An https address in a public network."`
	Description    string                `json:"description,omitempty" maxLength:"200"`
	Events         []string              `json:"events,omitempty" maxItems:"50" maxLength:"64" uniqueItems:"true" doc:"Event types, or prefixes such as workflow.*; default all."`
	Condition      string                `json:"condition,omitempty" maxLength:"2000" doc:"A jq expression over the payload that yields true or false, such as .data.status == \"faulted\"."`
	PayloadVersion int                   `json:"payload_version,omitempty" minimum:"1" maximum:"1" doc:"Default 1."`
	Signature      string                `json:"signature,omitempty" enum:"v1,v1a" doc:"v1: HMAC-SHA256 with a shared secret. v1a: Ed25519, whose public key verifies. Default v1."`
	Enabled        *bool                 `json:"enabled,omitempty" doc:"Default true."`
	Ordered        bool                  `json:"ordered,omitempty" doc:"Deliver events with the same ordering key one after the other. A delivery that fails holds back those behind it until its attempts end."`
	PerMinute      int                   `json:"per_minute,omitempty" minimum:"1" maximum:"100000" doc:"The most attempts in any minute; default 60."`
	Schedule       string                `json:"schedule,omitempty" enum:"default,days"`
	Headers        map[string]SecretText `json:"headers,omitempty" doc:"Additional headers, at most 10. Those of the connection and webhook-… are refused. Values are stored sealed and never shown."`
}

// RegisterWebhook creates a webhook.
var RegisterWebhook = declare(Endpoint[RegisterWebhookRequest, Webhook]{
	Subject: "weft.v1.notification.register_webhook", Route: "POST /v1/webhooks", Status: 201, Access: User,
	Location: "/v1/webhooks/{id}", Secret: []string{"secret"},
	Summary: "Receive events",
	Doc: "Registers an address to which weft delivers the caller's events, signed after Standard Webhooks 1.0. The secret is in this answer " +
		"only. Errors: invalid names the field: url if the address must not be called, condition with what is wrong with it.",
})

// WebhookRequest names a webhook.
type WebhookRequest struct {
	WebhookID string `json:"webhook_id" in:"path" format:"uuid"`
}

// ListWebhooks lists the caller's webhooks.
var ListWebhooks = declare(Endpoint[PageRequest, Page[Webhook]]{
	Subject: "weft.v1.notification.list_webhooks", Route: "GET /v1/webhooks", Access: User,
	Summary: "My webhooks", Doc: "Lists the caller's webhooks, newest first, without secrets.",
})

// GetWebhook returns a webhook.
var GetWebhook = declare(Endpoint[WebhookRequest, Webhook]{
	Subject: "weft.v1.notification.get_webhook", Route: "GET /v1/webhooks/{webhook_id}", Access: User,
	Summary: "One webhook", Doc: "Returns one of the caller's webhooks with its state, and the public key of one that signs with v1a.",
})

// UpdateWebhookRequest changes the fields that are present. A null sets the default.
type UpdateWebhookRequest struct {
	WebhookID   string                          `json:"webhook_id" in:"path" format:"uuid"`
	URL         Optional[string]                `json:"url,omitzero" minLength:"1" maxLength:"2048"`
	Description Optional[string]                `json:"description,omitzero" maxLength:"200"`
	Events      Optional[[]string]              `json:"events,omitzero" doc:"null: all."`
	Condition   Optional[string]                `json:"condition,omitzero" maxLength:"2000" doc:"null: none."`
	Enabled     Optional[bool]                  `json:"enabled,omitzero" doc:"true also enables a webhook that weft has disabled; what was kept becomes due."`
	Ordered     Optional[bool]                  `json:"ordered,omitzero"`
	PerMinute   Optional[int]                   `json:"per_minute,omitzero" minimum:"1" maximum:"100000"`
	Schedule    Optional[string]                `json:"schedule,omitzero" enum:"default,days"`
	Headers     Optional[map[string]SecretText] `json:"headers,omitzero" doc:"Replaces all additional headers; null: none."`
}

// UpdateWebhook changes a webhook.
var UpdateWebhook = declare(Endpoint[UpdateWebhookRequest, Webhook]{
	Subject: "weft.v1.notification.update_webhook", Route: "PATCH /v1/webhooks/{webhook_id}", Access: User,
	MaxMessage: 64 << 10,
	Summary:    "Change a webhook",
	Doc: "Changes the fields that are present; null sets a field's default (RFC 7396). A webhook that is enabled again gets the events that were " +
		"kept for it.",
})

// DeleteWebhook deletes a webhook.
var DeleteWebhook = declare(Endpoint[WebhookRequest, Empty]{
	Subject: "weft.v1.notification.delete_webhook", Route: "DELETE /v1/webhooks/{webhook_id}", Access: User,
	Summary: "Delete a webhook", Doc: "Deletes a webhook and its deliveries, pending ones included.",
})

// RotateWebhookSecretRequest names a webhook.
type RotateWebhookSecretRequest struct {
	WebhookID string `json:"webhook_id" in:"path" format:"uuid"`
	AtOnce    bool   `json:"at_once,omitempty" doc:"Stop signing with the previous secret now, for example because it leaked."`
}

// RotateWebhookSecret replaces a webhook's secret.
var RotateWebhookSecret = declare(Endpoint[RotateWebhookSecretRequest, Webhook]{
	Subject: "weft.v1.notification.rotate_webhook_secret", Route: "POST /v1/webhooks/{webhook_id}/secret", Access: User, Secret: []string{"secret"},
	Summary: "Rotate a webhook's secret",
	Doc: "Creates a new secret, which is in this answer only. Deliveries are signed with both secrets for a day, unless at_once is set; a third " +
		"secret ends the first one.",
})

// TestWebhookRequest names a webhook and an event type.
type TestWebhookRequest struct {
	WebhookID string `json:"webhook_id" in:"path" format:"uuid"`
	Type      string `json:"type,omitempty" maxLength:"64" doc:"An event type; default the first that the webhook takes."`
}

// WebhookAttempt is one attempt of a delivery.
type WebhookAttempt struct {
	Number     int       `json:"number"`
	StartedAt  time.Time `json:"started_at"`
	DurationMS float64   `json:"duration_ms"`
	Status     int       `json:"status,omitempty" doc:"The HTTP status; absent if there was no answer."`
	Error      string    `json:"error,omitempty" doc:"Why it failed; absent for a success."`
	Answer     string    `json:"answer,omitempty" doc:"The first bytes of the answer."`
}

// WebhookTest is a test delivery.
type WebhookTest struct {
	EventID   string          `json:"event_id" doc:"The webhook-id."`
	Type      string          `json:"type"`
	Succeeded bool            `json:"succeeded"`
	Payload   json.RawMessage `json:"payload"`
	Attempt   WebhookAttempt  `json:"attempt"`
}

// TestWebhook sends an example event now.
var TestWebhook = declare(Endpoint[TestWebhookRequest, WebhookTest]{
	Subject: "weft.v1.notification.test_webhook", Route: "POST /v1/webhooks/{webhook_id}/test", Access: User, Timeout: 30 * time.Second,
	Concurrency: 16, Limits: []Limit{PerUser(30, time.Minute)},
	Summary: "Test a webhook",
	Doc: "Sends an event type's example, with test: true, and answers with the attempt. It is signed as any other, is not repeated, is not in " +
		"list_deliveries, and counts towards per_minute. It works for a webhook that is not enabled, too.",
})

// WebhookDeliveryRecord is a delivery of one event to one webhook.
type WebhookDeliveryRecord struct {
	ID            string           `json:"id"`
	EventID       string           `json:"event_id" doc:"The webhook-id, the same in every attempt and for every webhook."`
	Type          string           `json:"type"`
	Status        string           `json:"status" enum:"pending,succeeded,failed,kept" doc:"pending: an attempt will be made at next_attempt_at. kept: an attempt will be made once the webhook is enabled again."`
	Attempts      []WebhookAttempt `json:"attempts"`
	AttemptCount  int              `json:"attempt_count" doc:"All attempts, over all replays; attempts has at most the last 50."`
	NextAttemptAt *time.Time       `json:"next_attempt_at,omitempty"`
	CreatedAt     time.Time        `json:"created_at"`
	FinishedAt    *time.Time       `json:"finished_at,omitempty"`
}

// ListDeliveriesRequest names a webhook and filters its deliveries.
type ListDeliveriesRequest struct {
	WebhookRequest
	PageRequest
	Status string     `json:"status,omitempty" in:"query" enum:"pending,succeeded,failed,kept"`
	Type   string     `json:"type,omitempty" in:"query" maxLength:"64"`
	Since  *time.Time `json:"since,omitempty" in:"query" doc:"Created at this time or later."`
	Until  *time.Time `json:"until,omitempty" in:"query" doc:"Created before this time."`
}

// ListDeliveries lists a webhook's deliveries.
var ListDeliveries = declare(Endpoint[ListDeliveriesRequest, Page[WebhookDeliveryRecord]]{
	Subject: "weft.v1.notification.list_deliveries", Route: "GET /v1/webhooks/{webhook_id}/deliveries", Access: User,
	Summary: "A webhook's deliveries",
	Doc:     "Lists a webhook's deliveries, newest first, each with every attempt.",
})

// ReplayDeliveriesRequest names a webhook and selects deliveries, by id or by a filter.
type ReplayDeliveriesRequest struct {
	WebhookID string     `json:"webhook_id" in:"path" format:"uuid"`
	IDs       []string   `json:"ids,omitempty" maxItems:"100" maxLength:"64" uniqueItems:"true" doc:"Ids of deliveries; in place of the filter."`
	Status    string     `json:"status,omitempty" enum:"succeeded,failed" doc:"Default failed."`
	Type      string     `json:"type,omitempty" maxLength:"64"`
	Since     *time.Time `json:"since,omitempty" doc:"Created at this time or later; required for a filter."`
	Until     *time.Time `json:"until,omitempty" doc:"Created before this time."`
}

// ReplayCount is how many deliveries are made again.
type ReplayCount struct {
	Count int `json:"count"`
}

// ReplayDeliveries makes deliveries again.
var ReplayDeliveries = declare(Endpoint[ReplayDeliveriesRequest, ReplayCount]{
	Subject: "weft.v1.notification.replay_deliveries", Route: "POST /v1/webhooks/{webhook_id}/replay", Status: 202, Access: User,
	Limits:  []Limit{PerUser(10, time.Minute)},
	Summary: "Replay a webhook's deliveries",
	Doc: "Makes deliveries due again, with the same webhook-id and payload and a new signature, and a fresh schedule of attempts. One that has " +
		"not ended is left as it is. A filter replays at most 1,000 deliveries, oldest first; call again while the count is that.",
})

// EventType is an event that webhooks can receive.
type EventType struct {
	Name        string          `json:"name"`
	Doc         string          `json:"doc"`
	OrderingKey string          `json:"ordering_key,omitempty" doc:"The field of the data that orders the deliveries of an ordered webhook."`
	Version     int             `json:"version"`
	Schema      json.RawMessage `json:"schema" doc:"JSON Schema (2020-12) of the payload's data. Later releases may add fields."`
	Example     json.RawMessage `json:"example" doc:"A whole payload."`
}

// ListEventTypes lists the events that webhooks can receive.
var ListEventTypes = declare(Endpoint[Empty, Page[EventType]]{
	Subject: "weft.v1.notification.list_event_types", Route: "GET /v1/webhooks/event-types", Access: User,
	Summary: "The event types", Doc: "Lists the event types that webhooks can receive, with schemas and examples.",
})
