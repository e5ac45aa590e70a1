package engine

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/uptrace/bun"
)

const (
	// maxRunEvents and maxRunBytes bound a run of events in SQL: what a page of a history reads at least. A single event may be
	// larger.
	maxRunEvents = 250
	maxRunBytes  = 256 << 10
	// minReadRuns and maxReadRuns bound the runs of one query.
	minReadRuns = 2
	maxReadRuns = 256
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
		runs = append(runs, HistoryRow{ExecutionID: executionID, First: first, Events: joinEvents(events[:count])})
		first, events = first+int64(count), events[count:]
	}
	return runs
}

// ReadHistory reads an execution's events after the one with a sequence: all of them, or with a limit at least as many if there
// are, unless two or more have maxBytes before. It reads the runs that have them and no others.
func ReadHistory(ctx context.Context, db bun.IDB, id string, after int64, limit, maxBytes int) (events []json.RawMessage, err error) {
	from, err := firstRunOf(ctx, db, id, after+1)
	if err != nil {
		return nil, err
	}
	size, batch := 0, minReadRuns
	enough := func() bool {
		return limit > 0 && len(events) >= limit || maxBytes > 0 && size >= maxBytes && len(events) > 1
	}
	add := func(row HistoryRow) error {
		var run []json.RawMessage
		if err := json.Unmarshal([]byte(row.Events), &run); err != nil {
			return fmt.Errorf("decoding the history of %s: %w", id, err)
		}
		run = run[min(max(after+1-row.First, 0), int64(len(run))):]
		for _, event := range run {
			size += len(event)
		}
		events = append(events, run...)
		return nil
	}
	if from == 1 {
		var first HistoryRow
		err := db.NewSelect().TableExpr("executions").ColumnExpr("1 AS first, history AS events").Where("id = ?", id).Where("history <> ''").
			Scan(ctx, &first.First, &first.Events)
		switch {
		case err == nil:
			err = add(first)
		case errors.Is(err, sql.ErrNoRows):
			err = nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading an execution's history: %w", err)
		}
	}
	for !enough() {
		var rows []HistoryRow
		q := db.NewSelect().Model(&rows).Column("first", "events").Where("execution_id = ?", id).Where("first >= ?", from).Order("first").Limit(int64(batch))
		if err := q.Scan(ctx); err != nil {
			return nil, fmt.Errorf("reading an execution's history: %w", err)
		}
		for _, row := range rows {
			if err := add(row); err != nil {
				return nil, err
			}
			from = row.First + 1
		}
		if len(rows) < batch {
			break
		}
		batch = min(2*batch, maxReadRuns)
	}
	return events, nil
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
