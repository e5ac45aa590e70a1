package notification

import (
	"context"
	"errors"
	"strconv"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// releasePage is how many due notifications, deliveries or batches are read at a time.
const releasePage = 200

// runScheduled starts due notifications, releases due deliveries and sends due batches, every tick.
func (a *Actor) runScheduled(ctx context.Context) error {
	return every(ctx, a.config.Tick, func(ctx context.Context) error {
		return errors.Join(a.startDue(ctx), a.releaseDue(ctx), a.sendDueBatches(ctx))
	})
}

// runSweeper makes the jobs of lost deliveries again, every sweep.
func (a *Actor) runSweeper(ctx context.Context) error {
	return every(ctx, a.config.Pipeline.Sweep, a.requeueLost)
}

// startDue starts the notifications whose send_at has passed, each in its own transaction. Those of blocked accounts stay due, and those that
// cannot be decided now.
func (a *Actor) startDue(ctx context.Context) error {
	var without []string
	for {
		rows, err := a.store.due(ctx, a.Now(), without, releasePage)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, n := range rows {
			if a.Guard.Blocked(n.UserID) {
				without = append(without, n.UserID)
				continue
			}
			postponed, err := a.startScheduled(ctx, n)
			if err != nil {
				return err
			}
			if postponed {
				without = append(without, n.UserID)
			}
		}
	}
}

// startScheduled starts one due notification, or fails it if it never can be started. It reports whether the notification stays due.
func (a *Actor) startScheduled(ctx context.Context, n notificationRow) (postponed bool, err error) {
	err = a.permitted(ctx, mesh.Grant{}, n, func(ctx context.Context) error {
		byID, err := a.store.deliveries(ctx, []string{n.ID})
		if err != nil {
			return err
		}
		channels := byID[n.ID]
		names := make([]string, len(channels))
		for i, d := range channels {
			names[i] = d.Channel
		}
		inApp, err := a.decideInApp(ctx, n, names)
		if err != nil {
			return err
		}
		return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return a.start(ctx, tx, n, channels, inApp) })
	})
	switch {
	case subjects.CodeOf(err) == subjects.CodeConsentRequired:
		return false, a.end(ctx, n, statusSuppressed, reasonConsent)
	case errors.Is(err, &subjects.Error{Code: subjects.CodeForbidden, Reason: subjects.ReasonAccountBlocked}):
		return true, nil // blocked since it was looked at
	case subjects.CodeOf(err) == subjects.CodeUnavailable || subjects.CodeOf(err) == subjects.CodeTimeout:
		return true, nil
	case err == nil:
		return false, nil
	case errors.Is(database.Classify(err), database.ErrUnavailable) || ctx.Err() != nil:
		return false, err
	}
	a.Log.Error("starting a notification", zap.String("notification_id", n.ID), zap.Error(err))
	return false, a.end(ctx, n, statusFailed, reasonNotStarted) // so that it does not block the ones after it
}

// start starts a scheduled notification. It does nothing where the notification has been started or cancelled.
func (a *Actor) start(ctx context.Context, tx database.Tx, n notificationRow, were []deliveryRow, inApp decision) error {
	started, err := a.store.markStarted(ctx, tx, n.ID, inApp.status == statusPending && hasInApp(were))
	if err != nil || !started {
		return err
	}
	channels := append([]deliveryRow{}, were...)
	if err := a.begin(ctx, tx, &n, channels, inApp); err != nil {
		return err
	}
	for i, d := range channels {
		if d.Channel == channel.InApp {
			if err := a.moved(ctx, tx, were[i], d); err != nil {
				return err
			}
		}
	}
	if err := a.store.startDeliveries(ctx, tx, n.ID, channel.InApp, a.Now()); err != nil {
		return err
	}
	return a.launch(ctx, tx, n, channels)
}

func hasInApp(channels []deliveryRow) bool {
	for _, d := range channels {
		if d.Channel == channel.InApp {
			return true
		}
	}
	return false
}

// end ends the deliveries of a notification that never can be started.
func (a *Actor) end(ctx context.Context, n notificationRow, status string, why reason) error {
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return a.store.endDeliveries(ctx, tx, n.ID, status, why, a.Now())
	})
}

// releaseDue makes the jobs of deferred deliveries whose time has come. Those of blocked accounts stay deferred.
func (a *Actor) releaseDue(ctx context.Context) error {
	var without []string
	for {
		rows, err := a.store.dueDeliveries(ctx, a.Now(), without, releasePage)
		if err != nil || len(rows) == 0 {
			return err
		}
		due := rows[:0]
		for _, d := range rows {
			if a.Guard.Blocked(d.UserID) {
				without = append(without, d.UserID)
				continue
			}
			due = append(due, d)
		}
		if _, err := a.requeue(ctx, due, "release"); err != nil {
			return err
		}
	}
}

// requeueLost makes the jobs of deliveries again that had no attempt for SweepAfter although they were due: their job was lost with its stream,
// or moved to the dead letters. A job that is only late finds that another one has made its attempt.
func (a *Actor) requeueLost(ctx context.Context) error {
	for {
		rows, err := a.store.lostDeliveries(ctx, a.Now().Add(-a.config.Pipeline.SweepAfter), releasePage)
		if err != nil || len(rows) == 0 {
			return err
		}
		n, err := a.requeue(ctx, rows, "sweep")
		if err != nil {
			return err
		}
		a.metrics.requeued.Add(float64(n))
	}
}

// requeue makes deliveries pending and adds their jobs, in one transaction. It returns how many of them had not changed since they were read.
func (a *Actor) requeue(ctx context.Context, rows []deliveryRow, cause string) (n int, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		n = 0
		now := a.Now()
		for _, d := range rows {
			pending := d
			pending.Status, pending.NextAttemptAt, pending.UpdatedAt = statusPending, now.UnixMicro(), now.UnixMicro()
			moved, err := a.store.move(ctx, tx, d, pending)
			if err != nil {
				return err
			}
			if !moved {
				continue
			}
			n++
			if err := a.enqueue(ctx, tx, pending, cause+"."+strconv.FormatInt(d.NextAttemptAt, 36)); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// sendDueBatches makes the messages of due batches, each in its own transaction. Those of blocked accounts stay due.
func (a *Actor) sendDueBatches(ctx context.Context) error {
	var without []string
	for {
		batches, err := a.store.dueBatches(ctx, a.Now(), without, releasePage)
		if err != nil || len(batches) == 0 {
			return err
		}
		for _, b := range batches {
			if a.Guard.Blocked(b.UserID) {
				without = append(without, b.UserID)
				continue
			}
			if err := a.sendDueBatch(ctx, b); err != nil {
				return err
			}
		}
	}
}

// sendDueBatch makes the message of one due batch. A batch that cannot be sent fails with its items, so that it does not block the ones after
// it.
func (a *Actor) sendDueBatch(ctx context.Context, b batchRow) error {
	n := notificationRow{UserID: b.UserID, Category: b.Category}
	err := a.permitted(ctx, mesh.Grant{}, n, func(ctx context.Context) error { return a.sendBatch(ctx, b) })
	switch {
	case subjects.CodeOf(err) == subjects.CodeConsentRequired:
		return a.endBatch(ctx, b, suppress(reasonConsent))
	case err == nil:
		return nil
	case subjects.CodeOf(err) != subjects.CodeInternal && subjects.Transient(err), ctx.Err() != nil,
		errors.Is(database.Classify(err), database.ErrUnavailable),
		errors.Is(err, &subjects.Error{Code: subjects.CodeForbidden, Reason: subjects.ReasonAccountBlocked}):
		return err
	}
	a.Log.Error("sending a batch", zap.String("batch_id", b.ID), zap.Error(err))
	return a.endBatch(ctx, b, decision{status: statusFailed, reason: reasonNotStarted})
}
