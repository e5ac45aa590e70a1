package auth

import (
	"context"
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
		query = query.Where("at < ? OR (at = ? AND id < ?)", at, at, id)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading audit events: %w", err)
	}
	return rows, nil
}

// deleteAuditEvents deletes the events before a time.
func deleteAuditEvents(ctx context.Context, tx bun.Tx, before time.Time) error {
	_, err := tx.NewDelete().Model((*auditRow)(nil)).Where("at < ?", before.UnixMicro()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting audit events: %w", err)
	}
	return nil
}

// usersOfManyAuditEvents returns the users with more than keep events.
func usersOfManyAuditEvents(ctx context.Context, db bun.IDB, keep int) (users []string, err error) {
	if err := db.NewSelect().Model((*auditRow)(nil)).Column("user_id").Group("user_id").Having("count(*) > ?", keep).Scan(ctx, &users); err != nil {
		return nil, fmt.Errorf("counting audit events: %w", err)
	}
	return users, nil
}

// keepAuditEvents deletes all but the newest events of a user.
func keepAuditEvents(ctx context.Context, tx bun.Tx, userID string, keep int) error {
	kept := tx.NewSelect().Model((*auditRow)(nil)).Column("id").Where("user_id = ?", userID).Order("at DESC", "id DESC").Limit(int64(keep))
	if _, err := tx.NewDelete().Model((*auditRow)(nil)).Where("user_id = ?", userID).Where("id NOT IN (?)", kept).Exec(ctx); err != nil {
		return fmt.Errorf("deleting audit events: %w", err)
	}
	return nil
}
