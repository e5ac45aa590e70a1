package notification

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/subjects"
)

const (
	// attemptTimeout bounds one attempt, at all addresses. It is less than the job's AckWait, after which another attempt may be made.
	attemptTimeout = 40 * time.Second
	// recordTimeout bounds the record of an attempt, which is made even where the worker is being stopped.
	recordTimeout = 10 * time.Second
	// maxRetryAfter bounds how long a throttled provider delays the next attempt.
	maxRetryAfter = 24 * time.Hour
	// slotGrace is how late a delivery may be for its place in the recipient's rate. A later one gets another place, so that what has piled
	// up is not sent at once.
	slotGrace = time.Minute
)

// errChanged ends a transaction whose delivery was changed by another one meanwhile: cancelled, erased, or attempted by another job.
var errChanged = errors.New("the delivery has changed")

// deliver handles the job notification.deliver: it decides about a pending delivery and makes one attempt. A permanent failure is recorded
// and settles the job; a transient one is recorded and returned, so that the job is delivered again. A job whose delivery is not pending
// does nothing.
func (pl *pipeline) deliver(ctx context.Context, job subjects.DeliverNotification) error {
	n, channels, err := pl.store.notification(ctx, job.UserID, job.NotificationID)
	if errors.Is(err, errNoNotification) {
		return nil // erased with the user's account
	}
	if err != nil {
		return err
	}
	for _, d := range channels {
		if d.Channel == job.Channel && d.Status == statusPending && n.Started {
			return pl.deliverPermitted(ctx, n, d)
		}
	}
	return nil
}

// deliverPermitted handles a pending delivery. While the user's account is blocked, it is deferred: it is released once the account is
// enabled. One that the user no longer consents to is suppressed.
func (pl *pipeline) deliverPermitted(ctx context.Context, n notificationRow, d deliveryRow) error {
	now := pl.Now()
	if wait := time.UnixMicro(d.NextAttemptAt).Sub(now); wait > 0 {
		return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "an attempt is under way, or the next one is not due", RetryAfter: wait}
	}
	if pl.Guard.Blocked(n.UserID) {
		return pl.record(ctx, n, d, d.apply(decision{status: statusDeferred, reason: reasonAccountBlocked, until: now}, now))
	}
	err := pl.permitted(ctx, n, func(ctx context.Context) error { return pl.advance(ctx, n, d) })
	if subjects.CodeOf(err) == subjects.CodeConsentRequired {
		// The attempt that a revocation has interrupted may have counted.
		_, channels, e := pl.store.notification(ctx, n.UserID, n.ID)
		for _, present := range channels {
			if present.Channel == d.Channel && present.Status == statusPending {
				return pl.record(ctx, n, present, present.apply(suppress(reasonConsent), pl.Now()))
			}
		}
		return e
	}
	return err
}

// advance decides about a delivery and carries the decision out.
func (pl *pipeline) advance(ctx context.Context, n notificationRow, d deliveryRow) error {
	p, err := pl.store.preferences(ctx, n.UserID)
	if err != nil {
		return err
	}
	to := pl.recipientContact(n.UserID)
	v, err := pl.decide(ctx, n, d.Channel, p, to)
	if err != nil {
		return pl.undecided(ctx, n, d, err)
	}
	if v.status == statusBatched && d.AcceptedAt != 0 {
		v = proceed // a device has it already
	}
	switch v.status {
	case statusPending:
		return pl.attempt(ctx, n, d, p, to)
	case statusBatched:
		return pl.changed(ctx, func(ctx context.Context, tx database.Tx) error {
			collected, err := pl.collect(ctx, tx, n, d, v)
			if err != nil {
				return err
			}
			return pl.settle(ctx, tx, n, d, collected)
		})
	}
	return pl.record(ctx, n, d, d.apply(v, pl.Now()))
}

// undecided records that a delivery could not be decided about. What is expected to pass counts as a failed attempt, so that there is an end to
// it; otherwise the delivery fails.
func (pl *pipeline) undecided(ctx context.Context, n notificationRow, d deliveryRow, cause error) error {
	if ctx.Err() != nil || errors.Is(database.Classify(cause), database.ErrUnavailable) {
		return cause
	}
	if !errors.As(cause, new(outcomeError)) && !passes(cause) {
		cause = outcomeError{reasonNotStarted, &channel.Error{Class: channel.Permanent, Detail: cause.Error(), Cause: cause}}
	}
	counted := d
	counted.Attempts++
	return pl.conclude(ctx, n, d, counted.after(channel.Receipt{}, cause, subjects.Deliver.Consumer(), pl.Now()), cause)
}

// conclude records the outcome of an attempt. Where another one follows, the error defers the job until then.
func (pl *pipeline) conclude(ctx context.Context, n notificationRow, was, done deliveryRow, cause error) error {
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := pl.record(recording, n, was, done); err != nil {
		return errors.Join(cause, err)
	}
	if done.Status != statusPending {
		return nil
	}
	pl.metrics.deliveries.WithLabelValues(done.Channel, resultRetried).Inc()
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: "the message was not accepted", Cause: cause,
		RetryAfter: time.UnixMicro(done.NextAttemptAt).Sub(pl.Now()),
	}
}

// passes reports whether an error is expected to pass: a component is not available at present.
func passes(err error) bool {
	return subjects.Transient(err) && subjects.CodeOf(err) != subjects.CodeInternal || errors.Is(database.Classify(err), database.ErrUnavailable)
}

// attempt claims a delivery, makes one attempt and records its outcome. A delivery whose process has ended in every attempt fails.
func (pl *pipeline) attempt(ctx context.Context, n notificationRow, d deliveryRow, p preferences, to *recipientContact) error {
	job := subjects.Deliver.Consumer()
	if d.Attempts >= job.MaxDeliver {
		cause := &channel.Error{Class: channel.Transient, Detail: "no attempt has ended"}
		return pl.conclude(ctx, n, d, d.after(channel.Receipt{}, cause, job, pl.Now()), cause)
	}
	if d.Channel == channel.Webhook {
		return pl.handOver(ctx, n, d, to)
	}
	claimed, err := pl.claim(ctx, d)
	if err != nil || claimed.Status != statusPending || claimed.Attempts == d.Attempts {
		return err
	}
	attempting, cancel := context.WithTimeout(ctx, attemptTimeout)
	receipt, err := pl.sendAll(attempting, n, &claimed, p, to)
	cancel()
	return pl.conclude(ctx, n, claimed, claimed.after(receipt, err, job, pl.Now()), err)
}

// claim counts an attempt, takes the delivery's place in the recipient's rate, and keeps other jobs from it until the job's AckWait has
// passed. Where the place is later, the delivery is deferred. A delivery that is returned as it was belongs to another job.
func (pl *pipeline) claim(ctx context.Context, d deliveryRow) (deliveryRow, error) {
	limit := pl.config.Pipeline.rate(d.Category, d.Channel)
	claimed := d
	err := pl.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		now := pl.Now()
		claimed = d
		claimed.Attempts++
		claimed.UpdatedAt, claimed.NextAttemptAt = now.UnixMicro(), now.Add(subjects.Deliver.Consumer().AckWait).UnixMicro()
		if limit > 0 && (d.SlotAt == 0 || d.Attempts == 0 && d.SlotAt < now.Add(-slotGrace).UnixMicro()) {
			at, err := pl.store.slot(ctx, tx, d, limit, now)
			if err != nil {
				return err
			}
			if at.After(now) {
				claimed = d.apply(decision{status: statusDeferred, reason: reasonThrottled, until: at}, now)
				pl.DB.AfterCommit(ctx, func() { pl.count(claimed) })
			}
			claimed.SlotAt = at.UnixMicro()
		}
		return pl.moved(ctx, tx, d, claimed)
	})
	if errors.Is(err, errChanged) {
		return d, nil
	}
	return claimed, err
}

// sendAll renders a notification and sends it to each of its recipient's addresses on a channel that has not got it yet. It succeeds if one
// address has accepted and no other attempt may reach a further one. Otherwise the error is one that a later attempt may repair, if there is one.
func (pl *pipeline) sendAll(ctx context.Context, n notificationRow, d *deliveryRow, p preferences, to *recipientContact) (channel.Receipt, error) {
	ch := d.Channel
	c, err := pl.open(n)
	if err != nil {
		return channel.Receipt{}, &channel.Error{Class: channel.Permanent, Detail: "the notification cannot be read", Cause: err}
	}
	addresses, err := pl.addresses(ctx, to, ch)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return channel.Receipt{}, outcomeError{reasonAccountGone, &channel.Error{Class: channel.Permanent, Detail: "the account no longer exists"}}
	}
	if err != nil {
		return channel.Receipt{}, err
	}
	if !slices.ContainsFunc(addresses, d.goesTo) {
		if d.AcceptedAt != 0 {
			return channel.Receipt{}, nil // the devices that were left are gone
		}
		return channel.Receipt{}, outcomeError{reasonNoAddress, &channel.Error{Class: channel.Suppressed}}
	}
	provider := pl.seams.providers[ch]
	if provider == nil {
		return channel.Receipt{}, outcomeError{reasonNoProvider, &channel.Error{Class: channel.Permanent, Detail: "no provider is configured for " + ch}}
	}
	rendered, err := pl.render(ctx, n, c, ch, to)
	if err != nil {
		return channel.Receipt{}, err
	}
	d.Template, d.TemplateVersion, d.Locale = c.Template, rendered.TemplateVersion, channel.Truncate(rendered.Locale, maxLocale)
	message := channel.Message{
		Rendered: rendered, NotificationID: n.ID, UserID: n.UserID, Category: n.Category, Data: c.data(), Track: p.Tracking, Unread: -1,
		Provider: d.Provider,
	}
	if ch == channel.Push {
		message.Provider = "" // each platform has one provider
		if message.Unread, err = pl.store.unreadCount(ctx, n.UserID); err != nil {
			return channel.Receipt{}, err
		}
	}
	return pl.sendTo(ctx, provider, message, d, addresses)
}

// sendTo sends a message to each address that the attempt of d goes to, and sets d.Devices to the devices that another attempt may reach. The
// receipt is that of the first address that accepts. The error is nil where one has accepted and no device is left.
func (pl *pipeline) sendTo(
	ctx context.Context, provider channel.Provider, m channel.Message, d *deliveryRow, addresses []channel.Address,
) (accepted channel.Receipt, failure error) {
	var left []string
	for _, address := range addresses {
		if !d.goesTo(address) {
			continue
		}
		m.ID, m.Address = d.NotificationID+"."+d.Channel, address
		if address.DeviceID != "" {
			m.ID += "." + address.DeviceID
		}
		receipt, err := provider.Send(ctx, m)
		if err == nil {
			if accepted.Provider == "" {
				accepted = receipt
			}
			continue
		}
		if channel.ClassOf(err) == channel.Suppressed {
			if e := pl.seams.dropAddress(ctx, d.UserID, d.Channel, address); e != nil {
				err = e
			}
		}
		failure = worthier(failure, err)
		if class := channel.ClassOf(err); address.DeviceID != "" && (class == channel.Transient || class == channel.Throttled) {
			left = append(left, address.DeviceID)
		}
	}
	d.Devices = strings.Join(left, " ")
	if len(left) == 0 && (accepted.Provider != "" || d.AcceptedAt != 0) {
		return accepted, nil
	}
	return accepted, failure
}

// handOver gives a notification to the webhooks of its user and records it in the same transaction.
func (pl *pipeline) handOver(ctx context.Context, n notificationRow, d deliveryRow, to *recipientContact) error {
	now := pl.Now()
	c, err := pl.open(n)
	if err != nil {
		return pl.undecided(ctx, n, d, err)
	}
	rendered, err := pl.render(ctx, n, c, d.Channel, to)
	if err != nil {
		return pl.undecided(ctx, n, d, err)
	}
	store, err := pl.seams.toWebhooks(ctx, n, c, rendered)
	if err != nil {
		return pl.undecided(ctx, n, d, err)
	}
	if store == nil {
		return pl.record(ctx, n, d, d.apply(suppress(reasonNoAddress), now))
	}
	err = pl.changed(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := store(ctx, tx); err != nil {
			return fmt.Errorf("handing a notification over to webhooks: %w", err)
		}
		done := d
		done.Attempts++
		done.Template, done.TemplateVersion, done.Locale = c.Template, rendered.TemplateVersion, channel.Truncate(rendered.Locale, maxLocale)
		return pl.settle(ctx, tx, n, d, done.after(channel.Receipt{Provider: channel.Webhook}, nil, subjects.Deliver.Consumer(), now))
	})
	if err != nil {
		return pl.undecided(ctx, n, d, err)
	}
	return nil
}

// record stores the new state of a delivery, and of the items of its batch. It does nothing where the delivery has changed meanwhile.
func (pl *pipeline) record(ctx context.Context, n notificationRow, was, is deliveryRow) error {
	return pl.changed(ctx, func(ctx context.Context, tx database.Tx) error { return pl.settle(ctx, tx, n, was, is) })
}

// settle is record in a transaction. Its error is errChanged where the delivery has changed meanwhile.
func (pl *pipeline) settle(ctx context.Context, tx database.Tx, n notificationRow, was, is deliveryRow) error {
	if err := pl.moved(ctx, tx, was, is); err != nil {
		return err
	}
	pl.DB.AfterCommit(ctx, func() { pl.count(is) })
	if is.final() {
		if err := pl.tally(ctx, tx, is); err != nil {
			return err
		}
	}
	if n.IsBatch && is.final() {
		return pl.store.settleItems(ctx, tx, is)
	}
	return nil
}

// moved is store.move with errChanged where it did nothing.
func (pl *pipeline) moved(ctx context.Context, tx database.Tx, was, is deliveryRow) error {
	moved, err := pl.store.move(ctx, tx, was, is)
	if err == nil && !moved {
		err = errChanged
	}
	return err
}

// changed runs a transaction about a delivery, and ignores that the delivery was changed by another one meanwhile.
func (pl *pipeline) changed(ctx context.Context, fn func(ctx context.Context, tx database.Tx) error) error {
	err := pl.DB.RunInTx(ctx, fn)
	if errors.Is(err, errChanged) {
		return nil
	}
	return err
}
