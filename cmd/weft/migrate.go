package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

func migrateCommand() *cobra.Command {
	var names []string
	var databasesOnly bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Create or update streams, buckets, durables and database schemas",
		Long: "Brings a NATS server and the actors' databases to what this version requires. It is idempotent and keeps stored data. " +
			"It needs the NATS key of the user `setup`. `weft up` migrates by itself when it starts.",
		Example: "  weft migrate --nats nats://127.0.0.1:4222 --keys ./nats/keys\n" +
			"  WEFT_DATABASE_URL=postgres://… weft migrate --databases-only",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			if err := checkActors(names); err != nil {
				return err
			}
			return migrate(cmd.Context(), config, names, databasesOnly, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringSliceVar(&names, "actors", subjects.Actors(), "actors whose databases to migrate")
	cmd.Flags().BoolVar(&databasesOnly, "databases-only", false, "migrate the databases only, not NATS")
	addNATSFlags(cmd)
	addDataFlag(cmd)
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
		if _, err := fmt.Fprintln(out, "NATS: streams, buckets and durables are up to date"); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := p.migrateDatabase(ctx, name); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s: the database schema is up to date\n", name); err != nil {
			return err
		}
	}
	return nil
}

func (p *process) migrateDatabase(ctx context.Context, name string) error {
	db, err := p.openDatabase(ctx, name)
	if err != nil {
		return err
	}
	return db.Close()
}

// openDatabase opens an actor's database and migrates its schema.
func (p *process) openDatabase(ctx context.Context, name string) (*database.DB, error) {
	db, err := database.Open(ctx, p.database(name), p.telemetry.Log)
	if err != nil {
		return nil, fmt.Errorf("opening the database of %s: %w", name, err)
	}
	if err := database.Migrate(ctx, db, actorTable[name].migrations); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("migrating the database of %s: %w", name, err)
	}
	return db, nil
}
