package subjects

import (
	"encoding/json"
	"time"
)

// PublishEventRequest carries one CloudEvent: over HTTP as the body and its headers, over NATS as an object.
type PublishEventRequest struct {
	Body    []byte            `json:"body,omitempty" doc:"The body of an HTTP request, base64: the event (application/cloudevents+json) or its data."`
	Headers map[string]string `json:"headers,omitempty" doc:"The headers of an HTTP request: Content-Type, and the attributes as ce-…"`
	Event   json.RawMessage   `json:"event,omitempty" doc:"The event as a JSON object, in the place of body and headers: for callers over NATS."`
}

// PublishedEvent tells what an event has done.
type PublishedEvent struct {
	ID      string   `json:"id"`
	Source  string   `json:"source"`
	Started []string `json:"started" doc:"The executions that the event has started, now or when it was published before."`
	// Delivered counts executions, not listeners.
	Delivered int `json:"delivered" doc:"How many executions that listen took the event now."`
}

// PublishEvent tells the caller's workflows of an event.
var PublishEvent = declare(Endpoint[PublishEventRequest, PublishedEvent]{
	Subject: "weft.v1.workflow.publish_event", Route: "POST /v1/events", Status: 202,
	Access: Scope(ScopeWorkflowsExecute), Body: Body{Kind: BodyRaw, Field: "body"}, Concurrency: 256,
	Summary: "Publish an event",
	Doc: "Takes a CloudEvent 1.0, structured (application/cloudevents+json) or binary (ce-… headers), starts those of the caller's " +
		"workflows whose schedule is on it, and hands it to the executions that listen for it. By `nats req` it is the field `event`. " +
		"Source and id make it one event: " +
		"published again, it starts nothing again, so that a call whose answer was lost is simply made again. The events of a " +
		"user reach the workflows of that user and of nobody else.",
})

// TriggerByWebhook has the workflow actor hand what providers deliver to workflows.
var TriggerByWebhook = subscribe(Subscription[WebhookDelivery]{
	Event: WebhookReceived, Owner: "workflow", MaxDeliver: 20,
	Backoff: []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute},
})
