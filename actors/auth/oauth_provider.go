package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// oauth is the part of the actor that talks to providers.
type oauth struct {
	providers map[string]*provider
	states    *oauthstate.Store[oauthState]
}

// provider is a configured provider.
type provider struct {
	OAuthProvider

	id     string
	client *http.Client
	vendor vendor
}

// endpoints are where a provider is reached, and who it says it is.
type endpoints struct {
	oauth2.Endpoint

	issuer string
	// sendsIssuer: its answers carry iss (RFC 9207 §3).
	sendsIssuer bool
}

// vendor is what differs from provider to provider.
type vendor interface {
	// endpoints finds out where the provider is reached.
	endpoints(ctx context.Context) (endpoints, error)
	// account finds out whose a token is. What does not verify is CodeUnauthenticated.
	account(ctx context.Context, token *oauth2.Token, nonce string) (account, error)
}

// callWithin bounds one call to a provider.
const callWithin = 8 * time.Second

// openOAuth makes the providers and binds to the bucket. No provider is called yet.
func openOAuth(ctx context.Context, deps actors.Deps, config OAuthConfig) (*oauth, error) {
	o := &oauth{providers: map[string]*provider{}}
	client, err := egress.New(egress.Options{
		Allow: deps.EgressAllow, AllowHTTP: deps.EgressAllowHTTP, Timeout: callWithin, MaxBody: 1 << 20,
	})
	if err != nil {
		return nil, err
	}
	for id, c := range config.Providers {
		p := &provider{OAuthProvider: c.named(id), id: id, client: client.HTTPClient()}
		if p.Kind == kindGitHub {
			p.vendor = newGitHub(p.OAuthProvider, p.client)
		} else {
			p.vendor = &openID{config: p.OAuthProvider, client: p.client, now: deps.Now}
		}
		o.providers[id] = p
	}
	o.states, err = oauthstate.Open[oauthState](ctx, deps, kv.AuthOAuthState)
	return o, err
}

// provider finds a configured provider; CodeNotFound where there is none.
func (o *oauth) provider(id string) (*provider, error) {
	if p, ok := o.providers[id]; ok {
		return p, nil
	}
	return nil, subjects.Errorf(subjects.CodeNotFound, "there is no such provider")
}

func (p *provider) oauth2(e endpoints, redirectURI string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret.Reveal(), Endpoint: e.Endpoint, RedirectURL: redirectURI, Scopes: p.Scopes,
	}
}

// authorizationURL is where to send a browser with a state.
func (p *provider) authorizationURL(ctx context.Context, state string, s oauthState) (string, error) {
	e, err := p.vendor.endpoints(ctx)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(s.Verifier), oauth2.SetAuthURLParam("nonce", s.Nonce)}
	if p.Kind == kindGoogle {
		options = append(options, oauth2.AccessTypeOffline)
	}
	return p.oauth2(e, s.RedirectURI).AuthCodeURL(state, options...), nil
}

// redeem exchanges a code and finds out who stands behind it.
func (p *provider) redeem(ctx context.Context, code string, s oauthState) (account, *oauth2.Token, error) {
	e, err := p.vendor.endpoints(ctx)
	if err != nil {
		return account{}, nil, err
	}
	token, err := p.oauth2(e, s.RedirectURI).Exchange(p.with(ctx), code, oauth2.VerifierOption(s.Verifier))
	if err != nil {
		if refusedGrant(err) {
			return account{}, nil, subjects.InvalidField("code", "is not good, or not any more; begin again")
		}
		return account{}, nil, providerFault("exchanging a code", err)
	}
	who, err := p.vendor.account(ctx, token, s.Nonce)
	if err == nil && !who.sane() {
		err = errUntrusted(errors.New("the provider names nobody"))
	}
	return who, token, err
}

// refresh exchanges a refresh token. An answer without a new one leaves the old one in force.
func (p *provider) refresh(ctx context.Context, refreshToken string) (*oauth2.Token, error) {
	e, err := p.vendor.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	return p.oauth2(e, "").TokenSource(p.with(ctx), &oauth2.Token{RefreshToken: refreshToken}).Token()
}

func (p *provider) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, p.client)
}

// refusedGrant tells that a provider does not take a code or refresh token. GitHub has words of its own.
func refusedGrant(err error) bool {
	var refused *oauth2.RetrieveError
	words := []string{"invalid_grant", "bad_verification_code", "bad_refresh_token"}
	return errors.As(err, &refused) && slices.Contains(words, refused.ErrorCode)
}

// providerFault says what went wrong with a provider. Of its answer it keeps the status and the code: a body may hold
// a token.
func providerFault(doing string, err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		cause := fmt.Errorf("%s: status %d, %.64q", doing, refused.Response.StatusCode, refused.ErrorCode)
		return &subjects.Error{Code: subjects.CodeProvider, Detail: "the provider does not do what weft asks", Cause: cause}
	}
	var call *url.Error
	if errors.As(err, &call) {
		return &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the provider cannot be reached", RetryAfter: 10 * time.Second,
			Cause: fmt.Errorf("%s: %w", doing, call.Err),
		}
	}
	return &subjects.Error{Code: subjects.CodeProvider, Detail: "the provider's answer is not understood", Cause: fmt.Errorf("%s: %w", doing, err)}
}
