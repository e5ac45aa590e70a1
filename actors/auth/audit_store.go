package auth

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// auditRow is a copy of an audit event for its user to list. The record is the stream AUDIT. The copy is written in the
// same transaction, because a stream cannot be read by user, newest first, without reading all of it, and because users
// must see what they have just done.
type auditRow struct {
	bun.BaseModel `bun:"table:audit_events"`

	ID        string `bun:",pk"`
	UserID    string
	At        int64
	Action    string
	Outcome   string
	IP        string `bun:"ip"`
	Device    string
	SessionID string
}

func (r auditRow) event() subjects.AuditEvent {
	return subjects.AuditEvent{
		ID: r.ID, Time: time.UnixMicro(r.At).UTC(), Action: r.Action, Outcome: r.Outcome, IP: r.IP, Device: r.Device,
		SessionID: r.SessionID,
	}
}

// addAuditEvent adds an event, even if it concerns no account: otherwise the duration of a call would reveal whether
// there is an account.
func addAuditEvent(ctx context.Context, tx bun.Tx, e subjects.AuthAuditEntry, about string) error {
	row := auditRow{
		ID: e.ID, UserID: about, At: e.Time.UnixMicro(), Action: e.Action, Outcome: e.Outcome, IP: e.IP, Device: e.UserAgent,
		SessionID: e.SessionID,
	}
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("adding an audit event: %w", err)
	}
	return nil
}

// auditEvents returns at most limit events of a user, the newest first, older than the event at that time with that ID
// (any if id is empty).
func auditEvents(ctx context.Context, db bun.IDB, userID string, at int64, id string, limit int) ([]auditRow, error) {
	var rows []auditRow
	query := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Order("at DESC", "id DESC").Limit(int64(limit))
	if id != "" {
		query = query.Where("at <= ?", at).Where("(at < ? OR id < ?)", at, id)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading audit events: %w", err)
	}
	return rows, nil
}

// deleteAuditEvents deletes up to limit events before a time, the oldest first. It returns how many it deleted.
func deleteAuditEvents(ctx context.Context, tx bun.Tx, before time.Time, limit int) (int64, error) {
	old := tx.NewSelect().Model((*auditRow)(nil)).Column("id").Where("at < ?", before.UnixMicro()).Order("at").Limit(int64(limit))
	return deleted(tx.NewDelete().Model((*auditRow)(nil)).Where("id IN (?)", old).Exec(ctx))
}

// usersOfManyAuditEvents returns the users with more than keep events of those with an event since a time.
func usersOfManyAuditEvents(ctx context.Context, db bun.IDB, since time.Time, keep int) (users []string, err error) {
	// The expression keeps SQLite from reading all events in the order of another index.
	recent := db.NewSelect().Model((*auditRow)(nil)).ColumnExpr("DISTINCT user_id || '' AS user_id").Where("at >= ?", since.UnixMicro())
	err = db.NewSelect().TableExpr("(?) AS recent", recent).Column("recent.user_id").
		Where("EXISTS (SELECT 1 FROM audit_events AS e WHERE e.user_id = recent.user_id ORDER BY e.at DESC, e.id DESC LIMIT 1 OFFSET ?)", keep).
		Scan(ctx, &users)
	if err != nil {
		return nil, fmt.Errorf("counting audit events: %w", err)
	}
	return users, nil
}

// keepAuditEvents deletes up to limit events of a user, but not the newest. It returns how many it deleted.
func keepAuditEvents(ctx context.Context, tx bun.Tx, userID string, keep, limit int) (int64, error) {
	surplus := tx.NewSelect().Model((*auditRow)(nil)).Column("id").Where("user_id = ?", userID).Order("at DESC", "id DESC").
		Limit(int64(limit)).Offset(int64(keep))
	return deleted(tx.NewDelete().Model((*auditRow)(nil)).Where("id IN (?)", surplus).Exec(ctx))
}

// deleted returns how many rows a statement has deleted.
func deleted(done sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, fmt.Errorf("deleting old rows: %w", err)
	}
	return done.RowsAffected()
}
