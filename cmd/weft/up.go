package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

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
