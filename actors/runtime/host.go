package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/deferred"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/memory"
	"github.com/weftmesh/weft/subjects"
)

// HostConfig configures the hosting of one actor.
type HostConfig struct {
	// Actor is the name of the actor and of its NATS user.
	Actor string
	NATS  mesh.Options
	// Database is the actor's own database. It is migrated to this binary's schema before the actor starts.
	Database database.Config
	// KeysetFile holds the keys that seal secrets at rest. It is created on first use; copies of an actor share it.
	KeysetFile string
	// Issuer and Audience are those of access tokens.
	Issuer, Audience string
	Telemetry        *mesh.Telemetry
	Version          string
	// EgressAllow and EgressAllowHTTP restrict outbound calls, see actors.Deps.
	EgressAllow     []netip.Prefix
	EgressAllowHTTP bool
	// Drain returns how long running work may take when the actor begins to stop; DrainTimeout if nil.
	Drain func() time.Duration
	// Deferred bounds what the workers deferred; deferred.DefaultLimits by default.
	Deferred deferred.Limits
	// Memory is the memory for requests, which the actors of a process share; see NewMemory.
	Memory *memory.Budget
	// Now is the clock; time.Now by default.
	Now func() time.Time
	// Edge is set at an edge node, nil elsewhere.
	Edge *actors.Edge
	// Health, if set, is called with the actor's health check once all endpoints answer.
	Health func(check func(context.Context) subjects.Health)
}

// leaveTimeout bounds the release of the membership lease.
const leaveTimeout = 2 * time.Second

// openDatabase opens the actor's database with the tables of migrations, and registers its metrics.
func (c HostConfig) openDatabase(ctx context.Context, migrations fs.FS, log *zap.Logger) (*database.DB, error) {
	db, err := database.Open(ctx, c.Database, log)
	if err != nil {
		return nil, fmt.Errorf("opening the database of %s: %w", c.Actor, err)
	}
	if err = database.Migrate(ctx, db, migrations); err == nil {
		err = db.Register(c.Telemetry.Registry, c.Actor)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing the database of %s: %w", c.Actor, err), db.Close())
	}
	return db, nil
}

// Host runs one actor until ctx ends: it connects to NATS, opens and migrates the database, joins the membership of guards, builds the
// actor with build, and serves it. ready is called when all endpoints answer.
func Host(
	ctx context.Context, c HostConfig, migrations fs.FS, build func(actors.Deps) (actors.Service, error), ready func(),
) (err error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Deferred == (deferred.Limits{}) {
		c.Deferred = deferred.DefaultLimits()
	}
	log := c.Telemetry.Log.With(zap.String("actor", c.Actor))
	conn, err := mesh.Connect(ctx, c.NATS)
	if err != nil {
		return err
	}
	defer conn.Close()
	db, err := c.openDatabase(ctx, migrations, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	sealer, err := seal.Open(c.KeysetFile)
	if err != nil {
		return fmt.Errorf("opening the keyset of %s: %w", c.Actor, err)
	}
	membership, err := mesh.Join(ctx, conn, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave(ctx, membership)) }()
	db.SetPeers(membership.Peers(db.InvalidateTables))
	r, err := c.runtime(ctx, conn, membership)
	if err != nil {
		return err
	}
	r.Idempotency = idempotency.New(idempotency.Config{DB: db, Sealer: sealer, Log: log, Now: c.Now})
	r.Deferred = deferred.New(db, c.Deferred)
	box := outbox.New(outbox.Config{DB: db, Log: log, Now: c.Now, Annotate: mesh.Annotate, Sign: conn.JS.Sign})
	deps := actors.Deps{
		Conn: conn, DB: db, Outbox: box, Sealer: sealer, Guard: r.Guard, Keys: r.Keys, Verifier: r.Verifier, Log: log,
		Metrics: c.Telemetry.Registry, Issuer: c.Issuer, Audience: c.Audience, Version: c.Version,
		EgressAllow: c.EgressAllow, EgressAllowHTTP: c.EgressAllowHTTP, Now: c.Now, NewID: newID, Edge: c.Edge,
	}
	service, err := build(deps)
	if err != nil {
		return fmt.Errorf("building %s: %w", c.Actor, err)
	}
	service.Checks = withSharedChecks(service.Checks, deps)
	r.Background = map[string]func(context.Context) error{
		"outbox":      func(ctx context.Context) error { return box.Run(ctx, conn.Conn) },
		"idempotency": r.Idempotency.Run,
	}
	return r.Run(ctx, service, func() {
		if c.Health != nil {
			c.Health(r.health)
		}
		ready()
	})
}

// leave ends a membership.
func leave(ctx context.Context, membership *mesh.Membership) error {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	return membership.Close(closing)
}

// runtime returns the runtime with what verifies callers, without a database.
func (c HostConfig) runtime(ctx context.Context, conn *mesh.Conn, membership *mesh.Membership) (r *Runtime, err error) {
	r = &Runtime{Conn: conn, Telemetry: c.Telemetry, Version: c.Version, Now: c.Now, Memory: c.Memory, Drain: c.Drain}
	if r.Verifier, err = mesh.NewVerifier(ctx, membership, c.Issuer, c.Audience, c.Now); err != nil {
		return nil, err
	}
	if r.Guard, err = actors.NewGuard(ctx, conn, membership, c.Now); err != nil {
		return nil, err
	}
	r.Keys = actors.NewKeys(conn, r.Verifier, c.Now)
	if c.Edge != nil {
		r.Edge = c.Edge
		r.Guard.Restrict(c.Edge.Permit)
	}
	return r, nil
}

// withSharedChecks adds the checks of the database, which must take a write, and of the NATS connection to an actor's own.
func withSharedChecks(own map[string]func(context.Context) error, d actors.Deps) map[string]func(context.Context) error {
	checks := map[string]func(context.Context) error{"database": d.DB.Heartbeat, "nats": d.Conn.FlushWithContext}
	maps.Copy(checks, own)
	return checks
}

// newID returns a new UUIDv7.
func newID() string { return uuid.Must(uuid.NewV7()).String() }
