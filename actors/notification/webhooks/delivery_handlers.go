package webhooks

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/dispatch"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

// testWebhook sends an event type's example to a webhook now.
func (w *Service) testWebhook(ctx context.Context, r subjects.TestWebhookRequest) (subjects.WebhookTest, error) {
	none := subjects.WebhookTest{}
	row, err := w.store.find(ctx, actors.CallerFrom(ctx).UserID, r.WebhookID)
	if err != nil {
		return none, err
	}
	d, err := testedType(r.Type, fieldsOf(row.Events))
	if err != nil {
		return none, err
	}
	endpoint, err := w.target(row)
	if err != nil {
		return none, err
	}
	wait, err := w.take(ctx, endpoint)
	if err != nil {
		return none, err
	}
	if wait > 0 {
		return none, &subjects.Error{Code: subjects.CodeRateLimited, Detail: "the webhook has used up its attempts of this minute (per_minute)", RetryAfter: wait}
	}
	now := w.Now()
	payload, err := encodePayload(d.Type, now, d.Example, true)
	if err != nil {
		return none, err
	}
	id := "test_" + w.NewID()
	attempt := w.dispatcher.Attempt(ctx, endpoint, dispatch.Event{ID: id, UserID: row.UserID, Type: d.Type, At: now, Payload: payload})
	return subjects.WebhookTest{
		EventID: id, Type: d.Type, Succeeded: attempt.Error == "", Payload: payload, Attempt: attemptResource(attempt),
	}, nil
}

// testedType returns an event type, by default the first that a webhook takes.
func testedType(name string, takes []string) (*subjects.PublicEventDescriptor, error) {
	for _, d := range subjects.PublicEvents() {
		if d.Type == name || name == "" && matchesType(takes, d.Type) {
			return d, nil
		}
	}
	return nil, subjects.InvalidField("type", "is no event type; see GET /v1/webhooks/event-types")
}

// listDeliveries lists the deliveries of a webhook.
func (w *Service) listDeliveries(ctx context.Context, r subjects.ListDeliveriesRequest) (subjects.Page[subjects.WebhookDeliveryRecord], error) {
	none := subjects.Page[subjects.WebhookDeliveryRecord]{}
	row, err := w.store.find(ctx, actors.CallerFrom(ctx).UserID, r.WebhookID)
	if err != nil {
		return none, err
	}
	if r.Since != nil && r.Until != nil && !r.Since.Before(*r.Until) {
		return none, subjects.InvalidField("until", "must be after since")
	}
	deliveries, next, err := w.dispatcher.Deliveries(ctx, dispatch.Query{
		EndpointID: row.ID, Status: r.Status, Type: r.Type, Since: timeOf(r.Since), Until: timeOf(r.Until), Cursor: r.Cursor,
		Limit: r.PageLimit(),
	})
	if err != nil {
		return none, err
	}
	page := subjects.Page[subjects.WebhookDeliveryRecord]{Items: make([]subjects.WebhookDeliveryRecord, len(deliveries)), NextCursor: next}
	for i, d := range deliveries {
		page.Items[i] = deliveryResource(d)
	}
	return page, nil
}

// timeOf returns the zero time for nil.
func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// replayDeliveries makes deliveries of a webhook due again.
func (w *Service) replayDeliveries(ctx context.Context, r subjects.ReplayDeliveriesRequest) (subjects.ReplayCount, error) {
	none := subjects.ReplayCount{}
	row, err := w.store.find(ctx, actors.CallerFrom(ctx).UserID, r.WebhookID)
	if err != nil {
		return none, err
	}
	filtered := r.Status != "" || r.Type != "" || r.Since != nil || r.Until != nil
	switch {
	case len(r.IDs) > 0 && filtered:
		return none, subjects.InvalidField("ids", "cannot be combined with a filter")
	case len(r.IDs) == 0 && r.Since == nil:
		return none, subjects.InvalidField("since", "is required without ids")
	case r.Since != nil && r.Until != nil && !r.Since.Before(*r.Until):
		return none, subjects.InvalidField("until", "must be after since")
	}
	var count int
	err = w.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		count, err = w.dispatcher.Replay(ctx, tx, row.ID, dispatch.Filter{
			IDs: r.IDs, Status: r.Status, Type: r.Type, Since: timeOf(r.Since), Until: timeOf(r.Until),
		})
		return err
	})
	if err != nil {
		return none, err
	}
	return subjects.ReplayCount{Count: count}, nil
}

// listEventTypes lists the events that webhooks can receive.
func (*Service) listEventTypes(context.Context, subjects.Empty) (subjects.Page[subjects.EventType], error) {
	all := subjects.PublicEvents()
	page := subjects.Page[subjects.EventType]{Items: make([]subjects.EventType, 0, len(all))}
	for _, d := range all {
		t, err := eventTypeResource(d)
		if err != nil {
			return page, err
		}
		page.Items = append(page.Items, t)
	}
	return page, nil
}

// Notification is a notification that is sent over the channel webhook.
type Notification struct {
	ID, UserID, Category, Subject, Body string
	Data                                map[string]json.RawMessage
	CreatedAt                           time.Time
}

// Deliver finds the webhooks of a notification's user that take notification.created, and returns what adds its deliveries; nil if there is
// none. The outcomes are at the webhooks.
func (w *Service) Deliver(ctx context.Context, n Notification) (func(context.Context, database.Tx) error, error) {
	event := publicOf(subjects.PublicNotificationCreated, n.ID, subjects.PublicNotification{
		NotificationID: n.ID, Category: n.Category, Subject: n.Subject, Body: n.Body, Data: n.Data, CreatedAt: n.CreatedAt,
	})
	found, err := w.find(ctx, intakeOf("notification."+n.ID, n.UserID, n.CreatedAt, event))
	if err != nil || !slices.ContainsFunc(found, func(r routed) bool { return len(r.ids) > 0 }) {
		return nil, err
	}
	return func(ctx context.Context, tx database.Tx) error { return w.storeRouted(ctx, tx, n.UserID, found) }, nil
}

// Maintain deletes the counts of past days.
func (w *Service) Maintain(ctx context.Context) error {
	return wait.Repeat(ctx, time.Hour, func(ctx context.Context) error {
		return w.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return w.store.deleteUsage(ctx, tx, usageDay(w.Now()))
		})
	})
}
