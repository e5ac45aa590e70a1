package notification

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// send accepts a notification: its row, its deliveries and the messages that start them are one commit.
func (a *Actor) send(ctx context.Context, r subjects.SendNotificationRequest) (subjects.NotificationRef, error) {
	userID, err := recipient(actors.CallerFrom(ctx), r)
	if err != nil {
		return subjects.NotificationRef{}, err
	}
	now := a.Now()
	if r, err = checkRequest(r, now); err != nil {
		return subjects.NotificationRef{}, err
	}
	n := notificationRow{ID: a.NewID(), UserID: userID, Category: r.Category, CreatedAt: now.UnixMicro()}
	if n.Content, err = a.seal(n.ID, content{Subject: r.Subject, Body: r.Body, Data: r.Data}); err != nil {
		return subjects.NotificationRef{}, err
	}
	if r.DedupeKey != "" {
		n.DedupeKey = &r.DedupeKey
	}
	if r.SendAt != nil {
		n.SendAt = r.SendAt.UnixMicro()
	}
	channels := make([]deliveryRow, len(r.Channels))
	for i, channel := range r.Channels {
		n.InApp = n.InApp || channel == channelInApp
		channels[i] = deliveryRow{NotificationID: n.ID, Channel: channel, Status: statusPending, UpdatedAt: now.UnixMicro()}
	}
	var ref subjects.NotificationRef
	err = a.permitted(ctx, actors.CallerFrom(ctx).Grant, n, func(ctx context.Context) (err error) {
		ref, err = a.accept(ctx, n, channels)
		return err
	})
	return ref, err
}

// permitted runs act, which accepts or starts a notification, under the caller's grant, if it has one, and under the user's
// consent to marketing where the notification is that. A revocation of either waits until act has returned.
func (a *Actor) permitted(ctx context.Context, grant mesh.Grant, n notificationRow, act func(context.Context) error) error {
	if n.Category == categoryMarketing {
		inner := act
		act = func(ctx context.Context) error {
			return a.Guard.DoConsented(ctx, n.UserID, subjects.ScopeNotificationsMarketing, func(ctx context.Context, _ mesh.Grant) error {
				return inner(ctx)
			})
		}
	}
	if grant.ConsentID == "" {
		return act(ctx)
	}
	return a.Guard.DoGranted(ctx, grant, func(ctx context.Context, _ func() bool) error { return act(ctx) })
}

// accept stores a notification, and starts it unless it is scheduled. Where the user already has one with its dedupe key,
// accept stores nothing and returns that one.
func (a *Actor) accept(ctx context.Context, n notificationRow, channels []deliveryRow) (subjects.NotificationRef, error) {
	ref := subjects.NotificationRef{}
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		duplicate, err := a.duplicate(ctx, n)
		if !errors.Is(err, errNoNotification) {
			ref = duplicate
			return err
		}
		ref = subjects.NotificationRef{NotificationID: n.ID, Status: refAccepted}
		if err := a.store.insert(ctx, tx, &n, channels); err != nil {
			return err
		}
		if n.SendAt > a.Now().UnixMicro() {
			return a.bounds.Reserve(ctx, tx, a.bounds.scheduled, n.UserID, 0)
		}
		return a.start(ctx, tx, n, channels)
	})
	if database.IsUnique(err) && n.DedupeKey != nil {
		// A concurrent call inserted the same key after this one had looked for it.
		duplicate, e := a.duplicate(ctx, n)
		if e == nil {
			return duplicate, nil
		}
		return ref, errors.Join(err, e)
	}
	if err == nil && ref.Status == refAccepted {
		a.metrics.accepted.WithLabelValues(n.Category).Inc()
		a.bounds.note(n.UserID)
	}
	return ref, err
}

// duplicate returns the user's earlier notification with the dedupe key of n, or errNoNotification.
func (a *Actor) duplicate(ctx context.Context, n notificationRow) (subjects.NotificationRef, error) {
	if n.DedupeKey == nil {
		return subjects.NotificationRef{}, errNoNotification
	}
	first, err := a.store.byDedupeKey(ctx, n.UserID, *n.DedupeKey)
	return subjects.NotificationRef{NotificationID: first.ID, Status: refDuplicate}, err
}

// start starts a notification's pending deliveries: the transaction itself delivers in-app, and adds a job for every other
// channel. It does nothing where the notification has been started or cancelled.
func (a *Actor) start(ctx context.Context, tx database.Tx, n notificationRow, channels []deliveryRow) error {
	if started, err := a.store.markStarted(ctx, tx, n.ID); err != nil || !started {
		return err
	}
	n.Started = true
	shown := false
	for i, d := range channels {
		if d.Status != statusPending { // the notification was held after an earlier start
			continue
		}
		if d.Channel == channelInApp {
			shown = true
			channels[i].Status, channels[i].Attempts, channels[i].UpdatedAt = statusDelivered, 1, a.Now().UnixMicro()
			if err := a.store.recordDelivery(ctx, tx, channels[i]); err != nil {
				return err
			}
			a.DB.AfterCommit(ctx, func() { a.metrics.deliveries.WithLabelValues(channelInApp, statusDelivered).Inc() })
			continue
		}
		if err := a.enqueue(ctx, tx, n, d.Channel); err != nil {
			return err
		}
	}
	if !shown {
		return nil
	}
	return a.publishNotification(ctx, tx, n, channels)
}

// enqueue adds the job that delivers over a channel.
func (a *Actor) enqueue(ctx context.Context, tx database.Tx, n notificationRow, channel string) error {
	job, err := json.Marshal(subjects.DeliverNotification{NotificationID: n.ID, UserID: n.UserID, Channel: channel})
	if err != nil {
		return fmt.Errorf("encoding a job: %w", err)
	}
	return a.Outbox.Add(ctx, tx, outbox.Message{
		// A notification that was held is started again, with another send_at.
		ID: "deliver." + n.ID + "." + channel + "." + strconv.FormatInt(n.SendAt, 36), Subject: subjects.Deliver.Subject, Key: n.ID, Data: job,
	})
}
