package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/mesh"
)

func natsBalanceCommand() *cobra.Command {
	var dryRun bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "nats-balance",
		Short: "Spread the leaders of streams and durables evenly over a cluster",
		Long: "After a server of a NATS cluster returns, it leads nothing: the others do all of the work. This command moves leaders, one after the other, " +
			"until no server leads two streams, or two durables, more than another, and prints each move. A move interrupts its stream for some tens of " +
			"milliseconds and loses nothing. Servers that lag behind get no leaders. It needs the NATS key of the user `migrate`.\n\n" +
			"Exit codes: 0 the leaders are spread evenly, 1 failure, 2 wrong usage, 3 (--dry-run only) there is something to move.",
		Example: "  weft nats-balance --dry-run --config cluster/weft.yaml\n  weft nats-balance --config cluster/weft.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait <= 0 {
				return usageError{fmt.Errorf("--wait: %s is not positive", wait)}
			}
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			p, err := newProcess(cmd.Context(), config, "nats-balance", cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer p.close()
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			return p.asMigrate(ctx, func(conn *mesh.Conn) error { return balance(ctx, conn, dryRun, cmd.OutOrStdout()) })
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be moved, and move nothing")
	cmd.Flags().DurationVar(&wait, "wait", defaultMigrateWait, "how long it may take in all")
	addNATSFlags(cmd)
	addDataFlag(cmd)
	return cmd
}

// balance moves leaders, or prints which ones it would move.
func balance(ctx context.Context, conn *mesh.Conn, dryRun bool, out io.Writer) error {
	say := func(waitingFor string) { _, _ = fmt.Fprintf(out, "waiting for %s\n", waitingFor) }
	b, err := mesh.PlanBalance(ctx, conn, say)
	if err != nil {
		return err
	}
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(out, format+"\n", args...)
		errs = append(errs, err)
	}
	if len(b.Leaders) < 2 {
		line("There is one server: nothing to balance")
		return errors.Join(errs...)
	}
	line("%s", b.Leaders)
	for _, lagging := range b.Lagging {
		line("lags behind: %s", lagging)
	}
	for _, m := range b.Moves {
		if dryRun {
			line("would move %s from %s to %s", m.Name(), m.From, m.To)
			continue
		}
		leader, err := m.Apply(ctx, conn.JS)
		if err != nil {
			return err
		}
		line("moved %s from %s to %s", m.Name(), m.From, leader)
	}
	switch {
	case len(b.Moves) == 0:
		line("The leaders are spread evenly")
	case dryRun:
		errs = append(errs, pendingError{fmt.Errorf("%d leaders would be moved", len(b.Moves))})
	default:
		if b, err = mesh.PlanBalance(ctx, conn, say); err != nil {
			return err
		}
		line("%s", b.Leaders)
	}
	return errors.Join(errs...)
}
