package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

// maxAccount bounds the output of a health probe that is kept with the connection, in bytes.
const maxAccount = 8 << 10

// configurer sets up connections: it validates what a user supplies, gets tokens with it, and probes the provider. It
// writes nothing to the database.
type configurer struct {
	actors.Deps
	calls  *callExecutor
	vault  vault
	client *tokenClient
	tokens *tokenRefresher
}

// connectionInput is what a connection is configured with: the user's settings and credentials, or tokens from an
// authorization flow.
type connectionInput struct {
	settings, credentials map[string]any
	tokens                *manifest.Tokens
	// keepCredentials keeps the credentials that the connection has. The probe then needs the user's consent, as a call does.
	keepCredentials bool
}

// configure sets a connection's settings, credentials and tokens, if they satisfy the provider's schemas and its health
// probe succeeds with them.
func (f *configurer) configure(ctx context.Context, provider *manifest.Provider, c *connectionRow, in connectionInput) error {
	method, ok := provider.AuthMethod(c.Auth)
	if !ok {
		return subjects.InvalidField("auth", "is not an authentication method of %s", provider.ID)
	}
	c.Auth = method.ID
	if err := validateInput(provider, method, in); err != nil {
		return err
	}
	if in.settings == nil {
		in.settings = map[string]any{}
	}
	encoded, err := json.Marshal(in.settings)
	if err != nil {
		return fmt.Errorf("encoding settings: %w", err)
	}
	c.Settings = string(encoded)
	if in.credentials != nil || c.Credentials == nil {
		if err := f.vault.sealCredentials(c, withoutTokens(method, in.credentials)); err != nil {
			return err
		}
	}
	if err := f.obtainTokens(ctx, provider, method, c, in); err != nil {
		return err
	}
	connection, _, err := f.vault.open(*c)
	if err != nil {
		return err
	}
	guard := startGuard(unguarded)
	if in.keepCredentials {
		guard = f.calls.guarded(grantOf(ctx))
	}
	return f.probe(ctx, provider, c, connection, guard)
}

// validateInput validates what the user has supplied against the provider's schemas.
func validateInput(provider *manifest.Provider, method *manifest.AuthMethod, in connectionInput) error {
	if in.tokens != nil || in.keepCredentials {
		if err := provider.ValidateSettings(in.settings, nil); err != nil {
			return invalidFields("", err)
		}
		return nil
	}
	connection := manifest.Connection{Auth: method.ID, Settings: in.settings, Credentials: in.credentials}
	if err := provider.ValidateConnection(connection); err != nil {
		return invalidFields("", err)
	}
	return nil
}

// obtainTokens sets a connection's tokens: those of an authorization flow, new ones if the method fetches them with
// credentials, or those that the user imports.
func (f *configurer) obtainTokens(
	ctx context.Context, provider *manifest.Provider, method *manifest.AuthMethod, c *connectionRow, in connectionInput,
) error {
	tokens := in.tokens
	switch {
	case tokens != nil:
	case method.Fetches():
		connection, _, err := f.vault.open(*c)
		if err != nil {
			return err
		}
		got, err := f.client.fetch(ctx, provider, method, connection)
		if err != nil {
			return credentialsFailure(provider.ID, err)
		}
		tokens = &got
	case method.Kind == manifest.AuthOAuth2 && in.credentials != nil:
		got, err := f.importTokens(ctx, provider, c, in)
		if err != nil {
			return err
		}
		tokens = &got
	default:
		if in.credentials != nil {
			c.Tokens, c.ExpiresAt, c.RefreshAt = nil, 0, 0 // those of another method
		}
		return nil
	}
	return f.tokens.setTokens(c, *tokens)
}

// importTokens returns tokens that the user got elsewhere. An expired access token is renewed first, if there is a refresh
// token.
func (f *configurer) importTokens(
	ctx context.Context, provider *manifest.Provider, c *connectionRow, in connectionInput,
) (manifest.Tokens, error) {
	text := func(name string) string { s, _ := in.credentials[name].(string); return s }
	given := manifest.Tokens{Access: text("access_token"), Refresh: text("refresh_token"), Scope: text("scope")}
	if at := text("expires_at"); at != "" {
		expiry, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return given, subjects.InvalidField("credentials.expires_at", "must be an RFC 3339 time")
		}
		given.ExpiresAt = expiry
	}
	valid := given.Access != "" && (given.ExpiresAt.IsZero() || f.Now().Add(expiryMargin).Before(given.ExpiresAt))
	if valid || given.Refresh == "" {
		return given, nil
	}
	connection, _, err := f.vault.open(*c)
	if err != nil {
		return given, err
	}
	got, err := f.client.refresh(ctx, provider, connection, tokenSet{Refresh: given.Refresh})
	if err != nil {
		return given, credentialsFailure(provider.ID, err)
	}
	got.Refresh, got.Scope = cmp.Or(got.Refresh, given.Refresh), cmp.Or(got.Scope, given.Scope)
	return got, nil
}

// tokenFields are the credentials that are stored as tokens, because a renewal changes them.
var tokenFields = []string{"access_token", "refresh_token", "token_type", "scope", "expires_at"}

// withoutTokens returns the credentials without tokenFields.
func withoutTokens(method *manifest.AuthMethod, credentials map[string]any) map[string]any {
	if method.Kind != manifest.AuthOAuth2 {
		return credentials
	}
	kept := maps.Clone(credentials)
	maps.DeleteFunc(kept, func(name string, _ any) bool { return slices.Contains(tokenFields, name) })
	return kept
}

// probe makes the provider's health probe with a connection, and sets the connection's host and account from it.
func (f *configurer) probe(ctx context.Context, provider *manifest.Provider, c *connectionRow, connection manifest.Connection, guard startGuard) error {
	o := f.calls.call(ctx, callSpec{
		provider: provider, action: provider.Health, connection: connection, connectionID: c.ID, guard: guard,
	})
	f.calls.metrics.observe(provider.ID, provider.Health.ID, o.class(), 0)
	if code := subjects.CodeOf(o.refused); o.refused != nil && code != subjects.CodeConflict && code != subjects.CodeInvalid {
		return o.refused // by the guard or a limit
	}
	if o.refused != nil {
		return subjects.InvalidField("settings", "no request can be built: %s", errorDetail(o.refused))
	}
	if o.failed != nil {
		return probeFailure(provider, o, f.calls.config.Breaker.Open)
	}
	c.Host, c.ProbedAt, c.ProbeClass, c.Account = o.host, f.Now().UnixMicro(), "", ""
	if account, err := json.Marshal(o.output); err == nil && o.output != nil && len(account) <= maxAccount {
		c.Account = string(account)
	}
	return nil
}

// probeFailure converts a failed probe to a coded error, which names the field that is to blame if there is one.
func probeFailure(provider *manifest.Provider, o *outcome, breakerOpen time.Duration) error {
	invalid := func(field, what string) error {
		e := subjects.InvalidField(field, "%s: %s", what, describeFailure(provider.ID, o.failed))
		e.Cause = o.err
		return e
	}
	switch o.failed.Class {
	case manifest.ClassLimited, manifest.ClassUnavailable:
		return codedFailure(provider.ID, o, breakerOpen)
	case manifest.ClassAuth:
		return invalid("credentials", "are refused")
	}
	switch egress.KindOf(o.err) {
	case egress.KindBlocked, egress.KindHost, egress.KindScheme, egress.KindInvalid:
		field := "settings"
		if properties, _ := provider.Settings["properties"].(map[string]any); properties["base_url"] != nil {
			field = "settings.base_url"
		}
		return invalid(field, "may not be called")
	case "":
		return invalid("credentials", "do not pass the health probe")
	}
	return codedFailure(provider.ID, o, breakerOpen)
}
