package workflow

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// gatheringRow is what has come of the events that a schedule waits for together.
type gatheringRow struct {
	bun.BaseModel `bun:"table:correlations"`

	ID         string `bun:"id,pk"`
	ScheduleID string `bun:"schedule_id"`
	UserID     string `bun:"user_id"`
	// Terms are a digest of the schedule that it is for: a version with another one begins anew.
	Terms string `bun:"terms"`
	// State is a machine.Gathering.
	State string `bun:"state"`
	Depth int    `bun:"depth"`
	// Problem is why nothing can be started with it.
	Problem   string `bun:"problem"`
	Whole     bool   `bun:"whole"`
	CreatedAt int64  `bun:"created_at"`
}

// gatheredRow is an event that a schedule has: it is not taken again.
type gatheredRow struct {
	bun.BaseModel `bun:"table:correlated_events"`

	ScheduleID string `bun:"schedule_id,pk"`
	Event      string `bun:"event,pk"`
	UserID     string `bun:"user_id"`
	// Whole are the ids of the gatherings that it made whole.
	Whole      string `bun:"whole"`
	GatheredAt int64  `bun:"correlated_at"`
}

func (r gatheredRow) whole() []string { return strings.Fields(r.Whole) }

// holdSchedule keeps others from changing what a schedule gathers until the transaction ends.
func holdSchedule(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.NewUpdate().Model((*scheduleRow)(nil)).Set("revision = revision").Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("holding a schedule: %w", err)
	}
	return nil
}

// gatheringsOf reads what a schedule gathers, the oldest first.
func gatheringsOf(ctx context.Context, db bun.IDB, scheduleID string, whole bool, limit int) (rows []gatheringRow, err error) {
	err = db.NewSelect().Model(&rows).Where("schedule_id = ?", scheduleID).Where("whole = ?", whole).Order("created_at", "id").
		Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what a schedule gathers: %w", err)
	}
	return rows, nil
}

// gathered finds an event that a schedule has.
func gathered(ctx context.Context, db bun.IDB, row gatheredRow) (gatheredRow, bool, error) {
	err := db.NewSelect().Model(&row).WherePK().Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, false, nil
	}
	if err != nil {
		return row, false, fmt.Errorf("looking for an event: %w", err)
	}
	return row, true, nil
}

// keepGathered notes an event, and forgets those that were gathered before a time.
func keepGathered(ctx context.Context, tx bun.Tx, row gatheredRow, before time.Time) error {
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return fmt.Errorf("noting an event: %w", err)
	}
	_, err := tx.NewDelete().Model((*gatheredRow)(nil)).Where("schedule_id = ?", row.ScheduleID).
		Where("correlated_at < ?", before.UnixMicro()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("forgetting events: %w", err)
	}
	return nil
}

// keepGathering writes what has come.
func keepGathering(ctx context.Context, tx bun.Tx, row gatheringRow) error {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").Set("state = EXCLUDED.state").Set("depth = EXCLUDED.depth").
		Set("problem = EXCLUDED.problem").Set("whole = EXCLUDED.whole").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("keeping what a schedule gathers: %w", err)
	}
	return nil
}

// dropGathering forgets a gathering that has started its execution.
func dropGathering(ctx context.Context, tx bun.Tx, id string) error {
	if _, err := tx.NewDelete().Model((*gatheringRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("dropping a gathering: %w", err)
	}
	return nil
}

// dropStale forgets what a schedule gathered by other terms.
func dropStale(ctx context.Context, tx bun.Tx, scheduleID, terms string) error {
	_, err := tx.NewDelete().Model((*gatheringRow)(nil)).Where("schedule_id = ?", scheduleID).Where("terms <> ?", terms).
		Where("NOT whole").Exec(ctx)
	if err != nil {
		return fmt.Errorf("dropping what a schedule gathered: %w", err)
	}
	return nil
}

// dropGatherings forgets everything that a schedule gathers and has gathered.
func dropGatherings(ctx context.Context, tx bun.Tx, scheduleID string) error {
	for _, model := range []any{(*gatheringRow)(nil), (*gatheredRow)(nil)} {
		if _, err := tx.NewDelete().Model(model).Where("schedule_id = ?", scheduleID).Exec(ctx); err != nil {
			return fmt.Errorf("dropping what a schedule gathers: %w", err)
		}
	}
	return nil
}

// wakeSchedule has the loop of schedules look at one, even if it is looking just now.
func wakeSchedule(ctx context.Context, tx bun.Tx, id string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*scheduleRow)(nil)).Set("wake_at = ?", now.UnixMicro()).
		Set("revision = revision + 1").Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("waking a schedule: %w", err)
	}
	return nil
}
