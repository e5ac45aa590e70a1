package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// readyLine is what `weft up` and `weft run` print once they serve requests.
type readyLine struct {
	Ready   bool   `json:"ready"`
	Version string `json:"version"`
	HTTP    string `json:"http,omitempty"`
	NATS    string `json:"nats"`
	// Leaf is where edge nodes connect.
	Leaf    string `json:"leaf,omitempty"`
	Metrics string `json:"metrics,omitempty"`
	Data    string `json:"data"`
	// TookMS is the startup time in milliseconds.
	TookMS int64 `json:"took_ms"`
	// limits describes the rate limits of the gateway, for people.
	limits string
}

// addJSONFlag adds --json for the ready line.
func addJSONFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print the ready line as JSON")
}

// printReady prints the ready line as text or as one line of JSON.
func printReady(c console, line readyLine) error {
	out := c.out
	// Returns the memory that only the start needed; collections are rare from here on.
	go debug.FreeOSMemory()
	if c.json {
		return json.NewEncoder(out).Encode(line)
	}
	_, err := fmt.Fprintf(out, "weft %s is ready after %d ms\n  data     %s\n  NATS     %s\n", line.Version, line.TookMS, line.Data, line.NATS)
	if err == nil && line.Leaf != "" {
		_, err = fmt.Fprintf(out, "  leaf     %s\n", line.Leaf)
	}
	if err == nil && line.Metrics != "" {
		_, err = fmt.Fprintf(out, "  metrics  %s\n", line.Metrics)
	}
	if err == nil && line.HTTP != "" {
		_, err = fmt.Fprintf(out, "  HTTP     %s\n  docs     %s/docs\n  limits   %s\n"+
			"Try `weft demo`, or `weft nats-context` and then `nats micro ls`.\n", line.HTTP, line.HTTP, line.limits)
	}
	return err
}

// serve runs actors and then the gateway until ctx ends or one of them fails. It stops the gateway first, so that the
// actors can still answer the requests that it drains.
func (p *process) serve(ctx context.Context, names []string, withGateway bool, ready func(http string) error) error {
	defer context.AfterFunc(ctx, p.health.stop)()
	actorsCtx, stopActors := context.WithCancel(context.WithoutCancel(ctx))
	defer stopActors()
	group, actorsCtx := errgroup.WithContext(actorsCtx)
	var starting sync.WaitGroup
	for _, name := range names {
		starting.Add(1)
		group.Go(func() error { return p.actor(actorsCtx, name, starting.Done) })
	}
	gatewayCtx, stopGateway := context.WithCancel(ctx)
	defer stopGateway()
	context.AfterFunc(actorsCtx, stopGateway)
	err := p.serveGateway(gatewayCtx, &starting, withGateway, ready)
	stopActors()
	if e := group.Wait(); e != nil {
		return errors.Join(e, err)
	}
	return err
}

// serveGateway waits until the actors have started, then runs the gateway, or without one waits until ctx ends.
func (p *process) serveGateway(ctx context.Context, starting *sync.WaitGroup, withGateway bool, ready func(string) error) error {
	started := make(chan struct{})
	go func() { starting.Wait(); close(started) }()
	select {
	case <-started:
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
		if err := ready(p.config.gatewayScheme() + "://" + addr); err != nil {
			cancel(err)
		}
	})
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
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
	host.Edge = p.edge.Actor()
	if p.edge != nil {
		host.Now = p.edge.Now
	}
	host.Health = func(check func(context.Context) subjects.Health) {
		p.health.set(name, func(ctx context.Context) partHealth {
			health := check(ctx)
			return partHealth{Status: health.Status, Checks: health.Checks}
		})
	}
	defer p.health.set(name, nil)
	err = runtime.Host(ctx, host, entry.migrations, func(d actors.Deps) (actors.Service, error) {
		return entry.build(p.config, d)
	}, ready)
	if err != nil {
		return fmt.Errorf("running %s: %w", name, err)
	}
	return nil
}

// gateway runs the HTTP gateway until ctx ends.
func (p *process) gateway(ctx context.Context, ready func(addr string)) (err error) {
	conn, err := p.connect(ctx, "gateway")
	if err != nil {
		return err
	}
	defer conn.Close()
	membership, err := mesh.Join(ctx, conn, p.telemetry.Log)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err = errors.Join(err, membership.Close(closing))
	}()
	now := time.Now
	if p.edge != nil {
		now = p.edge.Now
	}
	verifier, err := mesh.NewVerifier(ctx, membership, p.config.Issuer, p.config.Audience, now)
	if err != nil {
		return err
	}
	g, err := gateway.New(gateway.Deps{
		Conn: conn, Verifier: verifier, Telemetry: p.telemetry, Version: programVersion(), Now: now,
	}, p.config.Gateway)
	if err != nil {
		return fmt.Errorf("building the gateway: %w", err)
	}
	defer p.onReload(g.ReloadCertificate)()
	err = g.Run(ctx, func(addr string) {
		p.health.set(mesh.UserGateway, func(context.Context) partHealth {
			if !conn.IsConnected() {
				return partHealth{Status: statusDegraded, Checks: map[string]string{"nats": string(subjects.CodeUnavailable)}}
			}
			return partHealth{Status: statusOK}
		})
		ready(addr)
	})
	if err != nil {
		return fmt.Errorf("running the gateway: %w", err)
	}
	return nil
}
