package notification

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// accept stores a notification, and starts it unless it is scheduled. Where the user already has one with its dedupe key,
// accept stores nothing and returns that one. It must not be called in a transaction.
func (pl *pipeline) accept(ctx context.Context, n notificationRow, names []string) (subjects.NotificationRef, error) {
	if n.SendAt > pl.Now().UnixMicro() {
		return pl.keep(ctx, n, names, func(ctx context.Context, tx database.Tx, n *notificationRow, channels []deliveryRow) error {
			if err := pl.store.insert(ctx, tx, n, channels); err != nil {
				return err
			}
			return pl.bounds.Reserve(ctx, tx, pl.bounds.scheduled, n.UserID, 0)
		})
	}
	inApp, err := pl.prepareInApp(ctx, n, names)
	if err != nil {
		return subjects.NotificationRef{}, err
	}
	return pl.keep(ctx, n, names, func(ctx context.Context, tx database.Tx, n *notificationRow, channels []deliveryRow) error {
		if err := pl.begin(ctx, tx, n, channels, inApp); err != nil {
			return err
		}
		if err := pl.store.insert(ctx, tx, n, channels); err != nil {
			return err
		}
		return pl.launch(ctx, tx, *n, channels)
	})
}

// keep inserts a notification with its deliveries, unless the user already has one with its dedupe key, which it returns.
func (pl *pipeline) keep(
	ctx context.Context, n notificationRow, names []string, insert func(context.Context, database.Tx, *notificationRow, []deliveryRow) error,
) (subjects.NotificationRef, error) {
	ref := subjects.NotificationRef{}
	err := pl.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		duplicate, err := pl.duplicate(ctx, n)
		if !errors.Is(err, errNoNotification) {
			ref = duplicate
			return err
		}
		ref = subjects.NotificationRef{NotificationID: n.ID, Status: refAccepted}
		row, channels := n, make([]deliveryRow, len(names))
		for i, name := range names {
			channels[i] = newDelivery(row, name)
		}
		return insert(ctx, tx, &row, channels)
	})
	if database.IsUnique(err) && n.DedupeKey != nil {
		// A concurrent call inserted the same key after this one had looked for it.
		duplicate, e := pl.duplicate(ctx, n)
		if e == nil {
			return duplicate, nil
		}
		return ref, errors.Join(err, e)
	}
	if err == nil && ref.Status == refAccepted {
		pl.metrics.accepted.WithLabelValues(n.Category).Inc()
		pl.bounds.note(n.UserID)
	}
	return ref, err
}

// duplicate returns the user's earlier notification with the dedupe key of n, or errNoNotification.
func (pl *pipeline) duplicate(ctx context.Context, n notificationRow) (subjects.NotificationRef, error) {
	if n.DedupeKey == nil {
		return subjects.NotificationRef{}, errNoNotification
	}
	first, err := pl.store.byDedupeKey(ctx, n.UserID, *n.DedupeKey)
	return subjects.NotificationRef{NotificationID: first.ID, Status: refDuplicate}, err
}

// inAppStart is what the start of a notification does in-app; nothing without that channel.
type inAppStart struct {
	decision
	// content is the content with the text of the notification's template; empty without a template.
	content string
	// template, its version and locale are those of the text. fault says why there is none.
	templateVersion         int
	template, locale, fault string
}

// prepareInApp decides about the in-app channel of a notification that starts, if it has one, and renders its template. The other channels
// are decided by their jobs. It must not be called in a transaction.
func (pl *pipeline) prepareInApp(ctx context.Context, n notificationRow, names []string) (start inAppStart, err error) {
	if !slices.Contains(names, channel.InApp) {
		return start, nil
	}
	p, err := pl.store.preferences(ctx, n.UserID)
	if err != nil {
		return start, err
	}
	to := pl.recipientContact(n.UserID)
	if start.decision, err = pl.decide(ctx, n, channel.InApp, p, to); err != nil || start.status != statusPending {
		return start, err
	}
	c, err := pl.open(n)
	if err != nil || c.Template == "" {
		return start, err
	}
	rendered, err := pl.render(ctx, n, c, channel.InApp, to)
	var fault outcomeError
	if errors.As(err, &fault) {
		start.decision, start.fault = decision{status: statusFailed, reason: fault.reason}, channel.Truncate(err.Error(), maxError)
		return start, nil
	}
	if err != nil {
		return start, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the notification cannot be rendered now", RetryAfter: subjects.RetrySoon, Cause: err,
		}
	}
	c.Subject, c.Body = rendered.Subject, rendered.Text
	start.template, start.templateVersion, start.locale = c.Template, rendered.TemplateVersion, channel.Truncate(rendered.Locale, maxLocale)
	start.content, err = pl.seal(n.ID, c)
	return start, err
}

// begin gives a notification that starts, and its deliveries, their new state. In-app is delivered, suppressed or collected at once.
func (pl *pipeline) begin(ctx context.Context, tx database.Tx, n *notificationRow, channels []deliveryRow, inApp inAppStart) error {
	now := pl.Now()
	n.Started = true
	if inApp.content != "" {
		n.Content = inApp.content
	}
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
			d.Template, d.TemplateVersion, d.Locale = inApp.template, inApp.templateVersion, inApp.locale
		case statusBatched:
			n.Bytes = int64(len(n.Content))
			collected, err := pl.collect(ctx, tx, *n, *d, inApp.decision)
			if err != nil {
				return err
			}
			*d = collected
		default:
			*d = d.apply(inApp.decision, now)
			d.Error = inApp.fault
		}
	}
	return nil
}

// launch adds the jobs of a notification that has started to the transaction, and shows it in-app.
func (pl *pipeline) launch(ctx context.Context, tx database.Tx, n notificationRow, channels []deliveryRow) error {
	var jobs []outbox.Message
	for _, d := range channels {
		if d.Status == statusPending {
			jobs = append(jobs, deliverJob(d, "start"))
		} else if d.Channel == channel.InApp {
			pl.DB.AfterCommit(ctx, func() { pl.count(d) })
			if err := pl.tally(ctx, tx, d); err != nil {
				return err
			}
		}
	}
	if err := pl.Outbox.Add(ctx, tx, jobs...); err != nil || !n.InApp {
		return err
	}
	return pl.publishNotification(ctx, tx, n, channels)
}

// count counts a delivery that has left the status pending.
func (pl *pipeline) count(d deliveryRow) {
	switch d.Status {
	case statusDelivered, statusFailed:
		pl.metrics.deliveries.WithLabelValues(d.Channel, d.Status).Inc()
	case statusSuppressed, statusDeferred, statusBatched:
		pl.metrics.decisions.WithLabelValues(d.Channel, string(d.Reason)).Inc()
	}
}

// deliverJob is the job of a delivery. The name of its cause tells it from the delivery's other jobs.
func deliverJob(d deliveryRow, cause string) outbox.Message {
	// Three strings cannot fail to be encoded.
	data, _ := json.Marshal(subjects.DeliverNotification{NotificationID: d.NotificationID, UserID: d.UserID, Channel: d.Channel})
	return outbox.Message{
		ID: "deliver." + d.NotificationID + "." + d.Channel + "." + cause, Subject: subjects.Deliver.Subject, Key: d.NotificationID, Data: data,
	}
}
