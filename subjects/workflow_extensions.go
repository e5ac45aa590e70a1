package subjects

import (
	"encoding/json"
	"time"
)

// ExtensionKey is a public key, as a JSON Web Key (RFC 8037 §2).
type ExtensionKey struct {
	KeyType   string `json:"kty" enum:"OKP"`
	Curve     string `json:"crv" enum:"Ed25519"`
	X         string `json:"x"`
	KeyID     string `json:"kid" doc:"The key's thumbprint (RFC 7638)."`
	Use       string `json:"use" enum:"sig"`
	Algorithm string `json:"alg" enum:"EdDSA"`
}

// ExtensionKeys is a set of public keys (RFC 7517 §5).
type ExtensionKeys struct {
	Keys []ExtensionKey `json:"keys"`
}

// GetExtensionKeys returns the keys that verify the signatures of calls.
var GetExtensionKeys = declare(Endpoint[Empty, ExtensionKeys]{
	Subject: "weft.v1.workflow.get_extension_keys", Route: "GET /v1/extensions/keys", Access: Public.Or(EnrolledUsers(KindExtension)),
	Summary: "Keys of calls of extensions",
	Doc: "Returns, as a JSON Web Key Set, the public keys that verify the header Weft-Call-Signature of calls of extensions' functions. " +
		"They verify no access token.",
})

// ExtensionFunction is a version of a function of an extension.
type ExtensionFunction struct {
	Name      string `json:"name" doc:"The name to use in call: <name>."`
	Version   string `json:"version" doc:"Digest of the schemas, the safety and the scope."`
	Summary   string `json:"summary,omitempty"`
	Safety    string `json:"safety" enum:"read,idempotent,write_once"`
	Scope     string `json:"scope" doc:"What the user must consent to."`
	Timeout   string `json:"timeout" doc:"How long an attempt may take, such as 30s; each heartbeat extends it."`
	Heartbeat string `json:"heartbeat,omitempty" doc:"The longest time between two messages of an attempt, such as 5s."`
	Copies    int    `json:"copies" minimum:"0" doc:"How many copies served this version when the extension was seen last."`
	Fault     string `json:"fault,omitempty" doc:"What is wrong with the declaration; such a function cannot be called."`
}

// ExtensionState is the state of an extension.
type ExtensionState struct {
	Name       string              `json:"name"`
	State      string              `json:"state" enum:"up,down" doc:"up: a copy answers."`
	EnrolledAt time.Time           `json:"enrolled_at"`
	LastSeenAt *time.Time          `json:"last_seen_at,omitempty" doc:"When a copy answered last; absent: none ever has."`
	Copies     int                 `json:"copies" minimum:"0" doc:"How many copies answer now."`
	Versions   []string            `json:"versions" doc:"The versions of the copies, the newest first."`
	Functions  []ExtensionFunction `json:"functions" doc:"The functions of the copies that answered last."`
	Fault      string              `json:"fault,omitempty" doc:"What is wrong with the extension as a whole."`
}

// ListExtensions lists the enrolled extensions.
var ListExtensions = declare(Endpoint[PageRequest, Page[ExtensionState]]{
	Subject: "weft.v1.workflow.list_extensions", Route: "GET /v1/admin/extensions", Access: Role(RoleAdmin),
	Summary: "Extensions",
	Doc: "Lists the enrolled extensions by name, with their functions and what is wrong with these. A page has fewer items than its limit if " +
		"more would not fit into a message.",
})

// PublishExtensionEventRequest is an event of an extension's.
type PublishExtensionEventRequest struct {
	ID    string `json:"id" minLength:"1" maxLength:"200" doc:"Identifies the event: one with the id of an earlier one starts nothing again."`
	Event string `json:"event" minLength:"1" maxLength:"100" pattern:"^[a-z][a-z0-9_]*([.][a-z0-9_]+)*$" doc:"The last part of the type, which is ext.<extension>.<event>."`
	// UserID restricts who receives the event.
	UserID string          `json:"user_id,omitempty" format:"uuid" doc:"Only this user's workflows receive the event; without it, those of every user who listens for the type."`
	Time   *time.Time      `json:"time,omitempty" doc:"When it happened; default: now."`
	Data   json.RawMessage `json:"data,omitempty" doc:"Any JSON."`
}

// PublishedExtensionEvent is the acknowledgement of an event of an extension's.
type PublishedExtensionEvent struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// PublishExtensionEvent takes an event of an extension's.
var PublishExtensionEvent = declare(Endpoint[PublishExtensionEventRequest, PublishedExtensionEvent]{
	Subject: "weft.v1.workflow.publish_extension_event", Access: EnrolledUsers(KindExtension), Concurrency: 256,
	Summary: "Publish an event of an extension",
	Doc: "Takes an event of the type ext.<extension>.<event>, which starts the workflows that are scheduled on it and is delivered to executions " +
		"that listen for it. It answers when the event is stored.",
})

// ExtensionEvent is the data of ExtensionEventPublished.
type ExtensionEvent struct {
	Extension string          `json:"extension"`
	ID        string          `json:"id" doc:"The event's id as the extension gave it."`
	Event     string          `json:"event"`
	Time      time.Time       `json:"time"`
	Data      json.RawMessage `json:"data,omitempty"`
}

// ExtensionEventPublished is published for each event of an extension's, and once more for each user who receives one that names none.
var ExtensionEventPublished = declareEvent(Event[ExtensionEvent]{
	Subject: "weft.event.v1.workflow.extension_event",
	Doc:     "An extension has published an event. Without a user, it is for all who listen for its type.",
})

// TakeExtensionEvent subscribes the workflow actor to the events of extensions.
var TakeExtensionEvent = subscribe(Subscription[ExtensionEvent]{
	Event: ExtensionEventPublished, Owner: "workflow", MaxDeliver: 20,
	Backoff: []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute},
})
