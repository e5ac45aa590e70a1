package notification

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// The events of a user's feed.
const (
	eventNotification = "notification"
	eventUnreadCount  = "unread_count"
)

// publishNotification adds a new notification and the user's unread count to the user's feed.
func (pl *pipeline) publishNotification(ctx context.Context, tx database.Tx, n notificationRow, channels []deliveryRow) error {
	c, err := pl.open(n)
	if err != nil {
		return err
	}
	if err := pl.store.lockInbox(ctx, tx, n.UserID); err != nil {
		return err
	}
	unread, err := pl.store.unreadCount(ctx, n.UserID)
	if err != nil {
		return err
	}
	event := subjects.FeedNotification{Notification: n.resource(c, channels), UnreadCount: unread}
	if err := pl.publish(ctx, tx, n.UserID, eventNotification, event); err != nil {
		return err
	}
	return pl.publish(ctx, tx, n.UserID, eventUnreadCount, subjects.UnreadCount{UnreadCount: unread})
}

// publish adds one event to a user's feed through the outbox.
func (pl *pipeline) publish(ctx context.Context, tx database.Tx, userID, event string, data any) error {
	body, err := subjects.Encode(data)
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return pl.Outbox.Add(ctx, tx, outbox.Message{
		Subject: subjects.FeedSubject(userID), Key: userID, Data: body,
		Header: nats.Header{subjects.HeaderEvent: {event}},
	})
}
