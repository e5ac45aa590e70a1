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
			"processes may run the same actor or the gateway; they share the work. The server must run with the files that " +
			"`weft nats-init` writes, and `weft migrate` must have created its streams and buckets.",
		Example: "  weft run --actors auth,consent --nats nats://127.0.0.1:4222 --keys ./nats/keys\n" +
			"  weft run --gateway --nats nats://127.0.0.1:4222 --keys ./nats/keys --http :8080",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			if len(names) == 0 && !withGateway {
				return usageError{errors.New("nothing to run: name actors with --actors, or set --gateway; `weft up` runs everything")}
			}
			if err := checkActors(names); err != nil {
				return err
			}
			return run(cmd.Context(), config, names, withGateway, asJSON, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringSliceVar(&names, "actors", nil, "actors to run: auth, integration, workflow, consent, notification")
	cmd.Flags().BoolVar(&withGateway, "gateway", false, "run the HTTP gateway")
	addNATSFlags(cmd)
	addDataFlag(cmd)
	cmd.Flags().String("http", "", "address of the gateway (default 127.0.0.1:8080)")
	addJSONFlag(cmd, &asJSON)
	return cmd
}

func run(ctx context.Context, config Config, names []string, withGateway, asJSON bool, out io.Writer) error {
	start := time.Now()
	raiseGOGC()
	p, err := newProcess(ctx, config, "run")
	if err != nil {
		return err
	}
	defer p.close()
	// A process that has the key of the user setup migrates NATS itself; others rely on `weft migrate`.
	if err := p.setup(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("setting up the mesh: %w", err)
	}
	port := gatewayMetricsPort
	if len(names) == 1 && !withGateway {
		port = actorTable[names[0]].metricsPort
	}
	line := readyLine{Ready: true, Version: programVersion(), NATS: config.NATS.URL, Data: config.Data}
	metricsCtx, stopMetrics := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMetrics()
	if line.Metrics, err = p.serveMetrics(metricsCtx, port); err != nil {
		return err
	}
	return p.serve(ctx, names, withGateway, func(http string) error {
		line.HTTP, line.TookMS = http, time.Since(start).Milliseconds()
		return printReady(out, line, asJSON)
	})
}
