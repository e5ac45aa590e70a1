package notification

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// deliver works one channel of a notification off. A final failure is recorded and done with; one that
// can pass is recorded and comes again.
func (a *Actor) deliver(ctx context.Context, job subjects.DeliverNotification) error {
	n, channels, err := find(ctx, a.DB.DB, job.UserID, job.NotificationID)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return nil // It was erased with its receiver's account.
	}
	if err != nil {
		return err
	}
	for _, d := range channels {
		if d.Channel != job.Channel || d.Status != pending {
			continue
		}
		return a.attempt(ctx, n, d)
	}
	return nil
}

func (a *Actor) attempt(ctx context.Context, n notificationRow, d deliveryRow) error {
	err := a.sendMail(ctx, n)
	d.Attempts++
	d.UpdatedAt = a.Now().UnixMicro()
	d.Status, d.Error = delivered, ""
	result := delivered
	var final finalError
	if err != nil {
		d.Error = truncate(err.Error(), 500)
		d.Status, result = pending, "retried"
		if errors.As(err, &final) || d.Attempts >= subjects.Deliver.Consumer().MaxDeliver {
			d.Status, result = failed, failed
		}
	}
	// What happened is recorded even where the worker is being stopped.
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if e := a.DB.RunInTx(recording, func(ctx context.Context, tx database.Tx) error { return record(ctx, tx, d) }); e != nil {
		return errors.Join(err, e)
	}
	a.deliveries.WithLabelValues(d.Channel, result).Inc()
	if d.Status == pending {
		return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the mail server did not take it", Cause: err}
	}
	return nil
}

func (a *Actor) sendMail(ctx context.Context, n notificationRow) error {
	contact, err := mesh.Call(ctx, a.Conn, subjects.GetContact, subjects.Empty{}, mesh.As{Service: true, UserID: n.UserID})
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return finalError{errors.New("the user is gone")}
	}
	if err != nil {
		return fmt.Errorf("asking where to reach the user: %w", err)
	}
	c, err := a.open(n)
	if err != nil {
		return err
	}
	return a.mail.send(ctx, contact.Email, c.Subject, c.Body, n.ID+"."+email)
}

// scheduledBatch is how many due notifications are started in one turn.
const scheduledBatch = 200

// startScheduled starts, every tick, the notifications whose time has come.
func (a *Actor) startScheduled(ctx context.Context) error {
	tick := time.NewTicker(a.config.Tick)
	defer tick.Stop()
	for {
		if err := a.startDue(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *Actor) startDue(ctx context.Context) error {
	for {
		rows, err := due(ctx, a.DB.DB, a.Now(), scheduledBatch)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, n := range rows {
			err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
				channels, err := channelsOf(ctx, tx, []string{n.ID})
				if err != nil {
					return err
				}
				return a.begin(ctx, tx, n, channels[n.ID])
			})
			if err != nil {
				err = a.giveUp(ctx, n, err)
			}
			if err != nil {
				return err
			}
		}
	}
}

// truncate cuts s to so many bytes, at a rune's edge.
func truncate(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := s[:most]
	for len(cut) > 0 && cut[len(cut)-1]&0xC0 == 0x80 {
		cut = cut[:len(cut)-1]
	}
	return cut[:max(0, len(cut)-1)]
}

// tellOfReauth tells a user that one of their connections needs a new sign-in.
func (a *Actor) tellOfReauth(ctx context.Context, e subjects.Envelope[subjects.ConnectionChange]) error {
	return a.tell(ctx, e.ID, e.UserID, "integration", content{
		Subject: "Connect " + e.Data.Provider + " again",
		Body:    fmt.Sprintf("%s no longer accepts the credentials of your connection %q: %s", e.Data.Provider, e.Data.Label, e.Data.Reason),
	}, map[string]string{"integration_id": e.Data.IntegrationID})
}

// tellOfRefusedRun tells a user that a schedule or a trigger can no longer start a workflow.
func (a *Actor) tellOfRefusedRun(ctx context.Context, e subjects.Envelope[subjects.RunRefusal]) error {
	return a.tell(ctx, e.ID, e.UserID, "workflow", content{
		Subject: "Your workflow " + e.Data.Name + " could not be started",
		Body: fmt.Sprintf("The %s of your workflow %q could not start it: %s. You are told once, until it can be started again; "+
			"every run that was refused is among your failures, where you can replay it.", e.Data.Trigger, e.Data.Name, e.Data.Reason),
	}, map[string]string{"workflow_id": e.Data.WorkflowID, "code": string(e.Data.Code)})
}

// tell puts what an event means to a user into their inbox. The event's id makes it one notification however often the
// event comes.
func (a *Actor) tell(ctx context.Context, eventID, userID, category string, c content, data map[string]string) error {
	now := a.Now().UnixMicro()
	key := "event." + eventID
	n := notificationRow{ID: a.NewID(), UserID: userID, Category: category, InApp: true, DedupeKey: &key, CreatedAt: now}
	c.Data = make(map[string]json.RawMessage, len(data))
	for name, value := range data {
		encoded, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encoding data: %w", err)
		}
		c.Data[name] = encoded
	}
	var err error
	if n.Content, err = a.seal(n.ID, c); err != nil {
		return err
	}
	_, err = a.accept(ctx, n, []deliveryRow{{NotificationID: n.ID, Channel: inApp, Status: pending, UpdatedAt: now}})
	return err
}

// giveUp fails a notification that can never start, so that it holds up no other; an error that can pass
// is returned.
func (a *Actor) giveUp(ctx context.Context, n notificationRow, why error) error {
	if errors.Is(database.Classify(why), database.ErrUnavailable) || ctx.Err() != nil {
		return why
	}
	a.Log.Error("a notification cannot be started", zap.String("notification_id", n.ID), zap.Error(why))
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return failAll(ctx, tx, n.ID, "it could not be started", a.Now())
	})
}
