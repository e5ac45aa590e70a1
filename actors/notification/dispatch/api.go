package dispatch

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/seal"
)

// Endpoint is what a delivery needs of a webhook.
type Endpoint struct {
	ID, UserID, URL string
	// Secrets sign each delivery (Standard Webhooks): the current one first, then one that is being replaced. A secret is `whsec_` and
	// Base64 (v1, HMAC-SHA256) or `whsk_` and Base64 (v1a, Ed25519).
	Secrets []string
	// Ordered means that deliveries with the same ordering key are made one after the other, in the order in which they were added; a
	// failed one holds back those behind it until it has succeeded or is final. Deliveries without a key are not ordered.
	Ordered bool
	// PerMinute bounds its attempts over all processes; 0 for no bound.
	PerMinute int
	// Schedule is the delay before each attempt after the first. There are at most len(Schedule)+1 attempts.
	Schedule []time.Duration
	// Enabled is false while deliveries are kept and not attempted.
	Enabled bool
	// Headers are sent with each attempt. Those of the connection, Content-Type and webhook-* are ignored.
	Headers map[string]string
}

// Event is one event that is delivered to endpoints.
type Event struct {
	// ID is the webhook-id: 1 to 128 visible ASCII characters without a full stop (Standard Webhooks, "Signature scheme"). The same event
	// is delivered to an endpoint once. It is unique among a user's events.
	ID, UserID, Type string
	// Ordering is the ordering key, of at most 200 characters; empty for none.
	Ordering string
	At       time.Time
	// Payload is the body that is signed and sent, byte by byte the same in every attempt.
	Payload json.RawMessage
}

// Attempt is one logged attempt.
type Attempt struct {
	// Number counts the attempts of a delivery from 1, over its replays. Two attempts have the same number where two processes made
	// them, because the first one was paused or lost its connection to the database before it had recorded its own.
	Number    int
	StartedAt time.Time
	Duration  time.Duration
	// Status is the HTTP status; 0 where no answer was received.
	Status int
	// Error says why it failed; empty for a success.
	Error string
	// Answer has the first bytes of the answer's body, at most 1 KiB of valid UTF-8.
	Answer string
}

// Outcome is what an attempt means for its endpoint. Outcomes are given to Options.Record in the transaction that stores the attempts.
type Outcome struct {
	EndpointID, UserID, DeliveryID, EventID, Type string
	Attempt
	// Succeeded is a 2xx answer. Final means that no further attempt will be made. Gone is a 410: the endpoint is to be disabled.
	Succeeded, Final, Gone bool
}

// Options are what a Dispatcher needs.
type Options struct {
	DB      *database.DB
	Sealer  *seal.Sealer
	Log     *zap.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
	// NewID returns a new UUIDv7: deliveries of one transaction are ordered by it.
	NewID func() string
	// Allow and AllowHTTP are the guard's exceptions (WEFT_EGRESS_ALLOW, WEFT_EGRESS_ALLOW_HTTP).
	Allow     []netip.Prefix
	AllowHTTP bool
	// Resolver resolves the names of endpoints; nil means the system's.
	Resolver *net.Resolver
	// Keep is how long a delivery that is finished or kept is stored with its attempts, from its creation; 30 days if it is 0.
	Keep time.Duration
	// InFlight bounds the attempts of less than a second that this process makes at a time; 512 if it is 0. Attempts that take longer,
	// and those to endpoints that have failed, have twice as many slots of their own.
	InFlight int
	// Timeout bounds an attempt; 15 seconds if it is 0.
	Timeout time.Duration
	// Endpoint returns the present state of an endpoint; an error with code not_found drops its deliveries. A change takes effect within
	// a second, or at once with Forget.
	Endpoint func(ctx context.Context, id string) (Endpoint, error)
	// Take takes one of the endpoint's attempts of this minute, over all processes, or returns how long to wait. It is not called for
	// endpoints without PerMinute. Nil means that PerMinute is not enforced.
	Take func(ctx context.Context, e Endpoint) (wait time.Duration, err error)
	// Record is called with the outcomes of a batch of attempts in the transaction that stores them. It may be called again with the
	// same outcomes after that transaction was rolled back. May be nil.
	Record func(ctx context.Context, tx database.Tx, outcomes []Outcome) error
}

// The states of a delivery.
const (
	// StatusPending waits for its first or next attempt.
	StatusPending = "pending"
	// StatusSucceeded got a 2xx answer.
	StatusSucceeded = "succeeded"
	// StatusFailed will not be attempted again unless it is replayed.
	StatusFailed = "failed"
	// StatusKept waits until its endpoint is enabled again.
	StatusKept = "kept"
)

// Delivery is one event for one endpoint.
type Delivery struct {
	ID, EndpointID, UserID, EventID, Type string
	Status                                string
	// Attempts counts the attempts, over all replays.
	Attempts int
	// NextAttemptAt is when the next attempt is due; zero unless Status is pending.
	NextAttemptAt time.Time
	CreatedAt     time.Time
	// FinishedAt is when it succeeded or failed; zero before.
	FinishedAt time.Time
	// Log has the attempts, oldest first; at most the last 50.
	Log []Attempt
}

// Query selects deliveries, newest first. Empty fields select all.
type Query struct {
	EndpointID   string
	Status, Type string
	// Since and Until bound CreatedAt: Since ≤ CreatedAt < Until.
	Since, Until time.Time
	// Cursor is the next of the page before; empty for the first page.
	Cursor string
	// Limit is the most deliveries of a page; 20 if it is 0, at most 100.
	Limit int
}

// Filter selects the deliveries of an endpoint that are replayed. Only finished ones are.
type Filter struct {
	// IDs are deliveries; if there are none, the other fields select.
	IDs []string
	// Status is StatusFailed if it is empty.
	Status, Type string
	// Since and Until bound CreatedAt: Since ≤ CreatedAt < Until.
	Since, Until time.Time
	// Limit bounds the deliveries, oldest first; MaxReplay if it is 0 or more.
	Limit int
}

// Bounds.
const (
	// MaxReplay bounds the deliveries of one replay.
	MaxReplay = 1000
	// MaxPayload bounds an event's payload, in bytes.
	MaxPayload = 256 << 10
	// MaxAnswer is how much of an answer's body is logged, in bytes.
	MaxAnswer = 1 << 10
	// MaxRetryAfter bounds the delay that an answer asks for.
	MaxRetryAfter = 24 * time.Hour
)

// Sealed lists the columns that key rotation re-encrypts.
var Sealed = []seal.Column{
	{
		Table: "webhook_events", Column: "payload", Key: []string{"user_id", "id"},
		Associated: func(key []string) []byte { return payloadContext(key[0], key[1]) },
	},
	{
		Table: "webhook_attempts", Column: "answer", Key: []string{"delivery_id", "id"},
		Associated: func(key []string) []byte { return answerContext(key[0], key[1]) },
	},
}

func payloadContext(userID, eventID string) []byte {
	return []byte("webhook_events.payload/" + userID + "/" + eventID)
}

func answerContext(deliveryID, id string) []byte {
	return []byte("webhook_attempts.answer/" + deliveryID + "/" + id)
}
