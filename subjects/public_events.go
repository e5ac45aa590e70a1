package subjects

import (
	"encoding/json"
	"reflect"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// PublicEventVersion is the version of the payloads of public events. A change that a receiver could notice as other than a further field
// gets a new version.
const PublicEventVersion = 1

// PublicEvent declares an event that users' webhooks can receive. Its name is a contract with users: internal events are mapped to public
// ones, so that an actor may change its own without changing what users receive.
type PublicEvent[T any] struct {
	// Type is the name, such as workflow.execution.completed: dot-separated, from the general to the special (Standard Webhooks, "Event types").
	Type string
	Doc  string
	// OrderingKey is the field of the data whose value orders the deliveries of an ordered webhook. Events with the same value are
	// delivered one after the other.
	OrderingKey string
	// Example is the data that a test delivery has.
	Example T
	desc    *PublicEventDescriptor
}

// PublicPayload is the body of a delivery to a webhook (Standard Webhooks, "Payload structure").
type PublicPayload[T any] struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	// Version is PublicEventVersion at the time of the event.
	Version int `json:"version"`
	// Test is set in test deliveries only.
	Test bool `json:"test,omitempty"`
	Data T    `json:"data"`
}

// PublicEventDescriptor is a public event without its type parameter.
type PublicEventDescriptor struct {
	Type, Doc, OrderingKey string
	Schema                 *huma.Schema
	// Example is the encoded example of the data.
	Example json.RawMessage
}

var publicEvents []*PublicEventDescriptor

// PublicEvents returns every declared public event.
func PublicEvents() []*PublicEventDescriptor { return publicEvents }

// Describe returns the event without its type parameter.
func (e PublicEvent[T]) Describe() *PublicEventDescriptor { return e.desc }

// SchemaDocument returns the JSON Schema (2020-12) of the event's data. It admits further fields, which later releases may add.
func (d *PublicEventDescriptor) SchemaDocument() (json.RawMessage, error) {
	text, err := schemaDocument(d.Schema)
	if err != nil {
		return nil, err
	}
	var schema any
	if err := json.Unmarshal(text, &schema); err != nil {
		return nil, err
	}
	openSchema(schema)
	return json.Marshal(schema)
}

// openSchema removes additionalProperties from every object schema in v.
func openSchema(v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["additionalProperties"] == false {
			delete(v, "additionalProperties")
		}
		for _, part := range v {
			openSchema(part)
		}
	case []any:
		for _, part := range v {
			openSchema(part)
		}
	}
}

var publicEventType = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)

func declarePublic[T any](e PublicEvent[T]) PublicEvent[T] {
	example, err := Encode(e.Example)
	if err != nil || !publicEventType.MatchString(e.Type) || len(e.Type) > 64 || e.Doc == "" {
		panic("subjects: the public event " + e.Type + " has a wrong name, no Doc or an example that cannot be encoded")
	}
	e.desc = &PublicEventDescriptor{
		Type: e.Type, Doc: e.Doc, OrderingKey: e.OrderingKey, Schema: schemaOf(reflect.TypeFor[T]()), Example: example,
	}
	publicEvents = append(publicEvents, e.desc)
	return e
}
