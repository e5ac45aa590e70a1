package notification

import (
	"context"
	"encoding/json"
	"fmt"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) get(ctx context.Context, r subjects.NotificationRequest) (subjects.Notification, error) {
	n, channels, err := a.store.notification(ctx, actors.CallerFrom(ctx).UserID, r.NotificationID)
	if err != nil {
		return subjects.Notification{}, err
	}
	return a.resource(n, channels), nil
}

// resource returns the notification as its recipient sees it; without content where that cannot be decrypted, so that one
// unreadable notification does not lock its recipient out of the inbox.
func (a *Actor) resource(n notificationRow, channels []deliveryRow) subjects.Notification {
	c, err := a.open(n)
	if err != nil {
		a.Log.Error("decrypting a notification", zap.String("notification_id", n.ID), zap.Error(err))
		c = content{}
	}
	return n.resource(c, channels)
}

func (a *Actor) list(ctx context.Context, r subjects.ListNotificationsRequest) (subjects.NotificationPage, error) {
	none := subjects.NotificationPage{}
	userID := actors.CallerFrom(ctx).UserID
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	rows, err := a.store.inbox(ctx, userID, r, after[0])
	if err != nil {
		return none, err
	}
	page, err := a.page(ctx, actors.PageOf(rows, r.PageLimit(), func(n notificationRow) []string { return []string{n.ID} }))
	if err != nil {
		return none, err
	}
	page.UnreadCount, err = a.store.unreadCount(ctx, userID)
	return page, err
}

// page renders a page of rows, cut where it would exceed maxPage: a page is one message.
func (a *Actor) page(ctx context.Context, rows subjects.Page[notificationRow]) (subjects.NotificationPage, error) {
	none := subjects.NotificationPage{}
	ids := make([]string, len(rows.Items))
	for i, n := range rows.Items {
		ids[i] = n.ID
	}
	channels, err := a.store.deliveries(ctx, ids)
	if err != nil {
		return none, err
	}
	page := subjects.NotificationPage{Items: make([]subjects.Notification, 0, len(ids)), NextCursor: rows.NextCursor}
	size := 0
	for i, n := range rows.Items {
		item := a.resource(n, channels[n.ID])
		encoded, err := json.Marshal(item)
		if err != nil {
			return none, fmt.Errorf("encoding a notification: %w", err)
		}
		if size += len(encoded); size > maxPage && i > 0 {
			page.NextCursor = actors.EncodeCursor(rows.Items[i-1].ID)
			break
		}
		page.Items = append(page.Items, item)
	}
	return page, nil
}

func (a *Actor) markAsRead(ctx context.Context, r subjects.NotificationRequest) (subjects.UnreadCount, error) {
	if _, _, err := a.store.notification(ctx, actors.CallerFrom(ctx).UserID, r.NotificationID); err != nil {
		return subjects.UnreadCount{}, err
	}
	return a.markRead(ctx, r.NotificationID)
}

func (a *Actor) markAllRead(ctx context.Context, _ subjects.Empty) (subjects.UnreadCount, error) {
	return a.markRead(ctx, "")
}

// markRead marks one notification as read, or all where id is empty, and publishes the unread count where it changed a row.
func (a *Actor) markRead(ctx context.Context, id string) (subjects.UnreadCount, error) {
	userID := actors.CallerFrom(ctx).UserID
	var count subjects.UnreadCount
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		changed, err := a.store.markRead(ctx, tx, userID, id, a.Now())
		if err != nil {
			return err
		}
		if changed > 0 {
			if err := a.store.lockInbox(ctx, tx, userID); err != nil {
				return err
			}
		}
		if count.UnreadCount, err = a.store.unreadCount(ctx, userID); err != nil || changed == 0 {
			return err
		}
		return a.publish(ctx, tx, userID, eventUnreadCount, count)
	})
	return count, err
}

// stream returns the position in the user's feed from which the gateway streams, and the unread count as the first event.
// The position is read before the count, so that every later change is in the stream.
func (a *Actor) stream(ctx context.Context, _ subjects.Empty) (subjects.StreamPointer, error) {
	userID := actors.CallerFrom(ctx).UserID
	feed, err := a.Conn.JS.Stream(ctx, subjects.Feed.Name)
	if err != nil {
		return subjects.StreamPointer{}, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the notification feed is unavailable", RetryAfter: subjects.RetrySoon, Cause: err,
		}
	}
	unread, err := a.store.unreadCount(ctx, userID)
	return subjects.StreamPointer{
		Stream: subjects.Feed.Name, Filter: subjects.FeedSubject(userID), Sequence: feed.CachedInfo().State.LastSeq + 1,
		Initial: []subjects.InitialEvent{{Event: eventUnreadCount, Data: subjects.UnreadCount{UnreadCount: unread}}},
	}, err
}
