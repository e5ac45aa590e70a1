package dispatch

import (
	"context"
	"encoding/json"
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
	// Ordered means that deliveries with the same ordering key are made one after the other; a failed one holds back those behind it.
	Ordered bool
	// PerMinute bounds its attempts over all processes.
	PerMinute int
	// Schedule is the delay before each attempt after the first. Its length bounds the attempts.
	Schedule []time.Duration
	// Enabled is false while deliveries are kept and not attempted.
	Enabled bool
	Headers map[string]string
}

// Event is one event that is delivered to endpoints.
type Event struct {
	// ID is the webhook-id. The same event is delivered to an endpoint once.
	ID, UserID, Type string
	// Ordering is the ordering key; empty for none.
	Ordering string
	At       time.Time
	// Payload is the body that is signed and sent, byte by byte the same in every attempt.
	Payload json.RawMessage
}

// Attempt is one logged attempt.
type Attempt struct {
	Number    int
	StartedAt time.Time
	Duration  time.Duration
	// Status is the HTTP status; 0 where no answer was received.
	Status int
	// Error says why it failed; empty for a success.
	Error string
	// Answer has the first bytes of the answer's body.
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
	NewID   func() string
	// Allow and AllowHTTP are the guard's exceptions (WEFT_EGRESS_ALLOW, WEFT_EGRESS_ALLOW_HTTP).
	Allow     []netip.Prefix
	AllowHTTP bool
	// Endpoint returns the present state of an endpoint; an error with code not_found drops its deliveries.
	Endpoint func(ctx context.Context, id string) (Endpoint, error)
	// Take takes one of the endpoint's attempts of this minute, over all processes, or returns how long to wait.
	Take func(ctx context.Context, endpointID string, perMinute int) (wait time.Duration, err error)
	// Record is called with the outcomes of a batch of attempts in the transaction that stores them.
	Record func(ctx context.Context, tx database.Tx, outcomes []Outcome) error
}
