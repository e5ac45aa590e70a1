package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/weftmesh/weft/actors/wait"
)

// openPool opens the pool of connections to a schema. A connection that load has needed stays open for some time, see keepPoolSmall: a new
// one costs PostgreSQL a process and each of its statements a plan.
func openPool(dsn postgresDSN, schema string, cfg Config) (pool *sql.DB, use *poolUse) {
	use = &poolUse{}
	pool = sql.OpenDB(pgConnector{
		encryptionConnector: dsn.connector(),
		session:             `SET search_path TO "` + schema + `"; SET default_transaction_read_only TO on`,
		lostAt:              new(atomic.Int64),
		use:                 use,
	})
	pool.SetMaxOpenConns(cfg.MaxOpen)
	pool.SetMaxIdleConns(cfg.MaxOpen)
	pool.SetConnMaxLifetime(cfg.MaxLifetime)
	return pool, use
}

// poolUse counts the connections of a pool that are in use.
type poolUse struct {
	mu          sync.Mutex
	inUse, peak int
}

func (u *poolUse) change(by int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.inUse += by
	u.peak = max(u.peak, u.inUse)
}

// look returns the most connections that were in use at a time since the last call.
func (u *poolUse) look() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	peak := u.peak
	u.peak = u.inUse
	return peak
}

// keepPoolSmall closes the connections that were not needed for cfg.IdleTime, except cfg.MaxIdle, until the returned function is called.
func keepPoolSmall(pool *sql.DB, use *poolUse, cfg Config) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_ = wait.Every(ctx, cfg.IdleTime, func() {
			if stats, keep := pool.Stats(), max(cfg.MaxIdle, use.look()); stats.OpenConnections > keep {
				pool.SetMaxIdleConns(max(keep-stats.InUse, 1))
				pool.SetMaxIdleConns(cfg.MaxOpen)
			}
		})
	}()
	return func() error {
		cancel()
		return nil
	}
}

// pgConnector makes connections that are read-only outside a transaction of RunInTx.
type pgConnector struct {
	encryptionConnector
	// session are the statements that begin a session.
	session string
	// lostAt is when a connection was lost, in Unix nanoseconds.
	lostAt *atomic.Int64
	use    *poolUse
}

func (c pgConnector) Connect(ctx context.Context) (driver.Conn, error) {
	madeAt := time.Now().UnixNano()
	made, err := c.encryptionConnector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn := made.(*pgdriver.Conn)
	if _, err := conn.ExecContext(ctx, c.session, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.use.change(1)
	return &pgConn{conn, madeAt, c.lostAt, c.use, true}, nil
}

// pgConn is a connection. Where one is lost, those that were made before are not used again: a server that has restarted has lost them all.
type pgConn struct {
	*pgdriver.Conn
	madeAt int64
	lostAt *atomic.Int64
	use    *poolUse
	inUse  bool // database/sql uses a connection by one goroutine at a time
}

// ResetSession is called before the connection is used again.
func (c *pgConn) ResetSession(ctx context.Context) error {
	if c.madeAt < c.lostAt.Load() {
		return driver.ErrBadConn
	}
	c.setUse(true)
	return c.Conn.ResetSession(ctx)
}

// IsValid is called when the connection is returned to the pool.
func (c *pgConn) IsValid() bool {
	c.setUse(false)
	return c.Conn.IsValid()
}

func (c *pgConn) Close() error {
	c.setUse(false)
	return c.Conn.Close()
}

func (c *pgConn) setUse(inUse bool) {
	if c.inUse == inUse {
		return
	}
	if c.inUse = inUse; inUse {
		c.use.change(1)
	} else {
		c.use.change(-1)
	}
}

func (c *pgConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.Conn.ExecContext(ctx, query, args)
	return result, c.note(ctx, err)
}

func (c *pgConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.QueryContext(ctx, query, args)
	return rows, c.note(ctx, err)
}

// note records that the connection was lost, if err says so, and returns err. A statement that took too long says nothing of others.
func (c *pgConn) note(ctx context.Context, err error) error {
	var network net.Error
	tooLong := errors.As(err, &network) && network.Timeout()
	if err != nil && ctx.Err() == nil && isConnectionLost(err) && !tooLong {
		c.lostAt.Store(time.Now().UnixNano())
	}
	return err
}

// BeginTx sets the access mode explicitly, because the session's default is read-only.
func (c *pgConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
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

// Commit fails if an earlier statement of the transaction failed. PostgreSQL answers a bare COMMIT with a rollback and no error
// then; the preceding SELECT makes it an error, so that a caller who ignored the statement's error learns of the rollback.
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
