package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/mesh"
)

func runCommand() *cobra.Command {
	var names []string
	var withGateway, asJSON bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run some actors, or the gateway, against a NATS server",
		Long: "Runs the actors named with --actors, and the gateway with --gateway, against the NATS server at --nats. Any number of " +
			"processes may run the same actor or the gateway; they share the work. The server must run with the files that " +
			"`weft nats-init` writes, and `weft migrate` must have created its streams and buckets. This command changes neither: it logs " +
			"how they differ from what it expects, and continues.",
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
			return run(cmd.Context(), config, names, withGateway, consoleOf(cmd, asJSON))
		},
	}
	addActorsFlag(cmd, &names, nil, "actors to run")
	cmd.Flags().BoolVar(&withGateway, "gateway", false, "run the HTTP gateway")
	addNATSFlags(cmd)
	addDataFlag(cmd)
	cmd.Flags().String("http", "", "address of the gateway (default 127.0.0.1:8080)")
	addJSONFlag(cmd, &asJSON)
	return cmd
}

func run(ctx context.Context, config Config, names []string, withGateway bool, c console) error {
	start := time.Now()
	limit := tuneMemory()
	p, err := newProcess(ctx, config, "run", c.errs)
	if err != nil {
		return err
	}
	defer p.close()
	logMemory(p.telemetry.Log, limit)
	defer p.returnIdleMemory(ctx)()
	defer p.reloadAtHangup()()
	users := slices.Clone(names)
	if withGateway {
		users = append(users, mesh.UserGateway)
	}
	p.health.expect(users)
	reporting, stopReporting := context.WithCancel(ctx)
	reported := p.reportDifferences(reporting, users)
	defer func() { stopReporting(); <-reported }()
	line := readyLine{Ready: true, limits: config.limitsText(), Version: programVersion(), NATS: mesh.MaskURLs(config.NATS.URL), Data: config.Data}
	metricsCtx, stopMetrics := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMetrics()
	if line.Metrics, err = p.serveMetrics(metricsCtx, metricsPort(names, withGateway)); err != nil {
		return err
	}
	return p.serve(ctx, names, withGateway, func(http string) error {
		line.HTTP, line.TookMS = http, time.Since(start).Milliseconds()
		return printReady(c, line)
	})
}
