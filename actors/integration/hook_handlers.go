package integration

import (
	"context"
	"net/url"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
	"github.com/weftmesh/weft/subjects"
)

// createHook creates a hook of a connection: a URL to which the provider delivers events.
func (a *Actor) createHook(ctx context.Context, r subjects.CreateHookRequest) (subjects.Hook, error) {
	none := subjects.Hook{}
	userID := actors.CallerFrom(ctx).UserID
	c, err := a.connections.get(ctx, userID, r.IntegrationID)
	if err != nil {
		return none, err
	}
	w, err := a.webhookOf(c.Provider)
	if err != nil {
		return none, err
	}
	now := a.Now().UnixMicro()
	h := hookRow{
		ID: a.NewID(), UserID: userID, ConnectionID: c.ID, Provider: c.Provider, Label: r.Label, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	created, err := a.hookSecrets.setNext(w, &h, r.Secret)
	if err != nil {
		return none, err
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := a.bounds.Reserve(ctx, tx, a.bounds.hooks, c.ID, 1); err != nil {
			return err
		}
		return insertHook(ctx, tx, &h)
	})
	if err != nil {
		return none, err
	}
	return a.hookResource(w, h, created), nil
}

// webhookOf is how a provider delivers events.
func (a *Actor) webhookOf(provider string) (*manifest.Webhook, error) {
	p, err := a.registry.find(provider)
	if err != nil {
		return nil, err
	}
	if p.Webhook == nil {
		return nil, subjects.Errorf(subjects.CodeUnsupported, "%s has no webhooks that can be verified", provider)
	}
	return p.Webhook, nil
}

func (a *Actor) listHooks(ctx context.Context, r subjects.ListHooksRequest) (subjects.Page[subjects.Hook], error) {
	none := subjects.Page[subjects.Hook]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	userID := actors.CallerFrom(ctx).UserID
	c, err := a.connections.get(ctx, userID, r.IntegrationID)
	if err != nil {
		return none, err
	}
	rows, err := pageOfHooks(ctx, a.DB.DB, userID, r, after[0])
	if err != nil {
		return none, err
	}
	// Hooks are listed, so that they can be deleted, even if the provider or its webhook is not there any more.
	w, _ := a.webhookOf(c.Provider)
	items := make([]subjects.Hook, len(rows))
	for i, row := range rows {
		items[i] = a.hookResource(w, row, "")
	}
	return actors.PageOf(items, r.PageLimit(), func(h subjects.Hook) []string { return []string{h.ID} }), nil
}

func (a *Actor) getHook(ctx context.Context, r subjects.HookRequest) (subjects.Hook, error) {
	none := subjects.Hook{}
	h, err := findHook(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.IntegrationID, r.HookID)
	if err != nil {
		return none, err
	}
	revealed := ""
	if h.Reveal != 0 {
		secrets, err := a.hookSecrets.open(h)
		if err != nil {
			return none, err
		}
		if len(secrets) > 0 {
			revealed = secrets[0]
		}
	}
	w, _ := a.webhookOf(h.Provider)
	return a.hookResource(w, h, revealed), nil
}

func (a *Actor) deleteHook(ctx context.Context, r subjects.HookRequest) (subjects.Empty, error) {
	userID := actors.CallerFrom(ctx).UserID
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		h, err := findHook(ctx, tx, userID, r.IntegrationID, r.HookID)
		if err != nil {
			return err
		}
		return deleteHook(ctx, tx, h)
	})
	return subjects.Empty{}, err
}

// rotateHookSecret replaces a hook's secret. The previous one stays valid for Webhooks.OldSecret, unless the request drops
// it.
func (a *Actor) rotateHookSecret(ctx context.Context, r subjects.RotateHookSecretRequest) (subjects.Hook, error) {
	none := subjects.Hook{}
	h, err := findHook(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.IntegrationID, r.HookID)
	if err != nil {
		return none, err
	}
	w, err := a.webhookOf(h.Provider)
	if err != nil {
		return none, err
	}
	version, previous := h.Version, h.Secret
	if r.Secret == "" && w.Scheme.Secret.From == webhook.FromProvider {
		return none, subjects.InvalidField("secret", "is required: the provider makes it")
	}
	created, err := a.hookSecrets.setNext(w, &h, r.Secret)
	if err != nil {
		return none, err
	}
	if w.Scheme.Secret.From != webhook.FromHandshake {
		a.hookSecrets.keepPrevious(&h, previous)
	}
	if r.DropOld {
		h.OldSecret, h.OldUntil = nil, 0
		if w.Scheme.Secret.From == webhook.FromHandshake {
			h.Secret = nil
		}
	}
	h.Reveal, h.Version, h.UpdatedAt = 0, version+1, a.Now().UnixMicro()
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return replaceHook(ctx, tx, &h, version) })
	if err != nil {
		return none, err
	}
	return a.hookResource(w, h, created), nil
}

// hookResource is a hook as its owner sees it. w is nil if the provider has no webhook any more. secret is included if it
// is not empty.
func (a *Actor) hookResource(w *manifest.Webhook, h hookRow, secret string) subjects.Hook {
	r := subjects.Hook{
		ID: h.ID, IntegrationID: h.ConnectionID, Provider: h.Provider, Label: h.Label, Status: subjects.HookActive, Secret: secret,
		URL: hookURL(a.config.PublicURL, h), CreatedAt: time.UnixMicro(h.CreatedAt).UTC(), UpdatedAt: time.UnixMicro(h.UpdatedAt).UTC(),
	}
	if w != nil {
		r.SecretFrom, r.Help = w.Scheme.Secret.From, w.Help
		if name := w.Scheme.InQuery(); name != "" && secret != "" {
			r.URL += "?" + url.Values{name: {secret}}.Encode()
		}
	}
	if h.Secret == nil {
		r.Status = subjects.HookPending
	}
	if h.OldSecret != nil && h.oldUntil().After(a.Now()) {
		until := h.oldUntil()
		r.OldSecretUntil = &until
	}
	if h.ReceivedAt != 0 {
		at := time.UnixMicro(h.ReceivedAt).UTC()
		r.ReceivedAt = &at
	}
	return r
}
