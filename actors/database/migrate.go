package database

import (
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

var (
	// ErrSchemaNewer means that a newer weft has migrated the database.
	ErrSchemaNewer = errors.New("database schema is newer than this binary")
	// ErrMigrationEdited means that a migration was edited, removed or inserted after later ones had been applied.
	ErrMigrationEdited = errors.New("applied migration differs from this binary's")
)

//go:embed migrations/*.sql
var sharedMigrations embed.FS

// Each database has two independent sequences of versions, called lines: the shared tables and the actor's own.
const (
	sharedLine = "weft"
	actorLine  = "actor"
)

// applied_at is in microseconds since the Unix epoch.
const createMigrationsTable = `CREATE TABLE IF NOT EXISTS weft_migrations (
	line TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL,
	PRIMARY KEY (line, version))`

// migration is a migration file or a row of weft_migrations.
type migration struct {
	bun.BaseModel `bun:"table:weft_migrations"`

	Line      string
	Version   int
	Name      string
	Checksum  string
	AppliedAt int64
	text      string
}

var migrationName = regexp.MustCompile(`^(\d{4})_([a-z0-9_]+)(?:\.(sqlite|postgres))?\.sql$`)

// Migrate applies the pending migrations to db: first those of the shared tables (outbox, idempotency), then the actor's files
// in the root of fsys or in a directory of it, named `0001_init.sql` for both dialects or `0001_init.sqlite.sql` and
// `0001_init.postgres.sql`. A version is applied once and must not be edited afterwards. All pending migrations are applied in
// one transaction. Copies of an actor that migrate at the same time wait for each other. If nothing is pending, nothing is
// written and the right to create tables is not needed. fsys may be nil.
//
// Errors: ErrSchemaNewer, ErrMigrationEdited, or the database's error about a file.
func Migrate(ctx context.Context, db *DB, fsys fs.FS) error {
	shared, err := readMigrations(sharedMigrations, sharedLine, db.dialect)
	if err != nil {
		return fmt.Errorf("reading shared migrations: %w", err)
	}
	var own []migration
	if fsys != nil {
		if own, err = readMigrations(fsys, actorLine, db.dialect); err != nil {
			return fmt.Errorf("reading migrations: %w", err)
		}
	}
	have := slices.Concat(shared, own)
	if applied, err := appliedMigrations(ctx, db, db.DB); err == nil {
		if pending, err := pendingMigrations(have, applied); err != nil || len(pending) == 0 {
			return err
		}
	} else if errors.Is(Classify(err), ErrUnavailable) {
		return fmt.Errorf("reading applied migrations: %w", Classify(err))
	}
	err = db.RunDetached(ctx, func(ctx context.Context, tx bun.Tx) error { return migrateTx(ctx, db, tx, have) })
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}

func migrateTx(ctx context.Context, db *DB, tx bun.Tx, have []migration) error {
	if db.dialect == DialectPostgres {
		if _, err := tx.Tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", db.AdvisoryKey("migrate")); err != nil {
			return fmt.Errorf("waiting for another migration: %w", err)
		}
	}
	if _, err := tx.Tx.ExecContext(ctx, createMigrationsTable); err != nil {
		return fmt.Errorf("creating table of migrations: %w", err)
	}
	applied, err := appliedMigrations(ctx, db, tx)
	if err != nil {
		return err
	}
	pending, err := pendingMigrations(have, applied)
	if err != nil {
		return err
	}
	for _, m := range pending {
		// bun would read a question mark in the file as a parameter, so the text goes to database/sql.
		if _, err := tx.Tx.ExecContext(ctx, m.text); err != nil {
			return fmt.Errorf("applying %s: %w", m.Name, err)
		}
		m.AppliedAt = time.Now().UnixMicro()
		if _, err := tx.NewInsert().Model(&m).Exec(ctx); err != nil {
			return fmt.Errorf("recording %s: %w", m.Name, err)
		}
	}
	return nil
}

func appliedMigrations(ctx context.Context, db *DB, conn bun.IDB) ([]migration, error) {
	catalogue := "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'weft_migrations'"
	if db.dialect == DialectPostgres {
		catalogue = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'weft_migrations'"
	}
	var tables int
	if err := conn.NewRaw(catalogue).Scan(ctx, &tables); err != nil {
		return nil, fmt.Errorf("looking up table of migrations: %w", err)
	}
	var applied []migration
	if tables == 0 {
		return nil, nil
	}
	if err := conn.NewSelect().Model(&applied).Order("line", "version").Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading applied migrations: %w", err)
	}
	return applied, nil
}

// pendingMigrations returns the migrations of have that have not been applied, in the order of have. A line can only be extended
// at its end.
func pendingMigrations(have, applied []migration) ([]migration, error) {
	type id struct {
		line    string
		version int
	}
	known, last := map[id]migration{}, map[string]int{}
	for _, m := range have {
		known[id{m.Line, m.Version}] = m
		last[m.Line] = max(last[m.Line], m.Version)
	}
	reached, done := map[string]int{}, map[id]bool{}
	for _, a := range applied {
		m, ok := known[id{a.Line, a.Version}]
		switch {
		case !ok && a.Version > last[a.Line]:
			return nil, fmt.Errorf("%w: %s (%s line) is applied and unknown to this binary; start a newer weft",
				ErrSchemaNewer, a.Name, a.Line)
		case !ok:
			return nil, fmt.Errorf("%w: %s (%s line) is missing", ErrMigrationEdited, a.Name, a.Line)
		case m.Checksum != a.Checksum:
			return nil, fmt.Errorf("%w: %s (%s line) was edited; add a new file instead", ErrMigrationEdited, m.Name, m.Line)
		}
		done[id{a.Line, a.Version}] = true
		reached[a.Line] = max(reached[a.Line], a.Version)
	}
	var pending []migration
	for _, m := range have {
		if done[id{m.Line, m.Version}] {
			continue
		}
		if m.Version < reached[m.Line] {
			return nil, fmt.Errorf("%w: %s (%s line) precedes %04d, which is already applied", ErrMigrationEdited,
				m.Name, m.Line, reached[m.Line])
		}
		pending = append(pending, m)
	}
	return pending, nil
}

// readMigrations returns the migrations of fsys for dialect, ordered by version. Every version needs a file for each dialect.
func readMigrations(fsys fs.FS, line, dialect string) ([]migration, error) {
	files, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, err
	}
	below, err := fs.Glob(fsys, "*/*.sql")
	if err != nil {
		return nil, err
	}
	var list []migration
	variants := map[int][]string{}
	for _, file := range append(files, below...) {
		parts := migrationName.FindStringSubmatch(path.Base(file))
		if parts == nil {
			return nil, fmt.Errorf("%s: name a migration like 0001_init.sql or 0001_init.sqlite.sql", file)
		}
		version, err := strconv.Atoi(parts[1])
		if err != nil {
			return nil, err
		}
		variants[version] = append(variants[version], parts[3])
		if parts[3] != "" && parts[3] != dialect {
			continue
		}
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		normal := strings.ReplaceAll(string(text), "\r\n", "\n")
		sum := sha256.Sum256([]byte(normal))
		list = append(list, migration{
			Line: line, Version: version, Name: path.Base(file), Checksum: hex.EncodeToString(sum[:]), text: normal,
		})
	}
	for version, found := range variants {
		slices.Sort(found)
		if !slices.Equal(found, []string{""}) && !slices.Equal(found, []string{DialectPostgres, DialectSQLite}) {
			return nil, fmt.Errorf("version %04d needs one file for both dialects or one for each", version)
		}
	}
	slices.SortFunc(list, func(a, b migration) int { return cmp.Compare(a.Version, b.Version) })
	return list, nil
}

// AdvisoryKey returns the key of a PostgreSQL advisory lock that is specific to a purpose and to the database's schema.
func (db *DB) AdvisoryKey(purpose string) int64 {
	sum := sha256.Sum256([]byte("weft\x00" + db.schema + "\x00" + purpose))
	var key uint64
	for _, b := range sum[:8] {
		key = key<<8 | uint64(b)
	}
	return int64(key)
}
