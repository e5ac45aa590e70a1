package consent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// consentRow is one consent. Times are microseconds since 1970, 0 for none.
type consentRow struct {
	bun.BaseModel `bun:"table:consents"`

	ID            string   `bun:"id,pk"`
	UserID        string   `bun:"user_id"`
	Scope         string   `bun:"scope"`
	Version       int64    `bun:"version"`
	Purpose       string   `bun:"purpose"`
	NoticeVersion string   `bun:"notice_version"`
	Jurisdiction  string   `bun:"jurisdiction"`
	Status        string   `bun:"status"`
	Continues     []string `bun:"continues,type:text"`
	GrantedAt     int64    `bun:"granted_at"`
	ExpiresAt     int64    `bun:"expires_at"`
	RevokedAt     int64    `bun:"revoked_at"`
	RevokeReason  string   `bun:"revoke_reason"`
	SupersededBy  string   `bun:"superseded_by"`
}

// entryRow is one change of a consent.
type entryRow struct {
	bun.BaseModel `bun:"table:consent_entries"`

	ID        string `bun:"id,pk"`
	ConsentID string `bun:"consent_id"`
	Change    string `bun:"change"`
	At        int64  `bun:"at"`
	Reason    string `bun:"reason"`
}

func (c consentRow) statusAt(now time.Time) string {
	if c.Status == active && now.UnixMicro() >= c.ExpiresAt {
		return expired
	}
	return c.Status
}

// resource is the consent as its owner sees it.
func (c consentRow) resource(now time.Time) subjects.Consent {
	r := subjects.Consent{
		ID: c.ID, Scope: c.Scope, Purpose: c.Purpose, NoticeVersion: c.NoticeVersion, Jurisdiction: c.Jurisdiction,
		Status: c.statusAt(now), GrantedAt: time.UnixMicro(c.GrantedAt).UTC(), ExpiresAt: time.UnixMicro(c.ExpiresAt).UTC(),
		RevokeReason: c.RevokeReason, SupersededBy: c.SupersededBy,
	}
	if c.RevokedAt != 0 {
		at := time.UnixMicro(c.RevokedAt).UTC()
		r.RevokedAt = &at
	}
	return r
}

func (c consentRow) receipt() subjects.ConsentReceipt {
	return subjects.ConsentReceipt{
		SchemaVersion: "ISO-27560:2023", RecordID: c.ID, SubjectID: c.UserID, Scope: c.Scope, Purpose: c.Purpose,
		NoticeVersion: c.NoticeVersion, Jurisdiction: c.Jurisdiction,
		GivenAt: time.UnixMicro(c.GrantedAt).UTC(), ExpiresAt: time.UnixMicro(c.ExpiresAt).UTC(),
	}
}

// state is the consent as guards see it.
func (c consentRow) state() subjects.ConsentState {
	until := time.UnixMicro(c.ExpiresAt).UTC()
	return subjects.ConsentState{
		ConsentID: c.ID, Version: c.Version, Continues: c.Continues, Status: active, ExpiresAt: &until,
	}
}

func (e entryRow) resource() subjects.ConsentEntry {
	return subjects.ConsentEntry{
		ID: e.ID, ConsentID: e.ConsentID, Change: e.Change, At: time.UnixMicro(e.At).UTC(), Reason: e.Reason,
	}
}

// latest is the newest consent of a user to a scope; nil where there is none.
func latest(ctx context.Context, db bun.IDB, userID, scope string) (*consentRow, error) {
	var c consentRow
	err := db.NewSelect().Model(&c).Where("user_id = ?", userID).Where("scope = ?", scope).
		Order("version DESC").Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the latest consent: %w", err)
	}
	return &c, nil
}

func insert(ctx context.Context, tx bun.Tx, row any) error {
	if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
		return fmt.Errorf("inserting: %w", err)
	}
	return nil
}

// end changes an active consent's status; it tells whether it was active.
func end(ctx context.Context, tx bun.Tx, c consentRow) (bool, error) {
	result, err := tx.NewUpdate().Model(&c).Column("status", "revoked_at", "revoke_reason", "superseded_by").
		WherePK().Where("status = ?", active).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("ending a consent: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// find reads one consent of a user.
func find(ctx context.Context, db bun.IDB, userID, id string) (consentRow, error) {
	var c consentRow
	err := db.NewSelect().Model(&c).Where("id = ?", id).Where("user_id = ?", userID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return c, subjects.Errorf(subjects.CodeNotFound, "there is no such consent")
	}
	if err != nil {
		return c, fmt.Errorf("reading a consent: %w", err)
	}
	return c, nil
}

// page reads a user's consents, newest first, after the given id.
func page(ctx context.Context, db bun.IDB, userID string, r subjects.ListConsentsRequest, after string, now time.Time) ([]consentRow, error) {
	var rows []consentRow
	q := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Order("id DESC").Limit(int64(r.PageLimit() + 1))
	if after != "" {
		q.Where("id < ?", after)
	}
	if r.Scope != "" {
		q.Where("scope = ?", r.Scope)
	}
	switch r.Status {
	case "":
	case active:
		q.Where("status = ?", active).Where("expires_at > ?", now.UnixMicro())
	case expired:
		q.Where("status = ?", active).Where("expires_at <= ?", now.UnixMicro())
	default:
		q.Where("status = ?", r.Status)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing consents: %w", err)
	}
	return rows, nil
}

// entries reads a consent's changes, oldest first, after the given id.
func entries(ctx context.Context, db bun.IDB, consentID string, limit int, after string) ([]entryRow, error) {
	var rows []entryRow
	err := db.NewSelect().Model(&rows).Where("consent_id = ?", consentID).Where("id > ?", after).
		Order("id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading a consent's history: %w", err)
	}
	return rows, nil
}

// activeAfter reads active consents in the order of their ids, for reconciling.
func activeAfter(ctx context.Context, db bun.IDB, after string, limit int) ([]consentRow, error) {
	var rows []consentRow
	err := db.NewSelect().Model(&rows).Where("status = ?", active).Where("id > ?", after).Order("id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading active consents: %w", err)
	}
	return rows, nil
}
