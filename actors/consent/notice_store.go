package consent

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// noticeRow is a version of a notice.
type noticeRow struct {
	bun.BaseModel `bun:"table:consent_notices"`

	NoticeID        string `bun:"notice_id,pk"`
	Version         int64  `bun:"version,pk"`
	PurposeID       string `bun:"purpose_id"`
	Scope           string `bun:"scope"`
	Change          string `bun:"change"`
	DefaultLanguage string `bun:"default_language"`
	PublishedAt     int64  `bun:"published_at"`
	Renewals        int64  `bun:"renewals"`
	RenewalCursor   string `bun:"renewal_cursor"`
	ClaimedUntil    int64  `bun:"claimed_until"`
	RenewalsDone    bool   `bun:"renewals_done"`
}

// noticeTextRow is a version of a notice in a language.
type noticeTextRow struct {
	bun.BaseModel `bun:"table:consent_notice_texts"`

	NoticeID string `bun:"notice_id,pk"`
	Version  int64  `bun:"version,pk"`
	Language string `bun:"language,pk"`
	Title    string `bun:"title"`
	Text     string `bun:"text"`
	Hash     string `bun:"hash"`
}

var errNoNotice = subjects.Errorf(subjects.CodeNotFound, "notice not found")

// notice returns the latest version of a notice, or errNoNotice.
func (s store) notice(ctx context.Context, id string) (noticeRow, error) {
	var row noticeRow
	err := s.db.NewSelect().Model(&row).Where("notice_id = ?", id).Order("version DESC").Limit(1).Scan(ctx)
	return row, database.OneRow(err, "reading a notice", errNoNotice)
}

// noticeText returns a version's text in the first of some languages that it has, or errNoNotice.
func (s store) noticeText(ctx context.Context, id string, version int64, languages []string) (noticeTextRow, error) {
	var rows []noticeTextRow
	err := s.db.NewSelect().Model(&rows).Where("notice_id = ?", id).Where("version = ?", version).Where("language IN (?)", bun.List(languages)).Scan(ctx)
	if err != nil {
		return noticeTextRow{}, fmt.Errorf("reading the text of a notice: %w", err)
	}
	for _, language := range languages {
		for _, row := range rows {
			if row.Language == language {
				return row, nil
			}
		}
	}
	return noticeTextRow{}, errNoNotice
}

// noticeVersions counts all versions of all notices.
func (s store) noticeVersions(ctx context.Context) (int64, error) {
	n, err := s.db.NewSelect().Model((*noticeRow)(nil)).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting notices: %w", err)
	}
	return n, nil
}

// addNotice adds a version with its texts. The error is a unique violation where the version exists.
func (s store) addNotice(ctx context.Context, tx bun.Tx, row noticeRow, texts []noticeTextRow) error {
	if err := s.insert(ctx, tx, &row); err != nil {
		return err
	}
	return s.insert(ctx, tx, &texts)
}

// noticePosition is where a list of notices continues.
type noticePosition struct {
	publishedAt int64
	noticeID    string
	version     int64
}

// notices returns versions of notices, newest first, that come after a position; one more than the page's limit.
func (s store) notices(ctx context.Context, r subjects.ListNoticesRequest, after *noticePosition) ([]noticeRow, error) {
	var rows []noticeRow
	q := s.db.NewSelect().Model(&rows).Order("published_at DESC", "notice_id DESC", "version DESC").Limit(int64(r.PageLimit() + 1))
	if after != nil {
		q.Where("(published_at, notice_id, version) < (?, ?, ?)", after.publishedAt, after.noticeID, after.version)
	}
	if r.NoticeID != "" {
		q.Where("notice_id = ?", r.NoticeID)
	}
	if r.PurposeID != "" {
		q.Where("purpose_id = ?", r.PurposeID)
	}
	if r.Version != 0 {
		q.Where("version = ?", r.Version)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing notices: %w", err)
	}
	return rows, nil
}

// noticeTexts returns the texts of versions of notices in the order of their languages; without the texts themselves unless whole is set.
func (s store) noticeTexts(ctx context.Context, notices []noticeRow, whole bool) (map[noticeKeyOf][]noticeTextRow, error) {
	texts := map[noticeKeyOf][]noticeTextRow{}
	if len(notices) == 0 {
		return texts, nil
	}
	var rows []noticeTextRow
	q := s.db.NewSelect().Model(&rows).Order("language")
	if !whole {
		q.ExcludeColumn("text")
	}
	for _, n := range notices {
		q.WhereOr("notice_id = ? AND version = ?", n.NoticeID, n.Version)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading the texts of notices: %w", err)
	}
	for _, row := range rows {
		key := noticeKeyOf{row.NoticeID, row.Version}
		texts[key] = append(texts[key], row)
	}
	return texts, nil
}

// noticeKeyOf identifies a version of a notice.
type noticeKeyOf struct {
	id      string
	version int64
}

// materialChange returns the latest material change of a scope's notices; false if there is none.
func (s store) materialChange(ctx context.Context, scope string) (noticeRow, bool, error) {
	var rows []noticeRow
	err := s.db.NewSelect().Model(&rows).Where("scope = ?", scope).Where("change = ?", subjects.NoticeMaterial).
		Order("published_at DESC", "version DESC").Limit(1).Scan(ctx)
	if err != nil {
		return noticeRow{}, false, fmt.Errorf("reading the latest material change: %w", err)
	}
	if len(rows) == 0 {
		return noticeRow{}, false, nil
	}
	return rows[0], true, nil
}

// claimRenewals claims the marking of consents that some material change asks for until a time, and returns the change; false if there is
// nothing to do, or other processes do it.
func (s store) claimRenewals(ctx context.Context, tx bun.Tx, now, until time.Time) (noticeRow, bool, error) {
	var rows []noticeRow
	err := tx.NewSelect().Model(&rows).Where("renewals_done = ?", false).Where("claimed_until < ?", now.UnixMicro()).
		Order("published_at", "notice_id", "version").Limit(1).Scan(ctx)
	if err != nil {
		return noticeRow{}, false, fmt.Errorf("looking for renewals: %w", err)
	}
	if len(rows) == 0 {
		return noticeRow{}, false, nil
	}
	row := rows[0]
	result, err := tx.NewUpdate().Model((*noticeRow)(nil)).Set("claimed_until = ?", until.UnixMicro()).
		Where("notice_id = ?", row.NoticeID).Where("version = ?", row.Version).
		Where("claimed_until = ?", row.ClaimedUntil).Where("renewals_done = ?", false).Exec(ctx)
	if err != nil {
		return noticeRow{}, false, fmt.Errorf("claiming renewals: %w", err)
	}
	row.ClaimedUntil = until.UnixMicro()
	n, err := result.RowsAffected()
	return row, n == 1, err
}

// saveRenewals writes how far the marking has come, under the claim that claimRenewals has made. It reports whether the claim was held.
func (store) saveRenewals(ctx context.Context, tx bun.Tx, row noticeRow, claim int64) (bool, error) {
	result, err := tx.NewUpdate().Model(&row).Column("renewals", "renewal_cursor", "claimed_until", "renewals_done").WherePK().
		Where("claimed_until = ?", claim).Where("renewals_done = ?", false).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("saving renewals: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// outdated returns active consents to a scope that were given before a time and need no renewal yet, in the order of their ids.
func (s store) outdated(ctx context.Context, scope string, before int64, after string, limit int) ([]consentRow, error) {
	var rows []consentRow
	err := s.db.NewSelect().Model(&rows).Where("status = ?", subjects.ConsentActive).Where("scope = ?", scope).Where("renewal_at = 0").
		Where("granted_at <= ?", before).Where("id > ?", after).Order("id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading consents that need a renewal: %w", err)
	}
	return rows, nil
}

// mark sets a column of an active consent that is still 0 to a time, with others of the row, and reports whether it was.
func (store) mark(ctx context.Context, tx bun.Tx, c consentRow, column string, others ...string) (bool, error) {
	result, err := tx.NewUpdate().Model(&c).Column(append(others, column)...).WherePK().
		Where("status = ?", subjects.ConsentActive).Where("? = 0", bun.Ident(column)).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("marking a consent: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}
