package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
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

func upCommand() *cobra.Command {
	var asJSON, dev bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything in this process",
		Long: "Runs an embedded NATS server with JetStream, the five actors and the HTTP gateway, with SQLite and JetStream " +
			"files in one folder. Nothing to install, nothing to configure.\n\nSIGTERM and Ctrl-C drain for up to 30 seconds.",
		Example: "  weft up\n  weft up --dev            # and then: weft demo\n  weft up --data /var/lib/weft --http :8080\n" +
			"  weft up --data $(mktemp -d) --http 127.0.0.1:0 --nats 127.0.0.1:0 --json",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := configOf(cmd)
			if err != nil {
				return err
			}
			overrideAddresses(cmd, &config)
			if dev {
				config.Egress.Allow = append(config.Egress.Allow, "127.0.0.0/8", "::1/128")
				config.Egress.AllowHTTP = true
			}
			return up(cmd.Context(), config, asJSON, cmd.OutOrStdout())
		},
	}
	cmd.Flags().String("data", "", "folder of everything that weft keeps (default weft-data)")
	cmd.Flags().String("http", "", "address of the gateway (default 127.0.0.1:8080); port 0 takes a free one")
	cmd.Flags().String("nats", "", "address of the embedded NATS server (default 127.0.0.1:4222); port 0 takes a free one")
	cmd.Flags().BoolVar(&dev, "dev", false, "let outbound calls reach this machine, without TLS: for trying things out, never in production")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the ready line as JSON")
	return cmd
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

func up(ctx context.Context, config Config, asJSON bool, out io.Writer) error {
	start := time.Now()
	collectLess()
	p, err := newProcess(ctx, config, "up")
	if err != nil {
		return err
	}
	defer p.close()
	dir := filepath.Join(config.Data, "nats")
	host, port, err := serverAddress(config.NATS.Listen)
	if err != nil {
		return err
	}
	_, err = embedded.Init(dir, natsConf, embedded.Options{Host: host, Port: port, Sync: config.Durability, Monitor: config.NATS.Monitor})
	if err != nil {
		return fmt.Errorf("preparing the NATS server: %w", err)
	}
	server, err := embedded.Start(ctx, dir, p.telemetry.Log)
	if err != nil {
		return fmt.Errorf("starting the NATS server: %w", err)
	}
	defer server.Shutdown()
	p.natsURL = server.ClientURL()
	p.nats = server
	if err := p.setup(ctx); err != nil {
		return fmt.Errorf("setting up the mesh: %w", err)
	}
	line := readyLine{Ready: true, Version: version, NATS: p.natsURL, Data: config.Data}
	metrics, stopMetrics := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMetrics()
	if line.Metrics, err = p.serveMetrics(metrics, gatewayMetricsPort); err != nil {
		return err
	}
	return p.serve(ctx, subjects.Actors(), true, func(http string) error {
		line.HTTP, line.TookMS = http, time.Since(start).Milliseconds()
		return printReady(out, line, asJSON)
	})
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
