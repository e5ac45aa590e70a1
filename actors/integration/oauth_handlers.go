package integration

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/oauth2"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/subjects"
)

// authURL starts an authorization flow at a provider.
func (a *Actor) authURL(ctx context.Context, r subjects.GetAuthURLRequest) (subjects.AuthURL, error) {
	none := subjects.AuthURL{}
	flow, provider, method, err := a.newFlow(ctx, r)
	if err != nil {
		return none, err
	}
	client, err := a.tokenClient.clientOf(provider, method, flow.Settings, map[string]any{"client_id": flow.ClientID})
	if err != nil {
		return none, flowError(err)
	}
	if client.ID == "" {
		return none, subjects.Errorf(subjects.CodeConflict,
			"there is no OAuth client for %s: the operator must set integration.providers.%s.client_id, or the request client_id", provider.ID, provider.ID)
	}
	if unknown := provider.UnknownScopes(r.Scopes); len(unknown) > 0 {
		return none, subjects.InvalidField("scopes", "%s is not a scope of %s", strings.Join(unknown, ", "), provider.ID)
	}
	state, binding := oauthstate.NewSecret(), oauthstate.KeepBinding(r.CookieBinding)
	flow.Binding, flow.Verifier, flow.ExpiresAt = oauthstate.HashBinding(binding), oauth2.GenerateVerifier(), a.Now().Add(a.config.StateTTL)
	address, err := method.AuthorizeURL(manifest.Authorization{
		Client: client, RedirectURI: flow.RedirectURI, State: state, Challenge: oauth2.S256ChallengeFromVerifier(flow.Verifier),
		Scopes: r.Scopes, Settings: flow.Settings,
	})
	if err != nil {
		return none, flowError(err)
	}
	if err := a.flows.Put(ctx, state, flow, a.config.StateTTL); err != nil {
		return none, err
	}
	return subjects.AuthURL{
		AuthorizationURL: a.tokenClient.endpoint(provider.ID, address), State: state, RedirectURI: flow.RedirectURI, Binding: binding,
		ExpiresIn: int(a.config.StateTTL.Seconds()),
	}, nil
}

// newFlow makes an authorization flow from a request, and validates what can be validated before the user authorizes.
func (a *Actor) newFlow(ctx context.Context, r subjects.GetAuthURLRequest) (authorizationFlow, *manifest.Provider, *manifest.AuthMethod, error) {
	caller := actors.CallerFrom(ctx)
	flow := authorizationFlow{
		UserID: caller.UserID, SessionID: caller.SessionID, Provider: r.Provider, Label: r.Label, ClientID: r.ClientID, Auth: r.Auth,
	}
	provider, err := a.registry.find(r.Provider)
	if err != nil {
		return flow, nil, nil, err
	}
	if flow.Settings, err = decodeObject([]byte(r.Settings)); err != nil {
		return flow, nil, nil, subjects.InvalidField("settings", "must be a JSON object")
	}
	if r.IntegrationID != "" {
		c, err := a.connections.get(ctx, caller.UserID, r.IntegrationID)
		if err != nil {
			return flow, nil, nil, err
		}
		if c.Provider != provider.ID {
			return flow, nil, nil, subjects.InvalidField("integration_id", "is not a connection to %s", provider.ID)
		}
		flow.IntegrationID, flow.Label, flow.Replaces = c.ID, c.Label, c.Settings
		if r.Settings == "" {
			flow.Settings = c.settings()
		}
	}
	method := oauthMethod(provider, flow.Auth)
	if method == nil {
		return flow, nil, nil, subjects.InvalidField("auth", "%s has no such OAuth method", provider.ID)
	}
	flow.Auth = method.ID
	if err := provider.ValidateSettings(flow.Settings, method.Captured()); err != nil {
		return flow, nil, nil, invalidFields("", err)
	}
	flow.RedirectURI, err = a.config.redirectURI(r.RedirectURI)
	return flow, provider, method, err
}

// exchangeCode completes an authorization flow, for the user and session that started it.
func (a *Actor) exchangeCode(ctx context.Context, r subjects.ExchangeCodeRequest) (subjects.Connection, error) {
	caller := actors.CallerFrom(ctx)
	return a.completeFlow(ctx, callbackParams{r.State, r.Code, r.Issuer, string(r.ClientSecret)}, func(flow authorizationFlow) bool {
		return flow.UserID == caller.UserID && flow.SessionID == caller.SessionID && flow.Provider == r.Provider
	})
}

// completeFlow takes the flow of a state, if permitted returns true for it, exchanges the code, and stores the connection.
func (a *Actor) completeFlow(ctx context.Context, params callbackParams, permitted func(authorizationFlow) bool) (subjects.Connection, error) {
	none := subjects.Connection{}
	flow, err := a.flows.Take(ctx, params.state, func(flow authorizationFlow) error {
		if !permitted(flow) || !a.Now().Before(flow.ExpiresAt) || a.Guard.Blocked(flow.UserID) {
			return errInvalidState()
		}
		return a.checkIssuer(flow, params.issuer)
	})
	if errors.Is(err, oauthstate.ErrNoState) {
		return none, errInvalidState()
	}
	if err != nil {
		return none, err
	}
	provider, err := a.registry.find(flow.Provider)
	if err != nil {
		return none, err
	}
	method := oauthMethod(provider, flow.Auth)
	if method == nil {
		return none, subjects.Errorf(subjects.CodeConflict, "%s does not have this OAuth method any more", provider.ID)
	}
	credentials := map[string]any{}
	if flow.ClientID != "" {
		credentials["client_id"] = flow.ClientID
		if params.clientSecret != "" {
			credentials["client_secret"] = params.clientSecret
		}
	}
	client, err := a.tokenClient.clientOf(provider, method, flow.Settings, credentials)
	if err != nil {
		return none, flowError(err)
	}
	request, err := method.CodeRequest(flow.Settings, client, params.code, flow.RedirectURI, flow.Verifier)
	if err != nil {
		return none, tokenFailure(provider.ID, err)
	}
	got, err := a.tokenClient.request(ctx, provider, method, request)
	if err != nil {
		return none, codeFailure(provider.ID, err)
	}
	return a.storeFlow(ctx, provider, flow, credentials, got)
}

// storeFlow stores the tokens of a flow, in a new connection or in the one that was authorized again.
func (a *Actor) storeFlow(
	ctx context.Context, provider *manifest.Provider, flow authorizationFlow, credentials map[string]any, got manifest.Tokens,
) (subjects.Connection, error) {
	in := connectionInput{settings: flow.Settings, credentials: credentials, tokens: &got}
	if flow.IntegrationID == "" {
		return a.createConnection(ctx, provider, flow.UserID, flow.Label, flow.Auth, in)
	}
	c, err := a.connections.get(ctx, flow.UserID, flow.IntegrationID)
	if err != nil {
		return subjects.Connection{}, err
	}
	if c.Settings != flow.Replaces {
		return subjects.Connection{}, subjects.Errorf(subjects.CodeConflict,
			"the connection's settings were changed after the authorization was started; start again with get_auth_url")
	}
	version := c.Version
	c.Auth = flow.Auth
	if err := a.configurer.configure(ctx, provider, &c, in); err != nil {
		return subjects.Connection{}, err
	}
	c.Status, c.Reason = subjects.ConnectionActive, ""
	return a.replaceConnection(ctx, c, version, true)
}

// checkIssuer refuses a callback from another authorization server than the flow's (RFC 9207): one with another issuer
// than the manifest's or, if that names none, another origin than the authorization endpoint's.
func (a *Actor) checkIssuer(flow authorizationFlow, issuer string) error {
	if issuer == "" {
		return nil
	}
	provider, err := a.registry.find(flow.Provider)
	if err != nil {
		return err
	}
	method := oauthMethod(provider, flow.Auth)
	if method == nil {
		return errInvalidState()
	}
	want := method.OAuth2.Issuer
	if want != "" && issuer == want {
		return nil
	}
	if want == "" {
		address, err := method.AuthorizeURL(manifest.Authorization{Settings: flow.Settings})
		if err == nil && sameOrigin(issuer, a.tokenClient.endpoint(provider.ID, address)) {
			return nil
		}
	}
	return subjects.InvalidField("iss", "is not this provider's issuer")
}
