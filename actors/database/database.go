package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/uptrace/bun"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

// The dialects of a DB, as DB.Dialect returns them and as migration files are suffixed.
const (
	DialectSQLite   = "sqlite"
	DialectPostgres = "postgres"
)

// Durability of acknowledged SQLite commits at a power failure. PostgreSQL has a setting of its own.
const (
	// DurabilityAlways syncs every commit (synchronous=FULL): none is lost.
	DurabilityAlways = "always"
	// DurabilityInterval leaves syncing to the operating system (synchronous=NORMAL): the last commits may be lost, but the
	// file is never corrupted.
	DurabilityInterval = "interval"
)

// Config is the location of an actor's database and the size of its connection pool.
type Config struct {
	// URL is empty for the SQLite file <DataDir>/<Actor>.db, `sqlite:PATH` or `file:PATH` for another file, or
	// a connection string of libpq for PostgreSQL: `postgres://user:password@host:port/database?…` or `host=… dbname=… …`.
	// Parameters: host, hostaddr, port, dbname, user (default postgres), password, sslmode (disable, allow, prefer, require,
	// verify-ca or verify-full; default verify-full, or disable on loopback and Unix sockets), sslrootcert, sslcert, sslkey,
	// application_name, connect_timeout in seconds, and schema_prefix (default "weft_"), which is weft's own. The variables
	// PGHOST, PGPASSWORD and so on give what the string does not. Any other parameter is an error.
	URL string
	// Actor names the file, the schema and the connection: lower-case letters, digits and underscores.
	Actor string
	// DataDir is the directory of the default file. It is created with mode 0700.
	DataDir string
	// Schema is the PostgreSQL schema; schema_prefix + Actor by default.
	Schema string
	// MaxOpen and MaxIdle bound the connections to PostgreSQL; 30 and 10 by default. On SQLite they bound the readers; there is one writer.
	MaxOpen, MaxIdle int
	// Connections are shared with the other databases on the same PostgreSQL that are opened with them; nil for connections of its own.
	Connections *Connections
	// IdleTime is how long connections to PostgreSQL beyond MaxIdle stay open without use; 1 minute by default.
	IdleTime time.Duration
	// CacheSize bounds the page cache of each connection to SQLite, in bytes, which Go's memory limit does not count; SQLite's own default
	// of 2000 KiB if it is 0.
	CacheSize int64
	// MaxLifetime bounds the age of a connection; 5 minutes by default.
	MaxLifetime time.Duration
	// Durability is DurabilityAlways by default.
	Durability string
	// ConnectRetry bounds how long Open tries to reach PostgreSQL; 1 minute by default. If it is negative, Open tries once.
	ConnectRetry time.Duration
	// Hook sees every statement that bun runs; nil: none. Tests judge the plans of the statements by it.
	Hook bun.QueryHook
}

// DB is one actor's database. The embedded bun.DB only reads: its statements see what is committed, and both dialects refuse
// its writes. RunInTx writes. A statement through DB with the context of an open transaction joins that transaction and sees
// its writes.
//
// On SQLite, readers have a pool and all writers share one connection. Writers queue in the process instead of polling for the
// file's lock, which is fairer and faster, and readers never wait for a writer (WAL).
type DB struct {
	*bun.DB
	writer   *bun.DB
	dialect  string
	schema   string
	instance string // see Instance
	release  func() error
	share    *share // of the connections to PostgreSQL
	// unregister removes the metrics of the pools.
	unregister []func()
	cached     cachedTables
	// turn orders the writers of SQLite, which share one connection: database/sql would give it to any of those that wait.
	turn *semaphore.Weighted
	// waiting is the number of transactions that wait to start; statements and transactions count those that were sent.
	waiting                  atomic.Int64
	statements, transactions atomic.Uint64
}

var actorName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// Open opens the database of cfg and waits until it answers. Migrate creates the tables.
//
// Errors: ErrInUse if this or another process has the SQLite file open; ErrUnavailable if PostgreSQL does not answer in time;
// any other error is a mistake in cfg. No error and no log line contains the URL's password.
func Open(ctx context.Context, cfg Config, log *zap.Logger) (*DB, error) {
	cfg = cfg.withDefaults()
	if !actorName.MatchString(cfg.Actor) {
		return nil, fmt.Errorf("opening database: invalid actor name %q, want lower-case letters, digits and underscores", cfg.Actor)
	}
	if cfg.Durability != DurabilityAlways && cfg.Durability != DurabilityInterval {
		return nil, fmt.Errorf("opening database: unknown durability %q, want %s or %s", cfg.Durability, DurabilityAlways,
			DurabilityInterval)
	}
	var db *DB
	var err error
	if isPostgres(cfg.URL) {
		db, err = openPostgres(ctx, cfg, log)
	} else {
		db, err = openSQLite(ctx, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("opening database of %s: %w", cfg.Actor, err)
	}
	db.instance = uuid.NewString()
	db.turn = semaphore.NewWeighted(1)
	db.DB, db.writer = db.DB.WithQueryHook(changeHook{db}), db.writer.WithQueryHook(changeHook{db})
	if cfg.Hook != nil {
		db.DB, db.writer = db.DB.WithQueryHook(cfg.Hook), db.writer.WithQueryHook(cfg.Hook)
	}
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
	if c.IdleTime <= 0 {
		c.IdleTime = time.Minute
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

// Register registers metrics until Close: weft_row_cache_*, on PostgreSQL weft_database_*, and on SQLite go_sql_* with the label db_name, which is
// the actor's name, for SQLite's readers with "-readers".
func (db *DB) Register(registry prometheus.Registerer, actor string) error {
	metrics := []prometheus.Collector{newDatabaseCollector(db, actor)}
	if db.share == nil {
		metrics = append(metrics, collectors.NewDBStatsCollector(db.writer.DB, actor), collectors.NewDBStatsCollector(db.DB.DB, actor+"-readers"))
	}
	for _, collector := range metrics {
		if err := registry.Register(collector); err != nil {
			return fmt.Errorf("registering the metrics of a database: %w", err)
		}
		db.unregister = append(db.unregister, func() { registry.Unregister(collector) })
	}
	return nil
}

// ConnectionStats returns the numbers of connections to PostgreSQL; on SQLite zeros.
func (db *DB) ConnectionStats() ConnectionStats {
	if db.share == nil {
		return ConnectionStats{}
	}
	return db.share.stats()
}

// Instance returns an identifier that is unique to this call of Open.
func (db *DB) Instance() string { return db.instance }

// Dialect returns DialectSQLite or DialectPostgres.
func (db *DB) Dialect() string { return db.dialect }

// Ping checks that the database answers. The error matches ErrUnavailable if it does not.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("pinging database: %w", Classify(err))
	}
	return nil
}

// BeginTx begins a read-only transaction, whose statements all see the same snapshot: the commits before its first statement,
// but not the writes of a transaction that ctx belongs to. RunInTx writes.
func (db *DB) BeginTx(ctx context.Context, _ *sql.TxOptions) (bun.Tx, error) {
	return db.DB.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
}

// Close closes every connection and releases the lock on the SQLite file.
func (db *DB) Close() error {
	for _, unregister := range db.unregister {
		unregister()
	}
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

// txResolver directs a statement through DB to the transaction of its context, if there is one.
type txResolver struct{ db *DB }

func (r txResolver) ResolveConn(ctx context.Context, _ bun.Query) bun.IConn {
	if o := r.db.transaction(ctx); o != nil {
		return o.tx.Tx
	}
	return nil
}

func (r txResolver) Close() error { return nil }
