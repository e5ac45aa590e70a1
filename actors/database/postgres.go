package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"
	"go.uber.org/zap"
)

// encryptionConnector connects as sslmode says: with prefer and allow it tries a second time, without or with TLS. The files of certificates
// are read for each connection, so that they can be replaced.
type encryptionConnector struct {
	// Connector names the driver; Connect does not use it.
	*pgdriver.Connector
	dsn postgresDSN
}

func (d postgresDSN) connector() encryptionConnector {
	return encryptionConnector{Connector: pgdriver.NewConnector(d.options(nil)...), dsn: d}
}

// Connect does not try again with what the server has refused for another reason: a password, or a database that does not exist.
func (c encryptionConnector) Connect(ctx context.Context) (driver.Conn, error) {
	attempts, err := c.dsn.encryption.attempts()
	if err != nil {
		return nil, fmt.Errorf("the connection string of PostgreSQL: %w", err)
	}
	var first error
	for _, encryption := range attempts {
		conn, err := pgdriver.NewConnector(c.dsn.options(encryption)...).Connect(ctx)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil || slices.Contains([]string{"28P01", "3D000"}, postgresState(err)) {
			break
		}
	}
	return nil, first
}

const (
	// pgIOTimeout bounds a statement whose context has no deadline.
	pgIOTimeout   = 30 * time.Second
	pgDialTimeout = 5 * time.Second
	// pgRetryMin and pgRetryMax bound the delay between attempts to connect.
	pgRetryMin = 100 * time.Millisecond
	pgRetryMax = 5 * time.Second
)

func openPostgres(ctx context.Context, cfg Config, log *zap.Logger) (*DB, error) {
	dsn, err := parsePostgres(cfg.URL, os.Getenv)
	if err != nil {
		return nil, err
	}
	schema := cfg.Schema
	if schema == "" {
		schema = dsn.schemaPrefix + cfg.Actor
	}
	if !actorName.MatchString(schema) {
		return nil, errors.New("invalid schema name: schema_prefix must consist of lower-case letters, digits and underscores")
	}
	if dsn.appName == "" {
		dsn.appName = "weft-" + cfg.Actor
	}
	log.Info("connecting to PostgreSQL", zap.String("address", dsn.addr),
		zap.String("database", dsn.database), zap.String("schema", schema), zap.String("sslmode", dsn.encryption.mode))
	if err := retryConnect(ctx, cfg.ConnectRetry, log, func() error { return dsn.makeSchema(ctx, schema) }); err != nil {
		return nil, err
	}
	pool, share := openPool(dsn, schema, cfg)
	db := &DB{dialect: DialectPostgres, schema: schema, share: share}
	db.release = func() error {
		share.leave()
		return nil
	}
	db.writer = bun.NewDB(pool, pgdialect.New())
	db.DB = bun.NewDB(pool, pgdialect.New(), bun.WithConnResolver(txResolver{db}))
	if err := db.Ping(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// makeSchema creates the schema if it does not exist. It checks first, because CREATE SCHEMA IF NOT EXISTS requires the right to
// create schemas even if the schema exists, and an operator may have created it for a role without that right.
func (d postgresDSN) makeSchema(ctx context.Context, schema string) error {
	pool := sql.OpenDB(d.connector())
	defer pool.Close()
	var exists bool
	err := pool.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&exists)
	if err != nil || exists {
		return err
	}
	_, err = pool.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS "`+schema+`"`)
	if IsUnique(err) || postgresState(err) == "42P06" { // duplicate_schema: another copy created it at the same time
		return nil
	}
	return err
}

// retryConnect repeats connect while the server is unavailable, for at most limit. A refusal (password, database, certificate)
// is returned at once.
func retryConnect(ctx context.Context, limit time.Duration, log *zap.Logger, connect func() error) error {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval, delays.Multiplier = pgRetryMin, pgRetryMax, 2
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = connect()
		if last != nil && !isUnavailable(last) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(delays), backoff.WithMaxElapsedTime(max(limit, 1)), backoff.WithNotify(func(err error, delay time.Duration) {
		log.Warn("PostgreSQL does not answer; retrying", zap.Error(err), zap.Duration("delay", delay))
	}))
	switch {
	case err == nil:
		return nil
	case errors.Is(last, err):
		return fmt.Errorf("connecting to PostgreSQL: %w", Classify(last))
	}
	return fmt.Errorf("connecting to PostgreSQL: %w: %w", err, Classify(last)) // ctx ended between two attempts
}
