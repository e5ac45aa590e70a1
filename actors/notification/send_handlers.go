package notification

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/weftmesh/weft/actors"
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
	grant := actors.CallerFrom(ctx).Grant
	n := notificationRow{
		ID: a.NewID(), UserID: userID, Category: r.Category, CreatedAt: now.UnixMicro(), GrantScope: grant.Scope, GrantConsent: grant.ConsentID,
	}
	c := content{Subject: r.Subject, Body: r.Body, Data: r.Data, Template: r.Template, Locale: r.Locale}
	if c.Revision, err = a.templates.checkTemplateOf(ctx, n, c, r.Channels); err != nil {
		return subjects.NotificationRef{}, err
	}
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
	err = a.permitted(ctx, n, func(ctx context.Context) (err error) {
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
