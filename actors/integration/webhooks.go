package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

// maxHookEvent bounds the event that is published for a delivery, in bytes: a NATS message less the outbox's headers.
const maxHookEvent = 1<<20 - 8<<10

// headerDelivery is the response header with a delivery's result, for debugging.
const headerDelivery = "Weft-Delivery"

// webhooks receives providers' deliveries: it answers handshakes, verifies deliveries, and publishes each event once.
type webhooks struct {
	actors.Deps
	config      Config
	registry    *registry
	connections *connections
	secrets     hookSecrets
	keys        *hookKeys
	metrics     metrics
	bounds      *bounds
}

// delivery is a request to a hook.
type delivery struct {
	hook       hookRow
	connection connectionRow
	webhook    *manifest.Webhook
	request    webhook.Request
	secrets    []string
}

// receive handles a POST request to a hook. Its response tells a provider as little as possible; the reason of a refusal is
// in the metrics and, at level debug, in the log.
func (w *webhooks) receive(ctx context.Context, r subjects.ReceiveWebhookRequest) (subjects.Document, error) {
	reply, result, err := w.process(ctx, r)
	w.count(r.Provider, result)
	if err != nil && result != deliveryFailed {
		w.Log.Debug("delivery refused", zap.String("hook_id", r.HookID), zap.String("result", result), zap.Error(err))
	}
	return reply, err
}

func (w *webhooks) process(ctx context.Context, r subjects.ReceiveWebhookRequest) (subjects.Document, string, error) {
	none := subjects.Document{}
	d, err := w.load(ctx, r.Provider, r.HookID)
	if err != nil {
		return none, errorResult(err), err
	}
	d.request, err = webhookRequest(hookURL(w.config.PublicURL, d.hook), http.MethodPost, r.Query, r.Headers, r.Body)
	if err != nil {
		return none, deliveryMalformed, err
	}
	if reply, err := w.handshake(ctx, d, false); err != nil || reply != nil {
		return orEmpty(reply), budgetResult(err, deliveryHandshake), err
	}
	verified, result, err := w.verify(ctx, d)
	if err != nil {
		return none, result, err
	}
	if err := w.admit(ctx, d); err != nil {
		return none, errorResult(err), err
	}
	if reply, err := w.handshake(ctx, d, true); err != nil || reply != nil {
		return orEmpty(reply), budgetResult(err, deliveryHandshake), err
	}
	events, err := w.events(ctx, d)
	if err != nil {
		return none, budgetResult(err, deliveryMalformed), refusal(err, "the delivery is malformed")
	}
	published, err := w.publish(ctx, d, verified, events)
	if err != nil {
		return none, errorResult(err), err
	}
	result = deliveryAccepted
	if !published {
		result = deliveryDuplicate
	}
	return subjects.Document{ContentType: "text/plain; charset=utf-8", Body: []byte{}, Headers: map[string]string{headerDelivery: result}}, result, nil
}

// answer handles a GET request to a hook, with which some providers verify the URL before they deliver.
func (w *webhooks) answer(ctx context.Context, r subjects.AnswerWebhookRequest) (subjects.Document, error) {
	none := subjects.Document{}
	d, err := w.load(ctx, r.Provider, r.HookID)
	if err != nil {
		return none, err
	}
	if d.request, err = webhookRequest(hookURL(w.config.PublicURL, d.hook), http.MethodGet, r.Query, nil, nil); err != nil {
		return none, err
	}
	reply, err := w.handshake(ctx, d, false)
	if err != nil {
		return none, err
	}
	if reply == nil {
		return none, subjects.Errorf(subjects.CodeNotFound, "this URL accepts deliveries by POST, and this GET request is no known handshake")
	}
	w.count(r.Provider, deliveryHandshake)
	return *reply, nil
}

func orEmpty(d *subjects.Document) subjects.Document {
	if d == nil {
		return subjects.Document{}
	}
	return *d
}

// count counts a delivery. A provider that does not exist is counted as unknown, because anyone may request its URL.
func (w *webhooks) count(provider, result string) {
	if !w.registry.enabled(provider) {
		provider = "unknown"
	}
	w.metrics.hooks.WithLabelValues(provider, result).Inc()
}

// errHookBlocked refuses the deliveries to hooks of a disabled account, so that the provider repeats them.
var errHookBlocked = &subjects.Error{
	Code: subjects.CodeUnavailable, Detail: "the hook takes no deliveries at present", RetryAfter: time.Minute,
}

// load finds the hook of a URL with its connection and secrets. It is CodeNotFound too if the connection is disabled or the
// provider has no webhook any more, and errHookBlocked while the account is disabled.
func (w *webhooks) load(ctx context.Context, provider, id string) (delivery, error) {
	p, _ := w.registry.get(provider)
	if p == nil || p.Webhook == nil {
		return delivery{}, errNoHook
	}
	h, err := findHookByURL(ctx, w.DB.DB, provider, id)
	if err != nil {
		return delivery{}, err
	}
	if w.Guard.Blocked(h.UserID) {
		return delivery{}, errHookBlocked
	}
	c, err := w.connections.cached(ctx, h.UserID, h.ConnectionID)
	if err != nil {
		return delivery{}, err
	}
	if c.Status == subjects.ConnectionDisabled {
		return delivery{}, errNoHook
	}
	secrets, err := w.secrets.open(h)
	return delivery{hook: h, connection: c, webhook: p.Webhook, secrets: secrets}, err
}

// verify verifies a delivery by its provider's scheme.
func (w *webhooks) verify(ctx context.Context, d delivery) (webhook.Verified, string, error) {
	public, err := w.keys.find(ctx, d.webhook.Scheme, d.request)
	if err != nil {
		return webhook.Verified{}, deliveryFailed, err
	}
	var verified webhook.Verified
	if late := w.compute(ctx, d, func() {
		verified, err = d.webhook.Scheme.Verify(d.request, webhook.Keys{Secrets: d.secrets, Public: public}, w.Now())
	}); late != nil {
		return verified, deliveryFailed, late
	}
	result := deliveryRefused
	switch {
	case err == nil:
		return verified, "", nil
	case errors.Is(err, webhook.ErrStale):
		result = deliveryStale
	case errors.Is(err, webhook.ErrNoSecret):
		result = deliveryNoSecret
	}
	return verified, result, &subjects.Error{Code: subjects.CodeUnauthenticated, Detail: "the delivery cannot be verified", Cause: err}
}

// handshake answers a handshake; nil if the request is none.
func (w *webhooks) handshake(ctx context.Context, d delivery, verified bool) (*subjects.Document, error) {
	var reply *manifest.HandshakeReply
	var err error
	if late := w.compute(ctx, d, func() { reply, err = d.webhook.Handshake(d.request, verified, d.secrets) }); late != nil {
		return nil, late
	}
	if err != nil {
		return nil, refusal(err, "the handshake is malformed")
	}
	if reply == nil {
		return nil, nil //nolint:nilnil // nil means that there is no handshake
	}
	if reply.Secret != "" {
		if !w.acceptsHandshake(d.hook) {
			return nil, subjects.Errorf(subjects.CodeForbidden, "the hook accepts no secret now: rotate its secret first")
		}
		if err := w.saveHandshakeSecret(ctx, d, reply); err != nil {
			return nil, err
		}
	}
	return &subjects.Document{ContentType: reply.ContentType, Body: reply.Body, Status: reply.Status, Headers: reply.Headers}, nil
}

// acceptsHandshake reports whether a handshake may set a hook's secret now.
func (w *webhooks) acceptsHandshake(h hookRow) bool {
	return h.OpenedAt != 0 && w.Now().Sub(time.UnixMicro(h.OpenedAt)) <= w.config.Webhooks.HandshakeWithin
}

// saveHandshakeSecret stores the secret of a handshake. Of two concurrent handshakes one is refused.
func (w *webhooks) saveHandshakeSecret(ctx context.Context, d delivery, reply *manifest.HandshakeReply) error {
	h, version := d.hook, d.hook.Version
	if err := d.webhook.Scheme.Check(reply.Secret); err != nil {
		return subjects.Errorf(subjects.CodeInvalid, "the secret %v", err)
	}
	w.secrets.keepPrevious(&h, h.Secret)
	if err := w.secrets.seal(&h, reply.Secret); err != nil {
		return err
	}
	h.OpenedAt, h.Version, h.UpdatedAt = 0, version+1, w.Now().UnixMicro()
	if reply.Reveal {
		h.Reveal = 1
	}
	return w.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return replaceHook(ctx, tx, &h, version) })
}

// publish publishes the events of a delivery that have not been published before, and reports whether there were any. They
// are recorded in the same transaction. A delivery is known by its signature and time, an event by its provider's id. Equal content
// alone means nothing: a provider may report two changes alike.
func (w *webhooks) publish(ctx context.Context, d delivery, v webhook.Verified, events []manifest.WebhookEvent) (published bool, err error) {
	now := w.Now()
	err = w.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		published = false
		if err := markReceived(ctx, tx, d.hook.ID, now.UnixMicro()); err != nil {
			return err
		}
		var bytes int64
		for _, event := range events {
			bytes += int64(len(event.Payload))
		}
		if err := w.bounds.countDelivery(ctx, tx, d.hook.UserID, bytes, now); err != nil {
			return err
		}
		if v.Replay != "" {
			isNew, err := insertDelivery(ctx, tx, d.hook.ID, deliveryKey("replay", v.Replay), now.UnixMicro())
			if err != nil || !isNew {
				return err
			}
		}
		for i, event := range events {
			if event.ID != "" {
				isNew, err := insertDelivery(ctx, tx, d.hook.ID, deliveryKey("id", event.ID), now.UnixMicro())
				if err != nil {
					return err
				}
				if !isNew {
					continue
				}
			} else {
				event.ID = w.eventID(v, i, len(events))
			}
			if err := w.publishEvent(ctx, tx, d, now, event); err != nil {
				return err
			}
			published = true
		}
		if len(events) == 0 {
			published = true
		}
		return nil
	})
	return published, err
}

// eventID is an id for the event i of count without an id of the provider's.
func (w *webhooks) eventID(v webhook.Verified, i, count int) string {
	id := v.Replay
	if id == "" {
		return w.NewID()
	}
	if count > 1 {
		id += "." + strconv.Itoa(i)
	}
	return id
}

func (w *webhooks) publishEvent(ctx context.Context, tx database.Tx, d delivery, now time.Time, event manifest.WebhookEvent) error {
	id := d.hook.ID + ":" + event.ID
	data, err := subjects.Encode(subjects.NewWebhookReceived(id, d.hook.UserID, now, subjects.WebhookDelivery{
		IntegrationID: d.connection.ID, HookID: d.hook.ID, Provider: d.hook.Provider, Label: d.connection.Label,
		Event: event.Type, DeliveryID: event.ID, Payload: event.Payload,
	}))
	if err != nil {
		return fmt.Errorf("encoding a delivery: %w", err)
	}
	if len(data) > maxHookEvent {
		return subjects.Errorf(subjects.CodeTooLarge, "the delivery has more than %d bytes", maxHookEvent)
	}
	return w.Outbox.Add(ctx, tx, outbox.Message{
		ID: "hook." + d.hook.ID + "." + deliveryKey("event", id), Subject: subjects.WebhookReceived.Subject, Key: d.hook.ID, Data: data,
	})
}

// sweep deletes records of old deliveries until ctx ends.
func (w *webhooks) sweep(ctx context.Context) error {
	return wait.Repeat(ctx, w.config.Calls.SweepEvery, func(ctx context.Context) error {
		before := w.Now().Add(-w.config.Webhooks.Remember).UnixMicro()
		for deleted := int64(sweepBatch); deleted >= sweepBatch; {
			err := w.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
				if deleted, err = deleteDeliveriesBefore(ctx, tx, before, sweepBatch); err != nil {
					return err
				}
				return deleteHookUsage(ctx, tx, dayOf(w.Now()))
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
