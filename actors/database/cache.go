package database

import (
	"context"
	"sync"
	"time"
)

// MaxCacheAge bounds the age of a cached row on PostgreSQL, where other programs write too: psql, a restored backup, `weft keys rotate`. No
// process of the mesh hears of their changes.
const MaxCacheAge = 10 * time.Second

// RowCache answers reads of single rows of a table from memory until the table is changed. A read never returns less than what was committed
// before it began: a transaction that changes the table first empties the caches of it, in all processes, and while it has not ended nothing is
// cached that it changes (docs/adr/0016). Insertions change nothing that a cache can have.
//
// On SQLite this process is the only writer. On PostgreSQL reads are cached only if the DB has peers (SetPeers) and the row was read twice. Inside
// a transaction every read goes to the database.
//
// It suits a row that is read far more often than anything in its table is changed. The table must have a primary key id.
type RowCache[T any] struct {
	db    *DB
	table *cachedTable
	limit int

	mu sync.RWMutex
	// changes is the state of the table that rows belong to.
	changes uint64
	rows    map[string]cachedRow[T]
}

type cachedRow[T any] struct {
	row T
	// at is when it was read; zero on PostgreSQL for a row that was read once, and is not kept.
	at time.Time
}

// NewRowCache returns a cache of at most limit rows of a table. When it is full, it is emptied. It must be called before the table is written.
func NewRowCache[T any](db *DB, table string, limit int) *RowCache[T] {
	return &RowCache[T]{db: db, table: db.cached.add(table), limit: limit, rows: map[string]cachedRow[T]{}}
}

// Get returns the cached row with an id, or calls read, which must read that row, and caches its result. Errors are not cached.
func (c *RowCache[T]) Get(ctx context.Context, id string, read func(context.Context) (T, error)) (T, error) {
	changes, usable := c.db.cacheState(c.table)
	if !usable || c.db.transaction(ctx) != nil {
		return read(ctx)
	}
	c.mu.RLock()
	found, ok := c.rows[id]
	ok = ok && c.changes == changes
	c.mu.RUnlock()
	if ok && (c.db.dialect == DialectSQLite || time.Since(found.at) < MaxCacheAge) {
		c.table.hits.Add(1)
		return found.row, nil
	}
	c.table.misses.Add(1)
	if c.db.dialect == DialectPostgres && !ok { // most rows are not read again soon, and pay for no check
		c.put(id, cachedRow[T]{}, changes)
		return read(ctx)
	}
	at, settled := time.Now(), c.db.dialect == DialectSQLite || c.db.isSettled(ctx, c.table.name, id)
	row, err := read(ctx)
	if err == nil && settled {
		c.put(id, cachedRow[T]{row: row, at: at}, changes)
	}
	return row, err
}

// put caches a row that was read when the table was at changes.
func (c *RowCache[T]) put(id string, row cachedRow[T], changes uint64) {
	if now, usable := c.db.cacheState(c.table); !usable || now != changes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if changes < c.changes {
		return
	}
	if changes > c.changes || len(c.rows) >= c.limit {
		c.changes, c.rows = changes, map[string]cachedRow[T]{}
	}
	c.rows[id] = row
}

// isSettled reports whether no transaction that runs has changed or locked a row. What changes it after that empties the caches before it commits.
// PostgreSQL marks the version of a row that others still see with the transaction that has replaced it, in xmax. The mark may also be that of a
// transaction that has ended: it was rolled back, or had only locked the row.
func (db *DB) isSettled(ctx context.Context, table, id string) bool {
	var settled bool
	err := db.NewSelect().Table(table).
		ColumnExpr("xmax = '0'::xid OR age(xmax) > age(pg_snapshot_xmin(pg_current_snapshot())::xid)").
		Where("id = ?", id).Scan(ctx, &settled)
	return err == nil && settled
}
