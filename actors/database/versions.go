package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/uptrace/bun/driver/sqliteshim"
)

// Versions are the numbers of the last migration in each line of migrations: "weft" for the tables that all actors have, "actor" for the
// actor's own.
type Versions map[string]int

// KnownVersions returns the versions to which this binary migrates a database whose actor has the migrations of fsys.
func KnownVersions(fsys fs.FS) (Versions, error) {
	known := Versions{}
	for line, files := range map[string]fs.FS{sharedLine: sharedMigrations, actorLine: fsys} {
		migrations, err := readMigrations(files, line, DialectSQLite)
		if err != nil {
			return nil, fmt.Errorf("reading migrations: %w", err)
		}
		for _, m := range migrations {
			known[line] = max(known[line], m.Version)
		}
	}
	return known, nil
}

// Check returns ErrSchemaNewer if a database of these versions needs a newer binary than one that knows the given ones.
func (v Versions) Check(known Versions) error {
	for line, version := range v {
		if version > known[line] {
			return fmt.Errorf("%w: its version is %d (%s line), this binary's %d; use a newer weft", ErrSchemaNewer, version, line, known[line])
		}
	}
	return nil
}

const selectVersions = "SELECT line, max(version) FROM %sweft_migrations GROUP BY line"

func scanVersions(rows *sql.Rows) (Versions, error) {
	defer func() { _ = rows.Close() }()
	versions := Versions{}
	for rows.Next() {
		var line string
		var version int
		if err := rows.Scan(&line, &version); err != nil {
			return nil, fmt.Errorf("reading the versions of a schema: %w", err)
		}
		versions[line] = version
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the versions of a schema: %w", err)
	}
	return versions, nil
}

// Versions returns the versions of the schema of a frozen database.
func (f *Frozen) Versions(ctx context.Context, cfg Config) (Versions, error) {
	p := f.part(cfg.Actor)
	if p == nil || p.view == nil {
		return nil, fmt.Errorf("the database of %s is not frozen", cfg.Actor)
	}
	prefix := ""
	if p.path == "" {
		schema, err := schemaOf(cfg)
		if err != nil {
			return nil, err
		}
		prefix = `"` + strings.ReplaceAll(schema, `"`, `""`) + `".`
	}
	rows, err := p.view.QueryContext(ctx, fmt.Sprintf(selectVersions, prefix))
	if err != nil {
		return nil, fmt.Errorf("reading the versions of the schema of %s: %w", cfg.Actor, err)
	}
	return scanVersions(rows)
}

// schemaOf returns the PostgreSQL schema of an actor.
func schemaOf(cfg Config) (string, error) {
	if cfg.Schema != "" {
		return cfg.Schema, nil
	}
	dsn, err := parsePostgres(cfg.URL, os.Getenv)
	if err != nil {
		return "", err
	}
	return dsn.schemaPrefix + cfg.Actor, nil
}

// CheckFile reads a SQLite file that no process has open, checks its integrity (PRAGMA integrity_check) and returns the versions of its
// schema. It writes nothing.
func CheckFile(ctx context.Context, path string) (versions Versions, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("resolving the path of a database: %w", err)
	}
	query := url.Values{"mode": {"ro"}, "immutable": {"1"}, "_pragma": {"query_only(1)"}}
	pool, err := sql.Open(sqliteshim.ShimName, (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("opening a database: %w", err)
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	var verdict string
	if err := pool.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return nil, fmt.Errorf("checking a database: %w", err)
	}
	if verdict != "ok" {
		return nil, fmt.Errorf("checking a database: it is damaged: %s", verdict)
	}
	rows, err := pool.QueryContext(ctx, fmt.Sprintf(selectVersions, ""))
	if err != nil {
		return nil, fmt.Errorf("reading the versions of a schema: %w", err)
	}
	return scanVersions(rows)
}

// IsPostgreSQL reports whether a database URL is a connection string of PostgreSQL.
func IsPostgreSQL(url string) bool { return isPostgres(url) }
