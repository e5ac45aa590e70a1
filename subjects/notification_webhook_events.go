package subjects

import (
	"encoding/json"
	"time"
)

// exampleTime is the time in the examples of public events.
var exampleTime = time.Date(2026, 11, 30, 9, 15, 0, 0, time.UTC)

// Ids in the examples of public events.
const (
	exampleID    = "01936f1c-8a57-7c33-9d52-3f1f0c1d2e01"
	exampleOther = "01936f1c-8a57-7c33-9d52-3f1f0c1d2e02"
)

// PublicExecution is the data of the events of executions.
type PublicExecution struct {
	ExecutionID string    `json:"execution_id"`
	WorkflowID  string    `json:"workflow_id"`
	Version     int       `json:"version"`
	Name        string    `json:"name"`
	Status      string    `json:"status" enum:"completed,faulted,cancelled"`
	Origin      string    `json:"origin,omitempty" doc:"What started it, if it was not a request."`
	EndedAt     time.Time `json:"ended_at"`
}

func exampleExecution(status string) PublicExecution {
	return PublicExecution{ExecutionID: exampleID, WorkflowID: exampleOther, Version: 3, Name: "orders", Status: status, EndedAt: exampleTime}
}

// Public events of workflows.
var (
	PublicExecutionCompleted = declarePublic(PublicEvent[PublicExecution]{
		Type: "workflow.execution.completed", Doc: "An execution has completed. get_execution returns its output.",
		OrderingKey: "execution_id", Example: exampleExecution("completed"),
	})
	PublicExecutionFaulted = declarePublic(PublicEvent[PublicExecution]{
		Type: "workflow.execution.faulted", Doc: "An execution has ended with an error. get_execution returns it.",
		OrderingKey: "execution_id", Example: exampleExecution("faulted"),
	})
	PublicExecutionCancelled = declarePublic(PublicEvent[PublicExecution]{
		Type: "workflow.execution.cancelled", Doc: "An execution was cancelled.",
		OrderingKey: "execution_id", Example: exampleExecution("cancelled"),
	})
	PublicRunRefused = declarePublic(PublicEvent[PublicRefusal]{
		Type: "workflow.run.refused", OrderingKey: "workflow_id",
		Doc:     "A schedule or an event could not start a workflow; sent once until it can start it again.",
		Example: PublicRefusal{WorkflowID: exampleOther, Name: "orders", Trigger: "schedule", Code: CodeConsentRequired, Reason: "consent required"},
	})
)

// PublicRefusal is the data of workflow.run.refused.
type PublicRefusal struct {
	WorkflowID string `json:"workflow_id"`
	Name       string `json:"name"`
	Trigger    string `json:"trigger" enum:"schedule,event"`
	Code       Code   `json:"code"`
	Reason     string `json:"reason"`
}

// PublicConnection is the data of the events of connections.
type PublicConnection struct {
	IntegrationID string `json:"integration_id"`
	Provider      string `json:"provider"`
	Label         string `json:"label"`
	Reason        string `json:"reason,omitempty"`
}

// Public events of connections.
var (
	PublicConnected = declarePublic(PublicEvent[PublicConnection]{
		Type: "integration.connected", Doc: "An account was connected.", OrderingKey: "integration_id",
		Example: PublicConnection{IntegrationID: exampleID, Provider: "github", Label: "default"},
	})
	PublicDisconnected = declarePublic(PublicEvent[PublicConnection]{
		Type: "integration.disconnected", Doc: "An account was disconnected.", OrderingKey: "integration_id",
		Example: PublicConnection{IntegrationID: exampleID, Provider: "github", Label: "default"},
	})
	PublicNeedsReauth = declarePublic(PublicEvent[PublicConnection]{
		Type: "integration.needs_reauth", Doc: "A provider no longer accepts a connection's credentials.", OrderingKey: "integration_id",
		Example: PublicConnection{IntegrationID: exampleID, Provider: "github", Label: "default", Reason: "the token was revoked"},
	})
)

// PublicConsent is the data of the events of consents.
type PublicConsent struct {
	ConsentID      string    `json:"consent_id"`
	Scope          string    `json:"scope"`
	PurposeID      string    `json:"purpose_id,omitempty"`
	PurposeVersion int64     `json:"purpose_version,omitempty"`
	ChangedAt      time.Time `json:"changed_at"`
}

// exampleConsent is the data in the examples of the public events of consents.
var exampleConsent = PublicConsent{
	ConsentID: exampleID, Scope: ScopeWorkflowsExecute, PurposeID: "workflows-execute", PurposeVersion: 1, ChangedAt: exampleTime,
}

// Public events of consents. Recipients of the data learn of withdrawals from them (GDPR Art. 19).
var (
	PublicConsentGranted = declarePublic(PublicEvent[PublicConsent]{
		Type: "consent.granted", Doc: "The user has consented to a scope.", OrderingKey: "consent_id",
		Example: exampleConsent,
	})
	PublicConsentRevoked = declarePublic(PublicEvent[PublicConsent]{
		Type: "consent.revoked", Doc: "The user has revoked a consent.", OrderingKey: "consent_id",
		Example: exampleConsent,
	})
	PublicConsentSuperseded = declarePublic(PublicEvent[PublicConsent]{
		Type: "consent.superseded", Doc: "A newer consent to the same scope has replaced a consent.", OrderingKey: "consent_id",
		Example: exampleConsent,
	})
	PublicConsentRefused = declarePublic(PublicEvent[PublicConsent]{
		Type: "consent.refused", Doc: "The user was asked for consent to a scope and has refused it.", OrderingKey: "consent_id", Example: exampleConsent,
	})
	PublicConsentRenewalRequired = declarePublic(PublicEvent[PublicConsent]{
		Type: "consent.renewal_required", Doc: "A material change of the purpose's notice suspends a consent until the user renews it.",
		OrderingKey: "consent_id", Example: exampleConsent,
	})
	PublicConsentSuppressed = declarePublic(PublicEvent[PublicConsent]{
		Type: "consent.suppressed", Doc: "The user's Global Privacy Control opts out of what a consent allows.", OrderingKey: "consent_id",
		Example: exampleConsent,
	})
)

// PublicPrivacyRequest is the data of privacy.request.changed.
type PublicPrivacyRequest struct {
	RequestID string    `json:"request_id"`
	Kind      string    `json:"kind" enum:"access,portability,rectification,erasure"`
	Change    string    `json:"change" enum:"received,extended,completed,rejected"`
	DueAt     time.Time `json:"due_at"`
}

// PublicPrivacyRequestChanged is the public event of privacy requests.
var PublicPrivacyRequestChanged = declarePublic(PublicEvent[PublicPrivacyRequest]{
	Type: "privacy.request.changed", OrderingKey: "request_id",
	Doc:     "A privacy request of the user was received, extended, completed or rejected.",
	Example: PublicPrivacyRequest{RequestID: exampleID, Kind: PrivacyAccess, Change: "completed", DueAt: exampleTime},
})

// PublicSessionStart is the data of auth.session.started.
type PublicSessionStart struct {
	SessionID string `json:"session_id"`
	Method    string `json:"method" enum:"password,password_totp,oauth,passkey"`
}

// PublicSessionEnd is the data of auth.session.ended.
type PublicSessionEnd struct {
	SessionID string `json:"session_id"`
	Reason    string `json:"reason"`
}

// PublicUserUpdate is the data of auth.user.updated.
type PublicUserUpdate struct {
	UserID string   `json:"user_id"`
	Fields []string `json:"fields" doc:"The fields that have changed, without their values."`
}

// Public events of accounts.
var (
	PublicSessionStarted = declarePublic(PublicEvent[PublicSessionStart]{
		Type: "auth.session.started", Doc: "The user signed in.", OrderingKey: "session_id",
		Example: PublicSessionStart{SessionID: exampleID, Method: "passkey"},
	})
	PublicSessionEnded = declarePublic(PublicEvent[PublicSessionEnd]{
		Type: "auth.session.ended", Doc: "A session was ended before its expiry.", OrderingKey: "session_id",
		Example: PublicSessionEnd{SessionID: exampleID, Reason: "logout"},
	})
	PublicUserUpdated = declarePublic(PublicEvent[PublicUserUpdate]{
		Type: "auth.user.updated", Doc: "The user's profile, address or roles changed.", OrderingKey: "user_id",
		Example: PublicUserUpdate{UserID: exampleID, Fields: []string{"name"}},
	})
)

// PublicNotification is the data of notification.created.
type PublicNotification struct {
	NotificationID string                     `json:"notification_id"`
	Category       string                     `json:"category" enum:"system,workflow,integration,consent,security,marketing"`
	Subject        string                     `json:"subject,omitempty"`
	Body           string                     `json:"body,omitempty"`
	Data           map[string]json.RawMessage `json:"data,omitempty"`
	CreatedAt      time.Time                  `json:"created_at"`
}

// PublicWebhookDisabled is the data of webhook.disabled.
type PublicWebhookDisabled struct {
	WebhookID   string    `json:"webhook_id"`
	Description string    `json:"description,omitempty"`
	Status      string    `json:"status" enum:"disabled_by_failures,gone"`
	Reason      string    `json:"reason"`
	DisabledAt  time.Time `json:"disabled_at"`
}

// Public events of the notification actor.
var (
	PublicNotificationCreated = declarePublic(PublicEvent[PublicNotification]{
		Type: "notification.created", Doc: "A notification was sent over the channel webhook.", OrderingKey: "notification_id",
		Example: PublicNotification{NotificationID: exampleID, Category: "workflow", Subject: "Order 17 is paid", CreatedAt: exampleTime},
	})
	PublicWebhookWasDisabled = declarePublic(PublicEvent[PublicWebhookDisabled]{
		Type: "webhook.disabled", Doc: "weft has disabled one of the user's webhooks. The user's other webhooks receive it.", OrderingKey: "webhook_id",
		Example: PublicWebhookDisabled{
			WebhookID: exampleID, Status: WebhookDisabledByFailures, Reason: "no delivery has succeeded for 5 days", DisabledAt: exampleTime,
		},
	})
)

// webhookBackoff is the schedule of the intake of events for webhooks. An event that cannot be stored is tried again for hours.
var webhookBackoff = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// intake subscribes the notification actor to an event that becomes a public one.
func intake[T any](e Event[T]) Subscription[T] {
	return subscribe(Subscription[T]{
		Event: e, Owner: "notification", Name: "notification_webhooks_" + e.desc.Actor + "_" + e.desc.Name, MaxDeliver: 40, Backoff: webhookBackoff,
	})
}

// The subscriptions of the notification actor for users' webhooks.
var (
	DeliverExecutionsFinished     = intake(ExecutionsFinished)
	DeliverRunRefused             = intake(RunRefused)
	DeliverIntegrationConnected   = intake(IntegrationConnected)
	DeliverIntegrationDisconnect  = intake(IntegrationDisconnected)
	DeliverIntegrationNeedsReauth = intake(IntegrationNeedsReauth)
	DeliverConsentChanged         = intake(ConsentChanged)
	DeliverPrivacyRequest         = intake(PrivacyRequestChanged)
	DeliverSessionStarted         = intake(SessionStartedEvent)
	DeliverSessionEnded           = intake(SessionEndedEvent)
	DeliverUserUpdated            = intake(UserUpdatedEvent)
)

// WebhookTrouble names a webhook that has failed for long, or that weft has disabled.
type WebhookTrouble struct {
	UserID    string `json:"user_id"`
	WebhookID string `json:"webhook_id"`
	// Warning is the number of the warning since the failures began; 0 where the webhook was disabled.
	Warning int    `json:"warning"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	// At is when the webhook was disabled; of a warning, when the failures began.
	At time.Time `json:"at"`
}

// ReportWebhook is the job that notifies the owner of a webhook of its failures.
var ReportWebhook = declareJob(Job[WebhookTrouble]{
	Subject: "weft.job.v1.notification.report_webhook", Stream: NotificationJobs, MaxDeliver: 40, Backoff: webhookBackoff,
	Doc: "Warns the owner of a webhook that fails, or announces that it was disabled, also to the owner's other webhooks; deduplicated by the " +
		"webhook, the time and the number of the warning.",
})
