package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "What an operator does to the keys that secrets at rest are sealed with", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(keysRotateCommand())
	return cmd
}

// keysSettle is how long another process may still write what an older key has sealed: more than any call may take.
const keysSettle = 2 * time.Minute

func keysRotateCommand() *cobra.Command {
	var names []string
	var step bool
	var settle time.Duration
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Seal what actors keep with new keys, and retire the old ones",
		Long: "Adds a key to each actor's keyset file, has it seal from now on, seals again what older keys sealed, and takes these out of " +
			"the file once nothing is left that they sealed. It may be interrupted at any moment: run again, it goes on. It works " +
			"beside a running weft on PostgreSQL, whose processes follow the file; on SQLite while weft is stopped.\n\n" +
			"Where several machines have copies of the file, run it three times with --step (a key is added; it seals; the old one is " +
			"retired), and copy the file to the others after each.",
		Example: "  WEFT_DATABASE_URL=postgres://… weft keys rotate --actor integration\n  weft keys rotate --data /srv/weft",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := configOf(cmd)
			if err != nil {
				return err
			}
			if err := checkActors(names); err != nil {
				return err
			}
			overrideAddresses(cmd, &config)
			p, err := newProcess(cmd.Context(), config, "keys")
			if err != nil {
				return err
			}
			defer p.close()
			for _, name := range names {
				if err := p.rotateSealing(cmd.Context(), name, step, settle, cmd.OutOrStdout()); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&names, "actor", subjects.Actors(), "whose keys")
	cmd.Flags().BoolVar(&step, "step", false, "do the next step alone")
	cmd.Flags().DurationVar(&settle, "settle", keysSettle, "how long another process may still write what an older key has sealed")
	cmd.Flags().String("data", "", "weft's data folder (default weft-data)")
	return cmd
}

func (p *process) rotateSealing(ctx context.Context, name string, step bool, settle time.Duration, out io.Writer) (err error) {
	if err := p.migrateDatabase(ctx, name); err != nil {
		return err
	}
	db, err := actors.OpenDatabase(ctx, p.database(name), p.telemetry.Log)
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return actors.KeyRotation{
		DB: db, KeysetFile: p.keyset(name), Sealed: actorTable[name].sealed, Step: step, Settle: settle, Now: time.Now,
		Say: func(line string) { _, _ = fmt.Fprintf(out, "%s: %s\n", name, line) },
	}.Run(ctx)
}
