package integration

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// callRow is one call in the log. At and Duration are microseconds.
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

// insertCalls adds calls to the log; one that is there already stays as it is.
func insertCalls(ctx context.Context, tx bun.Tx, rows []callRow) error {
	if _, err := tx.NewInsert().Model(&rows).On("CONFLICT (id) DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("logging calls: %w", err)
	}
	return nil
}

// newestFirst pages by ids, which grow, after the given one; one more than asked, which tells that there are others.
func newestFirst(q *bun.SelectQuery, r subjects.PageRequest, after string) *bun.SelectQuery {
	if after != "" {
		q.Where("id < ?", after)
	}
	return q.Order("id DESC").Limit(int64(r.PageLimit() + 1))
}

// pageOfCalls reads a connection's calls, newest first, after the given id; one more than asked.
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

// lastFailures reads a user's last failed calls of a provider, newest first.
func lastFailures(ctx context.Context, db bun.IDB, userID, provider string, most int64) ([]callRow, error) {
	var rows []callRow
	err := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("provider = ?", provider).Where("status = ?", callFailed).
		Order("id DESC").Limit(most).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading failed calls: %w", err)
	}
	return rows, nil
}

// dropOldCalls deletes at most so many calls from before a time; it tells how many there were.
func dropOldCalls(ctx context.Context, tx bun.Tx, before int64, most int64) (int64, error) {
	old := tx.NewSelect().Model((*callRow)(nil)).Column("id").Where("at < ?", before).Limit(most)
	result, err := tx.NewDelete().Model((*callRow)(nil)).Where("id IN (?)", old).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("deleting old calls: %w", err)
	}
	return result.RowsAffected()
}

// crowded lists connections with more than so many calls.
func crowded(ctx context.Context, db bun.IDB, keep int) ([]string, error) {
	var ids []string
	err := db.NewSelect().Model((*callRow)(nil)).Column("connection_id").Group("connection_id").Having("count(*) > ?", keep).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("looking for long logs: %w", err)
	}
	return ids, nil
}

// thin deletes all calls of a connection but the newest.
func thin(ctx context.Context, tx bun.Tx, connectionID string, keep int) error {
	oldest := tx.NewSelect().Model((*callRow)(nil)).Column("id").Where("connection_id = ?", connectionID).
		Order("id DESC").Offset(int64(keep - 1)).Limit(1)
	_, err := tx.NewDelete().Model((*callRow)(nil)).Where("connection_id = ?", connectionID).Where("id < (?)", oldest).Exec(ctx)
	if err != nil {
		return fmt.Errorf("thinning a log: %w", err)
	}
	return nil
}
