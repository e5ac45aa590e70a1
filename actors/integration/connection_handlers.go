package integration

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

// connect creates a connection, if the provider's health probe succeeds with it. The probe is made outside of any
// transaction.
func (a *Actor) connect(ctx context.Context, r subjects.ConnectIntegrationRequest) (subjects.Connection, error) {
	if r.Code != "" || r.State != "" {
		return a.connectByCode(ctx, r)
	}
	provider, err := a.providerParam(r.Provider)
	if err != nil {
		return subjects.Connection{}, err
	}
	return a.createConnection(ctx, provider, actors.CallerFrom(ctx).UserID, r.Label, r.Auth, connectionInput{settings: r.Settings, credentials: r.Credentials})
}

// connectByCode is exchange_code under another name. Label, auth and settings are those given to get_auth_url.
func (a *Actor) connectByCode(ctx context.Context, r subjects.ConnectIntegrationRequest) (subjects.Connection, error) {
	none := subjects.Connection{}
	switch {
	case r.Code == "":
		return none, subjects.InvalidField("code", "must be given together with state")
	case r.State == "":
		return none, subjects.InvalidField("state", "must be given together with code")
	case r.Label != "" || r.Auth != "" || r.Settings != nil:
		return none, subjects.InvalidField("state", "excludes label, auth and settings, which were given to get_auth_url")
	}
	secret, _ := r.Credentials["client_secret"].(string)
	return a.exchangeCode(ctx, subjects.ExchangeCodeRequest{
		Provider: r.Provider, Code: r.Code, State: r.State, Issuer: r.Issuer, ClientSecret: subjects.SecretText(secret),
	})
}

func (a *Actor) createConnection(
	ctx context.Context, provider *manifest.Provider, userID, label, auth string, in connectionInput,
) (subjects.Connection, error) {
	none := subjects.Connection{}
	// Nothing is sent to the provider for a connection that cannot be stored.
	if n, err := countConnections(ctx, a.DB.DB, userID); err != nil {
		return none, err
	} else if n >= a.bounds.connections.Limit {
		return none, a.bounds.Refuse(a.bounds.connections)
	}
	now := a.Now().UnixMicro()
	c := connectionRow{
		ID: a.NewID(), UserID: userID, Provider: provider.ID, Label: cmp.Or(label, defaultLabel), Auth: auth, Status: subjects.ConnectionActive, Version: 1,
		CreatedAt: now, UpdatedAt: now,
	}
	if taken, err := connectionsTo(ctx, a.DB.DB, userID, c.Provider, c.Label); err != nil {
		return none, err
	} else if len(taken) > 0 {
		return none, labelConflict(&c)
	}
	if err := a.configurer.configure(ctx, provider, &c, in); err != nil {
		return none, err
	}
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := a.bounds.Reserve(ctx, tx, a.bounds.connections, userID, 1); err != nil {
			return err
		}
		if err := insertConnection(ctx, tx, &c); err != nil {
			return err
		}
		return publishChange(ctx, a.Deps, tx, subjects.IntegrationConnected, c)
	})
	if err != nil {
		return none, err
	}
	return c.resource(), nil
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
	c, err := a.connections.get(ctx, actors.CallerFrom(ctx).UserID, r.IntegrationID)
	if err != nil {
		return subjects.Connection{}, err
	}
	return c.resource(), nil
}

// updateConnection changes the fields that the request sets. New settings or credentials are probed before they are stored.
func (a *Actor) updateConnection(ctx context.Context, r subjects.UpdateIntegrationRequest) (subjects.Connection, error) {
	none := subjects.Connection{}
	c, err := a.connections.get(ctx, actors.CallerFrom(ctx).UserID, r.IntegrationID)
	if err != nil {
		return none, err
	}
	version := c.Version
	if r.Label != "" {
		c.Label = r.Label
	}
	if r.Auth != "" && r.Auth != c.Auth && r.Credentials == nil {
		return none, subjects.InvalidField("credentials", "must be given with another authentication method")
	}
	reconfigured := r.Credentials != nil || r.Settings != nil || r.Auth != ""
	if reconfigured || r.Status == subjects.ConnectionActive && c.Status == subjects.ConnectionNeedsReauth {
		if err := a.reconfigure(ctx, &c, r); err != nil {
			return none, err
		}
		version = c.Version // a renewal that makes the connection active increases it
		if c.Status == subjects.ConnectionNeedsReauth {
			c.Status, c.Reason = subjects.ConnectionActive, ""
		}
	}
	if r.Status != "" {
		c.Status, c.Reason = r.Status, ""
	}
	return a.replaceConnection(ctx, c, version, reconfigured && (r.Credentials != nil || a.fetchesTokens(c)))
}

// reconfigure applies the request's settings and credentials to a connection and keeps what the request does not set.
func (a *Actor) reconfigure(ctx context.Context, c *connectionRow, r subjects.UpdateIntegrationRequest) error {
	provider, err := a.registry.find(c.Provider)
	if err != nil {
		return err
	}
	in := connectionInput{settings: r.Settings, credentials: r.Credentials, keepCredentials: r.Credentials == nil}
	if in.settings == nil {
		in.settings = c.settings()
	}
	if r.Auth != "" {
		c.Auth = r.Auth
	}
	if in.keepCredentials {
		if err := a.permitStoredCredentials(ctx, provider, *c, in.settings); err != nil {
			return err
		}
		if err := a.renewStored(ctx, provider, c); err != nil {
			return err
		}
	}
	return a.configurer.configure(ctx, provider, c, in)
}

// renewStored renews the access token of a connection that is to be tried with its stored credentials: if it has expired, and if the
// connection was given up, since a provider may refuse a refresh once and accept the next. An access token that is still valid is tried
// even if the renewal is refused.
func (a *Actor) renewStored(ctx context.Context, provider *manifest.Provider, c *connectionRow) error {
	if c.Status != subjects.ConnectionNeedsReauth {
		_, err := a.tokens.open(ctx, provider, c)
		return err
	}
	_, tokens, err := a.vault.open(*c)
	if err != nil {
		return err
	}
	method, ok := provider.AuthMethod(c.Auth)
	if !ok || method.Fetches() || tokens.Refresh == "" {
		return nil // configure fetches a new one, or there is nothing to renew with
	}
	renewed, err := a.tokens.renew(ctx, provider, *c)
	if err == nil {
		*c = renewed
		return nil
	}
	if subjects.CodeOf(err) == subjects.CodeNeedsReauth && !a.tokens.due(method, c, tokens) {
		return nil
	}
	return err
}

// permitStoredCredentials decides whether a connection's stored credentials may be tried with other settings. A caller that may
// change settings does not know the credentials, which are never returned, and must not be able to have them sent to another server: they
// must be given anew if their destination changes, and trying them is a call, which needs the scope and the consent of one.
func (a *Actor) permitStoredCredentials(ctx context.Context, provider *manifest.Provider, c connectionRow, settings map[string]any) error {
	if err := provider.ValidateSettings(settings, nil); err != nil {
		return invalidFields("", err)
	}
	connection, _, err := a.vault.open(c)
	if err != nil {
		return err
	}
	changed := connection
	changed.Settings = settings
	if provider.Destination(changed) != provider.Destination(connection) {
		return subjects.InvalidField("credentials", "must be given anew, because the settings change where or how they are sent")
	}
	caller := actors.CallerFrom(ctx)
	if caller.KeyID != "" && !slices.Contains(strings.Fields(caller.Claims.Scope), subjects.ScopeIntegrationsExecute) {
		return &subjects.Error{
			Code: subjects.CodeForbidden, Detail: "the API key lacks the scope to try the stored credentials", Scope: subjects.ScopeIntegrationsExecute,
		}
	}
	_, err = a.Guard.Check(ctx, c.UserID, subjects.ScopeIntegrationsExecute)
	return err
}

// fetchesTokens reports whether a connection's tokens are fetched with its credentials, which configuring it does anew.
func (a *Actor) fetchesTokens(c connectionRow) bool {
	p, err := a.registry.find(c.Provider)
	if err != nil {
		return false
	}
	method, ok := p.AuthMethod(c.Auth)
	return ok && method.Fetches()
}

// replaceConnection stores a connection that was read at version, and its tokens if they are new.
func (a *Actor) replaceConnection(ctx context.Context, c connectionRow, version int64, newTokens bool) (subjects.Connection, error) {
	c.Version, c.UpdatedAt = version+1, a.Now().UnixMicro()
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return replaceConnection(ctx, tx, &c, version, newTokens)
	})
	if err != nil {
		return subjects.Connection{}, err
	}
	return c.resource(), nil
}

// disconnect deletes a connection and then revokes its tokens at the provider, if the provider supports that. It succeeds
// even if the revocation fails.
func (a *Actor) disconnect(ctx context.Context, r subjects.IntegrationRequest) (subjects.Empty, error) {
	userID := actors.CallerFrom(ctx).UserID
	var deleted connectionRow
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		c, err := deleteConnection(ctx, tx, userID, r.IntegrationID)
		if err != nil {
			return err
		}
		c.Reason, deleted = "", c
		return publishChange(ctx, a.Deps, tx, subjects.IntegrationDisconnected, c)
	})
	if err == nil {
		a.DB.AfterCommit(ctx, func() { a.revokeTokens(context.WithoutCancel(ctx), deleted) })
	}
	return subjects.Empty{}, err
}

func (a *Actor) revokeTokens(ctx context.Context, c connectionRow) {
	p, err := a.registry.find(c.Provider)
	if err != nil {
		return
	}
	connection, tokens, err := a.vault.open(c)
	if err != nil {
		return
	}
	a.tokenClient.revoke(ctx, p, c, connection, tokens)
}

// refreshToken renews a connection's access token at the user's request, whether it has expired or not and whether renewals wait after
// failures. It makes a connection active that was given up.
func (a *Actor) refreshToken(ctx context.Context, r subjects.IntegrationRequest) (subjects.RefreshedToken, error) {
	none := subjects.RefreshedToken{}
	c, err := a.connections.get(ctx, actors.CallerFrom(ctx).UserID, r.IntegrationID)
	if err != nil {
		return none, err
	}
	if err := checkUsable(c); err != nil && c.Status != subjects.ConnectionNeedsReauth {
		return none, err
	}
	p, err := a.registry.find(c.Provider)
	if err != nil {
		return none, err
	}
	_, tokens, err := a.vault.open(c)
	if err != nil {
		return none, err
	}
	if method, ok := p.AuthMethod(c.Auth); !ok || !renewable(method, tokens) {
		return none, subjects.Errorf(subjects.CodeConflict, "the connection has no refresh token")
	}
	if c, err = a.tokens.renew(ctx, p, c); err != nil {
		return none, err
	}
	if c.ExpiresAt == 0 {
		return none, nil
	}
	at := time.UnixMicro(c.ExpiresAt).UTC()
	return subjects.RefreshedToken{ExpiresAt: &at}, nil
}
