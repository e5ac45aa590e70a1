package database

import (
	"context"
	"sync"
)

// RowCache answers reads from memory until the next commit to the database. Commits of RunUncached do not count. It caches on
// SQLite only, where this process is the only writer; on PostgreSQL and inside a transaction every read goes to the database.
// A read never returns less than what was committed before it began.
//
// It suits a row that is read far more often than anything in the database is written.
type RowCache[T any] struct {
	db    *DB
	limit int

	mu      sync.RWMutex
	version uint64
	rows    map[string]T
}

// NewRowCache returns a cache of at most limit rows. When it is full, it is emptied.
func NewRowCache[T any](db *DB, limit int) *RowCache[T] {
	return &RowCache[T]{db: db, limit: limit, rows: map[string]T{}}
}

// Get returns the cached row of key, or calls read and caches its result. Errors are not cached.
func (c *RowCache[T]) Get(ctx context.Context, key string, read func(context.Context) (T, error)) (T, error) {
	version, quiet := c.db.version()
	if !quiet || c.db.transaction(ctx) != nil {
		return read(ctx)
	}
	c.mu.RLock()
	row, ok := c.rows[key]
	ok = ok && c.version == version
	c.mu.RUnlock()
	if ok {
		return row, nil
	}
	row, err := read(ctx)
	if err == nil {
		c.put(key, row, version)
	}
	return row, err
}

// put caches a row that was read when the database was at version.
func (c *RowCache[T]) put(key string, row T, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if version < c.version {
		return
	}
	if version > c.version || len(c.rows) >= c.limit {
		c.version, c.rows = version, map[string]T{}
	}
	c.rows[key] = row
}

// version counts this process's commits. Each counts twice, when it starts and when it ends, so that the version is odd during
// a commit. quiet reports that no commit is running and that no other process can write.
func (db *DB) version() (version uint64, quiet bool) {
	version = db.commits.Load()
	return version, db.dialect == DialectSQLite && version%2 == 0
}
