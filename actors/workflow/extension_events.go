package workflow

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// listenerBatch is how many users' events one transaction adds to the outbox, for an event that names no user, listenerBytes how many bytes
// of data.
const (
	listenerBatch = 500
	listenerBytes = 4 << 20
)

// eventRates bound the events that the process takes from each extension. Extensions are few, so that none is removed.
type eventRates struct {
	perMinute int

	mu sync.Mutex
	of map[string]*rate.Limiter
}

// allow takes one event of an extension, or returns after what time it may be sent again.
func (r *eventRates) allow(name string, now time.Time) (retryAfter time.Duration, allowed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	limiter := r.of[name]
	if limiter == nil {
		if r.of == nil {
			r.of = map[string]*rate.Limiter{}
		}
		limiter = rate.NewLimiter(rate.Every(time.Minute/time.Duration(r.perMinute)), max(1, r.perMinute/6))
		r.of[name] = limiter
	}
	reservation := limiter.ReserveN(now, 1)
	if wait := reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// publishEvent stores an event of an extension's. A worker routes it.
func (x *extensions) publishEvent(ctx context.Context, r subjects.PublishExtensionEventRequest) (subjects.PublishedExtensionEvent, error) {
	name := actors.CallerFrom(ctx).Name
	kind := subjects.ExtensionEventPrefix + name + "." + r.Event
	if len(r.Data) > x.config.MaxInput {
		return subjects.PublishedExtensionEvent{}, errEventTooLarge(len(r.Data), x.config.MaxInput)
	}
	if len(r.Data) > 0 {
		if _, err := language.DecodeStrict(r.Data); err != nil {
			return subjects.PublishedExtensionEvent{}, subjects.InvalidField("data", "cannot be read: %v", err)
		}
	}
	if wait, allowed := x.rates.allow(name, x.Now()); !allowed {
		return subjects.PublishedExtensionEvent{}, &subjects.Error{
			Code: subjects.CodeRateLimited, Detail: fmt.Sprintf("an extension may publish %d events a minute", x.config.Extensions.MaxEvents),
			RetryAfter: max(wait, time.Second),
		}
	}
	e := subjects.ExtensionEvent{Extension: name, ID: r.ID, Event: r.Event, Time: x.Now().UTC(), Data: r.Data}
	if r.Time != nil {
		e.Time = r.Time.UTC()
	}
	err := x.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return x.addEvents(ctx, tx, e, r.UserID) })
	return subjects.PublishedExtensionEvent{ID: r.ID, Type: kind}, err
}

// addEvents adds an event of an extension's to the outbox, for each of some users; the user "" stands for all who listen.
func (x *extensions) addEvents(ctx context.Context, tx database.Tx, e subjects.ExtensionEvent, users ...string) error {
	messages := make([]outbox.Message, 0, len(users))
	for _, user := range users {
		id := "ext." + derivedID(e.Extension, "extension event/"+e.Event+"\x00"+e.ID+"\x00"+user)
		data, err := subjects.Encode(subjects.ExtensionEventPublished.New(id, user, x.Now(), e))
		if err != nil {
			return fmt.Errorf("encoding an event: %w", err)
		}
		messages = append(messages, outbox.Message{ID: id, Subject: subjects.ExtensionEventPublished.Subject, Key: id, Data: data})
	}
	return x.Outbox.Add(ctx, tx, messages...)
}

// takeEvent routes an event of an extension's to the workflows of its user. One that names no user becomes an event for each user
// whose workflows may receive events of the extension. The event's source and id identify it, so that a repetition starts nothing again.
func (x *extensions) takeEvent(ctx context.Context, e subjects.Envelope[subjects.ExtensionEvent]) error {
	if e.UserID == "" {
		return x.spreadEvent(ctx, e.Data)
	}
	event := cloudEvent{
		"specversion": "1.0", "id": e.Data.ID, "source": "/extensions/" + e.Data.Extension,
		"type": subjects.ExtensionEventPrefix + e.Data.Extension + "." + e.Data.Event, "time": e.Data.Time.UTC().Format(time.RFC3339Nano),
	}
	if len(e.Data.Data) > 0 {
		value, err := language.DecodeStrict(e.Data.Data)
		if err != nil {
			return subjects.Errorf(subjects.CodeInvalid, "the event's data cannot be read: %v", err)
		}
		event["datacontenttype"], event["data"] = "application/json", value
	}
	_, _, err := x.triggers.route(ctx, e.UserID, event, engine.Origin{}, eventExtension)
	return err
}

// spreadEvent adds an event for each user whose workflows may receive events of the extension.
func (x *extensions) spreadEvent(ctx context.Context, e subjects.ExtensionEvent) error {
	batch := max(1, min(listenerBatch, listenerBytes/(len(e.Data)+1)))
	for after := ""; ; {
		users, err := listenersToExtension(ctx, x.DB.DB, e.Extension, after, batch)
		if err != nil {
			return database.Classify(err)
		}
		if len(users) == 0 {
			return nil
		}
		err = x.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return x.addEvents(ctx, tx, e, users...) })
		if err != nil || len(users) < batch {
			return err
		}
		after = users[len(users)-1]
	}
}
