package notification

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// recordTimeout bounds the record of an attempt, which is made even where the worker is being stopped.
const recordTimeout = 10 * time.Second

// deliver handles the job notification.deliver. A permanent failure is recorded and settles the job; a transient one is
// recorded and returned, so that the job is delivered again. A job whose delivery is not pending does nothing.
func (a *Actor) deliver(ctx context.Context, job subjects.DeliverNotification) error {
	n, channels, err := a.store.notification(ctx, job.UserID, job.NotificationID)
	if errors.Is(err, errNoNotification) {
		return nil // erased with the user's account
	}
	if err != nil {
		return err
	}
	for _, d := range channels {
		if d.Channel == job.Channel && d.Status == statusPending {
			return a.attemptPermitted(ctx, n, d)
		}
	}
	return nil
}

// attemptPermitted makes one delivery attempt. While the user's account is blocked, the notification is held instead: it is
// started again once the account is enabled. One that the user no longer consents to fails.
func (a *Actor) attemptPermitted(ctx context.Context, n notificationRow, d deliveryRow) error {
	if a.Guard.Blocked(n.UserID) {
		return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return a.store.hold(ctx, tx, n.ID, a.Now()) })
	}
	err := a.permitted(ctx, mesh.Grant{}, n, func(ctx context.Context) error { return a.attempt(ctx, n, d) })
	if subjects.CodeOf(err) == subjects.CodeConsentRequired {
		return a.withdraw(ctx, n)
	}
	return err
}

// withdraw fails the pending deliveries of a notification that the user no longer consents to.
func (a *Actor) withdraw(ctx context.Context, n notificationRow) error {
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return a.store.failDeliveries(ctx, tx, n.ID, "the consent to it was withdrawn", a.Now())
	})
}

// attempt makes one delivery attempt and records its outcome.
func (a *Actor) attempt(ctx context.Context, n notificationRow, d deliveryRow) error {
	err := a.sendMail(ctx, n)
	d.Attempts++
	d.UpdatedAt = a.Now().UnixMicro()
	d.Status, d.Error = afterAttempt(err, d.Attempts, subjects.Deliver.Consumer().MaxDeliver), ""
	if err != nil {
		d.Error = truncate(err.Error(), maxError)
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	e := a.DB.RunInTx(recording, func(ctx context.Context, tx database.Tx) error { return a.store.recordDelivery(ctx, tx, d) })
	if e != nil {
		return errors.Join(err, e)
	}
	if d.Status == statusPending {
		a.metrics.deliveries.WithLabelValues(d.Channel, resultRetried).Inc()
		return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the mail server did not accept the message", Cause: err}
	}
	a.metrics.deliveries.WithLabelValues(d.Channel, d.Status).Inc()
	return nil
}

// sendMail sends a notification to the address that auth has for its user.
func (a *Actor) sendMail(ctx context.Context, n notificationRow) error {
	contact, err := mesh.Call(ctx, a.Conn, subjects.GetContact, subjects.Empty{}, mesh.As{Service: true, UserID: n.UserID})
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return permanentError{errors.New("the account no longer exists")}
	}
	if err != nil {
		return fmt.Errorf("looking up the user's address: %w", err)
	}
	c, err := a.open(n)
	if err != nil {
		return err
	}
	return a.mail.send(ctx, contact.Email, c.Subject, c.Body, n.ID+"."+channelEmail)
}
