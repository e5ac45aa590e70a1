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
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/mesh"
)

// HostConfig is what one actor runs on.
type HostConfig struct {
	// Actor is its name, and its NATS user's.
	Actor string
	NATS  mesh.Options
	// Database is the actor's own. Migrate brings it to this binary's schema before the actor starts.
	Database database.Config
	// KeysetFile seals secrets at rest; it is made on first use. Copies of an actor share it.
	KeysetFile string
	// Issuer and Audience are those of access tokens.
	Issuer, Audience string
	Telemetry        *mesh.Telemetry
	Version          string
	// EgressAllow and EgressAllowHTTP are the guard of outbound calls, see Deps.
	EgressAllow     []netip.Prefix
	EgressAllowHTTP bool
	// Now is the clock: time.Now unless set.
	Now func() time.Time
}

// Host runs one actor until ctx ends: it connects, opens and migrates the database, joins the guards, and
// serves what build makes. ready is called once every endpoint answers.
func Host(
	ctx context.Context, c HostConfig, migrations fs.FS, build func(actors.Deps) (actors.Service, error), ready func(),
) (err error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	log := c.Telemetry.Log.With(zap.String("actor", c.Actor))
	conn, err := mesh.Connect(ctx, c.NATS)
	if err != nil {
		return err
	}
	defer conn.Close()
	db, err := database.Open(ctx, c.Database, log)
	if err != nil {
		return fmt.Errorf("opening the database of %s: %w", c.Actor, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := database.Migrate(ctx, db, migrations); err != nil {
		return fmt.Errorf("migrating the database of %s: %w", c.Actor, err)
	}
	sealer, err := seal.Open(c.KeysetFile)
	if err != nil {
		return fmt.Errorf("opening the keyset of %s: %w", c.Actor, err)
	}
	presence, err := mesh.Join(ctx, conn, log)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err = errors.Join(err, presence.Close(closing))
	}()
	r := &Runtime{
		Conn: conn, Telemetry: c.Telemetry, Version: c.Version, Now: c.Now,
		Idempotency: idempotency.New(idempotency.Config{DB: db, Sealer: sealer, Log: log, Now: c.Now}),
	}
	if r.Verifier, err = mesh.NewVerifier(ctx, presence, c.Issuer, c.Audience, c.Now); err != nil {
		return err
	}
	if r.Guard, err = actors.NewGuard(ctx, conn, presence, c.Now); err != nil {
		return err
	}
	messages := outbox.New(outbox.Config{DB: db, Log: log, Now: c.Now})
	service, err := build(actors.Deps{
		Conn: conn, DB: db, Outbox: messages, Sealer: sealer, Guard: r.Guard, Verifier: r.Verifier, Log: log,
		Metrics: c.Telemetry.Registry, Issuer: c.Issuer, Audience: c.Audience, Version: c.Version,
		EgressAllow: c.EgressAllow, EgressAllowHTTP: c.EgressAllowHTTP, Now: c.Now, NewID: newID,
	})
	if err != nil {
		return fmt.Errorf("building %s: %w", c.Actor, err)
	}
	r.Loops = map[string]func(context.Context) error{
		"outbox":      func(ctx context.Context) error { return messages.Run(ctx, conn.Conn) },
		"idempotency": r.Idempotency.Run,
	}
	service.Checks = withChecks(service.Checks, map[string]func(context.Context) error{
		"database": db.Ping,
		"nats":     func(context.Context) error { return conn.FlushTimeout(2 * time.Second) },
	})
	return r.Run(ctx, service, ready)
}

func withChecks(own, shared map[string]func(context.Context) error) map[string]func(context.Context) error {
	all := maps.Clone(shared)
	maps.Copy(all, own)
	return all
}

// newID makes a UUIDv7: unique, and roughly in the order of time.
func newID() string { return uuid.Must(uuid.NewV7()).String() }
