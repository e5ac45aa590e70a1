package consent

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

// store holds the actor's queries. A read joins the transaction of its context, where there is one; a write names its
// transaction.
type store struct {
	db *database.DB
}

var errNoConsent = subjects.Errorf(subjects.CodeNotFound, "consent not found")

// consentRow is one consent. Times are microseconds since the Unix epoch, 0 for none.
type consentRow struct {
	bun.BaseModel `bun:"table:consents"`

	ID           string   `bun:"id,pk"`
	UserID       string   `bun:"user_id"`
	Scope        string   `bun:"scope"`
	Version      int64    `bun:"version"`
	Purpose      string   `bun:"purpose"`
	Jurisdiction string   `bun:"jurisdiction"`
	Status       string   `bun:"status"`
	Continues    []string `bun:"continues,type:text"`
	GrantedAt    int64    `bun:"granted_at"`
	ExpiresAt    int64    `bun:"expires_at"`
	RevokedAt    int64    `bun:"revoked_at"`
	RevokeReason string   `bun:"revoke_reason"`
	SupersededBy string   `bun:"superseded_by"`
	// RenewalNotice is the notice, as id@version, that requires a renewal since RenewalAt.
	RenewalNotice string `bun:"renewal_notice"`
	RenewalAt     int64  `bun:"renewal_at"`
	// SuppressedAt is when Global Privacy Control suppressed the consent.
	SuppressedAt int64 `bun:"suppressed_at"`
	recordColumns
}

// consent returns one consent of a user, or errNoConsent.
func (s store) consent(ctx context.Context, userID, id string) (consentRow, error) {
	var c consentRow
	err := s.db.NewSelect().Model(&c).Where("id = ?", id).Where("user_id = ?", userID).Scan(ctx)
	return c, database.OneRow(err, "reading a consent", errNoConsent)
}

// latest returns the newest consent of a user to a scope, or errNoConsent.
func (s store) latest(ctx context.Context, userID, scope string) (consentRow, error) {
	var c consentRow
	err := s.db.NewSelect().Model(&c).Where("user_id = ?", userID).Where("scope = ?", scope).
		Order("version DESC").Limit(1).Scan(ctx)
	return c, database.OneRow(err, "reading the latest consent", errNoConsent)
}

// activeOf returns the active or expired consent of a user to a scope, or errNoConsent.
func (s store) activeOf(ctx context.Context, userID, scope string) (consentRow, error) {
	var c consentRow
	err := s.db.NewSelect().Model(&c).Where("user_id = ?", userID).Where("scope = ?", scope).Where("status = ?", subjects.ConsentActive).Scan(ctx)
	return c, database.OneRow(err, "reading the active consent", errNoConsent)
}

// insert adds a row of any of the actor's tables.
func (store) insert(ctx context.Context, tx bun.Tx, row any) error {
	if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
		return fmt.Errorf("inserting: %w", err)
	}
	return nil
}

// end writes the status and the reason with which an active consent ends. It returns the consent as it is stored then, and whether it was active.
func (store) end(ctx context.Context, tx bun.Tx, c consentRow) (consentRow, bool, error) {
	result, err := tx.NewUpdate().Model(&c).Column("status", "revoked_at", "revoke_reason", "superseded_by").
		WherePK().Where("status = ?", subjects.ConsentActive).Exec(ctx)
	if err != nil {
		return c, false, fmt.Errorf("ending a consent: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return c, false, err
	}
	if err := tx.NewSelect().Model(&c).WherePK().Scan(ctx); err != nil {
		return c, false, fmt.Errorf("reading an ended consent: %w", err)
	}
	return c, n == 1, nil
}

// page returns a user's consents, newest first, that come after the given id; one more than the page's limit.
func (s store) page(ctx context.Context, userID string, r subjects.ListConsentsRequest, after string, now time.Time) ([]consentRow, error) {
	var rows []consentRow
	q := s.db.NewSelect().Model(&rows).Where("user_id = ?", userID).Order("id DESC").Limit(int64(r.PageLimit() + 1))
	if after != "" {
		q.Where("id < ?", after)
	}
	if r.Scope != "" {
		q.Where("scope = ?", r.Scope)
	}
	switch r.Status {
	case "":
	case subjects.ConsentActive:
		q.Where("status = ?", subjects.ConsentActive).Where("expires_at > ?", now.UnixMicro()).Where("suppressed_at = 0").Where("renewal_at = 0")
	case subjects.ConsentGPC:
		q.Where("status = ?", subjects.ConsentActive).Where("expires_at > ?", now.UnixMicro()).Where("suppressed_at <> 0")
	case subjects.ConsentRenewalRequired:
		q.Where("status = ?", subjects.ConsentActive).Where("expires_at > ?", now.UnixMicro()).Where("suppressed_at = 0").Where("renewal_at <> 0")
	case subjects.ConsentExpired:
		q.Where("status = ?", subjects.ConsentActive).Where("expires_at <= ?", now.UnixMicro())
	default:
		q.Where("status = ?", r.Status)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing consents: %w", err)
	}
	return rows, nil
}

// active returns a user's active and expired consents.
func (s store) active(ctx context.Context, userID string) ([]consentRow, error) {
	var rows []consentRow
	err := s.db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("status = ?", subjects.ConsentActive).Order("id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading a user's consents: %w", err)
	}
	return rows, nil
}

// activeAfter returns active and expired consents of all users in the order of their ids.
func (s store) activeAfter(ctx context.Context, after string, limit int) ([]consentRow, error) {
	var rows []consentRow
	err := s.db.NewSelect().Model(&rows).Where("status = ?", subjects.ConsentActive).Where("id > ?", after).
		Order("id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading active consents: %w", err)
	}
	return rows, nil
}

// pseudonymise moves a user's consents to a subject of the ledger and empties every text that the user has written. It
// returns their ids.
func (store) pseudonymise(ctx context.Context, tx bun.Tx, userID, subjectID string) (ids []string, err error) {
	if err := tx.NewSelect().Model((*consentRow)(nil)).Column("id").Where("user_id = ?", userID).Order("id").Scan(ctx, &ids); err != nil {
		return nil, fmt.Errorf("reading the ids of consents: %w", err)
	}
	_, err = tx.NewUpdate().Model((*entryRow)(nil)).Set("reason = ''").Set("salt = ?", []byte{}).
		Where("consent_id IN (?)", tx.NewSelect().Model((*consentRow)(nil)).Column("id").Where("user_id = ?", userID)).Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("erasing the reasons of a history: %w", err)
	}
	q := tx.NewUpdate().Model((*consentRow)(nil)).Set("user_id = ?", subjectID).Where("user_id = ?", userID)
	for _, column := range personalColumns {
		q.Set("? = ''", bun.Ident(column))
	}
	_, err = q.Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("pseudonymising consents: %w", err)
	}
	return ids, nil
}

// grantsSince counts the consents that a user has granted since a time.
func grantsSince(since func() time.Time) quota.Counter {
	return func(ctx context.Context, db bun.IDB, userID string) (int64, error) {
		n, err := db.NewSelect().Model((*consentRow)(nil)).Where("user_id = ?", userID).Where("granted_at > ?", since().UnixMicro()).Count(ctx)
		if err != nil {
			return 0, fmt.Errorf("counting grants: %w", err)
		}
		return n, nil
	}
}
