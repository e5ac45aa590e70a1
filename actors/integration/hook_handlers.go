package integration

import (
	"context"
	"fmt"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
	"github.com/weftmesh/weft/subjects"
)

// createHook makes an address for the events of a connection's provider.
func (a *Actor) createHook(ctx context.Context, r subjects.CreateHookRequest) (subjects.Hook, error) {
	none := subjects.Hook{}
	userID := actors.CallerFrom(ctx).UserID
	c, err := findConnection(ctx, a.DB.DB, userID, r.IntegrationID)
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
	shown, err := a.nextSecret(w, &h, r.Secret)
	if err != nil {
		return none, err
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		n, err := countHooks(ctx, tx, c.ID)
		if err != nil {
			return err
		}
		if n >= int64(a.config.Webhooks.PerConnection) {
			return subjects.Errorf(subjects.CodeConflict, "there are %d hooks already, the most that are kept of a connection", n)
		}
		return insertHook(ctx, tx, &h)
	})
	if err != nil {
		return none, err
	}
	return a.hookResource(w, h, shown), nil
}

// webhookOf is how a provider delivers events.
func (a *Actor) webhookOf(provider string) (*manifest.Webhook, error) {
	p, err := a.provider(provider)
	if err != nil {
		return nil, err
	}
	if p.Webhook == nil {
		return nil, subjects.Errorf(subjects.CodeUnsupported, "%s delivers no events that could be verified", provider)
	}
	return p.Webhook, nil
}

// nextSecret gives a hook the secret that it is to have next, and answers with what of it is to be shown: what weft has
// just made. given is the vendor's; empty where it is yet to come.
func (a *Actor) nextSecret(w *manifest.Webhook, h *hookRow, given string) (shown string, err error) {
	secret := given
	switch w.Scheme.Secret.From {
	case webhook.FromHandshake:
		if given != "" {
			return "", subjects.InvalidField("secret", "comes from the provider itself, in a handshake")
		}
		h.OpenedAt = a.Now().UnixMicro()
		return "", nil
	case webhook.FromWeft:
		if given == "" {
			secret = newSecret(w.Scheme.Secret)
			shown = secret
		}
	}
	if secret == "" {
		return "", nil
	}
	if err := w.Scheme.Check(secret); err != nil {
		return "", subjects.InvalidField("secret", "%v", err)
	}
	h.Secret, err = a.Sealer.Seal([]byte(secret), hookSealedFor(h))
	return shown, err
}

func hookSealedFor(h *hookRow) []byte {
	return []byte("integration|" + h.UserID + "|" + h.ID + "|hook_secret")
}

// secretsOf are the secrets of a hook that are alive, the newest first.
func (a *Actor) secretsOf(h hookRow) ([]string, error) {
	sealed := [][]byte{h.Secret}
	if h.oldUntil().After(a.Now()) {
		sealed = append(sealed, h.OldSecret)
	}
	var secrets []string
	for _, s := range sealed {
		if s == nil {
			continue
		}
		plain, err := a.Sealer.Open(s, hookSealedFor(&h))
		if err != nil {
			return nil, fmt.Errorf("opening a secret of hook %s: %w", h.ID, err)
		}
		secrets = append(secrets, string(plain))
	}
	return secrets, nil
}

func (a *Actor) listHooks(ctx context.Context, r subjects.ListHooksRequest) (subjects.Page[subjects.Hook], error) {
	none := subjects.Page[subjects.Hook]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	userID := actors.CallerFrom(ctx).UserID
	c, err := findConnection(ctx, a.DB.DB, userID, r.IntegrationID)
	if err != nil {
		return none, err
	}
	rows, err := pageOfHooks(ctx, a.DB.DB, userID, r, after[0])
	if err != nil {
		return none, err
	}
	// A provider may have lost its manifest, or the manifest its webhook: the hooks are still there to be deleted.
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
	shown := ""
	if h.Reveal != 0 {
		secrets, err := a.secretsOf(h)
		if err != nil {
			return none, err
		}
		if len(secrets) > 0 {
			shown = secrets[0]
		}
	}
	w, _ := a.webhookOf(h.Provider)
	return a.hookResource(w, h, shown), nil
}

func (a *Actor) deleteHook(ctx context.Context, r subjects.HookRequest) (subjects.Empty, error) {
	userID := actors.CallerFrom(ctx).UserID
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		h, err := findHook(ctx, tx, userID, r.IntegrationID, r.HookID)
		if err != nil {
			return err
		}
		return deleteHook(ctx, tx, h)
	})
	return subjects.Empty{}, err
}

// rotateHookSecret gives a hook its next secret; the last one verifies along for a while.
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
	version, last := h.Version, h.Secret
	if r.Secret == "" && w.Scheme.Secret.From == webhook.FromProvider {
		return none, subjects.InvalidField("secret", "is required: the provider makes it")
	}
	shown, err := a.nextSecret(w, &h, r.Secret)
	if err != nil {
		return none, err
	}
	if w.Scheme.Secret.From != webhook.FromHandshake {
		a.retire(&h, last)
	}
	if r.DropOld {
		h.OldSecret, h.OldUntil = nil, 0
		if w.Scheme.Secret.From == webhook.FromHandshake {
			h.Secret = nil
		}
	}
	h.Reveal, h.Version, h.UpdatedAt = 0, version+1, a.Now().UnixMicro()
	if err := a.saveHook(ctx, &h, version); err != nil {
		return none, err
	}
	return a.hookResource(w, h, shown), nil
}

// retire keeps the last secret alive beside the one that a hook has now.
func (a *Actor) retire(h *hookRow, last []byte) {
	if last != nil {
		h.OldSecret, h.OldUntil = last, a.Now().Add(a.config.Webhooks.OldSecret).UnixMicro()
	}
}

func (a *Actor) saveHook(ctx context.Context, h *hookRow, version int64) error {
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error { return replaceHook(ctx, tx, h, version) })
}
