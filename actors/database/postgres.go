package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"
	"go.uber.org/zap"
)

// pgConnector makes connections that only read unless a transaction of ours says otherwise.
type pgConnector struct{ *pgdriver.Connector }

func (c pgConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return pgConn{conn.(*pgdriver.Conn)}, nil
}

type pgConn struct{ *pgdriver.Conn }

// BeginTx states the access mode in the statement that begins, since the session's default is to read only.
func (c pgConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	begin := "BEGIN READ WRITE"
	if opts.ReadOnly {
		begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	}
	if _, err := c.ExecContext(ctx, begin, nil); err != nil {
		return nil, err
	}
	return pgTx{c.Conn}, nil
}

type pgTx struct{ conn *pgdriver.Conn }

// Commit fails when the server answers COMMIT with a rollback, as it does after a failed statement: a caller that
// swallowed that statement's error must not believe that its changes are in.
func (t pgTx) Commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), pgIOTimeout)
	defer cancel()
	if _, err := t.conn.ExecContext(ctx, "SELECT 1; COMMIT", nil); err != nil {
		return err
	}
	return nil
}

func (t pgTx) Rollback() error {
	_, err := t.conn.ExecContext(context.Background(), "ROLLBACK", nil)
	return err
}

const (
	pgIOTimeout   = 30 * time.Second // bounds a statement whose context has no deadline
	pgDialTimeout = 5 * time.Second
)

func openPostgres(ctx context.Context, cfg Config, log *zap.Logger) (*DB, error) {
	dsn, err := parsePostgresURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	schema := cfg.Schema
	if schema == "" {
		schema = dsn.schemaPrefix + cfg.Actor
	}
	if !actorName.MatchString(schema) {
		return nil, fmt.Errorf("schema name %q is not lower-case letters, digits and underscores", schema)
	}
	if dsn.appName == "" {
		dsn.appName = "weft-" + cfg.Actor
	}
	log.Info("connecting to PostgreSQL", zap.String("address", dsn.addr),
		zap.String("database", dsn.database), zap.String("schema", schema), zap.Bool("tls", dsn.tls != nil))
	if err := retryConnect(ctx, cfg.ConnectRetry, log, func() error { return dsn.makeSchema(ctx, schema) }); err != nil {
		return nil, err
	}
	pool := sql.OpenDB(pgConnector{pgdriver.NewConnector(dsn.options(map[string]any{
		"search_path": schema, "default_transaction_read_only": "on",
	})...)})
	pool.SetMaxOpenConns(cfg.MaxOpen)
	pool.SetMaxIdleConns(cfg.MaxIdle)
	pool.SetConnMaxLifetime(cfg.MaxLifetime)
	db := &DB{dialect: DialectPostgres, schema: schema}
	db.writer = bun.NewDB(pool, pgdialect.New())
	db.DB = bun.NewDB(pool, pgdialect.New(), bun.WithConnResolver(txResolver{db}))
	if err := db.Ping(ctx); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return db, nil
}

// makeSchema creates the schema where it is missing. It looks first: CREATE … IF NOT EXISTS asks for the right to
// create even when there is nothing to do, and an operator may have made the schema for a role without that right.
func (d postgresDSN) makeSchema(ctx context.Context, schema string) error {
	pool := sql.OpenDB(pgdriver.NewConnector(d.options(nil)...))
	defer pool.Close()
	var there bool
	err := pool.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = pool.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS "`+schema+`"`)
	if IsUnique(err) || postgresState(err) == "42P06" { // another copy made it in the same moment
		return nil
	}
	return err
}

// retryConnect repeats connect with exponential backoff while the server is away; a refusal (password, database,
// certificate) is not going to change and ends it at once.
func retryConnect(ctx context.Context, limit time.Duration, log *zap.Logger, connect func() error) error {
	deadline := time.Now().Add(limit)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := connect()
		if err == nil {
			return nil
		}
		if !isUnavailable(err) || ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("connecting to PostgreSQL: %w", Classify(err))
		}
		log.Warn("PostgreSQL does not answer, trying again", zap.Error(err), zap.Duration("wait", wait))
		if ctxErr := Backoff(ctx, wait); ctxErr != nil {
			return fmt.Errorf("connecting to PostgreSQL: %w: %w", ctxErr, Classify(err))
		}
	}
}
