package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

// maxAccount bounds what is kept of a health probe's output, in bytes.
const maxAccount = 8 << 10

// connect keeps credentials that the provider's health probe has found good. The probe runs before any transaction.
func (a *Actor) connect(ctx context.Context, r subjects.ConnectIntegrationRequest) (subjects.Connection, error) {
	none := subjects.Connection{}
	provider, err := a.providerField(r.Provider)
	if err != nil {
		return none, err
	}
	userID := actors.CallerFrom(ctx).UserID
	if n, err := countConnections(ctx, a.DB.DB, userID); err != nil {
		return none, err
	} else if n >= int64(a.config.MaxConnections) {
		return none, subjects.Errorf(subjects.CodeConflict, "there are %d connections already, the most that are kept", n)
	}
	now := a.Now().UnixMicro()
	c := connectionRow{
		ID: a.NewID(), UserID: userID, Provider: provider.ID, Label: r.Label, Auth: r.Auth, Status: active, Version: 1,
		CreatedAt: now, UpdatedAt: now,
	}
	if c.Label == "" {
		c.Label = defaultLabel
	}
	if taken, err := connectionsTo(ctx, a.DB.DB, userID, c.Provider, c.Label); err != nil {
		return none, err
	} else if len(taken) > 0 {
		return none, labelConflict(&c)
	}
	if err := a.equip(ctx, provider, &c, r.Settings, r.Credentials); err != nil {
		return none, err
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		if err := insertConnection(ctx, tx, &c); err != nil {
			return err
		}
		return a.tell(ctx, tx, subjects.IntegrationConnected, c)
	})
	if err != nil {
		return none, err
	}
	return c.resource(), nil
}

// equip gives a connection settings and credentials that satisfy the provider's schemas and its health probe.
func (a *Actor) equip(
	ctx context.Context, provider *manifest.Provider, c *connectionRow, settings, credentials map[string]any,
) error {
	method, ok := provider.AuthMethod(c.Auth)
	if !ok {
		return subjects.InvalidField("auth", "is not a way to authenticate with %s", provider.ID)
	}
	c.Auth = method.ID
	link := manifest.Connection{
		Auth: c.Auth, Settings: settings, Credentials: credentials, BaseURL: a.config.Providers[provider.ID].BaseURL,
	}
	if err := provider.ValidateConnection(link); err != nil {
		return invalidFields("", err)
	}
	if err := a.probe(ctx, provider, c, link); err != nil {
		return err
	}
	if settings == nil {
		settings = map[string]any{}
	}
	encoded, err := json.Marshal(settings)
	if err != nil {
		return fmt.Errorf("encoding settings: %w", err)
	}
	c.Settings = string(encoded)
	return a.seal(c, credentials)
}

// probe asks the provider whether a connection works, and notes whose account it is.
func (a *Actor) probe(ctx context.Context, provider *manifest.Provider, c *connectionRow, link manifest.Connection) error {
	o := a.call(ctx, outgoing{provider: provider, action: provider.Health, link: link, owner: c.ID, door: openDoor})
	a.metrics.observe(provider.ID, provider.Health.ID, o.class(), 0)
	if o.refused != nil {
		return subjects.InvalidField("settings", "make no request: %s", detailOf(o.refused))
	}
	if o.failed != nil {
		return a.probeFailure(provider, c, o)
	}
	c.Host, c.ProbedAt, c.ProbeClass, c.Account = o.host, a.Now().UnixMicro(), "", ""
	if account, err := json.Marshal(o.output); err == nil && o.output != nil && len(account) <= maxAccount {
		c.Account = string(account)
	}
	return nil
}

// probeFailure is what a failed probe says of the request that asked for it.
func (a *Actor) probeFailure(provider *manifest.Provider, c *connectionRow, o *outcome) error {
	switch o.failed.Class {
	case manifest.ClassLimited, manifest.ClassUnavailable:
		return a.codedFailure(*c, o)
	case manifest.ClassAuth:
		return invalidBecause("credentials", "are refused", provider.ID, o)
	}
	switch egress.KindOf(o.err) {
	case egress.KindBlocked, egress.KindHost, egress.KindScheme, egress.KindInvalid:
		field := "settings"
		if properties, _ := provider.Settings["properties"].(map[string]any); properties["base_url"] != nil {
			field = "settings.base_url"
		}
		return invalidBecause(field, "may not be called", provider.ID, o)
	case "":
		return invalidBecause("credentials", "do not pass the health probe", provider.ID, o)
	}
	return a.codedFailure(*c, o)
}

func invalidBecause(field, what, provider string, o *outcome) error {
	e := subjects.InvalidField(field, "%s: %s", what, sayFailure(provider, o.failed))
	e.Cause = o.err
	return e
}

func detailOf(err error) string {
	var own *subjects.Error
	if errors.As(err, &own) {
		return own.Detail
	}
	return "an internal error"
}

// seal puts credentials into a connection, such that they open in that row of that user's alone.
func (a *Actor) seal(c *connectionRow, credentials map[string]any) error {
	if credentials == nil {
		credentials = map[string]any{}
	}
	plain, err := json.Marshal(credentials)
	if err != nil {
		return errors.New("encoding credentials failed") // the cause may quote them
	}
	c.Credentials, err = a.Sealer.Seal(plain, sealedFor(c))
	return err
}

func sealedFor(c *connectionRow) []byte {
	return []byte("integration|" + c.UserID + "|" + c.ID + "|credentials")
}

// link is a connection as manifests see it, with its credentials in clear.
func (a *Actor) link(c connectionRow) (manifest.Connection, error) {
	none := manifest.Connection{}
	plain, err := a.Sealer.Open(c.Credentials, sealedFor(&c))
	if err != nil {
		return none, fmt.Errorf("opening the credentials of connection %s: %w", c.ID, err)
	}
	credentials, err := decodeObject(plain)
	if err != nil {
		return none, fmt.Errorf("reading the credentials of connection %s failed", c.ID)
	}
	return manifest.Connection{
		Auth: c.Auth, Settings: c.settings(), Credentials: credentials, BaseURL: a.config.Providers[c.Provider].BaseURL,
	}, nil
}

func (a *Actor) listConnections(ctx context.Context, r subjects.ListIntegrationsRequest) (subjects.Page[subjects.Connection], error) {
	none := subjects.Page[subjects.Connection]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	rows, err := pageOfConnections(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, after[0])
	if err != nil {
		return none, err
	}
	items := make([]subjects.Connection, len(rows))
	for i, row := range rows {
		items[i] = row.resource()
	}
	return actors.PageOf(items, r.PageLimit(), func(c subjects.Connection) []string { return []string{c.ID} }), nil
}

func (a *Actor) getConnection(ctx context.Context, r subjects.IntegrationRequest) (subjects.Connection, error) {
	c, err := findConnection(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.IntegrationID)
	if err != nil {
		return subjects.Connection{}, err
	}
	return c.resource(), nil
}

// updateConnection changes what the request names. What a call is made of is probed before it is kept.
func (a *Actor) updateConnection(ctx context.Context, r subjects.UpdateIntegrationRequest) (subjects.Connection, error) {
	none := subjects.Connection{}
	c, err := findConnection(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.IntegrationID)
	if err != nil {
		return none, err
	}
	version := c.Version
	if r.Label != "" {
		c.Label = r.Label
	}
	if r.Auth != "" && r.Auth != c.Auth && r.Credentials == nil {
		return none, subjects.InvalidField("credentials", "must come with another way to authenticate")
	}
	anew := r.Credentials != nil || r.Settings != nil || r.Auth != ""
	if anew || r.Status == active && c.Status == needsReauth {
		if err := a.reequip(ctx, &c, r); err != nil {
			return none, err
		}
		if c.Status == needsReauth {
			c.Status, c.Reason = active, ""
		}
	}
	if r.Status != "" {
		c.Status, c.Reason = r.Status, ""
	}
	c.Version, c.UpdatedAt = version+1, a.Now().UnixMicro()
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error { return replaceConnection(ctx, tx, &c, version) })
	if err != nil {
		return none, err
	}
	return c.resource(), nil
}

// reequip gives a connection what a request changes of settings and credentials, and keeps the rest.
func (a *Actor) reequip(ctx context.Context, c *connectionRow, r subjects.UpdateIntegrationRequest) error {
	provider, err := a.provider(c.Provider)
	if err != nil {
		return err
	}
	old, err := a.link(*c)
	if err != nil {
		return err
	}
	settings, credentials := old.Settings, old.Credentials
	if r.Settings != nil {
		settings = r.Settings
	}
	if r.Credentials != nil {
		credentials = r.Credentials
	}
	if r.Auth != "" {
		c.Auth = r.Auth
	}
	return a.equip(ctx, provider, c, settings, credentials)
}

func (a *Actor) disconnect(ctx context.Context, r subjects.IntegrationRequest) (subjects.Empty, error) {
	userID := actors.CallerFrom(ctx).UserID
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		c, err := deleteConnection(ctx, tx, userID, r.IntegrationID)
		if err != nil {
			return err
		}
		c.Reason = ""
		return a.tell(ctx, tx, subjects.IntegrationDisconnected, c)
	})
	return subjects.Empty{}, err
}
