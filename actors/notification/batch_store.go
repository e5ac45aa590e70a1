package notification

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

// batchRow is a batch that collects items, or is about to be sent. Times are microseconds since the Unix epoch.
type batchRow struct {
	bun.BaseModel `bun:"table:batches"`

	// ID will be the id of the notification that the batch is sent as.
	ID         string `bun:"id,pk"`
	UserID     string `bun:"user_id"`
	Category   string `bun:"category"`
	Channel    string `bun:"channel"`
	Key        string `bun:"batch_key"`
	Digest     bool   `bun:"digest"`
	Collecting bool   `bun:"collecting"`
	Items      int    `bun:"items"`
	Bytes      int64  `bun:"bytes"`
	OpenedAt   int64  `bun:"opened_at"`
	DueAt      int64  `bun:"due_at"`
}

// collecting returns the batch that collects items like a given one, or one without an id.
func (s store) collecting(ctx context.Context, tx bun.Tx, like batchRow) (batchRow, error) {
	name := "batch " + like.UserID + " " + like.Category + " " + like.Channel + " " + like.Key
	if err := s.lock(ctx, tx, name); err != nil {
		return batchRow{}, err
	}
	var rows []batchRow
	err := tx.NewSelect().Model(&rows).Where("user_id = ?", like.UserID).Where("category = ?", like.Category).Where("channel = ?", like.Channel).
		Where("digest = ?", like.Digest).Where("batch_key = ?", like.Key).Where("collecting").Scan(ctx)
	if err != nil || len(rows) == 0 {
		return batchRow{}, wrapped(err, "reading a batch")
	}
	return rows[0], nil
}

// insertBatch adds a batch.
func (store) insertBatch(ctx context.Context, tx bun.Tx, b *batchRow) error {
	_, err := tx.NewInsert().Model(b).Exec(ctx)
	return wrapped(err, "inserting a batch")
}

// updateBatch stores a batch that still collects. It reports false where its message has been made meanwhile.
func (store) updateBatch(ctx context.Context, tx bun.Tx, b batchRow) (bool, error) {
	result, err := tx.NewUpdate().Model(&b).Column("collecting", "items", "bytes", "due_at").WherePK().Where("collecting").Exec(ctx)
	if err != nil {
		return false, wrapped(err, "updating a batch")
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// dropItem takes an item out of a batch whose message is not made yet, and reports whether there is such a batch. An empty batch is deleted
// at its time.
func (store) dropItem(ctx context.Context, tx bun.Tx, id string) (bool, error) {
	result, err := tx.NewUpdate().Model((*batchRow)(nil)).Set("items = items - 1").Where("id = ?", id).Exec(ctx)
	if err != nil {
		return false, wrapped(err, "taking an item out of a batch")
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// dueBatches returns batches whose time has come, earliest first, without those of some users.
func (s store) dueBatches(ctx context.Context, now time.Time, without []string, limit int) ([]batchRow, error) {
	var rows []batchRow
	q := s.db.NewSelect().Model(&rows).Where("due_at <= ?", now.UnixMicro()).Order("due_at").Limit(int64(limit))
	if len(without) > 0 {
		q.Where("user_id NOT IN (?)", bun.List(without))
	}
	return rows, wrapped(q.Scan(ctx), "reading due batches")
}

// closeBatch deletes a due batch, so that it takes no more items. It reports false where it is not due any more or was closed already.
func (store) closeBatch(ctx context.Context, tx bun.Tx, id string, now time.Time) (bool, error) {
	result, err := tx.NewDelete().Model((*batchRow)(nil)).Where("id = ?", id).Where("due_at <= ?", now.UnixMicro()).Exec(ctx)
	if err != nil {
		return false, wrapped(err, "closing a batch")
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// stopCollecting makes a due batch take no more items.
func (store) stopCollecting(ctx context.Context, tx bun.Tx, id string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*batchRow)(nil)).Set("collecting = ?", false).Where("id = ?", id).Where("collecting").
		Where("due_at <= ?", now.UnixMicro()).Exec(ctx)
	return wrapped(err, "ending the collection of a batch")
}

// batchItems returns the notifications that a batch has collected, oldest first.
func (s store) batchItems(ctx context.Context, id string) ([]notificationRow, error) {
	var rows []notificationRow
	err := s.db.NewSelect().Model(&rows).Where("id IN (?)", s.itemIDs(id)).Order("id").Scan(ctx)
	return rows, wrapped(err, "reading the items of a batch")
}

// batchItemIDs returns the ids of batchItems.
func (s store) batchItemIDs(ctx context.Context, id string) (ids []string, err error) {
	err = s.itemIDs(id).Order("notification_id").Scan(ctx, &ids)
	return ids, wrapped(err, "reading the items of a batch")
}

func (s store) itemIDs(id string) *bun.SelectQuery {
	return s.db.NewSelect().Model((*deliveryRow)(nil)).Column("notification_id").Where("batch_id = ?", id).Where("status = 'batched'")
}
