package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

var (
	errNoWebhook      = subjects.Errorf(subjects.CodeNotFound, "webhook not found")
	errWebhookChanged = subjects.Errorf(subjects.CodeConflict, "the webhook was changed concurrently")
)

// webhookRow is a webhook of a user. Times are microseconds since the Unix epoch, 0 for none.
type webhookRow struct {
	bun.BaseModel `bun:"table:webhooks"`

	ID          string `bun:"id,pk"`
	UserID      string `bun:"user_id"`
	GroupID     string `bun:"group_id"`
	URL         string `bun:"url"`
	Description string `bun:"description"`
	// Events and HeaderNames are separated by spaces.
	Events         string `bun:"events"`
	Condition      string `bun:"condition"`
	PayloadVersion int    `bun:"payload_version"`
	Signature      string `bun:"signature"`
	// Secret, OldSecret and Headers are sealed.
	Secret         []byte `bun:"secret"`
	OldSecret      []byte `bun:"old_secret"`
	OldUntil       int64  `bun:"old_until"`
	Headers        []byte `bun:"headers"`
	HeaderNames    string `bun:"header_names"`
	Status         string `bun:"status"`
	DisabledAt     int64  `bun:"disabled_at"`
	DisabledReason string `bun:"disabled_reason"`
	Ordered        bool   `bun:"ordered"`
	PerMinute      int    `bun:"per_minute"`
	Schedule       string `bun:"schedule"`
	Revision       int64  `bun:"revision"`
	CreatedAt      int64  `bun:"created_at"`
	UpdatedAt      int64  `bun:"updated_at"`
}

// oldUntil is the time until which the previous secret signs along.
func (w webhookRow) oldUntil() time.Time { return time.UnixMicro(w.OldUntil).UTC() }

// webhookGroupRow is a group of users; see the migration.
type webhookGroupRow struct {
	bun.BaseModel `bun:"table:webhook_groups"`

	ID      string `bun:"id,pk"`
	Changes int64  `bun:"changes"`
}

// webhookStore holds the queries of webhooks.
type webhookStore struct {
	db *database.DB
}

// find returns a user's webhook, or errNoWebhook.
func (s webhookStore) find(ctx context.Context, userID, id string) (webhookRow, error) {
	var row webhookRow
	err := s.db.NewSelect().Model(&row).Where("id = ?", id).Where("user_id = ?", userID).Scan(ctx)
	return row, database.OneRow(err, "reading a webhook", errNoWebhook)
}

// byID returns a webhook, or errNoWebhook.
func (s webhookStore) byID(ctx context.Context, id string) (webhookRow, error) {
	var row webhookRow
	err := s.db.NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	return row, database.OneRow(err, "reading a webhook", errNoWebhook)
}

// page returns a user's webhooks, newest first, that come after the given id; one more than the page's limit.
func (s webhookStore) page(ctx context.Context, userID, after string, limit int) ([]webhookRow, error) {
	var rows []webhookRow
	q := s.db.NewSelect().Model(&rows).Where("user_id = ?", userID).Order("id DESC").Limit(int64(limit + 1))
	if after != "" {
		q.Where("id < ?", after)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing webhooks: %w", err)
	}
	return rows, nil
}

// group returns the webhooks of a group of users, without secrets.
func (s webhookStore) group(ctx context.Context, groupID string) ([]webhookRow, error) {
	var rows []webhookRow
	err := s.db.NewSelect().Model(&rows).Column("id", "user_id", "events", "condition").Where("group_id = ?", groupID).Order("id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the webhooks of a group: %w", err)
	}
	return rows, nil
}

// insert adds a webhook.
func (s webhookStore) insert(ctx context.Context, tx bun.Tx, row *webhookRow) error {
	if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
		return fmt.Errorf("inserting a webhook: %w", err)
	}
	health := webhookHealthRow{WebhookID: row.ID, UserID: row.UserID}
	if _, err := tx.NewInsert().Model(&health).Exec(ctx); err != nil {
		return fmt.Errorf("inserting a webhook's health: %w", err)
	}
	return s.touchGroups(ctx, tx, row.GroupID)
}

// replace updates a webhook and counts its revision; errWebhookChanged if that is not the row's any more.
func (s webhookStore) replace(ctx context.Context, tx bun.Tx, row *webhookRow) error {
	row.Revision++
	result, err := tx.NewUpdate().Model(row).ExcludeColumn("id", "user_id", "group_id", "created_at").
		WherePK().Where("revision = ?", row.Revision-1).Exec(ctx)
	if err != nil {
		return fmt.Errorf("updating a webhook: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errWebhookChanged
	}
	return s.touchGroups(ctx, tx, row.GroupID)
}

// remove deletes a user's webhook; errNoWebhook if there is none.
func (s webhookStore) remove(ctx context.Context, tx bun.Tx, row webhookRow) error {
	result, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting a webhook: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errNoWebhook
	}
	if _, err := tx.NewDelete().Model((*webhookHealthRow)(nil)).Where("webhook_id = ?", row.ID).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a webhook's health: %w", err)
	}
	return s.touchGroups(ctx, tx, row.GroupID)
}

// touchGroups changes the rows of some groups, which empties the caches.
func (webhookStore) touchGroups(ctx context.Context, tx bun.Tx, ids ...string) error {
	_, err := tx.NewUpdate().Model((*webhookGroupRow)(nil)).Set("changes = changes + 1").Where("id IN (?)", bun.List(ids)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("marking a group of webhooks: %w", err)
	}
	return nil
}

// deleteUsers deletes the webhooks of some users. It returns how many there were.
func (s webhookStore) deleteUsers(ctx context.Context, tx bun.Tx, userIDs []string) (int64, error) {
	if _, err := tx.NewDelete().Model((*webhookHealthRow)(nil)).Where("user_id IN (?)", bun.List(userIDs)).Exec(ctx); err != nil {
		return 0, fmt.Errorf("deleting the health of webhooks: %w", err)
	}
	if _, err := tx.NewDelete().Model((*webhookUsageRow)(nil)).Where("user_id IN (?)", bun.List(userIDs)).Exec(ctx); err != nil {
		return 0, fmt.Errorf("deleting counts of deliveries: %w", err)
	}
	result, err := tx.NewDelete().Model((*webhookRow)(nil)).Where("user_id IN (?)", bun.List(userIDs)).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("deleting webhooks: %w", err)
	}
	deleted, err := result.RowsAffected()
	if err != nil || deleted == 0 {
		return 0, err
	}
	groups := make([]string, len(userIDs))
	for i, id := range userIDs {
		groups[i] = webhookGroup(id)
	}
	return deleted, s.touchGroups(ctx, tx, groups...)
}

// countWebhooks counts a user's webhooks.
func countWebhooks(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	n, err := db.NewSelect().Model((*webhookRow)(nil)).Where("user_id = ?", userID).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting webhooks: %w", err)
	}
	return n, nil
}
