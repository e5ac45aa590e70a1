package notification

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// receiver is whom a notification is for: a service's or an admin's word counts, a user's does not.
func receiver(caller actors.Caller, r subjects.SendNotificationRequest) (string, error) {
	switch {
	case caller.Grant.ConsentID != "":
		// Under a grant a service speaks for the user who gave it, and to nobody else.
		return caller.UserID, nil
	case r.UserID != "" && (caller.Service != "" || caller.HasRole(subjects.RoleAdmin)):
		return r.UserID, nil
	case caller.UserID == "":
		return "", subjects.InvalidField("user_id", "is required")
	}
	return caller.UserID, nil
}

// send accepts a notification: its row, its deliveries and what starts them are one commit.
func (a *Actor) send(ctx context.Context, r subjects.SendNotificationRequest) (subjects.NotificationRef, error) {
	userID, err := receiver(actors.CallerFrom(ctx), r)
	if err != nil {
		return subjects.NotificationRef{}, err
	}
	now := a.Now()
	if r, err = check(r, now); err != nil {
		return subjects.NotificationRef{}, err
	}
	if r.Category == "marketing" {
		if _, err := a.Guard.Check(ctx, userID, subjects.ScopeNotificationsMarketing); err != nil {
			return subjects.NotificationRef{}, err
		}
	}
	n := notificationRow{ID: a.NewID(), UserID: userID, Category: r.Category, CreatedAt: now.UnixMicro()}
	if n.Content, err = a.seal(n.ID, content{Subject: r.Subject, Body: r.Body, Data: r.Data}); err != nil {
		return subjects.NotificationRef{}, err
	}
	if r.DedupeKey != "" {
		n.DedupeKey = &r.DedupeKey
	}
	if r.SendAt != nil {
		n.SendAt = r.SendAt.UnixMicro()
	}
	channels := make([]deliveryRow, len(r.Channels))
	for i, channel := range r.Channels {
		n.InApp = n.InApp || channel == inApp
		channels[i] = deliveryRow{NotificationID: n.ID, Channel: channel, Status: pending, UpdatedAt: now.UnixMicro()}
	}
	return a.accept(ctx, n, channels)
}

func (a *Actor) accept(ctx context.Context, n notificationRow, channels []deliveryRow) (subjects.NotificationRef, error) {
	ref := subjects.NotificationRef{}
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		ref = subjects.NotificationRef{NotificationID: n.ID, Status: "accepted"}
		if n.DedupeKey != nil {
			first, err := byDedupeKey(ctx, tx, n.UserID, *n.DedupeKey)
			if err != nil {
				return err
			}
			if first != nil {
				ref = subjects.NotificationRef{NotificationID: first.ID, Status: "duplicate"}
				return nil
			}
		}
		if err := insert(ctx, tx, &n, channels); err != nil {
			return err
		}
		if n.SendAt > a.Now().UnixMicro() {
			return nil
		}
		return a.begin(ctx, tx, n, channels)
	})
	if database.IsUnique(err) && n.DedupeKey != nil {
		// Somebody else was first between our look and our insert.
		first, e := byDedupeKey(ctx, a.DB.DB, n.UserID, *n.DedupeKey)
		if e == nil && first != nil {
			return subjects.NotificationRef{NotificationID: first.ID, Status: "duplicate"}, nil
		}
		return ref, errors.Join(err, e)
	}
	if err == nil && ref.Status == "accepted" {
		a.accepted.WithLabelValues(n.Category).Inc()
	}
	return ref, err
}

// begin starts a notification's deliveries: in-app is delivered by this very commit, the other channels
// become jobs of it.
func (a *Actor) begin(ctx context.Context, tx database.Tx, n notificationRow, channels []deliveryRow) error {
	if started, err := start(ctx, tx, n.ID); err != nil || !started {
		return err
	}
	n.Started = true
	for i, d := range channels {
		if d.Channel == inApp {
			channels[i].Status, channels[i].Attempts, channels[i].UpdatedAt = delivered, 1, a.Now().UnixMicro()
			if err := record(ctx, tx, channels[i]); err != nil {
				return err
			}
			a.DB.AfterCommit(ctx, func() { a.deliveries.WithLabelValues(inApp, delivered).Inc() })
			continue
		}
		job, err := json.Marshal(subjects.DeliverNotification{NotificationID: n.ID, UserID: n.UserID, Channel: d.Channel})
		if err != nil {
			return fmt.Errorf("encoding a job: %w", err)
		}
		err = a.Outbox.Add(ctx, tx, outbox.Message{ID: "deliver." + n.ID + "." + d.Channel, Subject: subjects.Deliver.Subject, Key: n.ID, Data: job})
		if err != nil {
			return err
		}
	}
	if !n.InApp {
		return nil
	}
	return a.feedNew(ctx, tx, n, channels)
}

// feedNew tells the user's open streams of a new notification and of the count.
func (a *Actor) feedNew(ctx context.Context, tx database.Tx, n notificationRow, channels []deliveryRow) error {
	c, err := a.open(n)
	if err != nil {
		return err
	}
	if err := a.feed(ctx, tx, n.UserID, "notification", n.resource(c, channels)); err != nil {
		return err
	}
	return a.feedCount(ctx, tx, n.UserID)
}

func (a *Actor) feedCount(ctx context.Context, tx database.Tx, userID string) error {
	unread, err := unreadCount(ctx, tx, userID)
	if err != nil {
		return err
	}
	return a.feed(ctx, tx, userID, "unread_count", subjects.UnreadCount{UnreadCount: unread})
}

// feed commits one server-sent event with the transaction.
func (a *Actor) feed(ctx context.Context, tx database.Tx, userID, event string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return a.Outbox.Add(ctx, tx, outbox.Message{
		Subject: subjects.FeedSubject(userID), Key: userID, Data: body,
		Header: nats.Header{subjects.HeaderEvent: {event}},
	})
}

func (a *Actor) get(ctx context.Context, r subjects.NotificationRequest) (subjects.Notification, error) {
	n, channels, err := find(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.NotificationID)
	if err != nil {
		return subjects.Notification{}, err
	}
	return a.resource(n, channels)
}

func (a *Actor) resource(n notificationRow, channels []deliveryRow) (subjects.Notification, error) {
	c, err := a.open(n)
	if err != nil {
		return subjects.Notification{}, err
	}
	return n.resource(c, channels), nil
}

// pageBytes bounds a page, well below the payload limit. One notification alone stays below it.
const pageBytes = 512 << 10

func (a *Actor) list(ctx context.Context, r subjects.ListNotificationsRequest) (subjects.NotificationPage, error) {
	none := subjects.NotificationPage{}
	userID := actors.CallerFrom(ctx).UserID
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	rows, err := inbox(ctx, a.DB.DB, userID, r, after[0])
	if err != nil {
		return none, err
	}
	page := actors.PageOf(rows, r.PageLimit(), func(n notificationRow) []string { return []string{n.ID} })
	ids := make([]string, len(page.Items))
	for i, n := range page.Items {
		ids[i] = n.ID
	}
	channels, err := channelsOf(ctx, a.DB.DB, ids)
	if err != nil {
		return none, err
	}
	result := subjects.NotificationPage{Items: make([]subjects.Notification, 0, len(ids)), NextCursor: page.NextCursor}
	size := 0
	for i, n := range page.Items {
		item, err := a.resource(n, channels[n.ID])
		if err != nil {
			return none, err
		}
		encoded, err := json.Marshal(item)
		if err != nil {
			return none, fmt.Errorf("encoding a notification: %w", err)
		}
		if size += len(encoded); size > pageBytes && i > 0 {
			// The rest goes on the next page: a page is one message.
			result.NextCursor = actors.EncodeCursor(page.Items[i-1].ID)
			break
		}
		result.Items = append(result.Items, item)
	}
	result.UnreadCount, err = unreadCount(ctx, a.DB.DB, userID)
	return result, err
}

func (a *Actor) markAsRead(ctx context.Context, r subjects.NotificationRequest) (subjects.UnreadCount, error) {
	if _, _, err := find(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.NotificationID); err != nil {
		return subjects.UnreadCount{}, err
	}
	return a.read(ctx, r.NotificationID)
}

func (a *Actor) markAllRead(ctx context.Context, _ subjects.Empty) (subjects.UnreadCount, error) {
	return a.read(ctx, "")
}

// read marks one or all as read and tells the user's open streams the new count.
func (a *Actor) read(ctx context.Context, id string) (subjects.UnreadCount, error) {
	userID := actors.CallerFrom(ctx).UserID
	var count subjects.UnreadCount
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		changed, err := markRead(ctx, tx, userID, id, a.Now())
		if err != nil {
			return err
		}
		if count.UnreadCount, err = unreadCount(ctx, tx, userID); err != nil || changed == 0 {
			return err
		}
		return a.feed(ctx, tx, userID, "unread_count", count)
	})
	return count, err
}

func (a *Actor) cancel(ctx context.Context, r subjects.NotificationRequest) (subjects.Notification, error) {
	userID := actors.CallerFrom(ctx).UserID
	var result subjects.Notification
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		done, err := cancelWaiting(ctx, tx, userID, r.NotificationID, a.Now())
		if err != nil {
			return err
		}
		n, channels, err := find(ctx, tx, userID, r.NotificationID)
		if err != nil {
			return err
		}
		if !done && !n.Cancelled {
			return subjects.Errorf(subjects.CodeConflict, "the notification is already on its way")
		}
		result, err = a.resource(n, channels)
		return err
	})
	return result, err
}

// stream points the gateway at the user's feed: the count of now, and all that comes after where the
// feed ended before the count was taken.
func (a *Actor) stream(ctx context.Context, _ subjects.Empty) (subjects.StreamPointer, error) {
	userID := actors.CallerFrom(ctx).UserID
	feed, err := a.Conn.JS.Stream(ctx, subjects.Feed.Name)
	if err != nil {
		return subjects.StreamPointer{}, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the feed cannot be reached right now", RetryAfter: time.Second, Cause: err,
		}
	}
	unread, err := unreadCount(ctx, a.DB.DB, userID)
	return subjects.StreamPointer{
		Stream: subjects.Feed.Name, Filter: subjects.FeedSubject(userID), Sequence: feed.CachedInfo().State.LastSeq + 1,
		Initial: []subjects.InitialEvent{{Event: "unread_count", Data: subjects.UnreadCount{UnreadCount: unread}}},
	}, err
}
