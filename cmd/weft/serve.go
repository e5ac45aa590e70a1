package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/mesh"
)

// readyLine is what `weft up` and `weft run` print once they serve.
type readyLine struct {
	Ready   bool   `json:"ready"`
	Version string `json:"version"`
	HTTP    string `json:"http,omitempty"`
	NATS    string `json:"nats"`
	Metrics string `json:"metrics,omitempty"`
	Data    string `json:"data"`
	// TookMS is the time from the process's start of work to ready, in milliseconds.
	TookMS int64 `json:"took_ms"`
}

// overrideAddresses lets the flags stand before file and environment.
func overrideAddresses(cmd *cobra.Command, c *Config) {
	targets := map[string]*string{
		"data": &c.Data, "http": &c.Gateway.Listen, "keys": &c.NATS.Keys, "nats": &c.NATS.URL,
	}
	if cmd.Name() == "up" {
		targets["nats"] = &c.NATS.Listen // the server is this process's own
	}
	for name, target := range targets {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			*target = f.Value.String()
		}
	}
	// Who asks for a free HTTP port runs several at once: the metrics must not collide either.
	if c.Metrics.Port == 0 && strings.HasSuffix(c.Gateway.Listen, ":0") {
		c.Metrics.Port = -1
	}
}

// serve runs actors and then the gateway until ctx ends or one of them fails; then the gateway drains
// first, so that what it has taken still finds the actors.
func (p *process) serve(ctx context.Context, names []string, withGateway bool, ready func(http string) error) error {
	actorsCtx, stopActors := context.WithCancel(context.WithoutCancel(ctx))
	defer stopActors()
	group, actorsCtx := errgroup.WithContext(actorsCtx)
	var serving sync.WaitGroup
	for _, name := range names {
		serving.Add(1)
		group.Go(func() error { return p.actor(actorsCtx, name, serving.Done) })
	}
	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	context.AfterFunc(actorsCtx, stopFront)
	err := p.serveFront(front, &serving, withGateway, ready)
	stopActors()
	if e := group.Wait(); e != nil {
		return errors.Join(e, err)
	}
	return err
}

// serveFront waits for the actors, then runs the gateway, or just waits for the end.
func (p *process) serveFront(ctx context.Context, actors *sync.WaitGroup, withGateway bool, ready func(string) error) error {
	allReady := make(chan struct{})
	go func() { actors.Wait(); close(allReady) }()
	select {
	case <-allReady:
	case <-ctx.Done():
		return nil
	}
	if !withGateway {
		if err := ready(""); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := p.gateway(ctx, func(addr string) {
		if err := ready("http://" + addr); err != nil {
			cancel(err)
		}
	})
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func printReady(out io.Writer, line readyLine, asJSON bool) error {
	// What the start needed is given back: collections are rare from here on.
	go debug.FreeOSMemory()
	if asJSON {
		return json.NewEncoder(out).Encode(line)
	}
	_, err := fmt.Fprintf(out, "weft %s is ready after %d ms\n  data     %s\n  NATS     %s\n", line.Version, line.TookMS, line.Data, line.NATS)
	if err == nil && line.Metrics != "" {
		_, err = fmt.Fprintf(out, "  metrics  %s\n", line.Metrics)
	}
	if err == nil && line.HTTP != "" {
		_, err = fmt.Fprintf(out, "  HTTP     %s\n  docs     %s/docs\nTry `weft demo`, or `weft nats-context` and then `nats micro ls`.\n", line.HTTP, line.HTTP)
	}
	return err
}

// actor runs one actor until ctx ends.
func (p *process) actor(ctx context.Context, name string, ready func()) error {
	entry := actorTable[name]
	host, err := p.host(name)
	if err != nil {
		return err
	}
	err = actors.Host(ctx, host, entry.migrations, func(d actors.Deps) (actors.Service, error) {
		return entry.build(p.config, d)
	}, ready)
	if err != nil {
		return fmt.Errorf("running %s: %w", name, err)
	}
	return nil
}

// gateway runs the HTTP gateway until ctx ends.
func (p *process) gateway(ctx context.Context, ready func(addr string)) (err error) {
	options, err := p.options("gateway")
	if err != nil {
		return err
	}
	conn, err := mesh.Connect(ctx, options)
	if err != nil {
		return err
	}
	defer conn.Close()
	presence, err := mesh.Join(ctx, conn, p.telemetry.Log)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err = errors.Join(err, presence.Close(closing))
	}()
	verifier, err := mesh.NewVerifier(ctx, presence, p.config.Issuer, p.config.Audience, time.Now)
	if err != nil {
		return err
	}
	g, err := gateway.New(gateway.Deps{
		Conn: conn, Verifier: verifier, Telemetry: p.telemetry, Version: version, Now: time.Now,
	}, p.config.Gateway)
	if err != nil {
		return fmt.Errorf("building the gateway: %w", err)
	}
	if err := g.Run(ctx, ready); err != nil {
		return fmt.Errorf("running the gateway: %w", err)
	}
	return nil
}

// serveMetrics serves /metrics until ctx ends and returns its address; "" where metrics are off.
func (p *process) serveMetrics(ctx context.Context, port int) (string, error) {
	m := p.config.Metrics
	if !m.Enabled {
		return "", nil
	}
	if m.Port != 0 {
		port = max(m.Port, 0)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(m.Host, strconv.Itoa(port)))
	if err != nil {
		return "", fmt.Errorf("listening for metrics: %w (metrics.port sets another port, -1 a free one)", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.telemetry.Registry, promhttp.HandlerOpts{Registry: p.telemetry.Registry}))
	if m.Profiling {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.telemetry.Log.Error("serving metrics", zap.Error(err))
		}
	}()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return "http://" + listener.Addr().String() + "/metrics", nil
}
