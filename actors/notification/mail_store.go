package notification

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// suppressionRow is an address that gets no mail.
type suppressionRow struct {
	bun.BaseModel `bun:"table:mail_suppressions"`

	ID          string `bun:"id,pk"`
	AddressHash string `bun:"address_hash"`
	// Address is sealed, in Base64.
	Address  string `bun:"address"`
	UserID   string `bun:"user_id"`
	Reason   string `bun:"reason"`
	Provider string `bun:"provider"`
	Detail   string `bun:"detail"`
	Since    int64  `bun:"since"`
}

var errNoSuppression = subjects.Errorf(subjects.CodeNotFound, "the address is not suppressed")

// suppression returns the suppression of an address by its hash, or errNoSuppression.
func (s store) suppression(ctx context.Context, hash string) (suppressionRow, error) {
	var row suppressionRow
	err := s.db.NewSelect().Model(&row).Where("address_hash = ?", hash).Scan(ctx)
	return row, database.OneRow(err, "reading a suppression", errNoSuppression)
}

// suppress adds a suppression. An address that is suppressed remains so for the stronger reason: a complaint gives way to the others,
// which hold back every message.
func (store) suppress(ctx context.Context, tx bun.Tx, row suppressionRow) error {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (address_hash) DO UPDATE").
		Set("reason = EXCLUDED.reason").Set("provider = EXCLUDED.provider").Set("detail = EXCLUDED.detail").
		Where("suppression_row.reason = ?", reasonComplaint).Where("EXCLUDED.reason <> ?", reasonComplaint).Returning("NULL").Exec(ctx)
	return wrapped(err, "suppressing an address")
}

// suppressions returns a page of suppressions, newest first; one more than the page's limit.
func (s store) suppressions(ctx context.Context, r subjects.ListSuppressionsRequest, hash, after string) ([]suppressionRow, error) {
	var rows []suppressionRow
	q := s.db.NewSelect().Model(&rows).Order("id DESC").Limit(int64(r.PageLimit() + 1))
	if after != "" {
		q.Where("id < ?", after)
	}
	if r.Reason != "" {
		q.Where("reason = ?", r.Reason)
	}
	if hash != "" {
		q.Where("address_hash = ?", hash)
	}
	return rows, wrapped(q.Scan(ctx), "listing suppressions")
}

// deleteSuppression deletes a suppression. It reports false where there is none.
func (store) deleteSuppression(ctx context.Context, tx bun.Tx, id string) (bool, error) {
	result, err := tx.NewDelete().Model((*suppressionRow)(nil)).Where("id = ?", id).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("deleting a suppression: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// deleteMailOf deletes what is stored of some users for mail.
func (store) deleteMailOf(ctx context.Context, tx bun.Tx, userIDs []string) (int64, error) {
	result, err := tx.NewDelete().Model((*suppressionRow)(nil)).Where("user_id IN (?)", bun.List(userIDs)).
		Where("user_id <> ''").Exec(ctx) // the index has these
	if err != nil {
		return 0, fmt.Errorf("deleting what is stored for mail: %w", err)
	}
	return result.RowsAffected()
}
