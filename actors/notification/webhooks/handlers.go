package webhooks

import (
	"context"
	"strings"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/dispatch"
	"github.com/weftmesh/weft/subjects"
)

// registerWebhook creates a webhook. Its secret is in the answer only.
func (w *Service) registerWebhook(ctx context.Context, r subjects.RegisterWebhookRequest) (subjects.Webhook, error) {
	none := subjects.Webhook{}
	userID, now := actors.CallerFrom(ctx).UserID, w.Now().UnixMicro()
	row := webhookRow{
		ID: w.NewID(), UserID: userID, GroupID: webhookGroup(userID), Description: r.Description, PayloadVersion: subjects.PublicEventVersion,
		Signature: subjects.SignatureV1, Status: subjects.WebhookEnabled, Ordered: r.Ordered, Schedule: subjects.ScheduleDefault, CreatedAt: now, UpdatedAt: now,
	}
	change := subjects.UpdateWebhookRequest{
		URL: subjects.Some(r.URL), Events: subjects.Some(r.Events), Condition: subjects.Some(r.Condition), PerMinute: subjects.Some(r.PerMinute),
		Headers: subjects.Some(r.Headers),
	}
	if r.Schedule != "" {
		change.Schedule = subjects.Some(r.Schedule)
	}
	if r.Signature != "" {
		row.Signature = r.Signature
	}
	if err := w.apply(ctx, &row, change); err != nil {
		return none, err
	}
	if r.Enabled != nil && !*r.Enabled {
		row.disable(now)
	}
	created := newWebhookSecret(row.Signature)
	if err := w.secrets.sealSecret(&row, created); err != nil {
		return none, err
	}
	err := w.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := w.reserve(ctx, tx, w.bounds.webhooks, userID, 1); err != nil {
			return err
		}
		return w.store.insert(ctx, tx, &row)
	})
	if err != nil {
		return none, err
	}
	return w.shown(row, webhookHealthRow{}, created)
}

// newWebhookSecret makes a secret for a signature scheme.
func newWebhookSecret(signature string) string {
	if signature == subjects.SignatureV1a {
		return dispatch.NewKey()
	}
	return dispatch.NewSecret()
}

// shown returns the resource of a webhook whose secret has just been created.
func (w *Service) shown(row webhookRow, health webhookHealthRow, created string) (subjects.Webhook, error) {
	keys, err := w.keys(row)
	keys.created = created
	return w.resource(row, health, keys), err
}

// disable makes a webhook one that its owner has disabled.
func (w *webhookRow) disable(now int64) {
	w.Status, w.DisabledAt, w.DisabledReason = subjects.WebhookDisabled, now, ""
}

func (w *Service) listWebhooks(ctx context.Context, r subjects.PageRequest) (subjects.Page[subjects.Webhook], error) {
	none := subjects.Page[subjects.Webhook]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	rows, err := w.store.page(ctx, actors.CallerFrom(ctx).UserID, after[0], r.PageLimit())
	if err != nil {
		return none, err
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	healths, err := w.store.health(ctx, ids)
	if err != nil {
		return none, err
	}
	items := make([]subjects.Webhook, len(rows))
	for i, row := range rows {
		keys, err := w.keys(row)
		if err != nil {
			return none, err
		}
		items[i] = w.resource(row, healths[row.ID], keys)
	}
	return actors.PageOf(items, r.PageLimit(), func(w subjects.Webhook) []string { return []string{w.ID} }), nil
}

func (w *Service) getWebhook(ctx context.Context, r subjects.WebhookRequest) (subjects.Webhook, error) {
	row, err := w.store.find(ctx, actors.CallerFrom(ctx).UserID, r.WebhookID)
	if err != nil {
		return subjects.Webhook{}, err
	}
	return w.current(ctx, row)
}

// current returns the resource of a webhook with its present health.
func (w *Service) current(ctx context.Context, row webhookRow) (subjects.Webhook, error) {
	healths, err := w.store.health(ctx, []string{row.ID})
	if err != nil {
		return subjects.Webhook{}, err
	}
	return w.shown(row, healths[row.ID], "")
}

// updateWebhook changes the fields of a webhook that the request has. One that is enabled again gets what was kept for it.
func (w *Service) updateWebhook(ctx context.Context, r subjects.UpdateWebhookRequest) (subjects.Webhook, error) {
	none := subjects.Webhook{}
	row, err := w.store.find(ctx, actors.CallerFrom(ctx).UserID, r.WebhookID)
	if err != nil {
		return none, err
	}
	before := row
	if err := w.apply(ctx, &row, r); err != nil {
		return none, err
	}
	row.UpdatedAt = w.Now().UnixMicro()
	enabled, given := r.Enabled.Get()
	enable := r.Enabled.Set && (enabled || !given) && before.Status != subjects.WebhookEnabled
	switch {
	case enable:
		row.Status, row.DisabledAt, row.DisabledReason = subjects.WebhookEnabled, 0, ""
	case given && !enabled && before.Status != subjects.WebhookDisabled:
		row.disable(row.UpdatedAt)
	}
	err = w.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		changed := row
		if err := w.store.replace(ctx, tx, &changed); err != nil {
			return err
		}
		if enable || row.URL != before.URL {
			if err := w.store.clearFailures(ctx, tx, row.ID); err != nil {
				return err
			}
		}
		if row.Condition != before.Condition {
			if err := w.store.clearConditionErrors(ctx, tx, row.ID); err != nil {
				return err
			}
		}
		if enable {
			return w.dispatcher.Resume(ctx, tx, row.ID)
		}
		w.forget(ctx, row.ID)
		return nil
	})
	if err != nil {
		return none, err
	}
	return w.current(ctx, row)
}

// forget makes the dispatcher read a webhook again after the commit.
func (w *Service) forget(ctx context.Context, id string) {
	w.DB.AfterCommit(ctx, func() { w.dispatcher.Forget(id) })
}

// apply checks the fields that a request has and sets them. A null sets the default.
func (w *Service) apply(ctx context.Context, row *webhookRow, r subjects.UpdateWebhookRequest) (err error) {
	if r.URL.Set {
		if row.URL, err = w.checkURL(ctx, r.URL); err != nil {
			return err
		}
	}
	if r.Description.Set {
		row.Description = r.Description.Value
	}
	if r.Events.Set {
		names, err := checkWebhookEvents(r.Events.Value)
		if err != nil {
			return err
		}
		row.Events = strings.Join(names, " ")
	}
	if r.Condition.Set {
		row.Condition = strings.TrimSpace(r.Condition.Value)
	}
	if r.Condition.Set || r.Events.Set {
		if err := w.conditions.check(ctx, row.UserID, row.Condition, strings.Fields(row.Events)); err != nil {
			return err
		}
	}
	if r.Ordered.Set {
		row.Ordered = r.Ordered.Value
	}
	if r.PerMinute.Set {
		if row.PerMinute, err = w.config.perMinute(r.PerMinute.Value); err != nil {
			return err
		}
	}
	if r.Schedule.Set {
		row.Schedule = r.Schedule.Value
		if r.Schedule.Null {
			row.Schedule = subjects.ScheduleDefault
		}
	}
	if !r.Headers.Set {
		return nil
	}
	headers, err := checkWebhookHeaders(r.Headers.Value)
	if err != nil {
		return err
	}
	return w.secrets.sealHeaders(row, headers)
}

// checkURL returns the address of a request, or the error of one that must not be called.
func (w *Service) checkURL(ctx context.Context, address subjects.Optional[string]) (string, error) {
	if address.Null {
		return "", subjects.InvalidField("url", "is required")
	}
	checked, err := checkWebhookURL(address.Value)
	if err != nil {
		return "", err
	}
	err = w.client.Check(ctx, checked)
	switch kind := egress.KindOf(err); kind {
	case "":
		return checked, err
	case egress.KindScheme:
		return "", subjects.InvalidField("url", "must be an https URL")
	case egress.KindBlocked:
		return "", subjects.InvalidField("url", "has a host that does not resolve to a public address")
	case egress.KindDeadline, egress.KindCanceled, egress.KindTimeout:
		return "", &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the host could not be resolved in time", RetryAfter: subjects.RetrySoon, Cause: err}
	default:
		return "", subjects.InvalidField("url", "must not be called: %s", kind)
	}
}

func (w *Service) deleteWebhook(ctx context.Context, r subjects.WebhookRequest) (subjects.Empty, error) {
	err := w.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		row, err := w.store.find(ctx, actors.CallerFrom(ctx).UserID, r.WebhookID)
		if err != nil {
			return err
		}
		if err := w.store.remove(ctx, tx, row); err != nil {
			return err
		}
		return w.dispatcher.DeleteEndpoint(ctx, tx, row.ID)
	})
	return subjects.Empty{}, err
}

// rotateWebhookSecret replaces the secret of a webhook. The previous one signs along for Config.OldSecret, unless the request ends it.
func (w *Service) rotateWebhookSecret(ctx context.Context, r subjects.RotateWebhookSecretRequest) (subjects.Webhook, error) {
	none := subjects.Webhook{}
	row, err := w.store.find(ctx, actors.CallerFrom(ctx).UserID, r.WebhookID)
	if err != nil {
		return none, err
	}
	now := w.Now()
	row.OldSecret, row.OldUntil = row.Secret, now.Add(w.config.OldSecret).UnixMicro()
	if r.AtOnce {
		row.OldSecret, row.OldUntil = nil, 0
	}
	created := newWebhookSecret(row.Signature)
	if err := w.secrets.sealSecret(&row, created); err != nil {
		return none, err
	}
	row.UpdatedAt = now.UnixMicro()
	err = w.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		changed := row
		w.forget(ctx, row.ID)
		return w.store.replace(ctx, tx, &changed)
	})
	if err != nil {
		return none, err
	}
	healths, err := w.store.health(ctx, []string{row.ID})
	if err != nil {
		return none, err
	}
	return w.shown(row, healths[row.ID], created)
}
