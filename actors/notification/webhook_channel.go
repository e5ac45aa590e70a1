package notification

import (
	"context"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/webhooks"
)

// toWebhooks is seams.toWebhooks.
func (a *Actor) toWebhooks(ctx context.Context, n notificationRow, c content, r channel.Rendered) (func(context.Context, database.Tx) error, error) {
	return a.webhooks.Deliver(ctx, webhooks.Notification{
		ID: n.ID, UserID: n.UserID, Category: n.Category, Subject: r.Subject, Body: r.Text, Data: c.data(), CreatedAt: time.UnixMicro(n.CreatedAt).UTC(),
	})
}

// inform is webhooks.Inform.
func (a *Actor) inform(ctx context.Context, key, userID, templateID string, data map[string]string) error {
	return a.notify(ctx, key, userID, categoryIntegration, templateID, data)
}
