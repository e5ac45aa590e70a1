package notification

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// deliveryRow is one channel of a notification. Times are microseconds since the Unix epoch, 0 for none.
type deliveryRow struct {
	bun.BaseModel `bun:"table:deliveries"`

	NotificationID    string `bun:"notification_id,pk"`
	Channel           string `bun:"channel,pk"`
	UserID            string `bun:"user_id"`
	Category          string `bun:"category"`
	Status            string `bun:"status"`
	Reason            reason `bun:"reason"`
	Attempts          int    `bun:"attempts"`
	Error             string `bun:"error"`
	Provider          string `bun:"provider"`
	ProviderMessageID string `bun:"provider_message_id"`
	AcceptedAt        int64  `bun:"accepted_at"`
	NextAttemptAt     int64  `bun:"next_attempt_at"`
	SlotAt            int64  `bun:"slot_at"`
	BatchID           string `bun:"batch_id"`
	// Devices are the ids of the devices that the next attempt goes to, separated by spaces; empty for all. AcceptedAt is set once one
	// device has accepted, also while an attempt for others is to follow.
	Devices string `bun:"devices"`
	// Template, TemplateVersion and Locale are those of what was rendered.
	Template        string `bun:"template"`
	TemplateVersion int    `bun:"template_version"`
	Locale          string `bun:"locale"`
	UpdatedAt       int64  `bun:"updated_at"`
}

// newDelivery returns a channel of a notification that waits for its start.
func newDelivery(n notificationRow, ch string) deliveryRow {
	return deliveryRow{
		NotificationID: n.ID, Channel: ch, UserID: n.UserID, Category: n.Category, Status: statusPending, UpdatedAt: n.CreatedAt,
	}
}

// deliveryState are the columns that change.
var deliveryState = []string{
	"status", "reason", "attempts", "error", "provider", "provider_message_id", "accepted_at", "next_attempt_at", "slot_at", "batch_id",
	"devices",
	"template", "template_version", "locale", "updated_at",
}

// deliveries returns the channels of notifications by the notification's id.
func (s store) deliveries(ctx context.Context, ids []string) (map[string][]deliveryRow, error) {
	byID := map[string][]deliveryRow{}
	if len(ids) == 0 {
		return byID, nil
	}
	var rows []deliveryRow
	err := s.db.NewSelect().Model(&rows).Where("notification_id IN (?)", bun.List(ids)).Order("notification_id", "channel").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	for _, d := range rows {
		byID[d.NotificationID] = append(byID[d.NotificationID], d)
	}
	return byID, nil
}

// move stores the new state of a delivery that was in another one. It reports false where the delivery has changed since it was read.
func (store) move(ctx context.Context, tx bun.Tx, was, is deliveryRow) (bool, error) {
	result, err := tx.NewUpdate().Model(&is).Column(deliveryState...).WherePK().
		Where("status = ?", was.Status).Where("attempts = ?", was.Attempts).Where("next_attempt_at = ?", was.NextAttemptAt).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("recording a delivery: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// startDeliveries makes the pending channels of a notification due, except one.
func (store) startDeliveries(ctx context.Context, tx bun.Tx, id, except string, now time.Time) error {
	_, err := tx.NewUpdate().Model((*deliveryRow)(nil)).Set("next_attempt_at = ?", now.UnixMicro()).Where("notification_id = ?", id).
		Where("channel <> ?", except).Where("status = ?", statusPending).Exec(ctx)
	return wrapped(err, "starting deliveries")
}

// dueDeliveries returns deferred deliveries whose time has come, earliest first, without those of some users.
func (s store) dueDeliveries(ctx context.Context, now time.Time, without []string, limit int) ([]deliveryRow, error) {
	var rows []deliveryRow
	q := s.db.NewSelect().Model(&rows).Where("status = 'deferred'").Where("next_attempt_at <= ?", now.UnixMicro()).
		Order("next_attempt_at").Limit(int64(limit))
	if len(without) > 0 {
		q.Where("user_id NOT IN (?)", bun.List(without))
	}
	return rows, wrapped(q.Scan(ctx), "reading due deliveries")
}

// lostDeliveries returns pending deliveries of started notifications that have been due since before a moment.
func (s store) lostDeliveries(ctx context.Context, before time.Time, limit int) ([]deliveryRow, error) {
	var rows []deliveryRow
	err := s.db.NewSelect().Model(&rows).Where("status = 'pending'").Where("next_attempt_at > 0").
		Where("next_attempt_at < ?", before.UnixMicro()).Order("next_attempt_at").Limit(int64(limit)).Scan(ctx)
	return rows, wrapped(err, "reading lost deliveries")
}

// lock takes a lock with a name until the transaction ends. SQLite needs none: its write transactions run one after another.
func (s store) lock(ctx context.Context, tx bun.Tx, name string) error {
	if s.db.Dialect() != database.DialectPostgres {
		return nil
	}
	_, err := tx.NewRaw("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", "weft notification "+name).Exec(ctx)
	return wrapped(err, "locking "+name)
}

// slot returns the time of a recipient's next place in the rate of a channel: now, or a period after the place that is limit places back.
// Until the transaction ends, other transactions that ask for the same rate wait.
func (s store) slot(ctx context.Context, tx bun.Tx, d deliveryRow, limit int, now time.Time) (time.Time, error) {
	security := d.Category == categorySecurity
	if err := s.lock(ctx, tx, fmt.Sprintf("rate %s %s %t", d.UserID, d.Channel, security)); err != nil {
		return now, err
	}
	var taken []int64
	q := tx.NewSelect().Model((*deliveryRow)(nil)).Column("slot_at").Where("user_id = ?", d.UserID).Where("channel = ?", d.Channel).
		Where("slot_at > 0").Where("slot_at > ?", now.Add(-ratePeriod).UnixMicro()).Where("notification_id <> ?", d.NotificationID)
	if security {
		q.Where("category = ?", categorySecurity)
	} else {
		q.Where("category <> ?", categorySecurity)
	}
	if err := q.Order("slot_at DESC").Limit(1).Offset(int64(limit-1)).Scan(ctx, &taken); err != nil {
		return now, fmt.Errorf("reading a rate: %w", err)
	}
	if len(taken) == 0 {
		return now, nil
	}
	return time.UnixMicro(taken[0]).Add(ratePeriod), nil
}

// countWaiting counts a user's deliveries that are deferred or batched.
func countWaiting(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	n, err := db.NewSelect().Model((*deliveryRow)(nil)).Where("user_id = ?", userID).Where("status IN ('deferred', 'batched')").Count(ctx)
	return n, wrapped(err, "counting waiting deliveries")
}

// settleItems gives the batched deliveries of a batch the outcome of its message.
func (store) settleItems(ctx context.Context, tx bun.Tx, message deliveryRow) error {
	_, err := tx.NewUpdate().Model((*deliveryRow)(nil)).Set("status = ?", message.Status).Set("reason = ?", message.Reason).
		Set("error = ?", message.Error).Set("provider = ?", message.Provider).Set("accepted_at = ?", message.AcceptedAt).
		Set("next_attempt_at = 0").Set("updated_at = ?", message.UpdatedAt).
		Where("batch_id = ?", message.NotificationID).Where("status = 'batched'").Exec(ctx)
	return wrapped(err, "settling the items of a batch")
}
