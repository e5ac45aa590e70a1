package integration

import (
	"context"
	"fmt"
	"strings"
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
	Client            string `bun:"client"`
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
		ID: c.ID, At: time.UnixMicro(c.At).UTC(), Action: c.Action, Caller: c.Caller, Client: c.Client, Status: c.Status, HTTPStatus: c.HTTPStatus,
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
func pageOfCalls(ctx context.Context, db bun.IDB, userID string, r subjects.ListCallsRequest, after string) ([]callRow, error) {
	var rows []callRow
	q := newestFirst(db.NewSelect().Model(&rows), r.PageRequest, after).Where("user_id = ?", userID).Where("connection_id = ?", strings.ToLower(r.IntegrationID))
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
	old := tx.NewSelect().Model((*callRow)(nil)).Column("id").Where("at < ?", before).Order("at").Limit(limit)
	result, err := tx.NewDelete().Model((*callRow)(nil)).Where("id IN (?)", old).Exec(ctx)
	return affected(result, err, "deleting old calls")
}

// connectionsWithMoreCalls returns the connections, with their users, that have more than keep calls and one since a time.
func connectionsWithMoreCalls(ctx context.Context, db bun.IDB, since int64, keep int) (rows []callRow, err error) {
	// The expressions keep SQLite from reading all calls in the order of another index.
	recent := db.NewSelect().Model((*callRow)(nil)).ColumnExpr("DISTINCT user_id || '' AS user_id, connection_id || '' AS connection_id").Where("at >= ?", since)
	err = db.NewSelect().TableExpr("(?) AS recent", recent).Column("recent.user_id", "recent.connection_id").
		Where("EXISTS (SELECT 1 FROM calls AS c WHERE c.user_id = recent.user_id AND c.connection_id = recent.connection_id "+
			"ORDER BY c.id DESC LIMIT 1 OFFSET ?)", keep).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("counting connections' calls: %w", err)
	}
	return rows, nil
}

// deleteAllButNewestCalls deletes up to limit calls of a connection, but not the keep newest. It returns how many it deleted.
func deleteAllButNewestCalls(ctx context.Context, tx bun.Tx, of callRow, keep int, limit int64) (int64, error) {
	surplus := tx.NewSelect().Model((*callRow)(nil)).Column("id").Where("user_id = ?", of.UserID).Where("connection_id = ?", of.ConnectionID).
		Order("id DESC").Offset(int64(keep)).Limit(limit)
	result, err := tx.NewDelete().Model((*callRow)(nil)).Where("id IN (?)", surplus).Exec(ctx)
	return affected(result, err, "deleting a connection's old calls")
}
