package database

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
)

// Peers are the processes that use a PostgreSQL database, this one included.
type Peers interface {
	// Live reports whether an Invalidate of any process waits for this one.
	Live() bool
	// Invalidate returns once every live process has called InvalidateTables with the names.
	Invalidate(ctx context.Context, tables []string) error
}

// SetPeers lets the caches of a PostgreSQL database keep rows. It must be called before the DB is used. The caller has the peers call
// InvalidateTables, and without names after this process was not live.
func (db *DB) SetPeers(p Peers) {
	if db.dialect == DialectPostgres {
		db.cached.peers = p
	}
}

// InvalidateTables empties the caches of some tables, or of all without names.
func (db *DB) InvalidateTables(names ...string) {
	db.cached.mu.RLock()
	defer db.cached.mu.RUnlock()
	for name, table := range db.cached.tables {
		if len(names) == 0 || slices.Contains(names, name) {
			table.changes.Add(1)
		}
	}
}

// invalidateTimeout bounds how long a transaction waits for the peers. It exceeds the lease of a process that does not answer.
const invalidateTimeout = 8 * time.Second

// cachedTables are the tables of a database that have a RowCache.
type cachedTables struct {
	// peers: without them nothing is cached on PostgreSQL.
	peers Peers

	mu     sync.RWMutex
	tables map[string]*cachedTable
}

type cachedTable struct {
	name string
	// changes counts the invalidations; committing, on SQLite, the transactions that have changed the table and are being committed.
	changes      atomic.Uint64
	committing   atomic.Int64
	hits, misses atomic.Uint64
}

func (c *cachedTables) add(name string) *cachedTable {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tables == nil {
		c.tables = map[string]*cachedTable{}
	}
	if c.tables[name] == nil {
		c.tables[name] = &cachedTable{name: name}
	}
	return c.tables[name]
}

// cacheState returns the number of invalidations of a table, and whether rows may be cached now.
func (db *DB) cacheState(table *cachedTable) (changes uint64, usable bool) {
	changes = table.changes.Load()
	if db.dialect == DialectSQLite { // no other process writes
		return changes, table.committing.Load() == 0
	}
	return changes, db.cached.peers != nil && db.cached.peers.Live()
}

// changedBy returns the tables that a statement may change rows of.
func (c *cachedTables) changedBy(e *bun.QueryEvent) (changed []*cachedTable) {
	var name string
	switch q := e.IQuery.(type) {
	case *bun.SelectQuery:
		return nil
	case *bun.InsertQuery:
		name = q.GetTableName()
	case *bun.UpdateQuery:
		name = q.GetTableName()
	case *bun.DeleteQuery:
		name = q.GetTableName()
	default:
		if strings.HasPrefix(strings.TrimSpace(e.Query), "SELECT") {
			return nil
		}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if name != "" {
		table := c.tables[strings.Trim(name, `"`)]
		if _, insertion := e.IQuery.(*bun.InsertQuery); table == nil || insertion && !strings.Contains(e.Query, "DO UPDATE") {
			return nil
		}
		return []*cachedTable{table}
	}
	for name, table := range c.tables {
		if strings.Contains(e.Query, name) {
			changed = append(changed, table)
		}
	}
	return changed
}

// changeHook counts statements, and records in each transaction which tables with a cache it changes.
type changeHook struct{ db *DB }

var errOutsideTx = errors.New("a table with a cache was changed without its transaction's context")

// BeforeQuery implements bun.QueryHook.
func (h changeHook) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	h.db.statements.Add(1)
	tables := h.db.cached.changedBy(e)
	if len(tables) == 0 {
		return ctx
	}
	o := h.db.transaction(ctx)
	if o == nil && e.DB != h.db.writer { // the readers refuse what changes anything
		return ctx
	}
	if o == nil { // the caches would not hear of it
		failed, cancel := context.WithCancelCause(ctx)
		cancel(errOutsideTx)
		return failed
	}
	for _, table := range tables {
		if !slices.Contains(o.changed, table) {
			o.changed = append(o.changed, table)
		}
	}
	return ctx
}

// AfterQuery implements bun.QueryHook.
func (changeHook) AfterQuery(context.Context, *bun.QueryEvent) {}

// beginCommit empties the caches of the tables that the transaction has changed. Until committed is called, or the transaction has ended, nothing
// is cached that it changes.
func (o *Transaction) beginCommit() (committed func(), err error) {
	if len(o.changed) == 0 {
		return func() {}, nil
	}
	if o.db.dialect == DialectSQLite {
		for _, table := range o.changed {
			table.committing.Add(1)
			table.changes.Add(1)
		}
		return func() {
			for _, table := range o.changed {
				table.changes.Add(1)
				table.committing.Add(-1)
			}
		}, nil
	}
	if o.db.cached.peers == nil {
		return func() {}, nil
	}
	names := make([]string, len(o.changed))
	for i, table := range o.changed {
		names[i] = table.name
	}
	ctx, cancel := context.WithTimeout(o.lifetime, invalidateTimeout)
	defer cancel()
	if err := o.db.cached.peers.Invalidate(ctx, names); err != nil {
		return nil, fmt.Errorf("%w: the caches of %s could not be emptied: %w", ErrUnavailable, strings.Join(names, ", "), err)
	}
	return func() {}, nil
}
