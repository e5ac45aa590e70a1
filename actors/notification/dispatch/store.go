package dispatch

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// eventRow is an event; times are microseconds since the Unix epoch, here and in the other rows.
type eventRow struct {
	bun.BaseModel `bun:"table:webhook_events"`

	UserID    string `bun:",pk"`
	ID        string `bun:",pk"`
	Type      string
	At        int64
	CreatedAt int64
	Payload   []byte
}

type deliveryRow struct {
	bun.BaseModel `bun:"table:webhook_deliveries"`

	EndpointID string `bun:",pk"`
	ID         string `bun:",pk"`
	EventID    string
	UserID     string
	Type       string
	Ordering   string
	Status     string
	Attempts   int
	// Base is how many attempts were made before the last replay.
	Base          int
	NextAttemptAt int64
	CreatedAt     int64
	FinishedAt    int64
}

type attemptRow struct {
	bun.BaseModel `bun:"table:webhook_attempts"`

	DeliveryID string `bun:",pk"`
	ID         string `bun:",pk"`
	Number     int
	StartedAt  int64
	Duration   int64
	Status     int
	Error      string
	Answer     []byte
}

type store struct {
	db *database.DB
	// payload reads an event's payload on SQLite.
	payload *prepared
}

func newStore(db *database.DB) store { return store{db: db, payload: &prepared{}} }

// prepared is a statement that is prepared on first use.
type prepared struct {
	mu        sync.Mutex
	statement *sql.Stmt
}

func (p *prepared) get(ctx context.Context, db *database.DB, query string) (*sql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.statement == nil {
		statement, err := db.DB.DB.PrepareContext(ctx, query)
		if err != nil {
			return nil, err
		}
		p.statement = statement
	}
	return p.statement, nil
}

// index makes SQLite use an index, which it would not always choose without statistics. PostgreSQL chooses by the order.
func (s store) index(name string) bun.Safe {
	if s.db.Dialect() == database.DialectSQLite {
		return bun.Safe("INDEXED BY " + name)
	}
	return ""
}

// write runs fn in a transaction of its own.
func (s store) write(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	return s.db.RunDetached(ctx, fn)
}

// add stores an event and its deliveries, unless they exist. It returns the number of deliveries that were stored, or 0 if the event
// exists: its payload may be another one.
func (store) add(ctx context.Context, tx bun.Tx, event eventRow, deliveries []deliveryRow) (added int, err error) {
	stored, err := tx.NewInsert().Model(&event).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("storing an event: %w", err)
	}
	result, err := tx.NewInsert().Model(&deliveries).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("storing deliveries: %w", err)
	}
	isNew, err := stored.RowsAffected()
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(min(n, isNew*n)), err
}

// period restricts a query to rows created from since on and before until.
func period(q bun.QueryBuilder, since, until time.Time) {
	if !since.IsZero() {
		q.Where("created_at >= ?", since.UnixMicro())
	}
	if !until.IsZero() {
		q.Where("created_at < ?", until.UnixMicro())
	}
}

// list reads the deliveries that a query selects, newest first, after the delivery with the id after.
func (s store) list(ctx context.Context, q Query, after string, limit int) (rows []deliveryRow, err error) {
	query := s.db.NewSelect().Model(&rows).Where("endpoint_id = ?", q.EndpointID).OrderExpr("endpoint_id DESC, id DESC").Limit(int64(limit))
	if after != "" {
		query.Where("id < ?", after)
	}
	if q.Status != "" {
		query.Where("status = ?", q.Status)
	}
	if q.Type != "" {
		query.Where("type = ?", q.Type)
	}
	period(query.QueryBuilder(), q.Since, q.Until)
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	return rows, nil
}

// attempts reads the last attempts of some deliveries, newest first.
func (s store) attempts(ctx context.Context, deliveryIDs []string, each int) (rows []attemptRow, err error) {
	if len(deliveryIDs) == 0 {
		return nil, nil
	}
	ranked := s.db.NewSelect().Model((*attemptRow)(nil)).ColumnExpr("*").
		ColumnExpr("row_number() OVER (PARTITION BY delivery_id ORDER BY number DESC, id DESC) AS rank").
		Where("delivery_id IN (?)", bun.List(deliveryIDs))
	err = s.db.NewSelect().TableExpr("(?) AS ranked", ranked).
		Column("delivery_id", "id", "number", "started_at", "duration", "status", "error", "answer").Where("rank <= ?", each).
		OrderExpr("delivery_id, number DESC, id DESC").Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("reading attempts: %w", err)
	}
	return rows, nil
}

// replay makes the finished deliveries that a filter selects pending again, and returns their number.
func (store) replay(ctx context.Context, tx bun.Tx, endpointID string, f Filter, now time.Time) (int, error) {
	chosen := tx.NewSelect().Model((*deliveryRow)(nil)).Column("id").Where("endpoint_id = ?", endpointID).
		OrderExpr("endpoint_id, id").Limit(int64(f.Limit))
	if len(f.IDs) > 0 {
		chosen.Where("id IN (?)", bun.List(f.IDs)).Where("status IN (?)", bun.List([]string{StatusSucceeded, StatusFailed}))
	} else {
		chosen.Where("status = ?", f.Status)
		if f.Type != "" {
			chosen.Where("type = ?", f.Type)
		}
		period(chosen.QueryBuilder(), f.Since, f.Until)
	}
	result, err := tx.NewUpdate().Model((*deliveryRow)(nil)).Set("status = ?", StatusPending).Set("base = attempts").Set("finished_at = 0").
		Set("next_attempt_at = ?", now.UnixMicro()).Where("endpoint_id = ?", endpointID).Where("id IN (?)", chosen).
		Where("status IN (?)", bun.List([]string{StatusSucceeded, StatusFailed})).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("replaying deliveries: %w", err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// resume makes the oldest kept deliveries of an endpoint pending, at most limit, and returns their number.
func (store) resume(ctx context.Context, tx bun.Tx, endpointID string, now time.Time, limit int) (int, error) {
	kept := tx.NewSelect().Model((*deliveryRow)(nil)).Column("id").Where("endpoint_id = ?", endpointID).
		Where("status = 'kept'").OrderExpr("endpoint_id, id").Limit(int64(limit))
	result, err := tx.NewUpdate().Model((*deliveryRow)(nil)).Set("status = ?", StatusPending).Set("next_attempt_at = ?", now.UnixMicro()).
		Where("endpoint_id = ?", endpointID).Where("id IN (?)", kept).Where("status = 'kept'").Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("resuming deliveries: %w", err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// keep makes the pending deliveries of an endpoint kept, at most limit, and returns their number.
func (store) keep(ctx context.Context, tx bun.Tx, endpointID string, limit int) (int, error) {
	pending := tx.NewSelect().Model((*deliveryRow)(nil)).Column("id").Where("endpoint_id = ?", endpointID).
		Where("status = 'pending'").OrderExpr("endpoint_id, next_attempt_at, id").Limit(int64(limit))
	result, err := tx.NewUpdate().Model((*deliveryRow)(nil)).Set("status = ?", StatusKept).
		Where("endpoint_id = ?", endpointID).Where("id IN (?)", pending).Where("status = 'pending'").Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("keeping deliveries: %w", err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}
