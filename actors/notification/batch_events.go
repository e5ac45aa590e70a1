package notification

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/subjects"
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

// sendBatch makes the message of a due batch. First the batch stops collecting, so that what arrives begins the next one; then the items are
// rendered, and in one transaction the message is made of exactly these. An item that is cancelled meanwhile makes it render again. The
// message is a notification of its own, whose retries add nothing to it and lose nothing of it.
func (pl *pipeline) sendBatch(ctx context.Context, b batchRow) error {
	err := pl.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return pl.store.stopCollecting(ctx, tx, b.ID, pl.Now())
	})
	if err != nil {
		return err
	}
	for {
		m, err := pl.renderBatch(ctx, b)
		if err != nil {
			return err
		}
		err = pl.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return pl.makeMessage(ctx, tx, b, m) })
		if !errors.Is(err, errChanged) {
			return err
		}
	}
}

// batchMessage is the message of a batch with the ids of its items.
type batchMessage struct {
	notificationRow
	items    []string
	rendered channel.Rendered
}

// renderBatch renders the message of the present items of a batch.
func (pl *pipeline) renderBatch(ctx context.Context, b batchRow) (batchMessage, error) {
	now := pl.Now()
	m := batchMessage{notificationRow: notificationRow{
		ID: b.ID, UserID: b.UserID, Category: b.Category, IsBatch: true, Started: true, InApp: b.Channel == channel.InApp, CreatedAt: now.UnixMicro(),
	}}
	rows, err := pl.store.batchItems(ctx, b.ID)
	if err != nil || len(rows) == 0 {
		return m, err
	}
	c := content{Template: subjects.TemplateBatch}
	if c.Revision, err = pl.templates.store.revision(ctx); err != nil {
		return m, err
	}
	whole := make([]content, len(rows))
	for i, n := range rows {
		m.items = append(m.items, n.ID)
		// An item that cannot be decrypted is in the message by its id alone.
		if whole[i], err = pl.open(n); err != nil {
			pl.Log.Error("decrypting an item of a batch", zap.String("notification_id", n.ID), zap.Error(err))
			whole[i] = content{}
		}
		c.Items = append(c.Items, item{
			ID: n.ID, Template: whole[i].Template, Subject: whole[i].Subject, Body: whole[i].Body, Data: whole[i].Data,
			CreatedAt: time.UnixMicro(n.CreatedAt).UTC(),
		})
	}
	c.Locale = whole[0].Locale
	if len(rows) == 1 && whole[0].Template != "" {
		c.Revision = whole[0].Revision // the item is the message
	}
	to := pl.recipientContact(b.UserID)
	if err := pl.renderItems(ctx, m.notificationRow, whole, c.Items, b.Channel, to); err != nil {
		return m, err
	}
	if m.rendered, err = pl.render(ctx, m.notificationRow, c, b.Channel, to); err != nil {
		return m, err
	}
	c.Subject, c.Body = m.rendered.Subject, m.rendered.Text
	m.Content, err = pl.seal(m.ID, c)
	return m, err
}

// makeMessage makes the message of a batch. It fails with errChanged where its items have changed since the message was rendered. They are
// looked at once the batch is closed: a cancellation under way changes the batch first, and is waited for.
func (pl *pipeline) makeMessage(ctx context.Context, tx database.Tx, b batchRow, m batchMessage) error {
	now := pl.Now()
	closed, err := pl.store.closeBatch(ctx, tx, b.ID, now)
	if err != nil || !closed {
		return err
	}
	items, err := pl.store.batchItemIDs(ctx, b.ID)
	if err != nil {
		return err
	}
	if !slices.Equal(items, m.items) {
		return errChanged
	}
	if len(items) == 0 {
		return nil
	}
	d := newDelivery(m.notificationRow, b.Channel)
	d.NextAttemptAt = now.UnixMicro()
	if m.InApp {
		d.Status, d.Attempts, d.NextAttemptAt, d.AcceptedAt = statusDelivered, 1, 0, now.UnixMicro()
		d.Template, d.TemplateVersion, d.Locale = subjects.TemplateBatch, m.rendered.TemplateVersion, channel.Truncate(m.rendered.Locale, maxLocale)
	}
	n := m.notificationRow
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
}

// endBatch ends a batch without a message and gives its items an outcome. It counts as the one message that it would have been.
func (pl *pipeline) endBatch(ctx context.Context, b batchRow, v decision) error {
	return pl.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		now := pl.Now()
		closed, err := pl.store.closeBatch(ctx, tx, b.ID, now)
		if err != nil || !closed {
			return err
		}
		if items, err := pl.store.batchItemIDs(ctx, b.ID); err != nil || len(items) == 0 {
			return err
		}
		d := newDelivery(notificationRow{ID: b.ID, UserID: b.UserID, Category: b.Category}, b.Channel).apply(v, now)
		pl.DB.AfterCommit(ctx, func() { pl.count(d) })
		if err := pl.tally(ctx, tx, d); err != nil {
			return err
		}
		return pl.store.settleItems(ctx, tx, d)
	})
}
