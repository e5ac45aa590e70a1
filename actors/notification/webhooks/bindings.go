package webhooks

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// Bindings are the endpoints of webhooks.
func (w *Service) Bindings() []actors.Binding {
	return []actors.Binding{
		actors.Bind(subjects.RegisterWebhook, w.registerWebhook),
		actors.Bind(subjects.ListWebhooks, w.listWebhooks),
		actors.Bind(subjects.GetWebhook, w.getWebhook),
		actors.Bind(subjects.UpdateWebhook, w.updateWebhook),
		actors.Bind(subjects.DeleteWebhook, w.deleteWebhook),
		actors.Bind(subjects.RotateWebhookSecret, w.rotateWebhookSecret),
		actors.Bind(subjects.TestWebhook, w.testWebhook),
		actors.Bind(subjects.ListDeliveries, w.listDeliveries),
		actors.Bind(subjects.ReplayDeliveries, w.replayDeliveries),
		actors.Bind(subjects.ListEventTypes, w.listEventTypes),
	}
}

// Run makes the attempts until ctx ends.
func (w *Service) Run(ctx context.Context) error { return w.dispatcher.Run(ctx) }
