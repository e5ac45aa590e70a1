package notification

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

var errNothingWaits = subjects.Errorf(subjects.CodeConflict, "the notification has already been sent")

// cancel cancels the channels of one of the caller's notifications that still wait.
func (a *Actor) cancel(ctx context.Context, r subjects.NotificationRequest) (subjects.Notification, error) {
	userID := actors.CallerFrom(ctx).UserID
	var result subjects.Notification
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		n, channels, err := a.store.notification(ctx, userID, r.NotificationID)
		if err != nil {
			return err
		}
		if n, channels, err = a.cancelWaiting(ctx, tx, n, channels); err == nil {
			result = a.resource(n, channels)
		}
		return err
	})
	return result, err
}

// cancelByKey cancels the channels of a notification that still wait, by its dedupe key.
func (a *Actor) cancelByKey(ctx context.Context, r subjects.CancelByKeyRequest) (subjects.CancelledNotification, error) {
	result := subjects.CancelledNotification{Channels: []string{}}
	userID, err := recipient(actors.CallerFrom(ctx), r.UserID)
	if err != nil {
		return result, err
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		n, err := a.store.byDedupeKey(ctx, userID, r.DedupeKey)
		if err != nil {
			return err
		}
		byID, err := a.store.deliveries(ctx, []string{n.ID})
		if err != nil {
			return err
		}
		_, channels, err := a.cancelWaiting(ctx, tx, n, byID[n.ID])
		if err != nil {
			return err
		}
		result = subjects.CancelledNotification{NotificationID: n.ID, Channels: []string{}}
		for _, d := range channels {
			if d.Status == statusCancelled {
				result.Channels = append(result.Channels, d.Channel)
			}
		}
		return nil
	})
	return result, err
}

// cancelWaiting cancels a notification that is not started, or the channels of a started one that are deferred or collected. An item whose
// batch's message has been made belongs to that message. The error is errNothingWaits where nothing is or was cancelled.
func (pl *pipeline) cancelWaiting(ctx context.Context, tx database.Tx, n notificationRow, channels []deliveryRow) (notificationRow, []deliveryRow, error) {
	now := pl.Now()
	cancelled, err := pl.store.cancelScheduled(ctx, tx, n.ID, now)
	if err != nil {
		return n, channels, err
	}
	n.Cancelled = n.Cancelled || cancelled
	found := n.Cancelled
	for i, d := range channels {
		switch {
		case cancelled:
			channels[i].Status, channels[i].UpdatedAt = statusCancelled, now.UnixMicro()
		case d.Status == statusDeferred || d.Status == statusBatched:
			done, err := pl.cancelDelivery(ctx, tx, n, d)
			if err != nil {
				return n, channels, err
			}
			channels[i], found = done, found || done.Status != d.Status
		}
		found = found || channels[i].Status == statusCancelled
	}
	if !found {
		return n, channels, errNothingWaits
	}
	return n, channels, nil
}

// cancelDelivery cancels a deferred or batched delivery, and the items of a batch's message with it. It returns the delivery as it was where
// another transaction has changed it.
func (pl *pipeline) cancelDelivery(ctx context.Context, tx database.Tx, n notificationRow, d deliveryRow) (deliveryRow, error) {
	if d.Status == statusBatched {
		if collecting, err := pl.store.dropItem(ctx, tx, d.BatchID); err != nil || !collecting {
			return d, err
		}
	}
	done := d.apply(decision{status: statusCancelled}, pl.Now())
	done.SlotAt = 0
	moved, err := pl.store.move(ctx, tx, d, done)
	if err != nil || !moved {
		return d, err
	}
	if n.IsBatch {
		return done, pl.store.settleItems(ctx, tx, done)
	}
	return done, nil
}
