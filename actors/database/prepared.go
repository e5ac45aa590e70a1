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

	mu        sync.Mutex
	statement *sql.Stmt
}

// NewPreparedRow returns the read of the row that query selects. query must use each of its args once and in order; there can be
// four at most.
func NewPreparedRow[T any](db *DB, query func(q *bun.SelectQuery, args ...any) *bun.SelectQuery) *PreparedRow[T] {
	return &PreparedRow[T]{db: db, query: query}
}

// Get reads the row for args. The error is sql.ErrNoRows if there is none.
func (p *PreparedRow[T]) Get(ctx context.Context, args ...any) (row T, err error) {
	if p.db.dialect == DialectPostgres && p.db.transaction(ctx) == nil {
		row, err = p.run(ctx, args)
		if state := postgresState(err); state != unknownStatement && state != stalePlan {
			return row, err
		}
	}
	err = p.query(p.db.NewSelect().Model(&row), args...).Scan(ctx)
	return row, err
}

// SQLSTATEs of a prepared statement that must be prepared again.
const (
	unknownStatement = "26000" // the server has deallocated it
	stalePlan        = "0A000" // the table's definition has changed
)

// run reads by the prepared statement. If PostgreSQL no longer accepts the statement, the next read prepares it again.
func (p *PreparedRow[T]) run(ctx context.Context, args []any) (row T, err error) {
	statement, err := p.prepared(ctx, len(args))
	if err != nil {
		return row, err
	}
	p.db.statements.Add(1)
	rows, err := statement.QueryContext(ctx, args...)
	if state := postgresState(err); state == unknownStatement || state == stalePlan {
		p.forget(statement)
	}
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

func (p *PreparedRow[T]) forget(statement *sql.Stmt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.statement == statement {
		p.statement = nil
		_ = statement.Close() // the server no longer has it
	}
}

// prepared returns the statement, which it makes on first use. database/sql prepares it on further connections by itself.
func (p *PreparedRow[T]) prepared(ctx context.Context, args int) (*sql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.statement != nil {
		return p.statement, nil
	}
	text := p.query(p.db.NewSelect().Model((*T)(nil)), placeholders[:args]...).String()
	statement, err := p.db.DB.DB.PrepareContext(ctx, text)
	if err == nil {
		p.statement = statement
	}
	return statement, err
}

var placeholders = []any{bun.Safe("$1"), bun.Safe("$2"), bun.Safe("$3"), bun.Safe("$4")}
