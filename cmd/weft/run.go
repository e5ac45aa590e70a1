package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"
)

func runCommand() *cobra.Command {
	var names []string
	var withGateway, asJSON bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run some actors, or the gateway, against a NATS server",
		Long: "Runs the actors named with --actors, and the gateway with --gateway, against the NATS server at --nats. Any number of " +
			"copies of each may run; they share the work. The server is one started with the files that `weft nats-init` " +
			"writes; `weft migrate` has made its streams and buckets.",
		Example: "  weft run --actors auth,consent --nats nats://127.0.0.1:4222 --keys ./nats/keys\n" +
			"  weft run --gateway --nats nats://127.0.0.1:4222 --keys ./nats/keys --http :8080",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := configOf(cmd)
			if err != nil {
				return err
			}
			if len(names) == 0 && !withGateway {
				return usageError{errors.New("name actors with --actors, or --gateway, or use `weft up` for everything")}
			}
			if err := checkActors(names); err != nil {
				return err
			}
			overrideAddresses(cmd, &config)
			return run(cmd.Context(), config, names, withGateway, asJSON, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringSliceVar(&names, "actors", nil, "actors to run: auth, integration, workflow, consent, notification")
	cmd.Flags().BoolVar(&withGateway, "gateway", false, "run the HTTP gateway")
	cmd.Flags().String("nats", "", "URL of the NATS server (default nats://127.0.0.1:4222)")
	cmd.Flags().String("keys", "", "folder of the NATS users' seeds (default <data>/nats/keys)")
	cmd.Flags().String("data", "", "folder of what the actors keep (default weft-data)")
	cmd.Flags().String("http", "", "address of the gateway (default 127.0.0.1:8080)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the ready line as JSON")
	return cmd
}

func run(ctx context.Context, config Config, names []string, withGateway, asJSON bool, out io.Writer) error {
	start := time.Now()
	collectLess()
	p, err := newProcess(ctx, config, "run")
	if err != nil {
		return err
	}
	defer p.close()
	// Where setup's key is at hand, what is missing is made; elsewhere `weft migrate` has.
	if err := p.setup(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("setting up the mesh: %w", err)
	}
	port := gatewayMetricsPort
	if len(names) == 1 && !withGateway {
		port = actorTable[names[0]].port
	}
	line := readyLine{Ready: true, Version: version, NATS: config.NATS.URL, Data: config.Data}
	metrics, stopMetrics := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMetrics()
	if line.Metrics, err = p.serveMetrics(metrics, port); err != nil {
		return err
	}
	return p.serve(ctx, names, withGateway, func(http string) error {
		line.HTTP, line.TookMS = http, time.Since(start).Milliseconds()
		return printReady(out, line, asJSON)
	})
}
