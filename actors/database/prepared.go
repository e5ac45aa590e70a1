package database

import (
	"context"
	"database/sql"
	"sync"

	"github.com/uptrace/bun"
)

// PreparedRow reads one row by a prepared statement, which PostgreSQL plans once per connection instead of at each read; such a
// read takes half as long. On SQLite and inside a transaction it is an ordinary read. Unlike a RowCache it keeps no row.
type PreparedRow[T any] struct {
	db    *DB
	query func(q *bun.SelectQuery, args ...any) *bun.SelectQuery

	once sync.Once
	text string
}

// NewPreparedRow returns the read of the row that query selects. query must use each of its args once and in order; there can be
// four at most.
func NewPreparedRow[T any](db *DB, query func(q *bun.SelectQuery, args ...any) *bun.SelectQuery) *PreparedRow[T] {
	return &PreparedRow[T]{db: db, query: query}
}

// Get reads the row for args. The error is sql.ErrNoRows if there is none.
func (p *PreparedRow[T]) Get(ctx context.Context, args ...any) (row T, err error) {
	if p.db.dialect == DialectPostgres && p.db.transaction(ctx) == nil {
		return p.run(ctx, args)
	}
	err = p.query(p.db.NewSelect().Model(&row), args...).Scan(ctx)
	return row, err
}

// run reads by the prepared statement.
func (p *PreparedRow[T]) run(ctx context.Context, args []any) (row T, err error) {
	p.once.Do(func() { p.text = p.query(p.db.NewSelect().Model((*T)(nil)), placeholders[:len(args)]...).String() })
	rows, err := p.db.DB.DB.QueryContext(ctx, p.text, args...)
	if err != nil {
		return row, err
	}
	defer rows.Close()
	if rows.Next() {
		err = p.db.ScanRow(ctx, rows, &row)
	} else if err = rows.Err(); err == nil {
		err = sql.ErrNoRows
	}
	return row, err
}

var placeholders = []any{bun.Safe("$1"), bun.Safe("$2"), bun.Safe("$3"), bun.Safe("$4")}
