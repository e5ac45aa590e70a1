package engine

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/workflow/definition"
)

// LimitRow is an execution that counts against its workflow's limits.
type LimitRow struct {
	bun.BaseModel `bun:"table:execution_limits"`

	ExecutionID    string `bun:"execution_id,pk"`
	Partition      int    `bun:"partition"`
	UserID         string `bun:"user_id"`
	WorkflowID     string `bun:"workflow_id"`
	Priority       int    `bun:"priority"`
	ConcurrencyKey string `bun:"concurrency_key"`
	MaxConcurrent  int    `bun:"max_concurrent"`
	RateKey        string `bun:"rate_key"`
	Rate           int    `bun:"rate"`
	Period         int64  `bun:"period"`
	CreatedAt      int64  `bun:"created_at"`
	// StartedAt is 0 while it waits.
	StartedAt int64 `bun:"started_at"`
	// CountsUntil is noEnd until the execution has ended, and then the end of its rate limit's period.
	CountsUntil int64 `bun:"counts_until"`
}

// noEnd is later than any time.
const noEnd = math.MaxInt64

// row is the waiter as SQL has it.
func (w *waiter) row(number int) LimitRow {
	row := LimitRow{
		ExecutionID: w.id, Partition: number, UserID: w.user, WorkflowID: w.workflow, Priority: w.priority,
		ConcurrencyKey: w.ConcurrencyKey, MaxConcurrent: w.MaxConcurrent, RateKey: w.RateKey,
		Rate: w.Rate, Period: w.Period.Microseconds(), CreatedAt: w.created, StartedAt: w.started, CountsUntil: noEnd,
	}
	if w.stage == stageEnded {
		row.CountsUntil = 0
		if w.RateKey != "" && w.started > 0 {
			row.CountsUntil = w.started + row.Period
		}
	}
	return row
}

// waiter is the row's waiter, which is not counted yet.
func (r LimitRow) waiter() *waiter {
	w := &waiter{
		Limits: definition.Limits{
			ConcurrencyKey: r.ConcurrencyKey, MaxConcurrent: r.MaxConcurrent, RateKey: r.RateKey, Rate: r.Rate,
			Period: time.Duration(r.Period) * time.Microsecond,
		},
		id: r.ExecutionID, workflow: r.WorkflowID, user: r.UserID, priority: r.Priority, created: r.CreatedAt, started: r.StartedAt,
	}
	if r.CountsUntil != noEnd {
		w.stage = stageEnded
	}
	return w
}

// limitRows reads what counts in a partition.
func limitRows(ctx context.Context, db bun.IDB, number int, now time.Time) (rows []LimitRow, err error) {
	err = db.NewSelect().Model(&rows).Where("partition = ?", number).Where("counts_until > ?", now.UnixMicro()).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what counts against limits: %w", err)
	}
	return rows, nil
}

// storeLimitRows writes what counts in a partition, and deletes what does not any more.
func storeLimitRows(ctx context.Context, tx bun.Tx, number int, rows []LimitRow, now time.Time) error {
	for len(rows) > 0 {
		part := rows[:min(len(rows), rowsPerStatement)]
		rows = rows[len(part):]
		_, err := tx.NewInsert().Model(&part).On("CONFLICT (execution_id) DO UPDATE").Set("started_at = EXCLUDED.started_at").
			Set("counts_until = EXCLUDED.counts_until").Returning("NULL").Exec(ctx)
		if err != nil {
			return fmt.Errorf("storing what counts against limits: %w", err)
		}
	}
	_, err := tx.NewDelete().Model((*LimitRow)(nil)).Where("partition = ?", number).Where("counts_until <= ?", now.UnixMicro()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting what counts no more: %w", err)
	}
	return nil
}
