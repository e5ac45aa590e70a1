package notification

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

const (
	// accountMailKept is the retention of account mail: what auth sends to an address under a one-time id in place of a
	// user's, which is in no inbox.
	accountMailKept = 7 * 24 * time.Hour
	// accountMailSweep is the interval between two deletions of old account mail.
	accountMailSweep = time.Hour
)

// notifyReauth notifies a user of a connection whose credentials the provider no longer accepts.
func (a *Actor) notifyReauth(ctx context.Context, e subjects.Envelope[subjects.ConnectionChange]) error {
	return a.notify(ctx, e.ID, e.UserID, "integration", subjects.TemplateNeedsReauth, map[string]string{
		"integration_id": e.Data.IntegrationID, "provider": e.Data.Provider, "label": e.Data.Label, "reason": e.Data.Reason,
	})
}

// notifyRefusedRun notifies a user of a schedule or a trigger that can no longer start a workflow.
func (a *Actor) notifyRefusedRun(ctx context.Context, e subjects.Envelope[subjects.RunRefusal]) error {
	return a.notify(ctx, e.ID, e.UserID, "workflow", subjects.TemplateRunRefused, map[string]string{
		"workflow_id": e.Data.WorkflowID, "code": string(e.Data.Code), "name": e.Data.Name, "trigger": e.Data.Trigger, "reason": e.Data.Reason,
	})
}

// notifyPrivacyRequest notifies a user of a change of a privacy request (GDPR Art. 12(3) and (4)).
func (a *Actor) notifyPrivacyRequest(ctx context.Context, e subjects.Envelope[subjects.PrivacyRequestChange]) error {
	return a.notify(ctx, e.ID, e.UserID, "consent", subjects.TemplatePrivacyRequest, map[string]string{
		"request_id": e.Data.RequestID, "kind": e.Data.Kind, "change": e.Data.Change, "due": e.Data.DueAt.UTC().Format(time.DateOnly),
	})
}

// notify accepts the in-app notification of an event, which is a template's text. The event's id is its dedupe key: a redelivery adds no second
// one.
func (a *Actor) notify(ctx context.Context, eventID, userID, category, templateID string, data map[string]string) error {
	revision, err := a.templates.store.revision(ctx)
	if err != nil {
		return err
	}
	n, err := a.eventNotification(eventID, userID, category, content{Template: templateID, Revision: revision}, data)
	if err == nil {
		_, err = a.accept(ctx, n, []string{channel.InApp})
	}
	return err
}

// eventNotification returns the notification of an event: a content, to which it adds data.
func (a *Actor) eventNotification(eventID, userID, category string, c content, data map[string]string) (notificationRow, error) {
	key := "event." + eventID
	n := notificationRow{ID: a.NewID(), UserID: userID, Category: category, DedupeKey: &key, CreatedAt: a.Now().UnixMicro()}
	c.Data = make(map[string]json.RawMessage, len(data))
	for name, value := range data {
		encoded, err := subjects.Encode(value)
		if err != nil {
			return n, fmt.Errorf("encoding data: %w", err)
		}
		c.Data[name] = encoded
	}
	var err error
	n.Content, err = a.seal(n.ID, c)
	return n, err
}

// erase deletes the notifications to a deleted user and to the user's aliases, with batches and settings, and their webhooks with all
// deliveries, and purges the user's feed. It returns the number of notifications and webhooks.
func (a *Actor) erase(ctx context.Context, deletion subjects.AccountDeletion) (items int64, err error) {
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		users := append([]string{deletion.UserID}, deletion.Aliases...)
		if items, err = a.store.deleteUsers(ctx, tx, users); err != nil {
			return err
		}
		webhooks, err := a.webhooks.DeleteUsers(ctx, tx, users)
		if err != nil {
			return err
		}
		items += webhooks
		return a.store.lockInbox(ctx, tx, deletion.UserID)
	})
	if err != nil {
		return 0, err
	}
	if err := a.Outbox.Settle(ctx); err != nil { // so that the purge finds the events of before
		return 0, err
	}
	if err := a.Conn.JS.Purge(ctx, subjects.Feed.Name, subjects.FeedSubject(deletion.UserID), 0); err != nil {
		return 0, fmt.Errorf("purging a user's feed: %w", err)
	}
	return items, nil
}

// deleteAccountMail deletes old account mail, at the start and at every sweep.
func (a *Actor) deleteAccountMail(ctx context.Context) error {
	return wait.Repeat(ctx, accountMailSweep, func(ctx context.Context) error {
		return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return a.store.deleteAccountMail(ctx, tx, a.Now().Add(-accountMailKept))
		})
	})
}
