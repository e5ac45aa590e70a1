package actors

import (
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/mesh"
)

// Deps are the dependencies of every actor, which its New(deps, config) takes.
type Deps struct {
	// Conn is the actor's connection under its own NATS user.
	Conn *mesh.Conn
	// DB is the actor's own migrated database.
	DB *database.DB
	// Outbox publishes messages that are committed with rows. The runtime runs it.
	Outbox *outbox.Outbox
	// Sealer seals secrets at rest.
	Sealer *seal.Sealer
	// Guard checks consent when something starts on a user's behalf.
	Guard *Guard
	// Keys checks API keys when something that they caused is done.
	Keys *Keys
	// Verifier verifies access tokens. The runtime has verified those of requests already.
	Verifier *mesh.Verifier
	Log      *zap.Logger
	Metrics  prometheus.Registerer
	// Issuer and Audience are those of access tokens.
	Issuer, Audience string
	// EgressAllow has address ranges that outbound calls may reach besides public ones. EgressAllowHTTP permits calls without TLS.
	EgressAllow     []netip.Prefix
	EgressAllowHTTP bool
	// Version is the binary's version.
	Version string
	// Now is the clock.
	Now func() time.Time
	// Edge is set at an edge node, nil elsewhere.
	Edge *Edge
	// NewID returns a new UUIDv7.
	NewID func() string
}
