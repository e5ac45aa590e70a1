package notification

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// store holds the actor's queries. A read joins the transaction of its context, where there is one; a write names its
// transaction.
type store struct {
	db *database.DB
}

var errNoNotification = subjects.Errorf(subjects.CodeNotFound, "notification not found")

// notificationRow is one notification. Times are microseconds since the Unix epoch, 0 for none.
type notificationRow struct {
	bun.BaseModel `bun:"table:notifications"`

	ID       string `bun:"id,pk"`
	UserID   string `bun:"user_id"`
	Category string `bun:"category"`
	// Content is a sealed content, in Base64. Bytes is its length.
	Bytes   int64  `bun:"bytes"`
	Content string `bun:"content"`
	// InApp is true once it is in the inbox.
	InApp     bool    `bun:"in_app"`
	DedupeKey *string `bun:"dedupe_key"`
	// Batching is a subjects.NotificationBatch as JSON; empty if it is not collected. IsBatch is true for the message of a batch.
	Batching string `bun:"batching"`
	IsBatch  bool   `bun:"is_batch"`
	// GrantScope and GrantConsent are the consent under which a service has sent it; empty if the user has.
	GrantScope   string `bun:"grant_scope"`
	GrantConsent string `bun:"grant_consent"`
	CreatedAt    int64  `bun:"created_at"`
	SendAt       int64  `bun:"send_at"`
	Started      bool   `bun:"started"`
	Cancelled    bool   `bun:"cancelled"`
	ReadAt       int64  `bun:"read_at"`
}

// byDedupeKey returns a user's notification with a dedupe key, without its channels, or errNoNotification.
func (s store) byDedupeKey(ctx context.Context, userID, key string) (notificationRow, error) {
	var n notificationRow
	err := s.db.NewSelect().Model(&n).Where("user_id = ?", userID).Where("dedupe_key = ?", key).Scan(ctx)
	return n, database.OneRow(err, "reading a notification by its dedupe key", errNoNotification)
}

// notification returns one notification of a user with its channels, or errNoNotification.
func (s store) notification(ctx context.Context, userID, id string) (notificationRow, []deliveryRow, error) {
	var n notificationRow
	err := s.db.NewSelect().Model(&n).Where("id = ?", id).Where("user_id = ?", userID).Scan(ctx)
	if err != nil {
		return n, nil, database.OneRow(err, "reading a notification", errNoNotification)
	}
	channels, err := s.deliveries(ctx, []string{id})
	return n, channels[id], err
}

// insert adds a notification with its deliveries.
func (store) insert(ctx context.Context, tx bun.Tx, n *notificationRow, channels []deliveryRow) error {
	n.Bytes = int64(len(n.Content))
	if _, err := tx.NewInsert().Model(n).Exec(ctx); err != nil {
		return fmt.Errorf("inserting a notification: %w", err)
	}
	if _, err := tx.NewInsert().Model(&channels).Exec(ctx); err != nil {
		return fmt.Errorf("inserting deliveries: %w", err)
	}
	return nil
}

// inbox returns the notifications in a user's inbox, newest first, that come after the given id; one more than the
// page's limit.
func (s store) inbox(ctx context.Context, userID string, r subjects.ListNotificationsRequest, after string) ([]notificationRow, error) {
	var rows []notificationRow
	q := s.db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("in_app").
		Order("id DESC").Limit(int64(r.PageLimit() + 1))
	if after != "" {
		q.Where("id < ?", after)
	}
	if r.Unread {
		q.Where("read_at = 0")
	}
	if r.Category != "" {
		q.Where("category = ?", r.Category)
	}
	if r.ExecutionID != "" {
		q.Where("dedupe_key LIKE ?", r.ExecutionID+"/%")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing notifications: %w", err)
	}
	return rows, nil
}

// unreadCount returns the number of unread notifications in a user's inbox.
func (s store) unreadCount(ctx context.Context, userID string) (int, error) {
	n, err := s.db.NewSelect().Model((*notificationRow)(nil)).Where("user_id = ?", userID).
		Where("in_app").Where("read_at = 0").Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting unread notifications: %w", err)
	}
	return int(n), nil
}

// lockInbox makes other transactions that publish a user's unread count wait until this one ends, so that the counts are published in the
// order of the changes and the last one is right. It must be taken after the changes and before the count.
func (s store) lockInbox(ctx context.Context, tx bun.Tx, userID string) error {
	return s.lock(ctx, tx, "inbox "+userID)
}

// markRead marks one notification in a user's inbox as read, or all where id is empty. It returns how many it changed.
func (store) markRead(ctx context.Context, tx bun.Tx, userID, id string, now time.Time) (int64, error) {
	q := tx.NewUpdate().Model((*notificationRow)(nil)).Set("read_at = ?", now.UnixMicro()).
		Where("user_id = ?", userID).Where("read_at = 0").Where("in_app")
	if id != "" {
		q.Where("id = ?", id)
	}
	result, err := q.Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("marking as read: %w", err)
	}
	return result.RowsAffected()
}

// markStarted marks a notification as started, and as in the inbox. It reports false where it had been started or cancelled.
func (store) markStarted(ctx context.Context, tx bun.Tx, id string, inApp bool) (bool, error) {
	result, err := tx.NewUpdate().Model((*notificationRow)(nil)).Set("started = ?", true).Set("in_app = ?", inApp).
		Where("id = ?", id).Where("NOT started").Where("NOT cancelled").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("starting a notification: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// setContent stores the content of a notification that has been rendered.
func setContent(ctx context.Context, tx bun.Tx, n notificationRow) error {
	_, err := tx.NewUpdate().Model((*notificationRow)(nil)).Set("content = ?", n.Content).Set("bytes = ?", len(n.Content)).
		Where("id = ?", n.ID).Exec(ctx)
	return wrapped(err, "storing a rendered notification")
}

// cancelScheduled cancels a notification that is not started, with its deliveries. It reports false where it had been started or cancelled.
func (store) cancelScheduled(ctx context.Context, tx bun.Tx, id string, now time.Time) (bool, error) {
	result, err := tx.NewUpdate().Model((*notificationRow)(nil)).Set("cancelled = ?", true).
		Where("id = ?", id).Where("NOT started").Where("NOT cancelled").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("cancelling a notification: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	_, err = tx.NewUpdate().Model((*deliveryRow)(nil)).Set("status = ?", statusCancelled).Set("updated_at = ?", now.UnixMicro()).
		Where("notification_id = ?", id).Exec(ctx)
	return err == nil, wrapped(err, "cancelling deliveries")
}

// due returns notifications that are not started and whose send_at has passed, earliest first, without those of some users.
func (s store) due(ctx context.Context, now time.Time, without []string, limit int) ([]notificationRow, error) {
	var rows []notificationRow
	q := s.db.NewSelect().Model(&rows).Where("NOT started").Where("NOT cancelled").Where("send_at <= ?", now.UnixMicro()).
		Order("send_at").Limit(int64(limit))
	if len(without) > 0 {
		q.Where("user_id NOT IN (?)", bun.List(without))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading due notifications: %w", err)
	}
	return rows, nil
}
