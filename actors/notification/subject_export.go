package notification

import (
	"slices"

	"github.com/weftmesh/weft/actors/dataexport"
)

// Reasons for which columns are not exported.
const (
	omittedCredential = "it is a credential" //nolint:gosec // a reason
	omittedHash       = "a keyed hash, by which weft finds or counts the value"
	omittedInternal   = "weft's own bookkeeping; it says nothing about the person"
	omittedNobody     = "has no data of users"
)

// ExportSet is what the actor exports of a user. Account mail is not in it: it is stored under one-time ids and has credentials, and auth lists
// it.
func ExportSet() dataexport.Set {
	return dataexport.Set{Sealed: Sealed, Omitted: map[string]string{
		"webhook_groups": omittedNobody, "webhook_leases": omittedNobody, "channel_keys": omittedNobody, "template_revisions": omittedNobody,
		"templates": omittedNobody, "provider_reports": omittedNobody,
	}, Sources: slices.Concat(exportMessages(), exportAddresses(), exportWebhooks())}
}

func exportMessages() []dataexport.Source {
	return []dataexport.Source{
		{
			Name: "notifications", Doc: "Notifications, with their content.", Key: []string{"id"},
			Columns: "id user_id category content:openjson in_app:bool dedupe_key batching:json is_batch:bool grant_scope grant_consent " +
				"created_at:time send_at:time started:bool cancelled:bool read_at:time",
			Omitted: map[string]string{"bytes": omittedInternal},
		},
		{
			Name: "deliveries", Doc: "What was sent of a notification over each channel.", Key: []string{"notification_id", "channel"},
			Columns: "notification_id channel user_id category status reason attempts error provider provider_message_id accepted_at:time next_attempt_at:time " +
				"batch_id updated_at:time template template_version locale opened_at:time clicked_at:time devices",
			Omitted: map[string]string{"slot_at": omittedInternal},
		},
		{
			Name: "batches", Doc: "Notifications that are being collected.", Derived: true, Key: []string{"id"},
			Columns: "id user_id category channel batch_key digest:bool collecting:bool items bytes opened_at:time due_at:time",
		},
		{
			Name: "notification_settings", Doc: "Which notifications the person wants.", Key: []string{"user_id"},
			Columns: "user_id settings:json updated_at:time", Omitted: map[string]string{"version": omittedInternal},
		},
		{
			Name: "notification_counts", Doc: "How many messages were sent, delivered and opened on a day.", Derived: true,
			Key:     []string{"day", "channel", "category", "template"},
			Columns: "user_id day:day channel category template sent delivered failed suppressed opened clicked",
		},
	}
}

func exportAddresses() []dataexport.Source {
	return []dataexport.Source{
		{
			Name: "devices", Doc: "Devices that receive push messages.", Key: []string{"id"},
			Columns: "id user_id platform name created_at:time registered_at:time",
			Omitted: map[string]string{"token_hash": omittedHash, "address": omittedCredential},
		},
		{
			Name: "phones", Doc: "Phone numbers.", Key: []string{"state"},
			Columns: "user_id state number:open expires_at:time attempts verified_at:time suppressed_at:time",
			Omitted: map[string]string{"number_mac": omittedHash, "code_mac": omittedCredential},
		},
		{
			Name: "phone_codes", Doc: "When a code was sent to a phone number in the last day.", Derived: true, Key: []string{"id"},
			Columns: "id user_id sent_at:time", Omitted: map[string]string{"number_mac": omittedHash, "range_mac": omittedHash},
		},
		{
			Name: "mail_suppressions", Doc: "E-mail addresses to which no more mail is sent.", Key: []string{"id"},
			Columns: "id address:open user_id reason provider detail since:time", Omitted: map[string]string{"address_hash": omittedHash},
		},
	}
}

func exportWebhooks() []dataexport.Source {
	return []dataexport.Source{
		{
			Name: "webhooks", Doc: "Webhooks, without their secrets and the values of their headers.", Key: []string{"id"},
			Columns: "id user_id url description events:list condition payload_version signature old_until:time header_names:list status disabled_at:time " +
				"disabled_reason ordered:bool per_minute schedule created_at:time updated_at:time",
			Omitted: map[string]string{
				"group_id": omittedInternal, "secret": omittedCredential, "old_secret": omittedCredential, "headers": omittedCredential,
				"revision": omittedInternal,
			},
		},
		{
			Name: "webhook_health", Doc: "How the deliveries of a webhook fare.", Derived: true, Key: []string{"webhook_id"},
			Columns: "webhook_id user_id failing_since:time warnings warned_at:time last_success_at:time last_error condition_errors last_condition_error dropped",
		},
		{
			Name: "webhook_usage", Doc: "How much was delivered on a day.", Derived: true, Key: []string{"day"},
			Columns: "user_id day:day deliveries bytes",
		},
		{
			Name: "webhook_events", Doc: "Events that webhooks receive.", Key: []string{"id"},
			Columns: "user_id id type at:time created_at:time payload:openjson",
		},
		{
			Name: "webhook_deliveries", Doc: "Deliveries of events to webhooks.", Key: []string{"endpoint_id", "id"},
			Columns: "endpoint_id id event_id user_id type ordering status attempts next_attempt_at:time created_at:time finished_at:time",
			Omitted: map[string]string{"base": omittedInternal},
		},
		{
			Name: "webhook_attempts", Doc: "Attempts of deliveries, with the receivers' answers.", Key: []string{"delivery_id", "id"},
			Of:      "delivery_id IN (SELECT id FROM webhook_deliveries WHERE user_id = ?)",
			Columns: "delivery_id id number started_at:time duration status error answer:open",
		},
	}
}
