package engine

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh/compute"
)

const (
	// maxRunEvents and maxRunBytes bound a run of events in SQL: what a page of a history reads at least. A single event may be
	// larger.
	maxRunEvents = 250
	maxRunBytes  = 256 << 10
	// minReadRuns and maxReadRuns bound the runs of one query.
	minReadRuns = 2
	maxReadRuns = 16
)

// splitRuns splits new events of an execution, the first of which has the sequence first, into runs. The same events are split in
// the same way when more follow, so that a projection which is repeated with more replaces the runs that it wrote.
func splitRuns(executionID string, first int64, events []json.RawMessage) (runs []HistoryRow) {
	for len(events) > 0 {
		count, size := 0, 0
		for count < min(len(events), maxRunEvents) && (count == 0 || size+len(events[count]) <= maxRunBytes) {
			size += len(events[count])
			count++
		}
		runs = append(runs, HistoryRow{ExecutionID: executionID, First: first, Events: Packed(joinEvents(events[:count]))})
		first, events = first+int64(count), events[count:]
	}
	return runs
}

// ReadHistory reads an execution's events after the one with a sequence: all of them, or with a limit at least as many if there
// are, unless two or more have maxBytes before. It reads the runs that have them and no others.
func ReadHistory(ctx context.Context, db bun.IDB, id string, after int64, limit, maxBytes int) (events []json.RawMessage, err error) {
	size := 0
	err = eachRun(ctx, db, id, after+1, func(row HistoryRow) (enough bool, err error) {
		var run []json.RawMessage
		if err := json.Unmarshal([]byte(row.Events), &run); err != nil {
			return false, fmt.Errorf("decoding the history of %s: %w", id, err)
		}
		run = run[min(max(after+1-row.First, 0), int64(len(run))):]
		size += rawBytes(run)
		events = append(events, run...)
		return limit > 0 && len(events) >= limit || maxBytes > 0 && size >= maxBytes && len(events) > 1, nil
	})
	return events, err
}

// ReadEvents reads and decodes all events of a user's execution. Large runs are decoded in the process's pool, in turns between users.
func ReadEvents(ctx context.Context, db bun.IDB, userID, id string) (events []machine.Event, err error) {
	err = eachRun(ctx, db, id, 1, func(row HistoryRow) (enough bool, err error) {
		var run []machine.Event
		failed := compute.Default.DoLarge(ctx, userID, len(row.Events), func() { err = json.Unmarshal([]byte(row.Events), &run) })
		if err = cmp.Or(failed, err); err != nil {
			return false, fmt.Errorf("decoding the history of %s: %w", id, err)
		}
		events = append(events, run...)
		return false, nil
	})
	return events, err
}

// eachRun calls visit with the run that has an event and those after it, until there is enough.
func eachRun(ctx context.Context, db bun.IDB, id string, sequence int64, visit func(row HistoryRow) (enough bool, err error)) error {
	from, err := firstRunOf(ctx, db, id, sequence)
	if err != nil {
		return err
	}
	if from == 1 {
		var first HistoryRow
		err := db.NewSelect().TableExpr("executions").ColumnExpr("1 AS first, history AS events").Where("id = ?", id).Where("length(history) > 0").
			Scan(ctx, &first.First, &first.Events)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("reading an execution's history: %w", err)
		}
		if err == nil {
			if enough, err := visit(first); enough || err != nil {
				return err
			}
		}
	}
	for batch := minReadRuns; ; batch = min(2*batch, maxReadRuns) {
		var rows []HistoryRow
		q := db.NewSelect().Model(&rows).Column("first", "events").Where("execution_id = ?", id).Where("first >= ?", from).Order("first").Limit(int64(batch))
		if err := q.Scan(ctx); err != nil {
			return fmt.Errorf("reading an execution's history: %w", err)
		}
		for _, row := range rows {
			if enough, err := visit(row); enough || err != nil {
				return err
			}
			from = row.First + 1
		}
		if len(rows) < batch {
			return nil
		}
	}
}

// firstRunOf returns the sequence of the first event of the run that has an event, or would have it.
func firstRunOf(ctx context.Context, db bun.IDB, id string, sequence int64) (first int64, err error) {
	if sequence <= 1 {
		return 1, nil
	}
	err = db.NewSelect().Model((*HistoryRow)(nil)).ColumnExpr("coalesce(max(first), 1)").Where("execution_id = ?", id).Where("first <= ?", sequence).
		Scan(ctx, &first)
	if err != nil {
		return 0, fmt.Errorf("looking for a run of an execution's history: %w", err)
	}
	return first, nil
}
