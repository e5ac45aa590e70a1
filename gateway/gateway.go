package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Server bounds. A slow client may not hold a connection for nothing; what takes long by contract extends
// them for itself.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 120 * time.Second
	// setupTimeout bounds what New asks of the mesh.
	setupTimeout = 10 * time.Second
)

// Deps is what a gateway stands on.
type Deps struct {
	// Conn is the gateway's connection, under the NATS user gateway.
	Conn      *mesh.Conn
	Verifier  *mesh.Verifier
	Telemetry *mesh.Telemetry
	Version   string
	// Now is the clock: time.Now unless set.
	Now func() time.Time
}

// Gateway serves HTTP. It is safe for concurrent use.
type Gateway struct {
	Deps
	config   Config
	origins  origins
	limits   *limits
	keys     *apiKeys
	breakers map[string]*breaker
	streams  *streams
	metrics  *metrics
	health   *readiness
	byName   map[string]*route
	handler  http.Handler
	// lines is the log of requests: where in the code one is written tells nothing.
	lines *zap.Logger
	// draining is closed when a stop begins: streams end then.
	draining  chan struct{}
	drainOnce sync.Once
}

// New derives the gateway from the declared endpoints. It fails on a setting that cannot work, and where the
// bucket of limits cannot be reached.
func New(d Deps, c Config) (*Gateway, error) { return newGateway(d, c, subjects.Endpoints()) }

func newGateway(d Deps, c Config, endpoints []*subjects.Descriptor) (*Gateway, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	trusted, err := parsePrefixes(c.TrustedProxies)
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		Deps: d, config: c, origins: origins{trusted}, breakers: map[string]*breaker{},
		byName: map[string]*route{}, draining: make(chan struct{}), lines: d.Telemetry.Log.WithOptions(zap.WithCaller(false)),
	}
	if g.metrics, err = newMetrics(d.Telemetry.Registry); err != nil {
		return nil, err
	}
	g.streams = newStreams(c.Streams, g.metrics)
	g.health = &readiness{g: g}
	if c.Limits.Enabled {
		ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
		defer cancel()
		limiter, err := kv.OpenLimiter(ctx, d.Conn.JS, kv.LimiterClock(d.Now))
		if err != nil {
			return nil, fmt.Errorf("opening the rate limits: %w", err)
		}
		g.limits = newLimits(limiter, c.Limits, g.metrics)
	}
	for _, actor := range subjects.Actors() {
		g.breakers[actor] = newBreaker(actor, c.Breaker, g.metrics)
	}
	g.keys = newAPIKeys(g)
	if g.handler, err = g.router(endpoints); err != nil {
		return nil, err
	}
	return g, nil
}

// Handler is the gateway without its server, for tests and for embedding.
func (g *Gateway) Handler() http.Handler { return g.handler }

// Run serves until ctx ends, then takes nothing new, ends the streams, and waits DrainTimeout at the most for
// what is under way. ready is called with the address once connections are accepted.
func (g *Gateway) Run(ctx context.Context, ready func(addr string)) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.config.Listen)
	if err != nil {
		return fmt.Errorf("listening for HTTP: %w (gateway.listen or --http sets another address)", err)
	}
	// net/http's own lines, such as failed TLS handshakes.
	errorLog, err := zap.NewStdLogAt(g.Telemetry.Log, zap.DebugLevel)
	if err != nil {
		return fmt.Errorf("making a log for HTTP: %w", errors.Join(err, listener.Close()))
	}
	server := &http.Server{
		Handler: g.handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: g.config.MaxHeader,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ErrorLog: errorLog,
	}
	failed := make(chan error, 1)
	go func() {
		if g.config.TLSCert != "" {
			failed <- server.ServeTLS(listener, g.config.TLSCert, g.config.TLSKey)
			return
		}
		failed <- server.Serve(listener)
	}()
	ready(listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serving HTTP: %w", err)
	case <-ctx.Done():
	}
	g.drain()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.config.DrainTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		g.Telemetry.Log.Warn("stopping with requests under way", zap.Error(err))
		return errors.Join(server.Close())
	}
	return nil
}

// drain ends the streams.
func (g *Gateway) drain() { g.drainOnce.Do(func() { close(g.draining) }) }
