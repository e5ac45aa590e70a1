package database

import (
	"context"
	"database/sql"
	"sync"

	"github.com/uptrace/bun"
)

// PreparedRow is a read of one row that is made so often that PostgreSQL plans it once for each of its connections instead
// of each time: it then takes half as long. On SQLite, and inside a transaction, it is an ordinary read.
//
// It is never behind: unlike a RowCache it keeps no row.
type PreparedRow[T any] struct {
	db    *DB
	query func(q *bun.SelectQuery, args ...any) *bun.SelectQuery

	mu        sync.Mutex
	statement *sql.Stmt
}

// NewPreparedRow makes the read; query adds to a select what the row must be, by args, at most four, each of
// them once and in their order.
func NewPreparedRow[T any](db *DB, query func(q *bun.SelectQuery, args ...any) *bun.SelectQuery) *PreparedRow[T] {
	return &PreparedRow[T]{db: db, query: query}
}

// Get reads the row that args name; sql.ErrNoRows where there is none.
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

// What PostgreSQL says of a statement that it has forgotten, or whose table is another by now.
const (
	unknownStatement = "26000"
	stalePlan        = "0A000"
)

// run reads by the prepared statement, and has it be prepared anew the next time where PostgreSQL does not know it any more.
func (p *PreparedRow[T]) run(ctx context.Context, args []any) (row T, err error) {
	statement, err := p.prepared(ctx, len(args))
	if err != nil {
		return row, err
	}
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
		_ = statement.Close() // it is gone already
	}
}

// prepared is the statement, made when it is first needed. It prepares itself anew on connections to come.
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
