package consent

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/langtag"
	"github.com/weftmesh/weft/subjects"
)

// publishNotice adds a version of a notice. After a material change the background task renewals marks consents.
func (a *Actor) publishNotice(ctx context.Context, r subjects.PublishNoticeRequest) (subjects.Notice, error) {
	p, known := a.purposes.get(r.PurposeID)
	if !known {
		return subjects.Notice{}, subjects.InvalidField("purpose_id", "is not one of list_scopes")
	}
	row, texts, err := noticeOf(r, p, a.Now())
	if err != nil {
		return subjects.Notice{}, err
	}
	row, err = idempotency.Step(ctx, a.DB, "publish", func(ctx context.Context, tx database.Tx) (noticeRow, error) {
		return a.addNotice(ctx, tx, row, texts, r.ExpectedVersion)
	})
	if err != nil {
		return subjects.Notice{}, err
	}
	slices.SortFunc(texts, func(a, b noticeTextRow) int { return strings.Compare(a.Language, b.Language) })
	a.DB.AfterCommit(ctx, a.renewals.Notify)
	return row.resource(texts, true), nil
}

// addNotice adds a row as the next version of its notice.
func (a *Actor) addNotice(ctx context.Context, tx database.Tx, row noticeRow, texts []noticeTextRow, expected *int64) (noticeRow, error) {
	latest, err := a.store.notice(ctx, row.NoticeID)
	switch {
	case errors.Is(err, errNoNotice):
	case err != nil:
		return row, err
	case latest.PurposeID != row.PurposeID:
		return row, subjects.InvalidField("purpose_id", "is %s for this notice", latest.PurposeID)
	}
	if expected != nil && *expected != latest.Version {
		return row, versionMismatch(latest.Version)
	}
	count, err := a.store.noticeVersions(ctx)
	if err != nil {
		return row, err
	}
	if count >= int64(a.config.Notices.MaxVersions) {
		return row, &subjects.Error{
			Code: subjects.CodeRateLimited, Reason: subjects.ReasonLimitReached,
			Detail: "there are as many versions of notices as consent.notices.max_versions allows",
		}
	}
	row.Version = latest.Version + 1
	for i := range texts {
		texts[i].Version = row.Version
	}
	err = a.store.addNotice(ctx, tx, row, texts)
	if database.IsUnique(err) {
		return row, versionMismatch(row.Version)
	}
	return row, err
}

func versionMismatch(latest int64) error {
	return &subjects.Error{
		Code: subjects.CodeConflict, Reason: subjects.ReasonVersionMismatch, Detail: "the notice has the version " + strconv.FormatInt(latest, 10),
	}
}

func (a *Actor) listNotices(ctx context.Context, r subjects.ListNoticesRequest) (subjects.Page[subjects.Notice], error) {
	none := subjects.Page[subjects.Notice]{}
	if r.Version != 0 && r.NoticeID == "" {
		return none, subjects.InvalidField("notice_id", "is required with version")
	}
	after, err := noticeCursor(r.Cursor)
	if err != nil {
		return none, err
	}
	rows, err := a.store.notices(ctx, r, after)
	if err != nil {
		return none, err
	}
	whole := r.Version != 0
	texts, err := a.store.noticeTexts(ctx, rows, whole)
	if err != nil {
		return none, err
	}
	items := make([]subjects.Notice, len(rows))
	for i, row := range rows {
		items[i] = row.resource(texts[noticeKeyOf{row.NoticeID, row.Version}], whole)
	}
	return actors.PageOf(items, r.PageLimit(), func(n subjects.Notice) []string {
		return []string{strconv.FormatInt(n.PublishedAt.UnixMicro(), 10), n.NoticeID, strconv.FormatInt(n.Version, 10)}
	}), nil
}

// noticeCursor returns where a list continues; nil at its beginning.
func noticeCursor(cursor string) (*noticePosition, error) {
	parts, err := actors.DecodeCursor(cursor, 3)
	if err != nil || parts[0] == "" {
		return nil, err
	}
	at, errAt := strconv.ParseInt(parts[0], 10, 64)
	version, errVersion := strconv.ParseInt(parts[2], 10, 64)
	if errAt != nil || errVersion != nil {
		return nil, subjects.InvalidField("cursor", "invalid cursor")
	}
	return &noticePosition{publishedAt: at, noticeID: parts[1], version: version}, nil
}

// serveNotice returns the current text of a notice and a token that proves it.
func (a *Actor) serveNotice(ctx context.Context, r subjects.ServeNoticeRequest) (subjects.ServedNotice, error) {
	none := subjects.ServedNotice{}
	place := canonicalPlace(r.Jurisdiction)
	notice, err := a.store.notice(ctx, r.NoticeID)
	if err != nil {
		return none, err
	}
	p, known := a.purposes.get(notice.PurposeID)
	if !known || p.Scope != notice.Scope {
		return none, errNoNotice // its purpose has been removed from the settings
	}
	text, err := a.store.noticeText(ctx, notice.NoticeID, notice.Version, langtag.Fallback(r.Language, notice.DefaultLanguage))
	if err != nil {
		return none, err
	}
	optedOut, err := a.optedOut(ctx, place)
	if err != nil {
		return none, err
	}
	now := a.Now()
	expires := now.Add(a.config.Notices.TokenTTL).Truncate(time.Second)
	claims := noticeClaims{
		Issuer: a.Issuer, ID: a.NewID(), IssuedAt: now.Unix(), ExpiresAt: expires.Unix(), Subject: actors.CallerFrom(ctx).UserID,
		NoticeID: notice.NoticeID, Version: notice.Version, PurposeID: p.ID, PurposeVersion: p.Version, Scope: p.Scope,
		Hash: text.Hash, Language: text.Language, Jurisdiction: place, GPC: optedOut && p.SaleOrShare != "",
	}
	token, err := a.signer.sign(ctx, claims)
	if err != nil {
		return none, err
	}
	a.metrics.noticesServed.Inc()
	return subjects.ServedNotice{
		NoticeID: notice.NoticeID, Version: notice.Version, PurposeID: p.ID, PurposeVersion: p.Version, Scope: p.Scope,
		Language: text.Language, Title: text.Title, Text: text.Text, Hash: text.Hash, LegalBasis: p.basisIn(place), Jurisdiction: place,
		GPC: claims.GPC, NoticeToken: token, ExpiresAt: expires.UTC(),
	}, nil
}
