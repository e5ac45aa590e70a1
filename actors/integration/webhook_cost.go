package integration

import (
	"context"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/mesh/compute"
)

// compute runs work on a delivery's body: if that is large, in the pool.
func (w *webhooks) compute(ctx context.Context, d delivery, work func()) error {
	return compute.Default.DoLarge(ctx, d.hook.UserID, len(d.request.Body), work)
}

// admit refuses a large delivery for which the user's bounds have no room, before its body is decoded.
func (w *webhooks) admit(ctx context.Context, d delivery) error {
	if len(d.request.Body) < compute.Large {
		return nil
	}
	now := w.Now()
	used, err := hookUsage(ctx, w.DB.DB, d.hook.UserID, dayOf(now))
	if err != nil {
		return err
	}
	return w.bounds.refuseDelivery(used.with(int64(len(d.request.Body)), now), now)
}

// events makes the events of a delivery.
func (w *webhooks) events(ctx context.Context, d delivery) (events []manifest.WebhookEvent, err error) {
	if late := w.compute(ctx, d, func() { events, err = d.webhook.Events(d.request) }); late != nil {
		return nil, late
	}
	return events, err
}
