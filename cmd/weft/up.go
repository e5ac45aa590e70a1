package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/cmd/weft/backup"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

func upCommand() *cobra.Command {
	var asJSON, dev bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything in this process",
		Long: "Runs an embedded NATS server with JetStream, the five actors and the HTTP gateway, with SQLite and JetStream " +
			"files in one data directory. It needs no other service and no configuration.\n\nSIGTERM and Ctrl-C stop it: requests in " +
			"flight have up to 30 seconds to finish.",
		Example: "  weft up\n  weft up --dev            # and then: weft demo\n  weft up --data /var/lib/weft --http :8080\n" +
			"  weft up --data $(mktemp -d) --http 127.0.0.1:0 --nats 127.0.0.1:0 --json",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			if dev {
				config.Egress.Allow = append(config.Egress.Allow, "127.0.0.0/8", "::1/128")
				config.Egress.AllowHTTP = true
				if config.Gateway.Limits == defaultConfig().Gateway.Limits { // unless they are set
					config.Gateway.Limits.Enabled = false
				}
			}
			return up(cmd.Context(), config, consoleOf(cmd, asJSON))
		},
	}
	addDataFlag(cmd)
	cmd.Flags().String("http", "", "address of the gateway (default 127.0.0.1:8080); port 0 picks a free port")
	cmd.Flags().String("nats", "", "address of the embedded NATS server (default 127.0.0.1:4222); port 0 picks a free port")
	cmd.Flags().String("leaf", "", "address for leaf connections of edge nodes, such as 0.0.0.0:7422 (default none); port 0 picks a free port")
	cmd.Flags().BoolVar(&dev, "dev", false, "allow outbound calls to this machine and without TLS, and lift the default rate limits; for development only")
	addJSONFlag(cmd, &asJSON)
	return cmd
}

func up(ctx context.Context, config Config, c console) error {
	start := time.Now()
	limit := tuneMemory()
	p, err := newProcess(ctx, config, "up", c.errs)
	if err != nil {
		return err
	}
	defer p.close()
	logMemory(p.telemetry.Log, limit)
	defer p.returnIdleMemory(ctx)()
	defer p.reloadAtHangup()()
	if err := backup.CheckComplete(config.Data); err != nil {
		return err
	}
	dir := filepath.Join(config.Data, "nats")
	host, port, err := serverAddress(config.NATS.Listen)
	if err != nil {
		return err
	}
	leaf, err := leafAddress(config.NATS.LeafListen)
	if err != nil {
		return err
	}
	_, err = embedded.Init(dir, embedded.Options{
		Host: host, Port: port, Sync: config.Durability, Monitor: config.NATS.Monitor, TLS: listenTLS(config.NATS.TLS), Leaf: leaf,
	})
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
	if err := p.createMissing(ctx); err != nil {
		return fmt.Errorf("creating streams, buckets and durables: %w", err)
	}
	p.health.expect(append(subjects.Actors(), mesh.UserGateway))
	line := readyLine{Ready: true, limits: config.limitsText(), Version: programVersion(), NATS: p.natsURL, Leaf: server.LeafAddress(), Data: config.Data}
	metricsCtx, stopMetrics := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMetrics()
	if line.Metrics, err = p.serveMetrics(metricsCtx, gatewayMetricsPort); err != nil {
		return err
	}
	return p.serve(ctx, subjects.Actors(), true, func(http string) error {
		line.HTTP, line.TookMS = http, time.Since(start).Milliseconds()
		return printReady(c, line)
	})
}
