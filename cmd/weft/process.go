package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/edge"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/mesh/memory"
)

// actorEntry is what the commands need to run an actor and to maintain its database.
type actorEntry struct {
	migrations fs.FS
	build      func(Config, actors.Deps) (actors.Service, error)
	// metricsPort is where a process whose first actor is this one serves metrics, unless metrics.port is set.
	metricsPort int
	// sealed are the columns that `weft keys rotate` seals again.
	sealed []seal.Column
}

// actorTable has the actors by name.
var actorTable = map[string]actorEntry{
	"auth":         {auth.Migrations, builder(func(c Config) auth.Config { return c.Auth }, auth.New), 9091, auth.Sealed},
	"integration":  {integration.Migrations, builder(Config.integration, integration.New), 9092, integration.Sealed},
	"workflow":     {workflow.Migrations, builder(func(c Config) workflow.Config { return c.Workflow }, workflow.New), 9093, workflow.Sealed},
	"consent":      {consent.Migrations, builder(Config.consent, consent.New), 9094, consent.Sealed},
	"notification": {notification.Migrations, builder(Config.notification, notification.New), 9095, notification.Sealed},
}

// builder adapts an actor's New, which takes its section of the configuration, to actorEntry.build.
func builder[C any, A interface{ Service() actors.Service }](
	section func(Config) C, build func(actors.Deps, C) (A, error),
) func(Config, actors.Deps) (actors.Service, error) {
	return func(c Config, d actors.Deps) (actors.Service, error) {
		a, err := build(d, section(c))
		if err != nil {
			return actors.Service{}, err
		}
		return a.Service(), nil
	}
}

// process is a running command with its configuration, telemetry and access to NATS.
type process struct {
	config    Config
	telemetry *mesh.Telemetry
	natsURL   string
	// nats is the embedded server; nil if the process connects to another one.
	nats nats.InProcessConnProvider
	// keys is the directory of the NATS users' seeds.
	keys string
	// edge is the edge node that the process is; nil for other processes.
	edge *edge.Node
	// health is what the metrics port reports.
	health *health
	// reloads are called at SIGHUP.
	reloads reloads
	// memory bounds the requests that the process's actors handle.
	memory *memory.Budget
	// connections are those to PostgreSQL, which the process's actors share.
	connections *database.Connections
	// stopping is the end of the process.
	stopping *stopping
}

// newProcess opens the log and the telemetry of a command. name is the process's name in traces; the log goes to errs.
func newProcess(ctx context.Context, c Config, name string, errs io.Writer) (*process, error) {
	log, err := newLog(c.Log, errs)
	if err != nil {
		return nil, err
	}
	telemetry, err := mesh.NewTelemetry(ctx, mesh.TelemetryOptions{
		Log: log, OTLP: c.Tracing.OTLP, Ratio: c.Tracing.Ratio, Process: name, Version: programVersion(),
	})
	if err != nil {
		return nil, err
	}
	keys := c.NATS.Keys
	if keys == "" {
		keys = filepath.Join(c.Data, "nats", "keys")
	}
	return &process{
		config: c, telemetry: telemetry, natsURL: c.NATS.URL, keys: keys, health: &health{}, memory: runtime.NewMemory(telemetry.Registry),
		stopping: newStopping(ctx, c, log), connections: database.NewConnections(),
	}, nil
}

// close flushes traces and the log.
func (p *process) close() {
	defer p.stopping.end()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.telemetry.Close(ctx); err != nil {
		p.telemetry.Log.Warn("flushing traces", zap.Error(err))
	}
	_ = p.telemetry.Log.Sync()
}

// options returns the connection options of a NATS user. The error is fs.ErrNotExist if the process does not have its seed.
func (p *process) options(user string) (mesh.Options, error) {
	seed, err := os.ReadFile(filepath.Join(p.keys, user+".nk"))
	if err != nil {
		return mesh.Options{}, fmt.Errorf("reading the NATS key of %s: %w", user, err)
	}
	keyring, err := p.keyring()
	if err != nil {
		return mesh.Options{}, err
	}
	if keyring == nil && user == mesh.UserMigrate {
		return mesh.Options{}, fmt.Errorf("%s, which `weft nats-init` writes beside the keys, is missing: migrate publishes it", embedded.KeyringFile)
	}
	return mesh.Options{
		URL: p.natsURL, InProcess: p.nats, TLS: natsTLS(p.config.NATS.TLS, p.keys), User: user, Seed: seed, Keyring: keyring, Refused: p.telemetry.Refused,
		SlowConsumer: p.telemetry.SlowConsumer, Log: p.telemetry.Log,
	}, nil
}

// connect connects as a NATS user whose key the process has.
func (p *process) connect(ctx context.Context, user string) (*mesh.Conn, error) {
	options, err := p.options(user)
	if err != nil {
		return nil, err
	}
	return mesh.Connect(ctx, options)
}

// keyring reads the public keys of all NATS users from the file beside the process's own keys; nil if there is none, and they are those that
// a migration has published.
func (p *process) keyring() (mesh.Keyring, error) {
	data, err := os.ReadFile(filepath.Join(p.keys, embedded.KeyringFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the NATS users' public keys: %w", err)
	}
	return mesh.ParseKeyring(data)
}

// host returns how the runtime hosts an actor.
func (p *process) host(name string) (runtime.HostConfig, error) {
	options, err := p.options(name)
	if err != nil {
		return runtime.HostConfig{}, err
	}
	allow, err := parsePrefixes(p.config.Egress.Allow)
	if err != nil {
		return runtime.HostConfig{}, err
	}
	return runtime.HostConfig{
		Actor: name, NATS: options, Database: p.database(name),
		KeysetFile: p.keyset(name),
		Issuer:     p.config.Issuer, Audience: p.config.Audience, Telemetry: p.telemetry, Version: programVersion(),
		EgressAllow: allow, EgressAllowHTTP: p.config.Egress.AllowHTTP, Memory: p.memory, Drain: p.stopping.left,
	}, nil
}

// keyset returns the file of the keys that seal an actor's secrets at rest.
func (p *process) keyset(name string) string {
	return filepath.Join(p.config.Data, "keys", name+".keyset.json")
}

// sqliteCache is the page cache of a connection to SQLite, in bytes, as SQLite's own default; and sqlitePart the part of the memory limit that
// those of all actors take together at most, if that is less: a sixteenth.
const (
	sqliteCache = 2000 << 10
	sqlitePart  = 16
)

// database returns the database configuration of an actor.
func (p *process) database(name string) database.Config {
	connections := len(actorTable) * (1 + database.MaxReaders(p.config.Database.MaxOpen))
	return database.Config{
		URL: p.config.databaseURL(name), Actor: name, DataDir: p.config.Data, Durability: p.config.Durability,
		MaxOpen: p.config.Database.MaxOpen, MaxIdle: p.config.Database.MaxIdle, IdleTime: p.config.Database.IdleTime, MaxLifetime: p.config.Database.MaxLifetime,
		Connections: p.connections, CacheSize: memory.AtMost(sqliteCache, int64(sqlitePart*connections)),
	}
}

// parsePrefixes parses egress.allow.
func parsePrefixes(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, mesh.InvalidSetting("egress.allow", "has %q, and must consist of CIDR ranges such as 10.0.0.0/8", s)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}
