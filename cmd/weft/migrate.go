package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// defaultMigrateWait bounds how long `weft migrate` waits for NATS.
const defaultMigrateWait = 2 * time.Minute

func migrateCommand() *cobra.Command {
	var names []string
	var databasesOnly, streamsOnly bool
	var streams streamMigration
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Create or update streams, buckets, durables and database schemas",
		Long: "Brings a NATS server and the actors' databases to what this version requires, and prints what it changes. It is idempotent " +
			"and keeps stored data. It needs the NATS key of the user `migrate`; no other command changes streams, buckets and " +
			"durables, except that `weft up` creates the ones that its own server lacks.\n\n" +
			"What exists is raised and never lowered: replicas, limits and retention that exceed what this version or nats.replicas says " +
			"stay, unless --lower names the setting. The settings are " + strings.Join(mesh.LowerableSettings(), ", ") + ".\n\n" +
			"Exit codes: 0 nothing is left to do, 1 failure, 2 wrong usage, 3 (--dry-run only) a migration would change something.",
		Example: "  WEFT_NATS_REPLICAS=3 weft migrate --nats nats://127.0.0.1:4222 --keys ./nats/keys\n" +
			"  weft migrate --dry-run --keys ./nats/keys\n" +
			"  WEFT_NATS_REPLICAS=1 weft migrate --lower replicas --keys ./nats/keys\n" +
			"  WEFT_DATABASE_URL=postgres://… weft migrate --databases-only\n" +
			"  weft migrate --streams-only    # beside a running `weft up`",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			if databasesOnly && (streamsOnly || streams.dryRun) {
				return usageError{errors.New("--databases-only excludes --streams-only and --dry-run, which compares streams")}
			}
			if err := errors.Join(checkActors(names), streams.check()); err != nil {
				return err
			}
			if streamsOnly || streams.dryRun {
				names = nil
			}
			return migrate(cmd.Context(), config, names, databasesOnly, streams, consoleOf(cmd, false))
		},
	}
	flags := cmd.Flags()
	addActorsFlag(cmd, &names, subjects.Actors(), "actors whose databases to migrate")
	flags.BoolVar(&databasesOnly, "databases-only", false, "migrate the databases only, not NATS")
	flags.BoolVar(&streamsOnly, "streams-only", false, "migrate NATS only, not the databases")
	flags.BoolVar(&streams.dryRun, "dry-run", false, "print how NATS differs from what this version requires, and change nothing")
	flags.StringSliceVar(&streams.lower, "lower", nil, "settings that may be lowered, such as replicas,max_age")
	flags.DurationVar(&streams.wait, "wait", defaultMigrateWait, "how long to wait for NATS: for a connection, a meta leader, enough servers, copies")
	addNATSFlags(cmd)
	addDataFlag(cmd)
	return cmd
}

func migrate(ctx context.Context, config Config, names []string, databasesOnly bool, streams streamMigration, c console) error {
	p, err := newProcess(ctx, config, "migrate", c.errs)
	if err != nil {
		return err
	}
	defer p.close()
	if !databasesOnly {
		if err := p.migrateStreams(ctx, streams, c.out); err != nil {
			return fmt.Errorf("migrating NATS: %w", err)
		}
	}
	for _, name := range names {
		if err := p.migrateDatabase(ctx, name); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c.out, "%s: the database schema is up to date\n", name); err != nil {
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
