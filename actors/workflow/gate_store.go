package workflow

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/uptrace/bun"
)

// ticketRow is what SQL has of an execution with limits, as long as it counts.
type ticketRow struct {
	bun.BaseModel `bun:"table:execution_tickets"`

	ExecutionID string `bun:"execution_id,pk"`
	Lot         int    `bun:"lot"`
	UserID      string `bun:"user_id"`
	WorkflowID  string `bun:"workflow_id"`
	Priority    int    `bun:"priority"`
	Lane        string `bun:"lane"`
	Most        int    `bun:"most"`
	Pace        string `bun:"pace"`
	Rate        int    `bun:"rate"`
	Period      int64  `bun:"period"`
	CreatedAt   int64  `bun:"created_at"`
	// StartedAt is 0 while it waits.
	StartedAt int64 `bun:"started_at"`
	// CountsUntil is openEnd until the execution has ended, then the end of its pace's period.
	CountsUntil int64 `bun:"counts_until"`
}

// openEnd is later than any time.
const openEnd = math.MaxInt64

// row is what SQL is to have of a ticket.
func (t *ticket) row(lot int) ticketRow {
	row := ticketRow{
		ExecutionID: t.id, Lot: lot, UserID: t.user, WorkflowID: t.workflow, Priority: t.priority, Lane: t.Lane, Most: t.Most, Pace: t.Pace,
		Rate: t.Rate, Period: t.Period.Microseconds(), CreatedAt: t.created, StartedAt: t.started, CountsUntil: openEnd,
	}
	if t.stage == stageOver {
		row.CountsUntil = 0
		if t.Pace != "" && t.started > 0 {
			row.CountsUntil = t.started + row.Period
		}
	}
	return row
}

// ticket is the row's, not yet among those that are counted.
func (r ticketRow) ticket() *ticket {
	t := &ticket{
		terms: terms{Lane: r.Lane, Most: r.Most, Pace: r.Pace, Rate: r.Rate, Period: time.Duration(r.Period) * time.Microsecond},
		id:    r.ExecutionID, workflow: r.WorkflowID, user: r.UserID, priority: r.Priority, created: r.CreatedAt, started: r.StartedAt,
	}
	if r.CountsUntil != openEnd {
		t.stage = stageOver
	}
	return t
}

// ticketsOf reads what counts in a partition.
func ticketsOf(ctx context.Context, db bun.IDB, lot int, now time.Time) (rows []ticketRow, err error) {
	err = db.NewSelect().Model(&rows).Where("lot = ?", lot).Where("counts_until > ?", now.UnixMicro()).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what counts for limits: %w", err)
	}
	return rows, nil
}

// storeTickets writes what counts in a partition as it is now, and drops what does not any more.
func storeTickets(ctx context.Context, tx bun.Tx, lot int, rows []ticketRow, now time.Time) error {
	for len(rows) > 0 {
		part := rows[:min(len(rows), foldRows)]
		rows = rows[len(part):]
		_, err := tx.NewInsert().Model(&part).On("CONFLICT (execution_id) DO UPDATE").Set("started_at = EXCLUDED.started_at").
			Set("counts_until = EXCLUDED.counts_until").Returning("NULL").Exec(ctx)
		if err != nil {
			return fmt.Errorf("storing what counts for limits: %w", err)
		}
	}
	_, err := tx.NewDelete().Model((*ticketRow)(nil)).Where("lot = ?", lot).Where("counts_until <= ?", now.UnixMicro()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("dropping what counts no more: %w", err)
	}
	return nil
}
