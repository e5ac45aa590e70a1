package database

import (
	"context"
	"sync"
)

// RowCache answers reads from memory for as long as nothing has been committed to the database since
// they were made, but by RunUncached. It works where this process is the only writer, and knows so: on SQLite, whose file
// one process holds. On PostgreSQL, and inside a transaction, every read goes to the database.
//
// It is for a row that is read far more often than anything is written.
type RowCache[T any] struct {
	db   *DB
	most int

	mu      sync.RWMutex
	version uint64
	rows    map[string]T
}

// NewRowCache makes a cache of at most so many rows; past that it starts anew.
func NewRowCache[T any](db *DB, most int) *RowCache[T] {
	return &RowCache[T]{db: db, most: most, rows: map[string]T{}}
}

// Get returns what read returned for key, or reads. Errors are not kept.
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
		c.keep(key, row, version)
	}
	return row, err
}

// keep remembers a row that was read when the database was at version.
func (c *RowCache[T]) keep(key string, row T, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if version < c.version {
		return
	}
	if version > c.version || len(c.rows) >= c.most {
		c.version, c.rows = version, map[string]T{}
	}
	c.rows[key] = row
}

// version counts this process's commits twice, before and after: it is odd while one is under way. quiet
// tells that none is, and that nobody else writes.
func (db *DB) version() (version uint64, quiet bool) {
	version = db.commits.Load()
	return version, db.dialect == DialectSQLite && version%2 == 0
}
