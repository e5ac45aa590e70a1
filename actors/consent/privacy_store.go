package consent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

// privacyRow is one request under data protection law. Times are microseconds since the Unix epoch, 0 for none.
type privacyRow struct {
	bun.BaseModel `bun:"table:privacy_requests"`

	ID              string                   `bun:"id,pk"`
	UserID          string                   `bun:"user_id"`
	Kind            string                   `bun:"kind"`
	Status          string                   `bun:"status"`
	Format          string                   `bun:"format"`
	Fields          []subjects.Rectification `bun:"fields,type:text"`
	Note            string                   `bun:"note"`
	Resolution      string                   `bun:"resolution"`
	RequestedAt     int64                    `bun:"requested_at"`
	DueAt           int64                    `bun:"due_at"`
	ExtendedAt      int64                    `bun:"extended_at"`
	ExtensionReason string                   `bun:"extension_reason"`
	EndedAt         int64                    `bun:"ended_at"`
	ErasureID       string                   `bun:"erasure_id"`
	NextAt          int64                    `bun:"next_at"`
	Attempts        int                      `bun:"attempts"`
	Problem         string                   `bun:"problem"`
	Attempt         string                   `bun:"attempt"`
	FileKey         []byte                   `bun:"file_key"`
	FileParts       int64                    `bun:"file_parts"`
	FileSize        int64                    `bun:"file_size"`
	FileSHA256      string                   `bun:"file_sha256"`
	FileExpiresAt   int64                    `bun:"file_expires_at"`
}

// privacyActorRow is what an actor has done for a request.
type privacyActorRow struct {
	bun.BaseModel `bun:"table:privacy_request_actors"`

	RequestID string `bun:"request_id,pk"`
	Actor     string `bun:"actor,pk"`
	Items     int64  `bun:"items"`
	At        int64  `bun:"at"`
}

var errNoPrivacyRequest = subjects.Errorf(subjects.CodeNotFound, "there is no such request")

// privacyStore has the queries of privacy requests.
type privacyStore struct{ db *database.DB }

// request returns a request, of a user unless userID is empty.
func (s privacyStore) request(ctx context.Context, userID, id string) (privacyRow, error) {
	var row privacyRow
	q := s.db.NewSelect().Model(&row).Where("id = ?", id)
	if userID != "" {
		q.Where("user_id = ?", userID)
	}
	return row, database.OneRow(q.Scan(ctx), "reading a privacy request", errNoPrivacyRequest)
}

// lock returns a request and locks its row until the transaction ends.
func (s privacyStore) lock(ctx context.Context, tx bun.Tx, id string) (privacyRow, error) {
	if _, err := tx.NewUpdate().Model((*privacyRow)(nil)).Set("id = id").Where("id = ?", id).Exec(ctx); err != nil {
		return privacyRow{}, fmt.Errorf("locking a privacy request: %w", err)
	}
	return s.request(ctx, "", id)
}

// add adds a request; errOpenRequest if the user has one of its kind in progress.
func (privacyStore) add(ctx context.Context, tx bun.Tx, row privacyRow) error {
	_, err := tx.NewInsert().Model(&row).Exec(ctx)
	if database.IsUnique(err) {
		return subjects.Errorf(subjects.CodeConflict, "a request of this kind is in progress already")
	}
	if err != nil {
		return fmt.Errorf("adding a privacy request: %w", err)
	}
	return nil
}

// save writes all columns of a locked request.
func (privacyStore) save(ctx context.Context, tx bun.Tx, row privacyRow) error {
	if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("saving a privacy request: %w", err)
	}
	return nil
}

// remove deletes a request that auth has refused.
func (privacyStore) remove(ctx context.Context, tx bun.Tx, id string) error {
	if _, err := tx.NewDelete().Model((*privacyRow)(nil)).Where("id = ?", id).Where("erasure_id = ''").Exec(ctx); err != nil {
		return fmt.Errorf("deleting a privacy request: %w", err)
	}
	return nil
}

// page returns requests, newest first, one more than the page's limit; of a user unless userID is empty.
func (s privacyStore) page(ctx context.Context, userID string, r subjects.ListAllPrivacyRequestsRequest, after string) ([]privacyRow, error) {
	var rows []privacyRow
	q := s.db.NewSelect().Model(&rows).Order("id DESC").Limit(int64(r.PageLimit() + 1))
	if userID != "" {
		q.Where("user_id = ?", userID)
	}
	if after != "" {
		q.Where("id < ?", after)
	}
	if r.Kind != "" {
		q.Where("kind = ?", r.Kind)
	}
	if r.Status != "" {
		q.Where("status = ?", r.Status)
	}
	if r.DueBefore != nil {
		q.Where("status = ?", subjects.PrivacyInProgress).Where("due_at < ?", r.DueBefore.UnixMicro())
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing privacy requests: %w", err)
	}
	return rows, nil
}

// actorsOf returns what actors have done, by request.
func (s privacyStore) actorsOf(ctx context.Context, ids ...string) (map[string][]privacyActorRow, error) {
	byID := make(map[string][]privacyActorRow, len(ids))
	if len(ids) == 0 {
		return byID, nil
	}
	var rows []privacyActorRow
	if err := s.db.NewSelect().Model(&rows).Where("request_id IN (?)", bun.List(ids)).Order("actor").Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading the progress of privacy requests: %w", err)
	}
	for _, row := range rows {
		byID[row.RequestID] = append(byID[row.RequestID], row)
	}
	return byID, nil
}

// putActor records what an actor has done.
func (privacyStore) putActor(ctx context.Context, tx bun.Tx, row privacyActorRow) error {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (request_id, actor) DO UPDATE").Set("items = EXCLUDED.items").Set("at = EXCLUDED.at").
		Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording the progress of a privacy request: %w", err)
	}
	return nil
}

// claim takes the request that has been due for longest until a time; false if none is due.
func (s privacyStore) claim(ctx context.Context, attempt string, now, until time.Time) (row privacyRow, found bool, err error) {
	err = s.db.NewSelect().Model(&row).Where("next_at > 0").Where("next_at <= ?", now.UnixMicro()).Order("next_at").Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, false, nil
	}
	if err != nil {
		return row, false, fmt.Errorf("looking for a privacy request: %w", err)
	}
	err = s.db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		done, err := tx.NewUpdate().Model((*privacyRow)(nil)).Set("next_at = ?", until.UnixMicro()).Set("attempt = ?", attempt).
			Set("attempts = attempts + 1").Set("file_key = NULL").Set("file_parts = 0").
			Where("id = ?", row.ID).Where("next_at = ?", row.NextAt).Where("attempt = ?", row.Attempt).Exec(ctx)
		if err != nil {
			return fmt.Errorf("claiming a privacy request: %w", err)
		}
		n, err := done.RowsAffected()
		found = n == 1
		return err
	})
	return row, found, err
}

// renew extends the claim of an attempt and records how many parts it may have stored; errClaimLost if another process has taken over.
func (s privacyStore) renew(ctx context.Context, id, attempt string, until time.Time, parts int64) error {
	return s.db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		done, err := tx.NewUpdate().Model((*privacyRow)(nil)).Set("next_at = ?", until.UnixMicro()).Set("file_parts = ?", parts).
			Where("id = ?", id).Where("attempt = ?", attempt).Where("next_at > 0").Exec(ctx)
		if err != nil {
			return fmt.Errorf("renewing the claim of a privacy request: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, errClaimLost)
		}
		return nil
	})
}

// errClaimLost means that another process works at the request, or that it has ended.
var errClaimLost = errors.New("another process has taken the request over, or it has ended")

// expiredFiles returns requests whose file has expired by a time.
func (s privacyStore) expiredFiles(ctx context.Context, now time.Time, limit int) ([]privacyRow, error) {
	var rows []privacyRow
	err := s.db.NewSelect().Model(&rows).Where("file_expires_at > 0").Where("file_expires_at <= ?", now.UnixMicro()).
		Order("file_expires_at").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading expired exports: %w", err)
	}
	return rows, nil
}

// forgetFile removes the file of an attempt from its request.
func (s privacyStore) forgetFile(ctx context.Context, id, attempt string) error {
	return s.db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().Model((*privacyRow)(nil)).Set("file_key = NULL").Set("file_parts = 0").Set("file_expires_at = 0").
			Where("id = ?", id).Where("attempt = ?", attempt).Exec(ctx)
		if err != nil {
			return fmt.Errorf("forgetting an export: %w", err)
		}
		return nil
	})
}

// expireOthers makes a user's other files expire.
func (privacyStore) expireOthers(ctx context.Context, tx bun.Tx, row privacyRow, now time.Time) error {
	_, err := tx.NewUpdate().Model((*privacyRow)(nil)).Set("file_expires_at = ?", now.UnixMicro()).
		Where("user_id = ?", row.UserID).Where("kind = ?", row.Kind).Where("id <> ?", row.ID).Where("file_expires_at > ?", now.UnixMicro()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("replacing an export: %w", err)
	}
	return nil
}

// requestsSince counts the requests that a user has made since a time.
func requestsSince(since func() time.Time) quota.Counter {
	return func(ctx context.Context, db bun.IDB, userID string) (int64, error) {
		n, err := db.NewSelect().Model((*privacyRow)(nil)).Where("user_id = ?", userID).Where("requested_at > ?", since().UnixMicro()).Count(ctx)
		if err != nil {
			return 0, fmt.Errorf("counting privacy requests: %w", err)
		}
		return n, nil
	}
}
