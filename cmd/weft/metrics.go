package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/subjects"
)

// gatewayMetricsPort is the default metrics port of a process that runs the gateway.
const gatewayMetricsPort = 9096

// metricsPort returns the default metrics port of a process: that of the gateway if it runs one, otherwise that of its first actor
// in the order of subjects.Actors. So processes of one machine that share no actor have different ports.
func metricsPort(names []string, withGateway bool) int {
	for _, name := range subjects.Actors() {
		if !withGateway && slices.Contains(names, name) {
			return actorTable[name].metricsPort
		}
	}
	return gatewayMetricsPort
}

// serveMetrics serves Prometheus metrics at /metrics, and the process's health at /healthz and /readyz, until ctx ends. It listens on
// metrics.port or, where that is not set, on port, and on a free one if another process has that. It returns the URL of the
// metrics, or "" if they are disabled.
func (p *process) serveMetrics(ctx context.Context, port int) (string, error) {
	m := p.config.Metrics
	if !m.Enabled {
		return "", nil
	}
	listener, err := p.listenForMetrics(ctx, port)
	if err != nil {
		return "", fmt.Errorf("listening for metrics: %w (metrics.port sets another port, -1 a free one)", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.telemetry.Registry, promhttp.HandlerOpts{Registry: p.telemetry.Registry}))
	mux.HandleFunc("GET /healthz", p.health.handleHealthz)
	mux.HandleFunc("GET /readyz", p.health.handleReadyz)
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

func (p *process) listenForMetrics(ctx context.Context, port int) (net.Listener, error) {
	m := p.config.Metrics
	listen := func(port int) (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(m.Host, strconv.Itoa(port)))
	}
	if m.Port != 0 {
		return listen(max(m.Port, 0))
	}
	listener, err := listen(port)
	if errors.Is(err, syscall.EADDRINUSE) {
		if listener, err = listen(0); err == nil {
			p.telemetry.Log.Warn("the default metrics port is in use; metrics are on a free port",
				zap.Int("default", port), zap.Stringer("address", listener.Addr()))
		}
	}
	return listener, err
}
