package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/weftmesh/weft/actors/database"
)

// partitionRow is the owner that projects a partition's log, and the sequence of the message up to which it is projected.
type partitionRow struct {
	bun.BaseModel `bun:"table:partitions"`

	Partition int    `bun:"partition,pk"`
	Owner     string `bun:"owner"`
	Projected uint64 `bun:"projected"`
}

// claimPartition makes owner the one that projects a partition and returns the position of the projection. Projections of earlier
// owners are refused from then on.
func claimPartition(ctx context.Context, tx bun.Tx, number int, owner string) (projected uint64, err error) {
	row := partitionRow{Partition: number, Owner: owner}
	_, err = tx.NewInsert().Model(&row).On("CONFLICT (partition) DO UPDATE").Set("owner = EXCLUDED.owner").Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("claiming a partition: %w", err)
	}
	if err := tx.NewSelect().Model(&row).WherePK().Scan(ctx); err != nil {
		return 0, fmt.Errorf("reading a partition: %w", err)
	}
	return row.Projected, nil
}

// advancePartitions moves the positions of partitions' projections; it reports whether the owners of the batches still project them.
func advancePartitions(ctx context.Context, tx bun.Tx, batches []projectionBatch) (bool, error) {
	values := make([]string, len(batches))
	var args []any
	for i, b := range batches {
		values[i] = "(?, ?, ?)"
		args = append(args, b.number, b.owner, b.sequence)
	}
	result, err := tx.NewRaw("UPDATE partitions SET projected = v.column3 FROM (VALUES "+strings.Join(values, ", ")+") AS v "+
		"WHERE partitions.partition = v.column1 AND partitions.owner = v.column2 AND partitions.projected <= v.column3", args...).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("advancing projections: %w", err)
	}
	n, err := result.RowsAffected()
	return n == int64(len(batches)), err
}

// holdPartition reports whether owner owns a partition, which no other process claims before the end of the transaction then.
func holdPartition(ctx context.Context, tx bun.Tx, number int, owner string) (bool, error) {
	q := tx.NewSelect().Model((*partitionRow)(nil)).Where("partition = ?", number).Where("owner = ?", owner)
	if tx.Dialect().Name() == dialect.PG { // SQLite has one writer
		q = q.For("SHARE")
	}
	var row partitionRow
	err := q.Scan(ctx, &row)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("holding a partition: %w", err)
	}
	return true, nil
}

// storeExecutions writes the state of executions, fresh ones that SQL certainly does not have and known ones, and what has been
// added to their histories.
func storeExecutions(ctx context.Context, tx bun.Tx, fresh, known []*Row, histories []HistoryRow) error {
	if err := insertions.Exec(ctx, tx, fresh); err != nil {
		return err
	}
	if err := upserts.Exec(ctx, tx, known); err != nil {
		return err
	}
	return historyUpserts.Exec(ctx, tx, histories)
}

// projectedColumns are those of an execution that change after its start, fixedColumns the others.
var (
	fixedColumns = []string{
		"id", "user_id", "chosen_id", "workflow_id", "version", "name", "consent_id", "authority_keys", "authority_scopes", "partition", "priority",
		"origin_kind", "origin_id", "origin_depth", "origin_root", "origin_ancestors", "origin_task",
		"parent_id", "parent_call", "input", "attributes", "trace", "created_at",
	}
	projectedColumns = []string{
		"status", "evicted", "listens", "watched", "due_at", "events", "output", "error", "error_type", "snapshot", "started_at", "ended_at",
	}
)

// firstRun keeps the first run of events where a projection brings none. A projection of unknown outcome is repeated with the same
// run, or with a longer one.
const firstRun = "history = CASE length(EXCLUDED.history) WHEN 0 THEN execution.history ELSE EXCLUDED.history END"

// The statements of an execution, one that cannot conflict and one that may, which SQLite is slower on; and that of a run of a history. A run
// that is there already was written by a projection of unknown outcome: it is the beginning of the same run.
var (
	insertions = database.Insertion[*Row]{
		Into: "executions AS execution", Columns: slices.Concat(fixedColumns, projectedColumns, []string{"history"}), Values: values,
	}
	upserts        = database.Insertion[*Row]{Into: insertions.Into, Columns: insertions.Columns, Values: values, Conflict: upsertConflict()}
	historyUpserts = database.Insertion[HistoryRow]{
		Into: "execution_histories", Columns: []string{"execution_id", "first", "events"},
		Values:   func(h HistoryRow) []any { return []any{h.ExecutionID, h.First, h.Events} },
		Conflict: "ON CONFLICT (execution_id, first) DO UPDATE SET events = EXCLUDED.events",
	}
)

func upsertConflict() string {
	var sets []string
	for _, column := range projectedColumns {
		sets = append(sets, column+" = EXCLUDED."+column)
	}
	sets = append(sets, firstRun)
	return "ON CONFLICT (id) DO UPDATE SET " + strings.Join(sets, ", ")
}

// values returns an execution's columns in the order of insertions.
func values(e *Row) []any {
	return []any{
		e.ID, e.UserID, e.ChosenID, e.WorkflowID, e.Version, e.Name, e.ConsentID,
		e.Authority.Keys, e.Authority.Scopes, e.Partition, e.Priority,
		e.Origin.Kind, e.Origin.ID, e.Origin.Depth, e.Origin.Root, e.Origin.Ancestors, e.Origin.Task,
		e.ParentID, e.ParentCall, e.Input, e.Attributes, e.Trace, e.CreatedAt,
		e.Status, e.Evicted, e.Listens, e.Watched, e.DueAt, e.Events, e.Output, e.Error, e.ErrorType, e.Snapshot, e.StartedAt, e.EndedAt, e.History,
	}
}

// Insert inserts rows with a transaction.
func Insert(ctx context.Context, tx database.Tx, rows ...any) error {
	for _, row := range rows {
		if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
			return fmt.Errorf("inserting: %w", err)
		}
	}
	return nil
}
