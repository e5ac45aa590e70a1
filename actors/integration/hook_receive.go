package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// maxHookEvent bounds an event that a delivery becomes, in bytes, so that it passes the outbox.
const maxHookEvent = 1<<20 - 8<<10

// headerDelivery tells, for people who look, what became of a delivery.
const headerDelivery = "Weft-Delivery"

// incoming is a delivery on its way in.
type incoming struct {
	hook       hookRow
	connection connectionRow
	webhook    *manifest.Webhook
	request    webhook.Request
	secrets    []string
}

// receiveWebhook takes a delivery. Its answer says as little as the vendor needs; what it was refused for is in the
// metrics and, at level debug, in the log.
func (a *Actor) receiveWebhook(ctx context.Context, r subjects.ReceiveWebhookRequest) (subjects.Document, error) {
	reply, result, err := a.receive(ctx, r)
	a.countDelivery(r.Provider, result)
	if err != nil && result != deliveryFailed {
		a.Log.Debug("a delivery is not taken", zap.String("hook_id", r.HookID), zap.String("result", result), zap.Error(err))
	}
	return reply, err
}

func (a *Actor) receive(ctx context.Context, r subjects.ReceiveWebhookRequest) (subjects.Document, string, error) {
	none := subjects.Document{}
	in, err := a.incoming(ctx, r.Provider, r.HookID)
	if err != nil {
		return none, resultOf(err), err
	}
	in.request, err = a.deliveryOf(in.hook, http.MethodPost, r.Query, r.Headers, r.Body)
	if err != nil {
		return none, deliveryMalformed, err
	}
	if reply, err := a.shakeHands(ctx, in, false); err != nil || reply != nil {
		return orNone(reply), deliveryHandshake, err
	}
	verified, result, err := a.verify(ctx, in)
	if err != nil {
		return none, result, err
	}
	if reply, err := a.shakeHands(ctx, in, true); err != nil || reply != nil {
		return orNone(reply), deliveryHandshake, err
	}
	events, err := in.webhook.Events(in.request)
	if err != nil {
		return none, deliveryMalformed, &subjects.Error{Code: subjects.CodeInvalid, Detail: "the delivery is not what the provider sends", Cause: err}
	}
	told, err := a.tellDelivery(ctx, in, verified, events)
	if err != nil {
		return none, resultOf(err), err
	}
	result = deliveryAccepted
	if !told {
		result = deliveryDuplicate
	}
	return subjects.Document{ContentType: "text/plain; charset=utf-8", Body: []byte{}, Headers: map[string]string{headerDelivery: result}}, result, nil
}

func orNone(d *subjects.Document) subjects.Document {
	if d == nil {
		return subjects.Document{}
	}
	return *d
}

// resultOf is how metrics count an error.
func resultOf(err error) string {
	switch subjects.CodeOf(err) {
	case subjects.CodeNotFound, subjects.CodeConflict:
		return deliveryUnknown
	case subjects.CodeInvalid, subjects.CodeTooLarge:
		return deliveryMalformed
	}
	return deliveryFailed
}

// incoming finds the hook of an address. What is disabled, or has lost its scheme, is not there.
func (a *Actor) incoming(ctx context.Context, provider, id string) (incoming, error) {
	p, _ := a.shelf.get(provider)
	if p == nil || p.Webhook == nil {
		return incoming{}, noSuchHook()
	}
	h, err := hookAt(ctx, a.DB.DB, provider, id)
	if err != nil {
		return incoming{}, err
	}
	c, err := findConnection(ctx, a.DB.DB, h.UserID, h.ConnectionID)
	if err != nil {
		return incoming{}, err
	}
	if c.Status == disabled {
		return incoming{}, noSuchHook()
	}
	secrets, err := a.secretsOf(h)
	return incoming{hook: h, connection: c, webhook: p.Webhook, secrets: secrets}, err
}

func noSuchHook() error { return subjects.Errorf(subjects.CodeNotFound, "there is no such hook") }

// verify judges a delivery by the scheme of its provider.
func (a *Actor) verify(ctx context.Context, in incoming) (webhook.Verified, string, error) {
	public, err := a.hookKeys.find(ctx, in.webhook.Scheme, in.request)
	if err != nil {
		return webhook.Verified{}, deliveryFailed, err
	}
	verified, err := in.webhook.Scheme.Verify(in.request, webhook.Keys{Secrets: in.secrets, Public: public}, a.Now())
	result := deliveryRefused
	switch {
	case err == nil:
		return verified, "", nil
	case errors.Is(err, webhook.ErrStale):
		result = deliveryStale
	case errors.Is(err, webhook.ErrNoSecret):
		result = deliveryNoSecret
	}
	return verified, result, &subjects.Error{Code: subjects.CodeUnauthenticated, Detail: "the delivery is not verified", Cause: err}
}

// shakeHands answers a handshake; nil where the request is none.
func (a *Actor) shakeHands(ctx context.Context, in incoming, verified bool) (*subjects.Document, error) {
	reply, err := in.webhook.Handshake(in.request, verified, in.secrets)
	if err != nil {
		return nil, &subjects.Error{Code: subjects.CodeInvalid, Detail: "the handshake is not what the provider sends", Cause: err}
	}
	if reply == nil {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if reply.Secret != "" {
		if !a.mayShakeHands(in.hook) {
			return nil, subjects.Errorf(subjects.CodeForbidden, "the hook takes no secret now: rotate it first")
		}
		if err := a.keepSecret(ctx, in, reply); err != nil {
			return nil, err
		}
	}
	return &subjects.Document{ContentType: reply.ContentType, Body: reply.Body, Status: reply.Status, Headers: reply.Headers}, nil
}

// keepSecret keeps the secret that came in a handshake, once: of two at the same time one is refused.
func (a *Actor) keepSecret(ctx context.Context, in incoming, reply *manifest.HandshakeReply) error {
	h, version := in.hook, in.hook.Version
	if err := in.webhook.Scheme.Check(reply.Secret); err != nil {
		return subjects.Errorf(subjects.CodeInvalid, "the secret %v", err)
	}
	sealed, err := a.Sealer.Seal([]byte(reply.Secret), hookSealedFor(&h))
	if err != nil {
		return err
	}
	a.retire(&h, h.Secret)
	h.Secret, h.OpenedAt, h.Version, h.UpdatedAt = sealed, 0, version+1, a.Now().UnixMicro()
	if reply.Reveal {
		h.Reveal = 1
	}
	return a.saveHook(ctx, &h, version)
}

// tellDelivery tells what a delivery tells, once: what was seen before is told to nobody. Remembering and telling are one
// transaction.
func (a *Actor) tellDelivery(ctx context.Context, in incoming, v webhook.Verified, events []manifest.WebhookEvent) (told bool, err error) {
	now := a.Now()
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		told = false
		if err := touchHook(ctx, tx, in.hook.ID, now.UnixMicro()); err != nil {
			return err
		}
		if !in.webhook.Repeats {
			news, err := remember(ctx, tx, in.hook.ID, hookKey("digest", v.Digest), now.UnixMicro())
			if err != nil || !news {
				return err
			}
		}
		for i, event := range events {
			if event.ID != "" {
				news, err := remember(ctx, tx, in.hook.ID, hookKey("id", event.ID), now.UnixMicro())
				if err != nil {
					return err
				}
				if !news {
					continue
				}
			} else {
				event.ID = a.deliveryID(in, v, i, len(events))
			}
			if err := a.tellEvent(ctx, tx, in, now, event); err != nil {
				return err
			}
			told = true
		}
		if len(events) == 0 {
			told = true
		}
		return nil
	})
	return told, err
}

// deliveryID names what the vendor has not named.
func (a *Actor) deliveryID(in incoming, v webhook.Verified, i, of int) string {
	id := v.Digest
	if in.webhook.Repeats {
		id = a.NewID()
	}
	if of > 1 {
		id += "." + strconv.Itoa(i)
	}
	return id
}

// tellEvent puts one event into the transaction.
func (a *Actor) tellEvent(ctx context.Context, tx database.Tx, in incoming, now time.Time, event manifest.WebhookEvent) error {
	id := in.hook.ID + ":" + event.ID
	data, err := json.Marshal(subjects.NewWebhookReceived(id, in.hook.UserID, now, subjects.WebhookDelivery{
		IntegrationID: in.connection.ID, HookID: in.hook.ID, Provider: in.hook.Provider, Label: in.connection.Label,
		Event: event.Type, DeliveryID: event.ID, Payload: event.Payload,
	}))
	if err != nil {
		return fmt.Errorf("encoding a delivery: %w", err)
	}
	if len(data) > maxHookEvent {
		return subjects.Errorf(subjects.CodeTooLarge, "the delivery has more than %d bytes", maxHookEvent)
	}
	return a.Outbox.Add(ctx, tx, outbox.Message{
		ID: "hook." + in.hook.ID + "." + hookKey("event", id), Subject: subjects.WebhookReceived.Subject, Key: in.hook.ID, Data: data,
	})
}

// answerWebhook answers what a vendor asks before it delivers.
func (a *Actor) answerWebhook(ctx context.Context, r subjects.AnswerWebhookRequest) (subjects.Document, error) {
	in, err := a.incoming(ctx, r.Provider, r.HookID)
	if err != nil {
		return subjects.Document{}, err
	}
	if in.request, err = a.deliveryOf(in.hook, http.MethodGet, r.Query, nil, nil); err != nil {
		return subjects.Document{}, err
	}
	reply, err := a.shakeHands(ctx, in, false)
	if err != nil {
		return subjects.Document{}, err
	}
	if reply == nil {
		return subjects.Document{}, subjects.Errorf(subjects.CodeNotFound, "this address takes deliveries (POST) and answers no question of this kind")
	}
	a.countDelivery(r.Provider, deliveryHandshake)
	return *reply, nil
}

// sweepDeliveries forgets what was delivered so long ago that it is refused for its age, or will not come again.
func (a *Actor) sweepDeliveries(ctx context.Context) error {
	tick := time.NewTicker(a.config.Calls.SweepEvery)
	defer tick.Stop()
	for {
		before := a.Now().Add(-a.config.Webhooks.Remember).UnixMicro()
		for dropped := int64(sweepBatch); dropped >= sweepBatch; {
			err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
				dropped, err = dropOldDeliveries(ctx, tx, before, sweepBatch)
				return err
			})
			if err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
