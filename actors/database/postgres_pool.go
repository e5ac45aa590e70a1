package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/uptrace/bun/driver/pgdriver"
)

// openPool opens the pool of connections to a schema. database/sql keeps none: it gives a connection that becomes free to any of those that
// wait, and each of its pools has connections of its own. It gets one from the share for each use.
func openPool(dsn postgresDSN, schema string, cfg Config) (*sql.DB, *share) {
	c := cfg.Connections
	if c == nil {
		c = NewConnections()
	}
	session := pgSession{schema: schema, name: dsn.appName}
	connector := dsn.connector()
	var s *share
	s = c.join(poolKey{
		network: dsn.network, address: dsn.addr, user: dsn.user, password: dsn.password, database: dsn.database, encryption: dsn.encryption,
		open: cfg.MaxOpen, idle: cfg.MaxIdle, idleTime: cfg.IdleTime, lifetime: cfg.MaxLifetime,
	}, cfg.Actor, session, func(ctx context.Context) (*pgConn, error) { return connectTo(ctx, connector, session, s) })
	pool := sql.OpenDB(pgConnector{connector, s})
	pool.SetMaxIdleConns(-1)
	return pool, s
}

// pgSession is what a connection is set to for a database.
type pgSession struct{ schema, name string }

func (s pgSession) set() string {
	return `SET search_path TO "` + s.schema + `"; SET application_name TO '` + strings.ReplaceAll(s.name, "'", "''") + "'"
}

// connectTo makes a connection that is read-only outside a transaction of RunInTx.
func connectTo(ctx context.Context, connector encryptionConnector, session pgSession, s *share) (*pgConn, error) {
	madeAt := time.Now().UnixNano()
	made, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn := made.(*pgdriver.Conn)
	if _, err := conn.ExecContext(ctx, session.set()+"; SET default_transaction_read_only TO on", nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &pgConn{Conn: conn, madeAt: madeAt, share: s}, nil
}

// pgConnector gives database/sql connections of a share.
type pgConnector struct {
	encryptionConnector
	share *share
}

func (c pgConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.share.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &pgLease{pgConn: conn, share: c.share}, nil
}

// pgConn is a connection. One goroutine uses it at a time.
type pgConn struct {
	*pgdriver.Conn
	madeAt int64
	// share is the one that has used it last, whose session it has.
	share *share
	// prepared are the statements that the server has prepared.
	prepared map[preparedKey]driver.Stmt
}

// preparedKey is a statement and the schema that it was prepared for.
type preparedKey struct{ schema, text string }

// maxPrepared bounds the prepared statements of a connection.
const maxPrepared = 128

// use gives the connection the session of s.
func (c *pgConn) use(ctx context.Context, s *share) error {
	if c.share == s {
		return nil
	}
	previous := c.share.session
	if c.share = s; previous == s.session {
		return nil
	}
	_, err := c.ExecContext(ctx, s.session.set(), nil)
	if err != nil {
		_ = c.Conn.Close()
	}
	return err
}

// pgLease is a use of a connection.
type pgLease struct {
	*pgConn
	share  *share
	open   bool // a transaction
	closed bool
}

// Close ends the use.
func (l *pgLease) Close() error {
	if !l.closed {
		l.closed = true
		l.share.pool.put(l.share, l.pgConn, !l.open)
	}
	return nil
}

// ExecContext prepares a statement with arguments once per connection.
func (l *pgLease) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	if len(args) == 0 {
		result, err = l.Conn.ExecContext(ctx, query, nil)
	} else {
		err = l.withPrepared(ctx, query, func(s driver.Stmt) (err error) {
			result, err = s.(driver.StmtExecContext).ExecContext(ctx, args)
			return err
		})
	}
	return result, l.note(ctx, err)
}

// QueryContext prepares a statement with arguments once per connection.
func (l *pgLease) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	if len(args) == 0 {
		rows, err = l.Conn.QueryContext(ctx, query, nil)
	} else {
		err = l.withPrepared(ctx, query, func(s driver.Stmt) (err error) {
			rows, err = s.(driver.StmtQueryContext).QueryContext(ctx, args)
			return err
		})
	}
	return rows, l.note(ctx, err)
}

// SQLSTATEs of a prepared statement that must be prepared again.
const (
	unknownStatement = "26000" // the server has deallocated it
	stalePlan        = "0A000" // the table's definition has changed
)

// withPrepared runs a prepared statement. If the server no longer accepts it, it is prepared again, at once unless a transaction is open, which
// the error has ended.
func (l *pgLease) withPrepared(ctx context.Context, query string, run func(driver.Stmt) error) error {
	l.share.prepared.Add(1)
	key := preparedKey{l.share.session.schema, query}
	for {
		statement, old := l.prepared[key]
		if !old {
			var err error
			if statement, err = l.Conn.PrepareContext(ctx, query); err != nil {
				return err
			}
			if l.prepared == nil || len(l.prepared) >= maxPrepared {
				for _, s := range l.prepared {
					_ = s.Close()
				}
				l.prepared = map[preparedKey]driver.Stmt{}
			}
			l.prepared[key] = statement
		}
		err := run(statement)
		if state := postgresState(err); state != unknownStatement && state != stalePlan {
			return err
		}
		delete(l.prepared, key)
		_ = statement.Close()
		if !old || l.open {
			return err
		}
	}
}

// note records that the connection was lost, if err says so, and returns err. A statement that took too long says nothing of others.
func (l *pgLease) note(ctx context.Context, err error) error {
	var network net.Error
	tooLong := errors.As(err, &network) && network.Timeout()
	if err != nil && ctx.Err() == nil && isConnectionLost(err) && !tooLong {
		l.share.pool.lost()
	}
	return err
}

// writersLock is the key of the advisory lock that each transaction that writes shares, and that Freeze takes alone: it then waits for all of them, and
// those that begin later wait for it, holding no other lock. It is one for all schemas.
const writersLock = 0x77656674626b7570

// beginWriting is one message to the server.
var beginWriting = fmt.Sprintf("BEGIN READ WRITE; SELECT pg_advisory_xact_lock_shared(%d)", writersLock)

// BeginTx sets the access mode explicitly, because the session's default is read-only.
func (l *pgLease) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	begin := beginWriting
	if opts.ReadOnly {
		begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	}
	if _, err := l.ExecContext(ctx, begin, nil); err != nil {
		return nil, err
	}
	l.open = true
	return pgTx{l}, nil
}

type pgTx struct{ lease *pgLease }

// Commit fails if an earlier statement of the transaction failed. PostgreSQL answers a bare COMMIT with a rollback and no error
// then; the preceding SELECT makes it an error, so that a caller who ignored the statement's error learns of the rollback.
func (t pgTx) Commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), pgIOTimeout)
	defer cancel()
	return t.end(ctx, "SELECT 1; COMMIT")
}

func (t pgTx) Rollback() error { return t.end(context.Background(), "ROLLBACK") }

// end ends the transaction. A connection on which that fails is not used again.
func (t pgTx) end(ctx context.Context, statement string) error {
	_, err := t.lease.Conn.ExecContext(ctx, statement, nil)
	t.lease.open = err != nil
	return err
}
