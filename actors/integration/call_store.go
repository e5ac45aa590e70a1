package integration

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// callRow is one call in the log. At is in microseconds since the epoch, Duration in microseconds.
type callRow struct {
	bun.BaseModel `bun:"table:calls"`

	ID                string `bun:"id,pk"`
	ConnectionID      string `bun:"connection_id"`
	UserID            string `bun:"user_id"`
	Provider          string `bun:"provider"`
	Action            string `bun:"action"`
	Caller            string `bun:"caller"`
	At                int64  `bun:"at"`
	Duration          int64  `bun:"duration"`
	Status            string `bun:"status"`
	HTTPStatus        int    `bun:"http_status"`
	Code              string `bun:"code"`
	Class             string `bun:"class"`
	Message           string `bun:"message"`
	Attempts          int    `bun:"attempts"`
	ProviderRequestID string `bun:"provider_request_id"`
}

func (c callRow) resource() subjects.CallRecord {
	return subjects.CallRecord{
		ID: c.ID, At: time.UnixMicro(c.At).UTC(), Action: c.Action, Caller: c.Caller, Status: c.Status, HTTPStatus: c.HTTPStatus,
		Code: subjects.Code(c.Code), Class: c.Class, Message: c.Message, DurationMS: float64(c.Duration) / 1000,
		Attempts: c.Attempts, ProviderRequestID: c.ProviderRequestID,
	}
}

// insertCalls adds calls to the log, except those that are there already.
func insertCalls(ctx context.Context, tx bun.Tx, rows []callRow) error {
	if _, err := tx.NewInsert().Model(&rows).On("CONFLICT (id) DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("logging calls: %w", err)
	}
	return nil
}

// pageOfCalls reads a connection's calls in the order and number of newestFirst.
func pageOfCalls(ctx context.Context, db bun.IDB, r subjects.ListCallsRequest, after string) ([]callRow, error) {
	var rows []callRow
	q := newestFirst(db.NewSelect().Model(&rows), r.PageRequest, after).Where("connection_id = ?", r.IntegrationID)
	if r.Status != "" {
		q.Where("status = ?", r.Status)
	}
	if r.Action != "" {
		q.Where("action = ?", r.Action)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing calls: %w", err)
	}
	return rows, nil
}

// lastFailures reads a user's most recent failed calls to a provider, newest first.
func lastFailures(ctx context.Context, db bun.IDB, userID, provider string, limit int64) ([]callRow, error) {
	var rows []callRow
	err := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("provider = ?", provider).Where("status = ?", callFailed).
		Order("id DESC").Limit(limit).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading failed calls: %w", err)
	}
	return rows, nil
}

// deleteCallsBefore deletes up to limit calls from before a time, and returns how many it deleted.
func deleteCallsBefore(ctx context.Context, tx bun.Tx, before, limit int64) (int64, error) {
	old := tx.NewSelect().Model((*callRow)(nil)).Column("id").Where("at < ?", before).Limit(limit)
	result, err := tx.NewDelete().Model((*callRow)(nil)).Where("id IN (?)", old).Exec(ctx)
	return affected(result, err, "deleting old calls")
}

// connectionsWithMoreCalls returns the connections that have more than keep calls.
func connectionsWithMoreCalls(ctx context.Context, db bun.IDB, keep int) ([]string, error) {
	var ids []string
	err := db.NewSelect().Model((*callRow)(nil)).Column("connection_id").Group("connection_id").Having("count(*) > ?", keep).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("counting connections' calls: %w", err)
	}
	return ids, nil
}

// deleteAllButNewestCalls deletes all calls of a connection but the keep newest.
func deleteAllButNewestCalls(ctx context.Context, tx bun.Tx, connectionID string, keep int) error {
	oldest := tx.NewSelect().Model((*callRow)(nil)).Column("id").Where("connection_id = ?", connectionID).
		Order("id DESC").Offset(int64(keep - 1)).Limit(1)
	_, err := tx.NewDelete().Model((*callRow)(nil)).Where("connection_id = ?", connectionID).Where("id < (?)", oldest).Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting a connection's old calls: %w", err)
	}
	return nil
}
