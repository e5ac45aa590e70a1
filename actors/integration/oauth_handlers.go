package integration

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// errand is a browser's way to a provider and back: who is to be connected, and how.
type errand struct {
	UserID    string `json:"user_id"`
	SessionID string `json:"session_id"`
	// Binding is the hash of what the browser keeps; weft's own page wants it.
	Binding []byte `json:"binding"`

	Provider    string         `json:"provider"`
	Auth        string         `json:"auth"`
	RedirectURI string         `json:"redirect_uri"`
	Verifier    string         `json:"verifier"`
	Label       string         `json:"label"`
	Settings    map[string]any `json:"settings"`
	ClientID    string         `json:"client_id,omitempty"`
	// IntegrationID is a connection that is signed in again; empty makes a new one.
	IntegrationID string    `json:"integration_id,omitempty"`
	ExpiresAt     time.Time `json:"expires_at"`
}

// openStates binds to the bucket of errands.
func openStates(d actors.Deps) (*oauthstate.Store[errand], error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return oauthstate.Open[errand](ctx, d, kv.IntegrationOAuthState)
}

func errState() error {
	return subjects.InvalidField("state", "is unknown, used, over, or not this user's, session's or provider's; begin again")
}

// authURL begins to connect an account at a provider.
func (a *Actor) authURL(ctx context.Context, r subjects.GetAuthURLRequest) (subjects.AuthURL, error) {
	none := subjects.AuthURL{}
	e, provider, method, err := a.errandOf(ctx, r)
	if err != nil {
		return none, err
	}
	client := a.clientOf(provider.ID, map[string]any{"client_id": e.ClientID})
	if client.ID == "" {
		return none, subjects.Errorf(subjects.CodeConflict,
			"there is no client at %s: the operator sets integration.providers.%s.client_id, or you give client_id", provider.ID, provider.ID)
	}
	if unknown := provider.UnknownScopes(r.Scopes); len(unknown) > 0 {
		return none, subjects.InvalidField("scopes", "%s is not a scope of %s", strings.Join(unknown, ", "), provider.ID)
	}
	state, binding := oauthstate.NewSecret(), oauthstate.KeepBinding(r.CookieBinding)
	e.Binding, e.Verifier, e.ExpiresAt = oauthstate.HashBinding(binding), oauth2.GenerateVerifier(), a.Now().Add(a.config.StateTTL)
	address, err := method.AuthorizeURL(manifest.Authorization{
		Client: client, RedirectURI: e.RedirectURI, State: state, Challenge: oauth2.S256ChallengeFromVerifier(e.Verifier),
		Scopes: r.Scopes, Settings: e.Settings,
	})
	if err != nil {
		return none, subjects.InvalidField("settings", "make no address to sign in at: %s", err.Error())
	}
	if err := a.states.Put(ctx, state, e, a.config.StateTTL); err != nil {
		return none, err
	}
	return subjects.AuthURL{
		AuthorizationURL: a.oauthAddress(provider.ID, address), State: state, RedirectURI: e.RedirectURI, Binding: binding,
		ExpiresIn: int(a.config.StateTTL.Seconds()),
	}, nil
}

// errandOf is what a request to begin asks for, as far as it can be checked before the browser goes.
func (a *Actor) errandOf(ctx context.Context, r subjects.GetAuthURLRequest) (errand, *manifest.Provider, *manifest.AuthMethod, error) {
	caller := actors.CallerFrom(ctx)
	e := errand{UserID: caller.UserID, SessionID: caller.SessionID, Provider: r.Provider, Label: r.Label, ClientID: r.ClientID, Auth: r.Auth}
	provider, err := a.provider(r.Provider)
	if err != nil {
		return e, nil, nil, err
	}
	if e.Settings, err = decodeObject([]byte(r.Settings)); err != nil {
		return e, nil, nil, subjects.InvalidField("settings", "must be a JSON object")
	}
	if r.IntegrationID != "" {
		c, err := findConnection(ctx, a.DB.DB, caller.UserID, r.IntegrationID)
		if err != nil {
			return e, nil, nil, err
		}
		if c.Provider != provider.ID {
			return e, nil, nil, subjects.InvalidField("integration_id", "is no connection to %s", provider.ID)
		}
		e.IntegrationID, e.Label = c.ID, c.Label
		if r.Settings == "" {
			e.Settings = c.settings()
		}
	}
	method := flowOf(provider, e.Auth)
	if method == nil {
		return e, nil, nil, subjects.InvalidField("auth", "%s has no such way to sign in with OAuth", provider.ID)
	}
	e.Auth = method.ID
	if err := provider.ValidateSettings(e.Settings, method.Captured()); err != nil {
		return e, nil, nil, invalidFields("", err)
	}
	e.RedirectURI, err = a.config.redirectURI(r.RedirectURI)
	return e, provider, method, err
}

// flowOf is a provider's way to authenticate with an authorization code; "" is the first.
func flowOf(p *manifest.Provider, auth string) *manifest.AuthMethod {
	i := slices.IndexFunc(p.Auth, func(m *manifest.AuthMethod) bool {
		return m.Kind == manifest.AuthOAuth2 && (auth == "" || m.ID == auth)
	})
	if i < 0 {
		return nil
	}
	return p.Auth[i]
}

// comeback is what a provider sent a browser back with.
type comeback struct{ state, code, issuer, clientSecret string }

// exchangeCode ends what authURL began, for the user and session that began it.
func (a *Actor) exchangeCode(ctx context.Context, r subjects.ExchangeCodeRequest) (subjects.Connection, error) {
	caller := actors.CallerFrom(ctx)
	return a.finish(ctx, comeback{r.State, r.Code, r.Issuer, string(r.ClientSecret)}, func(e errand) bool {
		return e.UserID == caller.UserID && e.SessionID == caller.SessionID && e.Provider == r.Provider
	})
}

// finish takes the state of whom mine accepts, and connects.
func (a *Actor) finish(ctx context.Context, back comeback, mine func(errand) bool) (subjects.Connection, error) {
	none := subjects.Connection{}
	e, err := a.states.Take(ctx, back.state, func(e errand) error {
		if !mine(e) || !a.Now().Before(e.ExpiresAt) {
			return errState()
		}
		return a.checkIssuer(e, back.issuer)
	})
	if errors.Is(err, oauthstate.ErrNoState) {
		return none, errState()
	}
	if err != nil {
		return none, err
	}
	provider, err := a.provider(e.Provider)
	if err != nil {
		return none, err
	}
	method := flowOf(provider, e.Auth)
	if method == nil {
		return none, subjects.Errorf(subjects.CodeConflict, "%s has no such way to sign in any more", provider.ID)
	}
	credentials := map[string]any{}
	if e.ClientID != "" {
		credentials["client_id"] = e.ClientID
		if back.clientSecret != "" {
			credentials["client_secret"] = back.clientSecret
		}
	}
	client := a.clientOf(provider.ID, credentials)
	request, err := method.CodeRequest(e.Settings, client, back.code, e.RedirectURI, e.Verifier)
	if err != nil {
		return none, tokenFailure(provider.ID, err)
	}
	got, err := a.askTokens(ctx, provider, method, request, client.Secret, back.code, e.Verifier)
	if err != nil {
		return none, codeFailure(provider.ID, err)
	}
	return a.settle(ctx, provider, e, credentials, got)
}

// settle keeps the tokens that an errand brought, in a new connection or in the one that was signed in again.
func (a *Actor) settle(
	ctx context.Context, provider *manifest.Provider, e errand, credentials map[string]any, got manifest.Tokens,
) (subjects.Connection, error) {
	kit := equipment{settings: e.Settings, credentials: credentials, tokens: &got}
	if e.IntegrationID == "" {
		return a.connectWith(ctx, provider, e.UserID, e.Label, e.Auth, kit)
	}
	c, err := findConnection(ctx, a.DB.DB, e.UserID, e.IntegrationID)
	if err != nil {
		return subjects.Connection{}, err
	}
	version := c.Version
	c.Auth = e.Auth
	if err := a.equip(ctx, provider, &c, kit); err != nil {
		return subjects.Connection{}, err
	}
	c.Status, c.Reason = active, ""
	return a.replace(ctx, c, version, true)
}

// codeFailure is a code that was not exchanged.
func codeFailure(provider string, err error) error {
	var refused *manifest.TokenError
	if errors.As(err, &refused) && refused.Final {
		e := subjects.InvalidField("code", "is refused by %s: %s", provider, refused.Error())
		e.Cause = err
		return e
	}
	return tokenFailure(provider, err)
}

// checkIssuer refuses an answer of another authorization server than the one that was asked (RFC 9207): the manifest's
// issuer where it names one, else whoever is at the origin where the browser was sent.
func (a *Actor) checkIssuer(e errand, issuer string) error {
	if issuer == "" {
		return nil
	}
	provider, err := a.provider(e.Provider)
	if err != nil {
		return err
	}
	method := flowOf(provider, e.Auth)
	if method == nil {
		return errState()
	}
	want := method.OAuth2.Issuer
	if want != "" && issuer == want {
		return nil
	}
	if want == "" {
		address, err := method.AuthorizeURL(manifest.Authorization{Settings: e.Settings})
		if err == nil && sameOrigin(issuer, a.oauthAddress(provider.ID, address)) {
			return nil
		}
	}
	return subjects.InvalidField("iss", "is not this provider's issuer")
}

func sameOrigin(a, b string) bool {
	left, err := url.Parse(a)
	if err != nil {
		return false
	}
	right, err := url.Parse(b)
	return err == nil && left.Scheme == right.Scheme && strings.EqualFold(left.Host, right.Host)
}
