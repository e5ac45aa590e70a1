package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/database"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// correlationRow holds the events collected so far for one execution of a schedule.
type correlationRow struct {
	bun.BaseModel `bun:"table:correlations"`

	ID         string `bun:"id,pk"`
	ScheduleID string `bun:"schedule_id"`
	UserID     string `bun:"user_id"`
	// Terms is the digest of the schedule that the events were collected for, see correlationTerms.
	Terms string `bun:"terms"`
	// State is JSON, see state. Bytes is its length.
	State string `bun:"state"`
	Bytes int64  `bun:"bytes"`
	// Depth, Root and Ancestors are those of the origin of the execution: of the event that more executions have led to than to the others.
	Depth     int    `bun:"depth"`
	Root      string `bun:"root"`
	Ancestors string `bun:"ancestors"`
	// Problem is why a complete correlation cannot start an execution; empty if it can.
	Problem   string `bun:"problem"`
	Complete  bool   `bun:"whole"`
	CreatedAt int64  `bun:"created_at"`
}

// cause is the origin of the execution, yet without kind and id.
func (r correlationRow) cause() engine.Origin {
	return engine.Origin{Depth: r.Depth, Root: r.Root, Ancestors: r.Ancestors}
}

// state decodes the collected events.
func (r correlationRow) state() (state machine.EventCorrelation, err error) {
	if err := json.Unmarshal([]byte(r.State), &state); err != nil {
		return state, fmt.Errorf("decoding correlation %s: %w", r.ID, err)
	}
	return state, nil
}

// correlatedEventRow records that a schedule has consumed an event.
type correlatedEventRow struct {
	bun.BaseModel `bun:"table:correlated_events"`

	ScheduleID string `bun:"schedule_id,pk"`
	// Event is a digest of the event's source and id.
	Event  string `bun:"event,pk"`
	UserID string `bun:"user_id"`
	// Complete has the ids of the correlations that the event completed, separated by spaces.
	Complete     string `bun:"whole"`
	CorrelatedAt int64  `bun:"correlated_at"`
}

func (r correlatedEventRow) complete() []string { return strings.Fields(r.Complete) }

// lockSchedule locks a schedule's row, and so its correlations, until the transaction ends.
func lockSchedule(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.NewUpdate().Model((*scheduleRow)(nil)).Set("revision = revision").Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("locking a schedule: %w", err)
	}
	return nil
}

// correlationsOf reads up to limit correlations of a schedule that are complete, or that are not, the oldest first.
func correlationsOf(ctx context.Context, db bun.IDB, scheduleID string, complete bool, limit int) (rows []correlationRow, err error) {
	err = db.NewSelect().Model(&rows).Where("schedule_id = ?", scheduleID).Where("whole = ?", complete).Order("created_at", "id").
		Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading correlations: %w", err)
	}
	return rows, nil
}

var errNoCorrelatedEvent = subjects.Errorf(subjects.CodeNotFound, "there is no such event")

// findCorrelatedEvent looks for an event that a schedule has consumed, by row's key.
func findCorrelatedEvent(ctx context.Context, db bun.IDB, row correlatedEventRow) (_ correlatedEventRow, found bool, err error) {
	err = database.OneRow(db.NewSelect().Model(&row).WherePK().Scan(ctx), "reading a correlated event", errNoCorrelatedEvent)
	if engine.IsNotFound(err) {
		return row, false, nil
	}
	return row, err == nil, err
}

// insertCorrelatedEvent records a consumed event, and deletes the schedule's records from before a time.
func insertCorrelatedEvent(ctx context.Context, tx bun.Tx, row correlatedEventRow, before time.Time) error {
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return fmt.Errorf("inserting a correlated event: %w", err)
	}
	_, err := tx.NewDelete().Model((*correlatedEventRow)(nil)).Where("schedule_id = ?", row.ScheduleID).
		Where("correlated_at < ?", before.UnixMicro()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting old correlated events: %w", err)
	}
	return nil
}

// putCorrelation inserts or updates a correlation.
func putCorrelation(ctx context.Context, tx bun.Tx, row correlationRow) error {
	row.Bytes = int64(len(row.State))
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").Set("state = EXCLUDED.state").Set("bytes = EXCLUDED.bytes").Set("depth = EXCLUDED.depth").
		Set("root = EXCLUDED.root").Set("ancestors = EXCLUDED.ancestors").
		Set("problem = EXCLUDED.problem").Set("whole = EXCLUDED.whole").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("storing a correlation: %w", err)
	}
	return nil
}

// deleteCorrelation deletes a correlation whose execution has started or was refused.
func deleteCorrelation(ctx context.Context, tx bun.Tx, id string) error {
	if _, err := tx.NewDelete().Model((*correlationRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a correlation: %w", err)
	}
	return nil
}

// deleteStaleCorrelations deletes a schedule's incomplete correlations under other terms.
func deleteStaleCorrelations(ctx context.Context, tx bun.Tx, scheduleID, terms string) error {
	_, err := tx.NewDelete().Model((*correlationRow)(nil)).Where("schedule_id = ?", scheduleID).Where("terms <> ?", terms).
		Where("NOT whole").Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting stale correlations: %w", err)
	}
	return nil
}

// deleteCorrelations deletes all correlations of a schedule and the events that it has consumed.
func deleteCorrelations(ctx context.Context, tx bun.Tx, scheduleID string) error {
	for _, model := range []any{(*correlationRow)(nil), (*correlatedEventRow)(nil)} {
		if _, err := tx.NewDelete().Model(model).Where("schedule_id = ?", scheduleID).Exec(ctx); err != nil {
			return fmt.Errorf("deleting correlations: %w", err)
		}
	}
	return nil
}

// wakeSchedule makes a schedule due for a scheduler pass, also if one is running.
func wakeSchedule(ctx context.Context, tx bun.Tx, id string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*scheduleRow)(nil)).Set("wake_at = ?", now.UnixMicro()).
		Set("revision = revision + 1").Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("waking a schedule: %w", err)
	}
	return nil
}
