package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"go.uber.org/zap"
)

// The dialects of a DB, as DB.Dialect tells them and as migration files are suffixed.
const (
	DialectSQLite   = "sqlite"
	DialectPostgres = "postgres"
)

// How much of an acknowledged SQLite commit survives a power failure. PostgreSQL has its own setting.
const (
	// DurabilityAlways syncs every commit (synchronous=FULL): none is lost.
	DurabilityAlways = "always"
	// DurabilityInterval leaves the sync to the operating system (synchronous=NORMAL): the last moments may be lost, the
	// file never damaged.
	DurabilityInterval = "interval"
)

// DatabaseConfig says where an actor's record lives.
type Config struct {
	// URL is empty for the SQLite file <DataDir>/<Actor>.db; `sqlite:PATH` or `file:PATH` for another file; or
	// `postgres://user:password@host:port/database?…`. PostgreSQL parameters: sslmode (disable, require, verify-ca,
	// verify-full; when absent verify-full, and disable on loopback and unix sockets), sslrootcert, sslcert, sslkey,
	// application_name, connect_timeout in seconds, schema_prefix (default "weft_"). Others are refused by name.
	URL string
	// Actor names the file, the schema and the connection: lower-case letters, digits and underscores.
	Actor string
	// DataDir is the folder of the default file; made with mode 0700 when absent.
	DataDir string
	// Schema is the PostgreSQL schema; empty means schema_prefix + Actor.
	Schema string
	// MaxOpen and MaxIdle bound the pool: 30 and 10 when zero. MaxLifetime of a connection: 5 minutes when zero. On
	// SQLite they bound the readers; there is always one writer.
	MaxOpen, MaxIdle int
	MaxLifetime      time.Duration
	// Durability is DurabilityAlways unless set.
	Durability string
	// ConnectRetry bounds how long OpenDatabase keeps trying to reach PostgreSQL: 1 minute when zero, once when
	// negative. ctx bounds it too.
	ConnectRetry time.Duration
}

// DB is one actor's database. The embedded bun.DB reads: its statements see what is committed, and on both dialects it
// refuses to write. RunInTx writes. A statement made through DB with the context of an open transaction joins it, so
// that it sees what the transaction wrote.
//
// On SQLite readers have a pool of their own and writers share one connection: writers queue in the process instead of
// polling for the file's lock, which is both fairer and faster, and readers never wait for them (WAL).
type DB struct {
	*bun.DB
	writer   *bun.DB
	dialect  string
	schema   string
	instance string // distinguishes this opening from every other one, as the owner of idempotency reservations
	release  func() error
	commits  atomic.Uint64 // see version
}

var actorName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// OpenDatabase opens the database that cfg names and waits until it answers. The schema's tables are Migrate's work.
//
// Errors: ErrDatabaseInUse when another process, or this one, has the SQLite file open; ErrUnavailable when PostgreSQL
// did not answer in time; anything else is a mistake in cfg. No error and no log line holds the URL's password.
func Open(ctx context.Context, cfg Config, log *zap.Logger) (*DB, error) {
	cfg = cfg.withDefaults()
	if !actorName.MatchString(cfg.Actor) {
		return nil, fmt.Errorf("opening database: actor name %q is not lower-case letters, digits and underscores", cfg.Actor)
	}
	if cfg.Durability != DurabilityAlways && cfg.Durability != DurabilityInterval {
		return nil, fmt.Errorf("opening database: durability %q is neither %s nor %s", cfg.Durability, DurabilityAlways,
			DurabilityInterval)
	}
	var db *DB
	var err error
	scheme, _, _ := strings.Cut(cfg.URL, ":")
	switch scheme {
	case "", "sqlite", "file":
		db, err = openSQLite(ctx, cfg)
	case "postgres", "postgresql":
		db, err = openPostgres(ctx, cfg, log)
	default:
		err = fmt.Errorf("scheme %q is none of sqlite, file, postgres", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("opening database of %s: %w", cfg.Actor, err)
	}
	db.instance = uuid.NewString()
	log.Info("database open", zap.String("dialect", db.dialect))
	return db, nil
}

func (c Config) withDefaults() Config {
	if c.MaxOpen == 0 {
		c.MaxOpen = 30
	}
	if c.MaxIdle == 0 {
		c.MaxIdle = 10
	}
	if c.MaxLifetime == 0 {
		c.MaxLifetime = 5 * time.Minute
	}
	if c.Durability == "" {
		c.Durability = DurabilityAlways
	}
	if c.ConnectRetry == 0 {
		c.ConnectRetry = time.Minute
	}
	return c
}

// Instance distinguishes this opening of the database from every other one.
func (db *DB) Instance() string { return db.instance }

// Dialect is DialectSQLite or DialectPostgres.
func (db *DB) Dialect() string { return db.dialect }

// Ping tells whether the database answers; its error matches ErrUnavailable when it does not.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("pinging database: %w", Classify(err))
	}
	return nil
}

// BeginTx opens a transaction that only reads, for several statements that must see the same moment: the last commit, and
// so nothing that a transaction around it has written. RunInTx writes.
func (db *DB) BeginTx(ctx context.Context, _ *sql.TxOptions) (bun.Tx, error) {
	return db.DB.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
}

// Close ends every connection and gives the SQLite file free for another process.
func (db *DB) Close() error {
	errs := []error{db.DB.Close()}
	if db.writer.DB != db.DB.DB {
		errs = append(errs, db.writer.Close())
	}
	if db.release != nil {
		errs = append(errs, db.release())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing database: %w", err)
	}
	return nil
}

// txResolver sends a statement made through DB into the transaction that its context belongs to, where there is one.
type txResolver struct{ db *DB }

func (r txResolver) ResolveConn(ctx context.Context, _ bun.Query) bun.IConn {
	if o := r.db.transaction(ctx); o != nil {
		return o.tx.Tx
	}
	return nil
}

func (r txResolver) Close() error { return nil }
