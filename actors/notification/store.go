package notification

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// notificationRow is one notification. Times are microseconds since 1970, 0 for none.
type notificationRow struct {
	bun.BaseModel `bun:"table:notifications"`

	ID       string `bun:"id,pk"`
	UserID   string `bun:"user_id"`
	Category string `bun:"category"`
	// Content is the sealed subject, body and data, see content.go.
	Content   string  `bun:"content"`
	InApp     bool    `bun:"in_app"`
	DedupeKey *string `bun:"dedupe_key"`
	CreatedAt int64   `bun:"created_at"`
	SendAt    int64   `bun:"send_at"`
	Started   bool    `bun:"started"`
	Cancelled bool    `bun:"cancelled"`
	ReadAt    int64   `bun:"read_at"`
}

// deliveryRow is one channel of a notification.
type deliveryRow struct {
	bun.BaseModel `bun:"table:deliveries"`

	NotificationID string `bun:"notification_id,pk"`
	Channel        string `bun:"channel,pk"`
	Status         string `bun:"status"`
	Attempts       int    `bun:"attempts"`
	Error          string `bun:"error"`
	UpdatedAt      int64  `bun:"updated_at"`
}

func timeOf(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := time.UnixMicro(micros).UTC()
	return &t
}

// resource is the notification as its receiver sees it.
func (n notificationRow) resource(c content, channels []deliveryRow) subjects.Notification {
	r := subjects.Notification{
		ID: n.ID, Category: n.Category, Subject: c.Subject, Body: c.Body, Data: c.Data, Status: overall(n, channels),
		CreatedAt: time.UnixMicro(n.CreatedAt).UTC(), SendAt: timeOf(n.SendAt), ReadAt: timeOf(n.ReadAt),
		Channels: []subjects.ChannelDelivery{},
	}
	for _, d := range channels {
		r.Channels = append(r.Channels, subjects.ChannelDelivery{
			Channel: d.Channel, Status: d.Status, Attempts: d.Attempts, Error: d.Error,
			UpdatedAt: time.UnixMicro(d.UpdatedAt).UTC(),
		})
	}
	return r
}

// byDedupeKey finds the notification that a key already stands for; nil where there is none.
func byDedupeKey(ctx context.Context, db bun.IDB, userID, key string) (*notificationRow, error) {
	var n notificationRow
	err := db.NewSelect().Model(&n).Where("user_id = ?", userID).Where("dedupe_key = ?", key).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking a dedupe key up: %w", err)
	}
	return &n, nil
}

func insert(ctx context.Context, tx bun.Tx, n *notificationRow, channels []deliveryRow) error {
	if _, err := tx.NewInsert().Model(n).Exec(ctx); err != nil {
		return fmt.Errorf("inserting a notification: %w", err)
	}
	if _, err := tx.NewInsert().Model(&channels).Exec(ctx); err != nil {
		return fmt.Errorf("inserting deliveries: %w", err)
	}
	return nil
}

// find reads one notification of a user with its channels.
func find(ctx context.Context, db bun.IDB, userID, id string) (notificationRow, []deliveryRow, error) {
	var n notificationRow
	err := db.NewSelect().Model(&n).Where("id = ?", id).Where("user_id = ?", userID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return n, nil, subjects.Errorf(subjects.CodeNotFound, "there is no such notification")
	}
	if err != nil {
		return n, nil, fmt.Errorf("reading a notification: %w", err)
	}
	channels, err := channelsOf(ctx, db, []string{id})
	return n, channels[id], err
}

// channelsOf reads the channels of some notifications.
func channelsOf(ctx context.Context, db bun.IDB, ids []string) (map[string][]deliveryRow, error) {
	byID := map[string][]deliveryRow{}
	if len(ids) == 0 {
		return byID, nil
	}
	var rows []deliveryRow
	err := db.NewSelect().Model(&rows).Where("notification_id IN (?)", bun.List(ids)).Order("notification_id", "channel").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	for _, d := range rows {
		byID[d.NotificationID] = append(byID[d.NotificationID], d)
	}
	return byID, nil
}

// inbox reads a user's in-app notifications that have been sent, newest first, after the given id.
func inbox(ctx context.Context, db bun.IDB, userID string, r subjects.ListNotificationsRequest, after string) ([]notificationRow, error) {
	var rows []notificationRow
	q := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("in_app").Where("started").
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

func unreadCount(ctx context.Context, db bun.IDB, userID string) (int, error) {
	n, err := db.NewSelect().Model((*notificationRow)(nil)).Where("user_id = ?", userID).
		Where("in_app").Where("started").Where("read_at = 0").Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting unread notifications: %w", err)
	}
	return int(n), nil
}

// markRead marks one notification, or all where id is empty; it tells how many it changed.
func markRead(ctx context.Context, tx bun.Tx, userID, id string, now time.Time) (int64, error) {
	q := tx.NewUpdate().Model((*notificationRow)(nil)).Set("read_at = ?", now.UnixMicro()).
		Where("user_id = ?", userID).Where("read_at = 0").Where("started")
	if id != "" {
		q.Where("id = ?", id)
	}
	result, err := q.Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("marking as read: %w", err)
	}
	return result.RowsAffected()
}

// start marks a waiting notification as started; false where somebody else was first, or it was cancelled.
func start(ctx context.Context, tx bun.Tx, id string) (bool, error) {
	result, err := tx.NewUpdate().Model((*notificationRow)(nil)).Set("started = ?", true).
		Where("id = ?", id).Where("NOT started").Where("NOT cancelled").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("starting a notification: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// cancelWaiting cancels a notification that has not started; false where it has, or was cancelled.
func cancelWaiting(ctx context.Context, tx bun.Tx, userID, id string, now time.Time) (bool, error) {
	result, err := tx.NewUpdate().Model((*notificationRow)(nil)).Set("cancelled = ?", true).
		Where("id = ?", id).Where("user_id = ?", userID).Where("NOT started").Where("NOT cancelled").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("cancelling a notification: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	_, err = tx.NewUpdate().Model((*deliveryRow)(nil)).Set("status = ?", cancelled).Set("updated_at = ?", now.UnixMicro()).
		Where("notification_id = ?", id).Exec(ctx)
	return err == nil, err
}

// due reads waiting notifications whose time has come.
func due(ctx context.Context, db bun.IDB, now time.Time, limit int) ([]notificationRow, error) {
	var rows []notificationRow
	err := db.NewSelect().Model(&rows).Where("NOT started").Where("NOT cancelled").Where("send_at <= ?", now.UnixMicro()).
		Order("send_at").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what is due: %w", err)
	}
	return rows, nil
}

// record notes the outcome of an attempt.
func record(ctx context.Context, tx bun.Tx, d deliveryRow) error {
	_, err := tx.NewUpdate().Model(&d).Column("status", "attempts", "error", "updated_at").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording a delivery: %w", err)
	}
	return nil
}

// failAll fails every channel of a notification that never started.
func failAll(ctx context.Context, tx bun.Tx, id, why string, now time.Time) error {
	if _, err := start(ctx, tx, id); err != nil {
		return err
	}
	_, err := tx.NewUpdate().Model((*deliveryRow)(nil)).Set("status = ?", failed).Set("error = ?", why).
		Set("updated_at = ?", now.UnixMicro()).Where("notification_id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("failing a notification: %w", err)
	}
	return nil
}
