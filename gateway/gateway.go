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

// Server timeouts, so that slow clients cannot hold connections. Routes with a long timeout, streams and transfers extend
// their own deadlines.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 120 * time.Second
	// setupTimeout bounds the requests that New makes.
	setupTimeout = 10 * time.Second
)

// Bounds of HTTP/2: the streams of a connection, and the bytes that it and each stream may send before they are read.
const (
	maxStreams       = 100
	streamBuffer     = 64 << 10
	connectionBuffer = 256 << 10
)

// Deps are the dependencies of a gateway.
type Deps struct {
	// Conn is a connection of the NATS user gateway.
	Conn      *mesh.Conn
	Verifier  *mesh.Verifier
	Telemetry *mesh.Telemetry
	Version   string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Gateway serves HTTP. It is safe for concurrent use.
type Gateway struct {
	Deps
	config   Config
	proxies  trustedProxies
	limits   *limits
	apiKeys  *apiKeys
	breakers map[string]*breaker
	streams  *streams
	budgets  budgets
	eventIDs eventIDs
	agents   *agents
	metrics  *metrics
	// certificate is nil without TLS.
	certificate *certificate
	readiness   *readiness
	compression *compression
	handler     http.Handler
	// requestLog logs requests without the source location, which is the same for all.
	requestLog *zap.Logger
	// draining is closed when shutdown begins, which ends the streams.
	draining  chan struct{}
	drainOnce sync.Once

	// browserSessions refreshes the sessions of browsers.
	browserSessions browserSessions
}

// New creates a gateway with routes for the declared endpoints. It fails if a setting is invalid or the bucket of the rate
// limits cannot be opened.
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
		Deps: d, config: c, proxies: trustedProxies{trusted}, breakers: map[string]*breaker{},
		draining: make(chan struct{}), requestLog: d.Telemetry.Log.WithOptions(zap.WithCaller(false)),
	}
	if c.TLSCert != "" {
		if g.certificate, err = newCertificate(c.TLSCert, c.TLSKey, d.Now, d.Telemetry.Log); err != nil {
			return nil, err
		}
	}
	if g.metrics, err = newMetrics(d.Telemetry.Registry); err != nil {
		return nil, err
	}
	g.streams = newStreams(c.Streams, g.metrics)
	g.budgets = newBudgets(c, g.metrics)
	g.agents = newAgents(d.Version)
	if g.eventIDs, err = newEventIDs(d.Conn); err != nil {
		return nil, err
	}
	g.readiness = &readiness{g: g}
	if g.compression, err = newCompression(); err != nil {
		return nil, fmt.Errorf("setting compression up: %w", err)
	}
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
	g.apiKeys = newAPIKeys(g)
	if g.handler, err = g.router(endpoints); err != nil {
		return nil, err
	}
	return g, nil
}

// ReloadCertificate reads the TLS certificate and its key again. Invalid files are logged, and the previous certificate stays in use.
// Changed files are also noticed without it, at the next connection. It does nothing without TLS.
func (g *Gateway) ReloadCertificate() {
	if g.certificate != nil {
		g.certificate.Reload()
	}
}

// Handler returns the gateway's HTTP handler, for tests and embedding.
func (g *Gateway) Handler() http.Handler { return g.handler }

// Run serves HTTP until ctx is canceled. It then stops accepting connections, ends the streams and waits up to DrainTimeout
// for requests in progress. ready is called with the listen address once connections are accepted.
func (g *Gateway) Run(ctx context.Context, ready func(addr string)) error {
	var tlsConfig *tls.Config
	if g.certificate != nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: g.certificate.get}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.config.Listen)
	if err != nil {
		return fmt.Errorf("listening for HTTP: %w (set another address by gateway.listen or --http)", err)
	}
	// net/http logs its own errors, such as failed TLS handshakes.
	errorLog, err := zap.NewStdLogAt(g.Telemetry.Log, zap.DebugLevel)
	if err != nil {
		return fmt.Errorf("creating the HTTP error log: %w", errors.Join(err, listener.Close()))
	}
	server := &http.Server{
		Handler: counted(g), ConnContext: withConnection, ConnState: betweenRequests, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: g.config.MaxHeader,
		TLSConfig: tlsConfig, ErrorLog: errorLog,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: connectionBuffer,
		},
	}
	bounded := newConnections(listener, g.config.Connections, g.proxies, g.metrics)
	failed := make(chan error, 1)
	go func() {
		if tlsConfig != nil {
			failed <- server.ServeTLS(bounded, "", "")
			return
		}
		failed <- server.Serve(bounded)
	}()
	ready(listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serving HTTP: %w", err)
	case <-ctx.Done():
	}
	g.drain()
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.config.DrainTimeout)
	defer cancel()
	if err := server.Shutdown(shutdown); err != nil {
		g.Telemetry.Log.Warn("drain timeout exceeded; closing connections with requests in progress", zap.Error(err))
		return errors.Join(server.Close())
	}
	return nil
}

// drain ends the streams.
func (g *Gateway) drain() { g.drainOnce.Do(func() { close(g.draining) }) }
