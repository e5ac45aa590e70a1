package notification

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// send accepts a notification: its row, its deliveries and the messages that start them are one commit.
func (a *Actor) send(ctx context.Context, r subjects.SendNotificationRequest) (subjects.NotificationRef, error) {
	userID, err := recipient(actors.CallerFrom(ctx), r.UserID)
	if err != nil {
		return subjects.NotificationRef{}, err
	}
	now := a.Now()
	if r, err = checkRequest(r, now); err != nil {
		return subjects.NotificationRef{}, err
	}
	n := notificationRow{ID: a.NewID(), UserID: userID, Category: r.Category, CreatedAt: now.UnixMicro()}
	c := content{Subject: r.Subject, Body: r.Body, Data: r.Data, Template: r.Template, Locale: r.Locale}
	if n.Content, err = a.seal(n.ID, c); err != nil {
		return subjects.NotificationRef{}, err
	}
	if r.DedupeKey != "" {
		n.DedupeKey = &r.DedupeKey
	}
	if r.SendAt != nil {
		n.SendAt = r.SendAt.UnixMicro()
	}
	if r.Batch != nil {
		batching, err := json.Marshal(r.Batch)
		if err != nil {
			return subjects.NotificationRef{}, fmt.Errorf("encoding how a notification is collected: %w", err)
		}
		n.Batching = string(batching)
	}
	if err := a.admitWaiting(ctx, n); err != nil {
		return subjects.NotificationRef{}, err
	}
	var ref subjects.NotificationRef
	err = a.permitted(ctx, actors.CallerFrom(ctx).Grant, n, func(ctx context.Context) (err error) {
		ref, err = a.accept(ctx, n, r.Channels)
		return err
	})
	return ref, err
}

// admitWaiting refuses a notification to a user who has as many deferred and batched deliveries as one may have. Concurrent requests may
// exceed the bound by their number.
func (a *Actor) admitWaiting(ctx context.Context, n notificationRow) error {
	if n.Category == categorySecurity {
		return nil
	}
	waiting, err := countWaiting(ctx, a.DB.DB, n.UserID)
	if err == nil && waiting >= a.bounds.waiting.Limit {
		err = a.bounds.Refuse(a.bounds.waiting)
	}
	return err
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
func (a *Actor) accept(ctx context.Context, n notificationRow, names []string) (subjects.NotificationRef, error) {
	ref := subjects.NotificationRef{}
	scheduled := n.SendAt > a.Now().UnixMicro()
	inApp := proceed
	if !scheduled {
		var err error
		if inApp, err = a.decideInApp(ctx, n, names); err != nil {
			return ref, err
		}
	}
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		duplicate, err := a.duplicate(ctx, n)
		if !errors.Is(err, errNoNotification) {
			ref = duplicate
			return err
		}
		ref = subjects.NotificationRef{NotificationID: n.ID, Status: refAccepted}
		row, channels := n, make([]deliveryRow, len(names))
		for i, name := range names {
			channels[i] = newDelivery(row, name)
		}
		if scheduled {
			if err := a.store.insert(ctx, tx, &row, channels); err != nil {
				return err
			}
			return a.bounds.Reserve(ctx, tx, a.bounds.scheduled, n.UserID, 0)
		}
		if err := a.begin(ctx, tx, &row, channels, inApp); err != nil {
			return err
		}
		if err := a.store.insert(ctx, tx, &row, channels); err != nil {
			return err
		}
		return a.launch(ctx, tx, row, channels)
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

// decideInApp decides about the in-app channel of a notification that starts, if it has one. The other channels are decided by their jobs.
func (a *Actor) decideInApp(ctx context.Context, n notificationRow, names []string) (decision, error) {
	if !slices.Contains(names, channel.InApp) {
		return proceed, nil
	}
	p, err := a.store.preferences(ctx, n.UserID)
	if err != nil {
		return decision{}, err
	}
	return a.decide(ctx, n, channel.InApp, p, a.recipientContact(n.UserID))
}

// begin gives a notification that starts, and its deliveries, their new state. In-app is delivered, suppressed or collected at once.
func (a *Actor) begin(ctx context.Context, tx database.Tx, n *notificationRow, channels []deliveryRow, inApp decision) error {
	now := a.Now()
	n.Started = true
	for i := range channels {
		d := &channels[i]
		d.NextAttemptAt, d.UpdatedAt = now.UnixMicro(), now.UnixMicro()
		if d.Channel != channel.InApp {
			continue
		}
		switch inApp.status {
		case statusPending:
			n.InApp = true
			d.Status, d.Attempts, d.NextAttemptAt, d.AcceptedAt = statusDelivered, 1, 0, now.UnixMicro()
		case statusBatched:
			n.Bytes = int64(len(n.Content))
			collected, err := a.collect(ctx, tx, *n, *d, inApp)
			if err != nil {
				return err
			}
			*d = collected
		default:
			*d = d.apply(inApp, now)
		}
	}
	return nil
}

// launch adds the jobs of a notification that has started to the transaction, and shows it in-app.
func (a *Actor) launch(ctx context.Context, tx database.Tx, n notificationRow, channels []deliveryRow) error {
	for _, d := range channels {
		switch {
		case d.Status == statusPending:
			if err := a.enqueue(ctx, tx, d, "start"); err != nil {
				return err
			}
		case d.Channel == channel.InApp:
			a.DB.AfterCommit(ctx, func() { a.count(d) })
		}
	}
	if !n.InApp {
		return nil
	}
	return a.publishNotification(ctx, tx, n, channels)
}

// count counts a delivery that has left the status pending.
func (a *Actor) count(d deliveryRow) {
	switch d.Status {
	case statusDelivered, statusFailed:
		a.metrics.deliveries.WithLabelValues(d.Channel, d.Status).Inc()
	case statusSuppressed, statusDeferred, statusBatched:
		a.metrics.decisions.WithLabelValues(d.Channel, string(d.Reason)).Inc()
	}
}

// enqueue adds the job of a delivery. The name of its cause tells it from the delivery's other jobs.
func (a *Actor) enqueue(ctx context.Context, tx database.Tx, d deliveryRow, cause string) error {
	job, err := json.Marshal(subjects.DeliverNotification{NotificationID: d.NotificationID, UserID: d.UserID, Channel: d.Channel})
	if err != nil {
		return fmt.Errorf("encoding a job: %w", err)
	}
	return a.Outbox.Add(ctx, tx, outbox.Message{
		ID: "deliver." + d.NotificationID + "." + d.Channel + "." + cause, Subject: subjects.Deliver.Subject, Key: d.NotificationID, Data: job,
	})
}
