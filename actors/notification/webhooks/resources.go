package webhooks

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/notification/dispatch"
	"github.com/weftmesh/weft/subjects"
)

// exampleAt is the time of the examples of payloads.
var exampleAt = time.Date(2026, 11, 30, 9, 15, 0, 0, time.UTC)

// examplePayload returns the body of an example of an event.
func examplePayload(d *subjects.PublicEventDescriptor, at time.Time) ([]byte, error) {
	return encodePayload(d.Type, at, d.Example, false)
}

// joinSorted returns the names of headers in order, separated by spaces.
func joinSorted(headers map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(headers)), " ")
}

// hostOf returns the host of an address.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// fieldsOf splits a list; it is never nil.
func fieldsOf(list string) []string { return append([]string{}, strings.Fields(list)...) }

// webhookKeys are the public keys of a webhook that signs with v1a, and the secret if it has just been created.
type webhookKeys struct {
	created, public, oldPublic string
}

// keys returns the public keys of a webhook.
func (w *Service) keys(row webhookRow) (webhookKeys, error) {
	if row.Signature != subjects.SignatureV1a {
		return webhookKeys{}, nil
	}
	secret, old, _, err := w.secrets.open(row, w.Now())
	if err != nil {
		return webhookKeys{}, err
	}
	var k webhookKeys
	if k.public, err = dispatch.PublicKey(secret); err == nil && old != "" {
		k.oldPublic, err = dispatch.PublicKey(old)
	}
	return k, err
}

// resource returns a webhook as its owner sees it.
func (w *Service) resource(row webhookRow, health webhookHealthRow, keys webhookKeys) subjects.Webhook {
	r := subjects.Webhook{
		ID: row.ID, URL: row.URL, Description: row.Description, Events: fieldsOf(row.Events), Condition: row.Condition,
		PayloadVersion: row.PayloadVersion, Signature: row.Signature, Secret: keys.created, PublicKey: keys.public, OldPublicKey: keys.oldPublic,
		Enabled: row.Status == subjects.WebhookEnabled, Status: row.Status, DisabledAt: actors.OptionalTime(row.DisabledAt),
		DisabledReason: row.DisabledReason, Ordered: row.Ordered, PerMinute: row.PerMinute, Schedule: row.Schedule,
		HeaderNames: fieldsOf(row.HeaderNames), FailingSince: actors.OptionalTime(health.FailingSince), LastSuccessAt: actors.OptionalTime(health.LastSuccessAt),
		LastError: health.LastError, ConditionErrors: health.ConditionErrors, LastConditionError: health.LastConditionError, Dropped: health.Dropped,
		CreatedAt: time.UnixMicro(row.CreatedAt).UTC(), UpdatedAt: time.UnixMicro(row.UpdatedAt).UTC(),
	}
	if row.OldSecret != nil && row.oldUntil().After(w.Now()) {
		r.OldSecretUntil = actors.OptionalTime(row.OldUntil)
	}
	return r
}

// attemptResource returns an attempt as the owner of the webhook sees it.
func attemptResource(a dispatch.Attempt) subjects.WebhookAttempt {
	return subjects.WebhookAttempt{
		Number: a.Number, StartedAt: a.StartedAt.UTC(), DurationMS: float64(a.Duration.Microseconds()) / 1000, Status: a.Status, Error: a.Error,
		Answer: a.Answer,
	}
}

// deliveryResource returns a delivery as the owner of the webhook sees it.
func deliveryResource(d dispatch.Delivery) subjects.WebhookDeliveryRecord {
	r := subjects.WebhookDeliveryRecord{
		ID: d.ID, EventID: d.EventID, Type: d.Type, Status: d.Status, Attempts: make([]subjects.WebhookAttempt, len(d.Log)),
		AttemptCount: d.Attempts, NextAttemptAt: timeOrNil(d.NextAttemptAt), CreatedAt: d.CreatedAt.UTC(), FinishedAt: timeOrNil(d.FinishedAt),
	}
	for i, attempt := range d.Log {
		r.Attempts[i] = attemptResource(attempt)
	}
	return r
}

// timeOrNil returns nil for the zero time.
func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// eventTypeResource describes an event type.
func eventTypeResource(d *subjects.PublicEventDescriptor) (subjects.EventType, error) {
	schema, err := d.SchemaDocument()
	if err != nil {
		return subjects.EventType{}, err
	}
	example, err := examplePayload(d, exampleAt)
	return subjects.EventType{
		Name: d.Type, Doc: d.Doc, OrderingKey: d.OrderingKey, Version: subjects.PublicEventVersion, Schema: schema, Example: json.RawMessage(example),
	}, err
}
