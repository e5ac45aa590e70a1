package notification

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
)

// collect adds a delivery to the batch that collects its like, or begins one, and returns its new state, which the caller stores in the same
// transaction. A batch that is full, or whose message has been made, takes no more: the item begins the next one.
func (pl *pipeline) collect(ctx context.Context, tx database.Tx, n notificationRow, d deliveryRow, v decision) (deliveryRow, error) {
	now := pl.Now()
	like := batchRow{UserID: n.UserID, Category: n.Category, Channel: d.Channel, Key: v.batch.key, Digest: v.batch.digest, Collecting: true}
	b, err := pl.store.collecting(ctx, tx, like)
	if err != nil {
		return d, err
	}
	added := false
	if b.ID != "" {
		if added, err = pl.addItem(ctx, tx, &b, n, v.batch, now); err != nil {
			return d, err
		}
	}
	if !added {
		b = like
		b.ID, b.OpenedAt, b.DueAt, b.Items, b.Bytes = pl.NewID(), now.UnixMicro(), v.batch.latest.UnixMicro(), 1, n.Bytes
		if !v.batch.digest {
			b.DueAt = min(b.DueAt, now.Add(v.batch.window).UnixMicro())
		}
		if v.batch.maxItems == 1 {
			b.Collecting, b.DueAt = false, now.UnixMicro()
		}
		if err := pl.store.insertBatch(ctx, tx, &b); err != nil {
			return d, err
		}
	}
	d.Status, d.Reason, d.BatchID, d.SlotAt, d.UpdatedAt = statusBatched, v.reason, b.ID, 0, now.UnixMicro()
	d.NextAttemptAt = max(b.DueAt, min(v.batch.latest.UnixMicro(), b.OpenedAt+v.batch.latest.Sub(now).Microseconds()))
	if v.batch.digest || !b.Collecting {
		d.NextAttemptAt = b.DueAt
	}
	return d, nil
}

// addItem adds an item to a batch. It reports false where the batch takes no more, and closes one that the item would make too large. Its time
// is a window later, but not later than max_wait after its first item.
func (pl *pipeline) addItem(ctx context.Context, tx database.Tx, b *batchRow, n notificationRow, c collection, now time.Time) (bool, error) {
	if b.Bytes+n.Bytes > maxBatchBytes {
		b.Collecting, b.DueAt = false, min(b.DueAt, now.UnixMicro())
		_, err := pl.store.updateBatch(ctx, tx, *b)
		return false, err
	}
	b.Items++
	b.Bytes += n.Bytes
	if !c.digest {
		latest := b.OpenedAt + c.latest.Sub(now).Microseconds()
		b.DueAt = min(now.Add(c.window).UnixMicro(), latest)
	}
	if b.Items >= c.maxItems {
		b.Collecting, b.DueAt = false, min(b.DueAt, now.UnixMicro())
	}
	return pl.store.updateBatch(ctx, tx, *b)
}

// sendBatch makes the message of a due batch in one transaction: from then on its items are fixed, and what arrives begins the next batch. The
// message is a notification of its own, whose retries add nothing to it and lose nothing of it.
func (pl *pipeline) sendBatch(ctx context.Context, b batchRow) error {
	return pl.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		now := pl.Now()
		closed, err := pl.store.closeBatch(ctx, tx, b.ID, now)
		if err != nil || !closed {
			return err
		}
		rows, err := pl.store.batchItems(ctx, tx, b.ID)
		if err != nil || len(rows) == 0 {
			return err
		}
		n := notificationRow{
			ID: b.ID, UserID: b.UserID, Category: b.Category, IsBatch: true, Started: true, InApp: b.Channel == channel.InApp, CreatedAt: now.UnixMicro(),
		}
		c := pl.batchContent(rows)
		rendered, err := pl.seams.render(ctx, n, c, b.Channel)
		if err != nil {
			return err
		}
		c.Subject, c.Body = rendered.Subject, rendered.Text
		if n.Content, err = pl.seal(n.ID, c); err != nil {
			return err
		}
		d := newDelivery(n, b.Channel)
		d.NextAttemptAt = now.UnixMicro()
		if n.InApp {
			d.Status, d.Attempts, d.NextAttemptAt, d.AcceptedAt = statusDelivered, 1, 0, now.UnixMicro()
		}
		if err := pl.store.insert(ctx, tx, &n, []deliveryRow{d}); err != nil {
			return err
		}
		if n.InApp {
			if err := pl.store.settleItems(ctx, tx, d); err != nil {
				return err
			}
		}
		pl.DB.AfterCommit(ctx, func() { pl.bounds.note(n.UserID) })
		return pl.launch(ctx, tx, n, []deliveryRow{d})
	})
}

// batchContent returns the content of the message of a batch. An item that cannot be decrypted is in it by its id alone.
func (pl *pipeline) batchContent(rows []notificationRow) content {
	var whole content
	for i, n := range rows {
		c, err := pl.open(n)
		if err != nil {
			pl.Log.Error("decrypting an item of a batch", zap.String("notification_id", n.ID), zap.Error(err))
			c = content{}
		}
		if i == 0 {
			whole.Template, whole.Locale = c.Template, c.Locale
		}
		whole.Items = append(whole.Items, item{
			ID: n.ID, Subject: c.Subject, Body: c.Body, Data: c.Data, CreatedAt: time.UnixMicro(n.CreatedAt).UTC(),
		})
	}
	return whole
}

// endBatch ends a batch without a message and gives its items an outcome.
func (pl *pipeline) endBatch(ctx context.Context, b batchRow, v decision) error {
	return pl.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		now := pl.Now()
		closed, err := pl.store.closeBatch(ctx, tx, b.ID, now)
		if err != nil || !closed {
			return err
		}
		return pl.store.settleItems(ctx, tx, deliveryRow{NotificationID: b.ID}.apply(v, now))
	})
}
