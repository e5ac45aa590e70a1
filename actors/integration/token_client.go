package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

const (
	revokeWithin = 5 * time.Second
	// maxTokenBody bounds the body of a token response, in bytes.
	maxTokenBody = 1 << 20
)

// tokenClient makes token requests: to the authorization servers of providers, or where a manifest says that tokens are
// computed locally.
type tokenClient struct {
	actors.Deps
	config   Config
	client   *egress.Client
	breakers *egress.Breakers
}

// refresh gets new tokens for a connection: with its refresh token, or with its credentials if tokens are fetched with
// those.
func (t *tokenClient) refresh(
	ctx context.Context, p *manifest.Provider, connection manifest.Connection, tokens tokenSet,
) (manifest.Tokens, error) {
	method, ok := p.AuthMethod(connection.Auth)
	if !ok {
		return manifest.Tokens{}, fmt.Errorf("%s has no authentication method %s any more", p.ID, connection.Auth)
	}
	if method.Fetches() {
		return t.fetch(ctx, p, method, connection)
	}
	client, err := t.clientOf(p, method, connection.Settings, connection.Credentials)
	if err != nil {
		return manifest.Tokens{}, err
	}
	r, err := method.RefreshRequest(connection.Settings, client, tokens.Refresh)
	if err != nil {
		return manifest.Tokens{}, err
	}
	return t.request(ctx, p, method, r)
}

// fetch gets an access token with a connection's credentials, by a grant such as client_credentials or jwt_bearer.
func (t *tokenClient) fetch(
	ctx context.Context, p *manifest.Provider, method *manifest.AuthMethod, connection manifest.Connection,
) (manifest.Tokens, error) {
	if method.SelfIssues() {
		return method.SelfIssued(connection, t.Now(), t.NewID())
	}
	r, err := method.GrantRequest(connection, t.Now(), t.NewID())
	if err != nil {
		return manifest.Tokens{}, err
	}
	return t.request(ctx, p, method, r)
}

// request makes a token request. The error is a *manifest.TokenError, which contains nothing of a response but a known error code.
func (t *tokenClient) request(
	ctx context.Context, p *manifest.Provider, method *manifest.AuthMethod, r *egress.Request,
) (manifest.Tokens, error) {
	t.redirect(p.ID, r)
	r.Timeout, r.MaxBody = t.config.Refresh.Timeout, maxTokenBody
	report, err := t.breakers.Allow(p.ID, r.Hosts[0])
	if err != nil {
		return manifest.Tokens{}, &manifest.TokenError{Reason: err.Error(), RetryAfter: t.config.Breaker.Open}
	}
	response, err := t.client.Do(ctx, *r)
	report(response, err)
	if err != nil {
		// The cause is left out: net/http quotes a response that is not HTTP.
		return manifest.Tokens{}, &manifest.TokenError{Reason: manifest.Unanswered(err).Message}
	}
	return method.Tokens(manifest.Answer{Status: response.Status, Header: response.Header, Body: response.Body, At: t.Now()})
}

// revoke revokes a connection's tokens at the provider (RFC 7009), if it supports that. Errors are only logged.
func (t *tokenClient) revoke(
	ctx context.Context, p *manifest.Provider, c connectionRow, connection manifest.Connection, tokens tokenSet,
) {
	method, ok := p.AuthMethod(c.Auth)
	if !ok || tokens.Access == "" {
		return
	}
	client, err := t.clientOf(p, method, connection.Settings, connection.Credentials)
	if err != nil {
		return
	}
	r, supported, err := method.RevokeRequest(connection.Settings, client, cmp.Or(tokens.Refresh, tokens.Access))
	if !supported || err != nil {
		return
	}
	t.redirect(p.ID, r)
	r.Timeout, r.MaxBody = revokeWithin, maxTokenBody
	if _, err := t.client.Do(ctx, *r); err != nil {
		t.Log.Warn("revoking tokens", zap.String("integration_id", c.ID), zap.String("provider", p.ID), zap.String("error", manifest.Unanswered(err).Message))
	}
}

// redirect sends a request to the operator's OAuthURL, if there is one.
func (t *tokenClient) redirect(provider string, r *egress.Request) {
	r.URL = t.endpoint(provider, r.URL)
	if u, err := url.Parse(r.URL); err == nil {
		r.Hosts = []string{u.Host}
	}
}

// endpoint is the URL of a provider's OAuth endpoint, with scheme and host of the operator's OAuthURL if there is one.
func (t *tokenClient) endpoint(provider, address string) string {
	override := t.config.Providers[provider].OAuthURL
	if override == "" {
		return address
	}
	base, err := url.Parse(override)
	if err != nil {
		return address
	}
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	u.Scheme, u.Host = base.Scheme, base.Host
	return u.String()
}

// tokenFailure is the coded error for a failed token request whose grant may still be valid.
func tokenFailure(provider string, err error) error {
	e := &subjects.Error{Code: subjects.CodeUnavailable, Detail: provider + " issues no access token right now", RetryAfter: 5 * time.Second, Cause: err}
	var refused *manifest.TokenError
	if errors.As(err, &refused) {
		e.Detail += ": " + refused.Error()
		e.RetryAfter = max(e.RetryAfter, refused.RetryAfter)
		return e
	}
	var foreign *foreignHostError
	if errors.As(err, &foreign) {
		return &subjects.Error{Code: subjects.CodeConflict, Detail: foreign.Error() + "; authorize with a client of your own", Cause: err}
	}
	var unbuilt *manifest.BuildError
	if errors.As(err, &unbuilt) {
		return &subjects.Error{
			Code: subjects.CodeConflict, Detail: "no token request can be built from the connection: " + unbuilt.Error(), Cause: err,
		}
	}
	return e
}

// credentialsFailure is the coded error for a token request with credentials that the user has just supplied.
func credentialsFailure(provider string, err error) error {
	var foreign *foreignHostError
	if errors.As(err, &foreign) {
		return foreign.coded("credentials.client_id")
	}
	var refused *manifest.TokenError
	if errors.As(err, &refused) && (refused.Final || refused.Status == http.StatusUnauthorized || refused.Status == http.StatusBadRequest && refused.Code != "") {
		e := subjects.InvalidField("credentials", "are refused: %s", refused.Error())
		e.Cause = err
		return e
	}
	return tokenFailure(provider, err)
}

// codeFailure is the coded error for an authorization code that could not be exchanged.
func codeFailure(provider string, err error) error {
	var refused *manifest.TokenError
	if errors.As(err, &refused) && refused.Final {
		e := subjects.InvalidField("code", "is refused by %s: %s", provider, refused.Error())
		e.Cause = err
		return e
	}
	return tokenFailure(provider, err)
}
