package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// troubleKey names a report.
func troubleKey(t subjects.WebhookTrouble) string {
	return fmt.Sprintf("webhook.%s.%d.%d", t.WebhookID, t.At.UnixMicro(), t.Warning)
}

// addReport adds the job of a report to a transaction.
func (w *Service) addReport(ctx context.Context, tx database.Tx, t subjects.WebhookTrouble) error {
	data, err := subjects.Encode(t)
	if err != nil {
		return fmt.Errorf("encoding the report of a webhook: %w", err)
	}
	return w.Outbox.Add(ctx, tx, outbox.Message{ID: troubleKey(t), Subject: subjects.ReportWebhook.Subject, Key: t.WebhookID, Data: data})
}

// report notifies the owner of a webhook that fails or was disabled, and delivers webhook.disabled to the owner's other webhooks.
func (w *Service) report(ctx context.Context, t subjects.WebhookTrouble) error {
	row, err := w.store.find(ctx, t.UserID, t.WebhookID)
	if err != nil {
		return ignoreNotFound(err)
	}
	key, name := troubleKey(t), row.name()
	if t.Warning > 0 {
		return w.inform(ctx, key, t.UserID, "Your webhook "+name+" fails",
			fmt.Sprintf("No delivery to your webhook %s has succeeded since %s. The last attempt failed with: %s. It is disabled once it has failed "+
				"for %s.", name, t.At.UTC().Format(time.RFC1123), t.Reason, days(w.config.DisableAfter)),
			map[string]string{"webhook_id": t.WebhookID})
	}
	err = w.inform(ctx, key, t.UserID, "Your webhook "+name+" was disabled",
		fmt.Sprintf("weft has disabled your webhook %s: %s. Its events are kept. Once the receiver works again, enable the webhook, and what was "+
			"kept is delivered.", name, t.Reason),
		map[string]string{"webhook_id": t.WebhookID, "status": t.Status})
	if err != nil {
		return err
	}
	i := intakeOf(key, t.UserID, t.At, publicOf(subjects.PublicWebhookWasDisabled, t.WebhookID, subjects.PublicWebhookDisabled{
		WebhookID: t.WebhookID, Description: row.Description, Status: t.Status, Reason: t.Reason, DisabledAt: t.At,
	}))
	i.except = t.WebhookID
	return w.deliver(ctx, i)
}

// name is how texts call a webhook: by its description, or the host of its address.
func (w webhookRow) name() string {
	if w.Description != "" {
		return w.Description
	}
	return hostOf(w.URL)
}
