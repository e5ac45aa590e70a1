package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

func migrateCommand() *cobra.Command {
	var names []string
	var databasesOnly bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Create or update streams, buckets, durables and database schemas",
		Long: "Brings a NATS server and the actors' databases to what this binary needs. It is idempotent and keeps what is stored. " +
			"It needs the NATS key of `setup`. `weft up` does the same at its start.",
		Example: "  weft migrate --nats nats://127.0.0.1:4222 --keys ./nats/keys\n" +
			"  WEFT_DATABASE_URL=postgres://… weft migrate --databases-only",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := configOf(cmd)
			if err != nil {
				return err
			}
			if err := checkActors(names); err != nil {
				return err
			}
			overrideAddresses(cmd, &config)
			return migrate(cmd.Context(), config, names, databasesOnly, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringSliceVar(&names, "actors", subjects.Actors(), "whose databases to migrate")
	cmd.Flags().BoolVar(&databasesOnly, "databases-only", false, "leave NATS alone")
	cmd.Flags().String("nats", "", "URL of the NATS server (default nats://127.0.0.1:4222)")
	cmd.Flags().String("keys", "", "folder of the NATS users' seeds (default <data>/nats/keys)")
	cmd.Flags().String("data", "", "folder of what the actors keep (default weft-data)")
	return cmd
}

func migrate(ctx context.Context, config Config, names []string, databasesOnly bool, out io.Writer) error {
	p, err := newProcess(ctx, config, "migrate")
	if err != nil {
		return err
	}
	defer p.close()
	if !databasesOnly {
		if err := p.setup(ctx); err != nil {
			return fmt.Errorf("setting up the mesh: %w", err)
		}
		if _, err := fmt.Fprintln(out, "NATS: streams, buckets and durables are there"); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := p.migrateDatabase(ctx, name); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s: the database is at this version's schema\n", name); err != nil {
			return err
		}
	}
	return nil
}

func (p *process) migrateDatabase(ctx context.Context, name string) error {
	db, err := actors.OpenDatabase(ctx, p.database(name), p.telemetry.Log)
	if err != nil {
		return fmt.Errorf("opening the database of %s: %w", name, err)
	}
	err = actors.Migrate(ctx, db, actorTable[name].migrations)
	if e := db.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("migrating the database of %s: %w", name, err)
	}
	return nil
}
