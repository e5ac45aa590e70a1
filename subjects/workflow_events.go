package subjects

import (
	"encoding/json"
	"time"
)

// PublishEventRequest carries one CloudEvent: over HTTP in Body and Headers, over NATS in Event.
type PublishEventRequest struct {
	Body    []byte            `json:"body,omitempty" doc:"Body of the HTTP request, base64: the event (application/cloudevents+json) or its data."`
	Headers map[string]string `json:"headers,omitempty" doc:"Headers of the HTTP request: Content-Type, and the attributes as ce-…."`
	Event   json.RawMessage   `json:"event,omitempty" doc:"The event as a JSON object, in place of body and headers, for callers over NATS."`
}

// PublishedEvent is the effect of a published event.
type PublishedEvent struct {
	ID      string   `json:"id"`
	Source  string   `json:"source"`
	Started []string `json:"started" doc:"Executions that the event started, now or when it was first published."`
	// Delivered counts executions, not their listeners.
	Delivered int `json:"delivered" doc:"Number of listening executions that consumed the event now."`
}

// PublishEvent delivers an event to the caller's workflows.
var PublishEvent = declare(Endpoint[PublishEventRequest, PublishedEvent]{
	Subject: "weft.v1.workflow.publish_event", Route: "POST /v1/events", Status: 202,
	Access: Scope(ScopeWorkflowsExecute), Body: Body{Kind: BodyRaw, Field: "body", Headers: []string{"Content-Type", "Ce-"}}, Concurrency: 256,
	Summary: "Publish an event",
	Doc: "Takes a CloudEvent 1.0, structured (application/cloudevents+json) or binary (ce-… headers), starts those of the caller's " +
		"workflows that are scheduled on it, and delivers it to executions that listen for it. Over NATS it is the field `event`. " +
		"Source and id identify the event: publishing it again starts nothing again, so a call whose answer was lost can be " +
		"repeated. A user's events reach only that user's workflows.",
})

// TriggerByWebhook subscribes the workflow actor to webhook deliveries.
var TriggerByWebhook = subscribe(Subscription[WebhookDelivery]{
	Event: WebhookReceived, Owner: "workflow", MaxDeliver: 20,
	Backoff: []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute},
})
