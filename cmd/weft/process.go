package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/mesh"
)

// actorEntry is one actor as main knows it.
type actorEntry struct {
	migrations fs.FS
	build      func(Config, actors.Deps) (actors.Service, error)
	port       int
	sealed     []actors.Sealed
}

// actorTable is the five actors.
var actorTable = map[string]actorEntry{
	"auth":         {auth.Migrations, service(func(c Config) auth.Config { return c.Auth }, auth.New), 9091, auth.Sealed},
	"integration":  {integration.Migrations, service(Config.integration, integration.New), 9092, integration.Sealed},
	"workflow":     {workflow.Migrations, service(func(c Config) workflow.Config { return c.Workflow }, workflow.New), 9093, workflow.Sealed},
	"consent":      {consent.Migrations, service(func(c Config) consent.Config { return c.Consent }, consent.New), 9094, consent.Sealed},
	"notification": {notification.Migrations, service(func(c Config) notification.Config { return c.Notification }, notification.New), 9095, notification.Sealed},
}

const gatewayMetricsPort = 9096

// service makes an actor's build function from its New.
func service[C any, A interface{ Service() actors.Service }](
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

// process is one running weft: its configuration, its log, metrics and traces, and where the mesh is.
type process struct {
	config    Config
	telemetry *mesh.Telemetry
	natsURL   string
	// nats is this process's own server; nil where it uses another.
	nats nats.InProcessConnProvider
	keys string
}

func newProcess(ctx context.Context, c Config, name string) (*process, error) {
	log, err := newLog(c.Log)
	if err != nil {
		return nil, err
	}
	telemetry, err := mesh.NewTelemetry(ctx, mesh.TelemetryOptions{
		Log: log, OTLP: c.Tracing.OTLP, Ratio: c.Tracing.Ratio, Process: name, Version: version,
	})
	if err != nil {
		return nil, err
	}
	keys := c.NATS.Keys
	if keys == "" {
		keys = filepath.Join(c.Data, "nats", "keys")
	}
	return &process{config: c, telemetry: telemetry, natsURL: c.NATS.URL, keys: keys}, nil
}

func newLog(c LogConfig) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, usageError{fmt.Errorf("log.level: %w", err)}
	}
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoder.EncodeDuration = zapcore.StringDurationEncoder
	out := &logBuffer{BufferedWriteSyncer: zapcore.BufferedWriteSyncer{
		WS: zapcore.Lock(os.Stderr), Size: 256 << 10, FlushInterval: logFlush,
	}}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(encoder), out, level)
	return zap.New(core, zap.AddCaller(), zap.Hooks(out.urgent)), nil
}

// logFlush is how long an ordinary log line may wait for others, so that a line a request does not cost a
// system call a request.
const logFlush = 200 * time.Millisecond

// logBuffer gathers lines; one that warns goes out at once, and what came before it too.
type logBuffer struct{ zapcore.BufferedWriteSyncer }

func (b *logBuffer) urgent(e zapcore.Entry) error {
	if e.Level >= zapcore.WarnLevel {
		return b.Sync()
	}
	return nil
}

// options are the connection options of one NATS user.
func (p *process) options(user string) (mesh.Options, error) {
	seed, err := os.ReadFile(filepath.Join(p.keys, user+".nk"))
	if err != nil {
		return mesh.Options{}, fmt.Errorf("reading the NATS key of %s: %w", user, err)
	}
	return mesh.Options{URL: p.natsURL, InProcess: p.nats, User: user, Seed: seed, Log: p.telemetry.Log}, nil
}

// setup creates what streams, buckets and durables are missing, where this process holds setup's key.
func (p *process) setup(ctx context.Context) error {
	options, err := p.options("setup")
	if err != nil {
		return err
	}
	conn, err := mesh.Connect(ctx, options)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := mesh.Setup(ctx, conn.JS, p.config.NATS.Replicas); err != nil {
		// A refused request only times out; why it was refused came beside it.
		return errors.Join(err, conn.LastError())
	}
	return nil
}

func (p *process) host(name string) (actors.HostConfig, error) {
	options, err := p.options(name)
	if err != nil {
		return actors.HostConfig{}, err
	}
	allow, err := parsePrefixes(p.config.Egress.Allow)
	if err != nil {
		return actors.HostConfig{}, err
	}
	return actors.HostConfig{
		Actor: name, NATS: options, Database: p.database(name),
		KeysetFile: p.keyset(name),
		Issuer:     p.config.Issuer, Audience: p.config.Audience, Telemetry: p.telemetry, Version: version,
		EgressAllow: allow, EgressAllowHTTP: p.config.Egress.AllowHTTP,
	}, nil
}

// keyset is the file of what an actor's secrets are sealed with.
func (p *process) keyset(name string) string {
	return filepath.Join(p.config.Data, "keys", name+".keyset.json")
}

func (p *process) database(name string) actors.DatabaseConfig {
	return actors.DatabaseConfig{
		URL: p.config.databaseURL(name), Actor: name, DataDir: p.config.Data, Durability: p.config.Durability,
		MaxOpen: p.config.Database.MaxOpen, MaxIdle: p.config.Database.MaxIdle, MaxLifetime: p.config.Database.MaxLifetime,
	}
}

func (p *process) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.telemetry.Close(ctx); err != nil {
		p.telemetry.Log.Warn("flushing traces", zap.Error(err))
	}
	_ = p.telemetry.Log.Sync()
}

func parsePrefixes(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, usageError{fmt.Errorf("egress.allow: %w", err)}
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}
