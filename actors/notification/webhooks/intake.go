package webhooks

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/dispatch"
	"github.com/weftmesh/weft/subjects"
)

// publicEvent is a public event that is to be delivered.
type publicEvent struct {
	desc *subjects.PublicEventDescriptor
	// ordering is the value of the event's ordering key.
	ordering string
	data     any
}

// publicOf returns a public event with its data.
func publicOf[T any](e subjects.PublicEvent[T], ordering string, data T) publicEvent {
	return publicEvent{desc: e.Describe(), ordering: ordering, data: data}
}

// intakeEvents are the public events of one internal event.
type intakeEvents struct {
	// sourceID is the internal event's id.
	sourceID, userID string
	at               time.Time
	events           []publicEvent
	// except is a webhook that does not receive them; empty for none.
	except string
}

func intakeOf(sourceID, userID string, at time.Time, events ...publicEvent) intakeEvents {
	return intakeEvents{sourceID: sourceID, userID: userID, at: at, events: events}
}

// eventID derives the webhook-id of a public event, so that a redelivered internal event has the same. It has no full stop, which separates
// the parts of what is signed.
func (i intakeEvents) eventID(e publicEvent) string {
	sum := sha256.Sum256([]byte(i.sourceID + "\x00" + e.desc.Type + "\x00" + e.ordering))
	return "evt_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

// routed is a public event with the webhooks that take it.
type routed struct {
	event dispatch.Event
	// ids are the webhooks; failed has the errors of the conditions of others.
	ids    []string
	failed map[string]string
}

// deliver stores the public events of an internal one for the webhooks of its user that take them. A user without webhooks costs no
// statement.
func (w *Service) deliver(ctx context.Context, i intakeEvents) error {
	found, err := w.find(ctx, i)
	if err != nil || len(found) == 0 {
		return err
	}
	return w.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return w.storeRouted(ctx, tx, i.userID, found) })
}

// find evaluates which webhooks take events. Events that none takes are counted and left out. It must not be called in a transaction.
func (w *Service) find(ctx context.Context, i intakeEvents) ([]routed, error) {
	if i.userID == "" {
		return nil, nil
	}
	routes, err := w.routes(ctx, i.userID)
	if err != nil || len(routes) == 0 {
		return nil, err
	}
	found := make([]routed, 0, len(i.events))
	for _, e := range i.events {
		r, err := w.route(ctx, i, e, routes)
		if err != nil {
			return nil, err
		}
		if len(r.ids)+len(r.failed) == 0 {
			w.metrics.events.WithLabelValues(e.desc.Type, eventUnmatched).Inc()
			continue
		}
		found = append(found, r)
	}
	return found, nil
}

// route finds the webhooks that take an event.
func (w *Service) route(ctx context.Context, i intakeEvents, e publicEvent, routes []webhookRoute) (routed, error) {
	var payload []byte
	r := routed{failed: map[string]string{}}
	for _, route := range routes {
		if route.id == i.except || !matchesType(route.events, e.desc.Type) {
			continue
		}
		if payload == nil {
			var err error
			if payload, err = encodePayload(e.desc.Type, i.at, e.data, false); err != nil {
				return r, err
			}
		}
		if route.condition != "" {
			holds, err := w.conditions.holds(ctx, i.userID, route.condition, payload, i.at)
			if subjects.CodeOf(err) == subjects.CodeUnavailable {
				return r, err
			}
			if err != nil {
				r.failed[route.id] = channel.Truncate(err.Error(), maxConditionError)
			}
			if err != nil || !holds {
				continue
			}
		}
		r.ids = append(r.ids, route.id)
	}
	r.event = dispatch.Event{
		ID: i.eventID(e), UserID: i.userID, Type: e.desc.Type, Ordering: e.ordering, At: i.at, Payload: payload,
	}
	return r, nil
}

// storeRouted stores the deliveries of events within the bounds of their user. What exceeds one is dropped and counted.
func (w *Service) storeRouted(ctx context.Context, tx database.Tx, userID string, found []routed) error {
	for _, r := range found {
		result := eventStored
		if len(r.ids) > 0 {
			allowed, err := w.mayStore(ctx, tx, userID, r)
			if err != nil {
				return err
			}
			if allowed {
				err = w.dispatcher.Add(ctx, tx, r.event, r.ids)
			} else {
				result, err = eventDropped, w.store.countDropped(ctx, tx, r.ids)
				w.Log.Warn("an event for webhooks was dropped at a bound of its user", zap.String("user_id", userID), zap.String("type", r.event.Type))
			}
			if err != nil {
				return err
			}
			w.DB.AfterCommit(ctx, func() { w.metrics.events.WithLabelValues(r.event.Type, result).Inc() })
		}
		for _, id := range slices.Sorted(maps.Keys(r.failed)) { // in the order of record, which changes the same rows
			if err := w.store.countConditionError(ctx, tx, id, r.failed[id]); err != nil {
				return err
			}
			w.DB.AfterCommit(ctx, func() { w.metrics.events.WithLabelValues(r.event.Type, eventConditionError).Inc() })
		}
	}
	return nil
}

// mayStore counts the deliveries of an event and reports whether the bounds of its user admit them.
func (w *Service) mayStore(ctx context.Context, tx database.Tx, userID string, r routed) (bool, error) {
	waiting, err := w.bounds.mayWait(ctx, userID, int64(len(r.ids)))
	if err != nil || !waiting {
		return false, err
	}
	used, err := w.store.addUsage(ctx, tx, webhookUsageRow{
		UserID: userID, Day: usageDay(w.Now()), Deliveries: int64(len(r.ids)), Bytes: int64(len(r.event.Payload)),
	})
	return used.Deliveries <= w.bounds.deliveries.Limit && used.Bytes <= w.bounds.bytes.Limit, err
}

// encodePayload returns the body of a delivery.
func encodePayload(eventType string, at time.Time, data any, test bool) ([]byte, error) {
	body, err := subjects.Encode(subjects.PublicPayload[any]{
		Type: eventType, Timestamp: at, Version: subjects.PublicEventVersion, Test: test, Data: data,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", eventType, err)
	}
	return body, nil
}
