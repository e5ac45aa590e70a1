package gateway

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weftmesh/weft/subjects"
)

// webhooks returns the section of the document that describes the requests which weft makes to users' webhooks, one for each public event.
func webhooks() map[string]any {
	all := map[string]any{}
	for _, e := range subjects.PublicEvents() {
		all[e.Type] = map[string]any{"post": webhook(e)}
	}
	return all
}

// webhook returns the request that delivers an event.
func webhook(e *subjects.PublicEventDescriptor) map[string]any {
	payload := &huma.Schema{
		Type: huma.TypeObject, Required: []string{"type", "timestamp", "version", "data"},
		Properties: map[string]*huma.Schema{
			"type":      {Type: huma.TypeString, Enum: []any{e.Type}},
			"timestamp": {Type: huma.TypeString, Format: "date-time", Description: "When the event happened."},
			"version": {
				Type: huma.TypeInteger, Enum: []any{subjects.PublicEventVersion},
				Description: "The version of the payload. A change that is more than a further field gets a new version.",
			},
			"test": {Type: huma.TypeBoolean, Description: "true in test deliveries only."},
			"data": inline(e.Schema),
		},
	}
	return map[string]any{
		"operationId": "webhook_" + strings.ReplaceAll(e.Type, ".", "_"),
		"summary":     e.Type,
		"description": e.Doc + " Receivers verify `webhook-signature` before they use the body (Standard Webhooks).",
		"tags":        []string{"notification"},
		"security":    []any{},
		"parameters":  webhookHeaders(),
		"requestBody": map[string]any{"required": true, "content": map[string]any{"application/json": map[string]any{
			"schema": payload,
			"example": map[string]any{
				"type": e.Type, "timestamp": exampleTexts["date-time"], "version": subjects.PublicEventVersion, "data": e.Example,
			},
		}}},
		"responses": map[string]any{
			"2XX": map[string]any{"description": "The event is received."},
			"410": map[string]any{"description": "The receiver is gone: weft disables the webhook."},
			"4XX": map[string]any{"description": "The event is not received; the delivery is tried again."},
		},
	}
}

// inline returns a schema without references, which admits further fields. Generators of clients drop schemas to which webhooks alone refer.
func inline(s *huma.Schema) *huma.Schema {
	s = cloneSchema(resolve(s))
	if s.AdditionalProperties == false {
		s.AdditionalProperties = nil
	}
	if s.Items != nil {
		s.Items = inline(s.Items)
	}
	if values, ok := s.AdditionalProperties.(*huma.Schema); ok {
		s.AdditionalProperties = inline(values)
	}
	for name, property := range s.Properties {
		s.Properties[name] = inline(property)
	}
	return s
}

// webhookHeaders returns the headers of a delivery (Standard Webhooks, "Webhook headers").
func webhookHeaders() []any {
	header := func(name, doc string) map[string]any {
		return map[string]any{"name": name, "in": "header", "required": true, "description": doc, "schema": map[string]any{"type": "string"}}
	}
	return []any{
		header("webhook-id", "Identifies the event: the same in every attempt. Receivers recognise repetitions by it."),
		header("webhook-timestamp", "The time of the attempt, in seconds since the Unix epoch."),
		header("webhook-signature", "Signatures of `webhook-id.webhook-timestamp.body`, separated by spaces, one of which must be valid: v1 "+
			"(HMAC-SHA256) or v1a (Ed25519), each followed by a comma and Base64."),
	}
}
