package database

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors/wait"
)

// connectionWait bounds the wait for a connection to PostgreSQL, also if the caller's deadline is later.
const connectionWait = 10 * time.Second

var errConnectionWait = fmt.Errorf("%w: no connection to PostgreSQL was free within %v", ErrUnavailable, connectionWait)

// Connections are the connections of a process to PostgreSQL. Databases that are opened with the same Connections and lie on the same server share
// them, whatever their schemas: together they have at most MaxOpen.
//
// A use that waits for a connection gets it in the order of arrival, within connectionWait. Half of the connections are divided among the databases, and
// each may always use its part: a handler that holds a transaction and calls another actor does not deadlock with others that do the same.
type Connections struct {
	mu    sync.Mutex
	pools map[poolKey]*pool
}

// NewConnections returns an empty set of connections.
func NewConnections() *Connections { return &Connections{pools: map[poolKey]*pool{}} }

// poolKey is what databases that share connections have in common.
type poolKey struct {
	network, address, user, password, database string
	encryption                                 postgresEncryption
	open, idle                                 int
	idleTime, lifetime                         time.Duration
}

// join returns the share of a database in the pool of its server.
func (c *Connections) join(key poolKey, actor string, session pgSession, connect func(context.Context) (*pgConn, error)) *share {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[key]
	if p == nil {
		p = &pool{maxOpen: key.open, maxIdle: min(key.idle, key.open), lifetime: key.lifetime, shares: map[*share]struct{}{}}
		var ctx context.Context
		ctx, p.end = context.WithCancel(context.Background())
		go func() { _ = wait.Every(ctx, key.idleTime, p.shrink) }()
		c.pools[key] = p
	}
	s := &share{pool: p, session: session, connect: connect, waited: newWaitHistogram(actor)}
	s.leave = sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if p.remove(s) {
			delete(c.pools, key)
		}
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares[s] = struct{}{}
	return s
}

func newWaitHistogram(actor string) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "weft_database_wait_seconds", Help: "Waits for a connection to PostgreSQL, by those that had to wait.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8), ConstLabels: prometheus.Labels{"db_name": actor},
	})
}

// pool has the connections to a server.
type pool struct {
	maxOpen, maxIdle int
	lifetime         time.Duration
	end              context.CancelFunc

	mu     sync.Mutex
	shares map[*share]struct{}
	// idle are the connections that nobody uses, the last used one last.
	idle []*pgConn
	// open is the number of connections, with those that are being made.
	open int
	// inUse is the number of connections that are used or being made; peak is its maximum since the last shrink.
	inUse, peak int
	waiting     []*waiter
	closed      bool
	// lostAt is when a connection was lost, in Unix nanoseconds.
	lostAt int64
}

// share is the part of a database in a pool.
type share struct {
	pool    *pool
	connect func(context.Context) (*pgConn, error)
	leave   func()
	session pgSession
	inUse   int // under the lock of pool
	waited  prometheus.Histogram
	// prepared counts the statements with arguments.
	prepared atomic.Uint64
}

type waiter struct {
	share *share
	// turn is closed when the waiter may use a connection.
	turn chan struct{}
}

// acquire returns a connection, after those that have asked before.
func (s *share) acquire(ctx context.Context) (*pgConn, error) {
	p := s.pool
	p.mu.Lock()
	if !p.hasEarlier(s) && p.fits(s) {
		p.admit(s)
		return p.take(ctx, s)
	}
	w := &waiter{s, make(chan struct{})}
	p.waiting = append(p.waiting, w)
	p.mu.Unlock()
	began := time.Now()
	err := wait.Until(ctx, w.turn, connectionWait)
	s.waited.Observe(time.Since(began).Seconds())
	p.mu.Lock()
	select {
	case <-w.turn:
		if err == nil {
			return p.take(ctx, s)
		}
		p.releaseSlot(s)
	default:
		p.waiting = slices.DeleteFunc(p.waiting, func(other *waiter) bool { return other == w })
		if err == nil {
			err = errConnectionWait
		}
	}
	p.mu.Unlock()
	return nil, err
}

// hasEarlier reports whether somebody waits who must be served before s.
func (p *pool) hasEarlier(s *share) bool {
	for _, w := range p.waiting {
		if w.share == s || p.fits(w.share) {
			return true
		}
	}
	return false
}

// fits reports whether s may use one connection more: every other share can still use its guaranteed part.
func (p *pool) fits(s *share) bool {
	if p.inUse >= p.maxOpen {
		return false
	}
	guaranteed := p.maxOpen / (2 * len(p.shares))
	if len(p.shares) == 1 || s.inUse < guaranteed {
		return true
	}
	reserved := 1
	for other := range p.shares {
		reserved += max(guaranteed, other.inUse)
	}
	return reserved <= p.maxOpen
}

func (p *pool) admit(s *share) {
	s.inUse++
	p.inUse++
	p.peak = max(p.peak, p.inUse)
}

// releaseSlot lets the next ones that wait use a connection.
func (p *pool) releaseSlot(s *share) {
	s.inUse--
	p.inUse--
	p.waiting = slices.DeleteFunc(p.waiting, func(w *waiter) bool {
		if !p.fits(w.share) {
			return false
		}
		p.admit(w.share)
		close(w.turn)
		return true
	})
}

// take returns a connection for an admitted use: an idle one of s, a new one up to maxIdle, an idle one of another share, or a new one. It is
// called with the lock of p, which it releases.
func (p *pool) take(ctx context.Context, s *share) (*pgConn, error) {
	n := len(p.idle) - 1
	for n >= 0 && p.idle[n].share != s {
		n--
	}
	if n < 0 && p.open >= p.maxIdle && len(p.idle) > 0 {
		n = 0 // the one that is idle for longest
	}
	if n >= 0 {
		conn := p.idle[n]
		p.idle = slices.Delete(p.idle, n, n+1)
		p.mu.Unlock()
		err := conn.use(ctx, s)
		if err == nil {
			return conn, nil
		}
		p.put(s, conn, false)
		return nil, err
	}
	p.open++
	p.mu.Unlock()
	conn, err := s.connect(ctx)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open--
		p.releaseSlot(s)
		return nil, err
	}
	return conn, nil
}

// put ends the use of a connection by s. One that cannot be used again is closed.
func (p *pool) put(s *share, conn *pgConn, usable bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if usable && !p.closed && p.isCurrent(conn) {
		p.idle = append(p.idle, conn)
	} else {
		p.open--
		defer func() { _ = conn.Conn.Close() }()
	}
	p.releaseSlot(s)
}

// isCurrent reports whether a connection may be used again: where one is lost, those that were made before are not, because a server that has
// restarted has lost them all.
func (p *pool) isCurrent(conn *pgConn) bool {
	return conn.IsValid() && conn.madeAt >= p.lostAt && time.Now().UnixNano()-conn.madeAt < int64(p.lifetime)
}

// lost records that a connection was lost.
func (p *pool) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lostAt = time.Now().UnixNano()
	p.closeIdle(func(conn *pgConn) bool { return p.isCurrent(conn) })
}

// closeIdle closes the idle connections that are not to be kept.
func (p *pool) closeIdle(keep func(*pgConn) bool) {
	p.idle = slices.DeleteFunc(p.idle, func(conn *pgConn) bool {
		if keep(conn) {
			return false
		}
		p.open--
		_ = conn.Conn.Close()
		return true
	})
}

// shrink closes the connections that were not needed since the last call, except maxIdle, and those that are too old.
func (p *pool) shrink() {
	p.mu.Lock()
	defer p.mu.Unlock()
	excess := p.open - max(p.maxIdle, p.peak)
	p.peak = p.inUse
	p.closeIdle(func(conn *pgConn) bool {
		excess--
		return excess < 0 && p.isCurrent(conn)
	})
}

// remove removes a share. It reports whether that was the last one; all connections are closed then.
func (p *pool) remove(s *share) (last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.shares, s)
	if len(p.shares) > 0 {
		return false
	}
	p.end()
	p.closed = true
	p.closeIdle(func(*pgConn) bool { return false })
	return true
}

// ConnectionStats are numbers of connections to PostgreSQL.
type ConnectionStats struct {
	// Open and Idle are those of all databases that share them.
	Open, Idle int
	// InUse are those that the database uses, and Waiting the uses that wait for one.
	InUse, Waiting int
}

func (s *share) stats() ConnectionStats {
	p := s.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := ConnectionStats{Open: p.open, Idle: len(p.idle), InUse: s.inUse}
	for _, w := range p.waiting {
		if w.share == s {
			stats.Waiting++
		}
	}
	return stats
}
