package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// auditRow is a security event for its user to list. The record is the stream AUDIT: this copy is written in the
// same transaction, because a stream is read by user and the newest first only by reading all of it, and because a
// user finds what they just did.
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
		ID: r.ID, Time: time.UnixMilli(r.At).UTC(), Action: r.Action, Outcome: r.Outcome, IP: r.IP, Device: r.Device,
		SessionID: r.SessionID,
	}
}

// addAuditEvent keeps an event, also one about nobody: a call must not take longer for there being an account.
func addAuditEvent(ctx context.Context, tx bun.Tx, e subjects.AuthAuditEntry, about string) error {
	row := auditRow{
		ID: e.ID, UserID: about, At: e.Time.UnixMilli(), Action: e.Action, Outcome: e.Outcome, IP: e.IP, Device: e.UserAgent,
		SessionID: e.SessionID,
	}
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("keeping an audit event: %w", err)
	}
	return nil
}

// auditEvents lists a user's events, the newest first, from before a time and id where one is given.
func auditEvents(ctx context.Context, db bun.IDB, userID string, at int64, id string, limit int) ([]auditRow, error) {
	var rows []auditRow
	query := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Order("at DESC", "id DESC").Limit(int64(limit))
	if id != "" {
		query = query.Where("at < ? OR (at = ? AND id < ?)", at, at, id)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading audit events: %w", err)
	}
	return rows, nil
}

// dropAuditEvents removes the events from before a moment.
func dropAuditEvents(ctx context.Context, tx bun.Tx, before time.Time) error {
	_, err := tx.NewDelete().Model((*auditRow)(nil)).Where("at < ?", before.UnixMilli()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("dropping audit events: %w", err)
	}
	return nil
}
