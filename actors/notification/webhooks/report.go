package webhooks

import (
	"context"
	"fmt"
	"strconv"
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
	data := map[string]string{"webhook_id": t.WebhookID, "name": name, "reason": t.Reason}
	unit, number := period(w.config.DisableAfter)
	data[unit] = strconv.Itoa(number)
	if t.Warning > 0 {
		data["since"] = t.At.UTC().Format(time.RFC3339)
		return w.inform(ctx, key, t.UserID, subjects.TemplateWebhookFailing, data)
	}
	data["status"] = t.Status
	if err := w.inform(ctx, key, t.UserID, subjects.TemplateWebhookDisabled, data); err != nil {
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
