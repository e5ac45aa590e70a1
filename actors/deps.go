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

// Deps is what every actor gets: New(deps, config) of each actor package takes it.
type Deps struct {
	// Conn is the actor's own connection, under its own NATS user.
	Conn *mesh.Conn
	// DB is the actor's own database, migrated.
	DB *database.DB
	// Outbox publishes what is committed with a row; its Run is the runtime's business.
	Outbox *outbox.Outbox
	// Sealer seals secrets at rest.
	Sealer *seal.Sealer
	// Guard is the door to what is done on a user's behalf.
	Guard *Guard
	// Verifier verifies access tokens, as the runtime does for every request.
	Verifier *mesh.Verifier
	Log      *zap.Logger
	Metrics  prometheus.Registerer
	// Tokens are the issuer and audience of access tokens.
	Issuer, Audience string
	// EgressAllow are address ranges that outbound calls may reach besides public ones; EgressAllowHTTP
	// lets calls without TLS through.
	EgressAllow     []netip.Prefix
	EgressAllowHTTP bool
	// Version is the binary's.
	Version string
	// Now is the clock, NewID makes UUIDv7 strings.
	Now   func() time.Time
	NewID func() string
}
