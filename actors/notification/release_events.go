package notification

import (
	"context"
	"errors"
	"strconv"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

// releasePage is how many due notifications, deliveries or batches are read at a time.
const releasePage = 200

// runScheduled starts due notifications, releases due deliveries and sends due batches, every tick.
func (pl *pipeline) runScheduled(ctx context.Context) error {
	return wait.Repeat(ctx, pl.config.Tick, func(ctx context.Context) error {
		return errors.Join(pl.startDue(ctx), pl.releaseDue(ctx), pl.sendDueBatches(ctx))
	})
}

// runSweeper makes the jobs of lost deliveries again, every sweep.
func (pl *pipeline) runSweeper(ctx context.Context) error {
	return wait.Repeat(ctx, pl.config.Pipeline.Sweep, pl.requeueLost)
}

// startDue starts the notifications whose send_at has passed, each in its own transaction. Those of blocked accounts stay due, and those that
// cannot be decided now.
func (pl *pipeline) startDue(ctx context.Context) error {
	var without []string
	for {
		rows, err := pl.store.due(ctx, pl.Now(), without, releasePage)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, n := range rows {
			if pl.Guard.Blocked(n.UserID) {
				without = append(without, n.UserID)
				continue
			}
			postponed, err := pl.startScheduled(ctx, n)
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
func (pl *pipeline) startScheduled(ctx context.Context, n notificationRow) (postponed bool, err error) {
	err = pl.permitted(ctx, n, func(ctx context.Context) error {
		byID, err := pl.store.deliveries(ctx, []string{n.ID})
		if err != nil {
			return err
		}
		channels := byID[n.ID]
		names := make([]string, len(channels))
		for i, d := range channels {
			names[i] = d.Channel
		}
		inApp, err := pl.prepareInApp(ctx, n, names)
		if err != nil {
			return err
		}
		return pl.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return pl.start(ctx, tx, n, channels, inApp) })
	})
	return pl.handled(ctx, err, n.ID, func(v decision) error { return pl.end(ctx, n, v) })
}

// handled decides what follows from the error of starting what is due: it stays due, or it is ended, so that it does not block what is after it.
func (pl *pipeline) handled(ctx context.Context, err error, id string, end func(decision) error) (postponed bool, _ error) {
	switch {
	case err == nil:
		return false, nil
	case subjects.CodeOf(err) == subjects.CodeConsentRequired:
		return false, end(suppress(reasonConsent))
	case errors.Is(err, &subjects.Error{Code: subjects.CodeForbidden, Reason: subjects.ReasonAccountBlocked}):
		return true, nil // blocked since it was looked at
	case ctx.Err() != nil || errors.Is(database.Classify(err), database.ErrUnavailable):
		return false, err
	case passes(err):
		return true, nil
	}
	pl.Log.Error("starting a notification or a batch", zap.String("id", id), zap.Error(err))
	return false, end(decision{status: statusFailed, reason: reasonNotStarted})
}

// start starts a scheduled notification. It does nothing where the notification has been started or cancelled.
func (pl *pipeline) start(ctx context.Context, tx database.Tx, n notificationRow, were []deliveryRow, inApp inAppStart) error {
	started, err := pl.store.markStarted(ctx, tx, n.ID, inApp.status == statusPending)
	if err != nil || !started {
		return err
	}
	channels := append([]deliveryRow{}, were...)
	if err := pl.begin(ctx, tx, &n, channels, inApp); err != nil {
		return err
	}
	if inApp.content != "" {
		if err := setContent(ctx, tx, n); err != nil {
			return err
		}
	}
	for i, d := range channels {
		if d.Channel == channel.InApp {
			if err := pl.moved(ctx, tx, were[i], d); err != nil {
				return err
			}
		}
	}
	if err := pl.store.startDeliveries(ctx, tx, n.ID, channel.InApp, pl.Now()); err != nil {
		return err
	}
	return pl.launch(ctx, tx, n, channels)
}

// end ends the deliveries of a notification that never can be started, unless it was started or cancelled meanwhile.
func (pl *pipeline) end(ctx context.Context, n notificationRow, v decision) error {
	return pl.changed(ctx, func(ctx context.Context, tx database.Tx) error {
		ended, err := pl.store.markStarted(ctx, tx, n.ID, false)
		if err != nil || !ended {
			return err
		}
		channels, err := pl.store.deliveries(ctx, []string{n.ID})
		for _, d := range channels[n.ID] {
			if err == nil {
				err = pl.settle(ctx, tx, n, d, d.apply(v, pl.Now()))
			}
		}
		return err
	})
}

// releaseDue makes the jobs of deferred deliveries whose time has come. Those of blocked accounts stay deferred.
func (pl *pipeline) releaseDue(ctx context.Context) error {
	var without []string
	for {
		rows, err := pl.store.dueDeliveries(ctx, pl.Now(), without, releasePage)
		if err != nil || len(rows) == 0 {
			return err
		}
		due := rows[:0]
		for _, d := range rows {
			if pl.Guard.Blocked(d.UserID) {
				without = append(without, d.UserID)
				continue
			}
			due = append(due, d)
		}
		if _, err := pl.requeue(ctx, due, "release"); err != nil {
			return err
		}
	}
}

// requeueLost makes the jobs of deliveries again that had no attempt for SweepAfter although they were due: their job was lost with its stream,
// or moved to the dead letters. A job that is only late finds that another one has made its attempt.
func (pl *pipeline) requeueLost(ctx context.Context) error {
	for {
		rows, err := pl.store.lostDeliveries(ctx, pl.Now().Add(-pl.config.Pipeline.SweepAfter), releasePage)
		if err != nil || len(rows) == 0 {
			return err
		}
		n, err := pl.requeue(ctx, rows, "sweep")
		if err != nil {
			return err
		}
		pl.metrics.requeued.Add(float64(n))
	}
}

// requeue makes deliveries pending and adds their jobs, in one transaction. It returns how many of them had not changed since they were read.
func (pl *pipeline) requeue(ctx context.Context, rows []deliveryRow, cause string) (n int, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	err = pl.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		var jobs []outbox.Message
		now := pl.Now()
		for _, d := range rows {
			pending := d
			pending.Status, pending.NextAttemptAt, pending.UpdatedAt = statusPending, now.UnixMicro(), now.UnixMicro()
			moved, err := pl.store.move(ctx, tx, d, pending)
			if err != nil {
				return err
			}
			if moved {
				jobs = append(jobs, deliverJob(pending, cause+"."+strconv.FormatInt(d.NextAttemptAt, 36)))
			}
		}
		n = len(jobs)
		return pl.Outbox.Add(ctx, tx, jobs...)
	})
	return n, err
}

// sendDueBatches makes the messages of due batches, each in its own transaction. Those of blocked accounts stay due.
func (pl *pipeline) sendDueBatches(ctx context.Context) error {
	var without []string
	for {
		batches, err := pl.store.dueBatches(ctx, pl.Now(), without, releasePage)
		if err != nil || len(batches) == 0 {
			return err
		}
		for _, b := range batches {
			if pl.Guard.Blocked(b.UserID) {
				without = append(without, b.UserID)
				continue
			}
			postponed, err := pl.sendDueBatch(ctx, b)
			if err != nil {
				return err
			}
			if postponed {
				without = append(without, b.UserID)
			}
		}
	}
}

// sendDueBatch makes the message of one due batch. A batch that cannot be sent fails with its items. It reports whether the batch stays due.
func (pl *pipeline) sendDueBatch(ctx context.Context, b batchRow) (postponed bool, err error) {
	n := notificationRow{ID: b.ID, UserID: b.UserID, Category: b.Category, IsBatch: true}
	for {
		err = pl.permitted(ctx, n, func(ctx context.Context) error { return pl.sendBatch(ctx, b) })
		if subjects.CodeOf(err) != subjects.CodeConsentRequired {
			break
		}
		if dropped, e := pl.dropUnpermitted(ctx, b); e != nil {
			return false, e
		} else if !dropped {
			break
		}
	}
	return pl.handled(ctx, err, b.ID, func(v decision) error { return pl.endBatch(ctx, b, v) })
}
