package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

// maxAccount bounds what is kept of a health probe's output, in bytes.
const maxAccount = 8 << 10

// connect keeps credentials that the provider's health probe has found good. The probe runs before any transaction.
func (a *Actor) connect(ctx context.Context, r subjects.ConnectIntegrationRequest) (subjects.Connection, error) {
	if r.Code != "" || r.State != "" {
		return a.connectByCode(ctx, r)
	}
	provider, err := a.providerField(r.Provider)
	if err != nil {
		return subjects.Connection{}, err
	}
	return a.connectWith(ctx, provider, actors.CallerFrom(ctx).UserID, r.Label, r.Auth, equipment{settings: r.Settings, credentials: r.Credentials})
}

// connectByCode is exchange_code by another name: what else there is to say was said to get_auth_url.
func (a *Actor) connectByCode(ctx context.Context, r subjects.ConnectIntegrationRequest) (subjects.Connection, error) {
	none := subjects.Connection{}
	switch {
	case r.Code == "":
		return none, subjects.InvalidField("code", "must come with state")
	case r.State == "":
		return none, subjects.InvalidField("state", "must come with code")
	case r.Label != "" || r.Auth != "" || r.Settings != nil:
		return none, subjects.InvalidField("state", "says label, auth and settings already: they were given to get_auth_url")
	}
	secret, _ := r.Credentials["client_secret"].(string)
	return a.exchangeCode(ctx, subjects.ExchangeCodeRequest{
		Provider: r.Provider, Code: r.Code, State: r.State, Issuer: r.Issuer, ClientSecret: subjects.SecretText(secret),
	})
}

// equipment is what a connection works with: settings and credentials of the user's, or tokens that a provider gave.
type equipment struct {
	settings, credentials map[string]any
	tokens                *manifest.Tokens
	// kept says that the connection keeps the credentials that it has.
	kept bool
}

// connectWith makes a connection of a user's.
func (a *Actor) connectWith(
	ctx context.Context, provider *manifest.Provider, userID, label, auth string, kit equipment,
) (subjects.Connection, error) {
	none := subjects.Connection{}
	if n, err := countConnections(ctx, a.DB.DB, userID); err != nil {
		return none, err
	} else if n >= int64(a.config.MaxConnections) {
		return none, subjects.Errorf(subjects.CodeConflict, "there are %d connections already, the most that are kept", n)
	}
	now := a.Now().UnixMicro()
	c := connectionRow{
		ID: a.NewID(), UserID: userID, Provider: provider.ID, Label: cmp.Or(label, defaultLabel), Auth: auth, Status: active, Version: 1,
		CreatedAt: now, UpdatedAt: now,
	}
	if taken, err := connectionsTo(ctx, a.DB.DB, userID, c.Provider, c.Label); err != nil {
		return none, err
	} else if len(taken) > 0 {
		return none, labelConflict(&c)
	}
	if err := a.equip(ctx, provider, &c, kit); err != nil {
		return none, err
	}
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
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

// equip gives a connection settings, credentials and tokens that satisfy the provider's schemas and its health probe.
func (a *Actor) equip(ctx context.Context, provider *manifest.Provider, c *connectionRow, kit equipment) error {
	method, ok := provider.AuthMethod(c.Auth)
	if !ok {
		return subjects.InvalidField("auth", "is not a way to authenticate with %s", provider.ID)
	}
	c.Auth = method.ID
	if err := a.checkKit(provider, method, kit); err != nil {
		return err
	}
	if kit.settings == nil {
		kit.settings = map[string]any{}
	}
	encoded, err := json.Marshal(kit.settings)
	if err != nil {
		return fmt.Errorf("encoding settings: %w", err)
	}
	c.Settings = string(encoded)
	if kit.credentials != nil || c.Credentials == nil {
		if err := a.seal(c, withoutTokens(method, kit.credentials)); err != nil {
			return err
		}
	}
	if err := a.obtain(ctx, provider, method, c, kit); err != nil {
		return err
	}
	link, _, err := a.open(*c)
	if err != nil {
		return err
	}
	return a.probe(ctx, provider, c, link)
}

// checkKit holds what a user gave against the provider's schemas.
func (a *Actor) checkKit(provider *manifest.Provider, method *manifest.AuthMethod, kit equipment) error {
	if kit.tokens != nil || kit.kept {
		if err := provider.ValidateSettings(kit.settings, nil); err != nil {
			return invalidFields("", err)
		}
		return nil
	}
	link := manifest.Connection{Auth: method.ID, Settings: kit.settings, Credentials: kit.credentials}
	if err := provider.ValidateConnection(link); err != nil {
		return invalidFields("", err)
	}
	return nil
}

// obtain sees to a connection's tokens: those that an errand brought, those that the user imports, or new ones for who
// has credentials to fetch them with.
func (a *Actor) obtain(ctx context.Context, provider *manifest.Provider, method *manifest.AuthMethod, c *connectionRow, kit equipment) error {
	tokens := kit.tokens
	switch {
	case tokens != nil:
	case method.Fetches():
		link, _, err := a.open(*c)
		if err != nil {
			return err
		}
		got, err := a.fetchTokens(ctx, provider, method, link)
		if err != nil {
			return credentialsFailure(provider.ID, err)
		}
		tokens = &got
	case method.Kind == manifest.AuthOAuth2 && kit.credentials != nil:
		got, err := a.imported(ctx, provider, c, kit)
		if err != nil {
			return err
		}
		tokens = &got
	default:
		return nil
	}
	return a.holdTokens(c, *tokens)
}

// imported are tokens that the user got elsewhere, renewed first where they have ended.
func (a *Actor) imported(
	ctx context.Context, provider *manifest.Provider, c *connectionRow, kit equipment,
) (manifest.Tokens, error) {
	text := func(name string) string { s, _ := kit.credentials[name].(string); return s }
	had := manifest.Tokens{Access: text("access_token"), Refresh: text("refresh_token"), Scope: text("scope")}
	if at := text("expires_at"); at != "" {
		end, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return had, subjects.InvalidField("credentials.expires_at", "must be a time as of RFC 3339")
		}
		had.ExpiresAt = end
	}
	good := had.Access != "" && (had.ExpiresAt.IsZero() || a.Now().Add(endsSoon).Before(had.ExpiresAt))
	if good || had.Refresh == "" {
		return had, nil
	}
	link, _, err := a.open(*c)
	if err != nil {
		return had, err
	}
	got, err := a.askAgain(ctx, provider, link, tokenSet{Refresh: had.Refresh})
	if err != nil {
		return had, credentialsFailure(provider.ID, err)
	}
	got.Refresh, got.Scope = cmp.Or(got.Refresh, had.Refresh), cmp.Or(got.Scope, had.Scope)
	return got, nil
}

// tokenFields are the credentials that are kept as tokens, since a provider changes them.
var tokenFields = []string{"access_token", "refresh_token", "token_type", "scope", "expires_at"}

// withoutTokens are the credentials that stay as the user gave them.
func withoutTokens(method *manifest.AuthMethod, credentials map[string]any) map[string]any {
	if method.Kind != manifest.AuthOAuth2 {
		return credentials
	}
	kept := maps.Clone(credentials)
	maps.DeleteFunc(kept, func(name string, _ any) bool { return slices.Contains(tokenFields, name) })
	return kept
}

// credentialsFailure is a token request that failed because of what the user has just given, or in spite of it.
func credentialsFailure(provider string, err error) error {
	var refused *manifest.TokenError
	if errors.As(err, &refused) && (refused.Final || refused.Status == http.StatusUnauthorized || refused.Status == http.StatusBadRequest) {
		e := subjects.InvalidField("credentials", "are refused: %s", refused.Error())
		e.Cause = err
		return e
	}
	return tokenFailure(provider, err)
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
	c.Credentials, err = a.Sealer.Seal(plain, sealedFor(c, "credentials"))
	return err
}

// sealedFor binds what is sealed to its user, its connection and its column.
func sealedFor(c *connectionRow, field string) []byte {
	return []byte("integration|" + c.UserID + "|" + c.ID + "|" + field)
}

// open is a connection as manifests see it, with its credentials and its access token in clear, and all its tokens.
func (a *Actor) open(c connectionRow) (manifest.Connection, tokenSet, error) {
	var set tokenSet
	plain, err := a.Sealer.Open(c.Credentials, sealedFor(&c, "credentials"))
	if err != nil {
		return manifest.Connection{}, set, fmt.Errorf("opening the credentials of connection %s: %w", c.ID, err)
	}
	credentials, err := decodeObject(plain)
	if err != nil {
		return manifest.Connection{}, set, fmt.Errorf("reading the credentials of connection %s failed", c.ID)
	}
	if len(c.Tokens) > 0 {
		if plain, err = a.Sealer.Open(c.Tokens, sealedFor(&c, "tokens")); err != nil {
			return manifest.Connection{}, set, fmt.Errorf("opening the tokens of connection %s: %w", c.ID, err)
		}
		if err := json.Unmarshal(plain, &set); err != nil {
			return manifest.Connection{}, set, fmt.Errorf("reading the tokens of connection %s failed", c.ID)
		}
		credentials["access_token"] = set.Access
		if set.Refresh != "" {
			credentials["refresh_token"] = set.Refresh
		}
	}
	return manifest.Connection{
		Auth: c.Auth, Settings: c.settings(), Credentials: credentials, BaseURL: a.config.Providers[c.Provider].BaseURL,
	}, set, nil
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
	return a.replace(ctx, c, version, anew && (r.Credentials != nil || a.fetches(c)))
}

// replace writes a connection that has been changed since version, and its tokens where they are new.
func (a *Actor) replace(ctx context.Context, c connectionRow, version int64, newTokens bool) (subjects.Connection, error) {
	c.Version, c.UpdatedAt = version+1, a.Now().UnixMicro()
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return replaceConnection(ctx, tx, &c, version, newTokens)
	})
	if err != nil {
		return subjects.Connection{}, err
	}
	return c.resource(), nil
}

// reequip gives a connection what a request changes of settings and credentials, and keeps the rest.
func (a *Actor) reequip(ctx context.Context, c *connectionRow, r subjects.UpdateIntegrationRequest) error {
	provider, err := a.provider(c.Provider)
	if err != nil {
		return err
	}
	kit := equipment{settings: r.Settings, credentials: r.Credentials, kept: r.Credentials == nil}
	if kit.settings == nil {
		kit.settings = c.settings()
	}
	if r.Auth != "" {
		c.Auth = r.Auth
	}
	if kit.kept && c.Status == active {
		if _, err := a.ready(ctx, provider, c); err != nil {
			return err
		}
	}
	return a.equip(ctx, provider, c, kit)
}

// fetches reports whether a connection's tokens are got with its credentials, and so anew whenever it is equipped.
func (a *Actor) fetches(c connectionRow) bool {
	p, err := a.provider(c.Provider)
	if err != nil {
		return false
	}
	method, ok := p.AuthMethod(c.Auth)
	return ok && method.Fetches()
}

// disconnect forgets a connection, and then takes its tokens back at the provider, where that can be done: nothing of the
// user's hangs on that.
func (a *Actor) disconnect(ctx context.Context, r subjects.IntegrationRequest) (subjects.Empty, error) {
	userID := actors.CallerFrom(ctx).UserID
	var gone connectionRow
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		c, err := deleteConnection(ctx, tx, userID, r.IntegrationID)
		if err != nil {
			return err
		}
		c.Reason, gone = "", c
		return a.tell(ctx, tx, subjects.IntegrationDisconnected, c)
	})
	if err == nil {
		a.DB.AfterCommit(ctx, func() { a.revokeTokens(context.WithoutCancel(ctx), gone) })
	}
	return subjects.Empty{}, err
}
