package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// Inspection is what Inspect has read of a PostgreSQL server and of one actor's schema in it.
type Inspection struct {
	// Version is server_version_num, such as 170002 for 17.2.
	Version int
	// Settings are the server's settings fsync, full_page_writes, synchronous_commit, server_encoding, max_connections and
	// superuser_reserved_connections, as text.
	Settings map[string]string
	// Schema is the name of the actor's schema, and Exists whether there is one.
	Schema string
	Exists bool
	// Pending is the number of migrations of this binary that are not applied; all of them if the schema does not exist.
	Pending int
	// Now is the server's clock, between Asked and Answered of this process.
	Now, Asked, Answered time.Time
}

// Inspect reads the settings of the PostgreSQL server of cfg and the state of the actor's schema over one connection. It creates and
// changes nothing and tries once. fsys has the actor's migrations, see Migrate.
//
// Errors: ErrSchemaNewer or ErrMigrationEdited, beside an Inspection that is complete but for Pending; any other error without an Inspection.
func Inspect(ctx context.Context, cfg Config, fsys fs.FS) (Inspection, error) {
	dsn, err := parsePostgres(cfg.URL, os.Getenv)
	if err != nil {
		return Inspection{}, err
	}
	found := Inspection{Settings: map[string]string{}, Schema: cfg.Schema}
	if found.Schema == "" {
		found.Schema = dsn.schemaPrefix + cfg.Actor
	}
	pool := sql.OpenDB(dsn.connector())
	defer pool.Close()
	pool.SetMaxOpenConns(1) // search_path, set below, is the connection's
	db := bun.NewDB(pool, pgdialect.New())
	if err := found.readServer(ctx, db); err != nil {
		return Inspection{}, err
	}
	have, err := readMigrations(sharedMigrations, sharedLine, DialectPostgres)
	if err != nil {
		return Inspection{}, fmt.Errorf("reading shared migrations: %w", err)
	}
	own, err := readMigrations(fsys, actorLine, DialectPostgres)
	if err != nil {
		return Inspection{}, fmt.Errorf("reading migrations: %w", err)
	}
	have = slices.Concat(have, own)
	found.Pending = len(have)
	if !found.Exists {
		return found, nil
	}
	if _, err := db.ExecContext(ctx, "SELECT set_config('search_path', ?, false)", found.Schema); err != nil {
		return Inspection{}, fmt.Errorf("setting search_path: %w", err)
	}
	applied, err := appliedMigrations(ctx, &DB{dialect: DialectPostgres}, db)
	if err != nil {
		return Inspection{}, err
	}
	pending, err := pendingMigrations(have, applied)
	if err != nil {
		return found, err
	}
	found.Pending = len(pending)
	return found, nil
}

// readServer reads the clock, the settings and whether the schema exists.
func (i *Inspection) readServer(ctx context.Context, db *bun.DB) error {
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	i.Asked = time.Now()
	var micros int64
	if err := db.QueryRowContext(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").Scan(&micros); err != nil {
		return fmt.Errorf("reading the clock: %w", err)
	}
	i.Now, i.Answered = time.UnixMicro(micros), time.Now()
	for _, name := range []string{
		"server_version_num", "fsync", "full_page_writes", "synchronous_commit", "server_encoding", "max_connections", "superuser_reserved_connections",
	} {
		var value string
		if err := db.QueryRowContext(ctx, "SELECT current_setting(?)", name).Scan(&value); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		i.Settings[name] = value
	}
	var err error
	if i.Version, err = strconv.Atoi(i.Settings["server_version_num"]); err != nil {
		return errors.New("server_version_num is not a number")
	}
	delete(i.Settings, "server_version_num")
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = ?)", i.Schema).Scan(&i.Exists); err != nil {
		return fmt.Errorf("looking up the schema: %w", err)
	}
	return nil
}
