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

	"github.com/weftmesh/weft/subjects"
)

// provider is a configured provider.
type provider struct {
	OAuthProvider

	id       string
	client   *http.Client
	protocol providerProtocol
	now      func() time.Time
}

// endpoints are a provider's URLs and issuer.
type endpoints struct {
	oauth2.Endpoint

	issuer string
	// issuerInResponse reports whether authorization responses contain iss (RFC 9207 §3).
	issuerInResponse bool
}

// providerProtocol is implemented by the kinds of providers.
type providerProtocol interface {
	// endpoints returns the provider's endpoints.
	endpoints(ctx context.Context) (endpoints, error)
	// identify returns the account that a token belongs to. The error is CodeUnauthenticated if verification fails.
	identify(ctx context.Context, token *oauth2.Token, nonce string) (providerAccount, error)
}

// callTimeout bounds one call to a provider.
const callTimeout = 8 * time.Second

// oauth2 returns the client's configuration for authorization requests.
func (p *provider) oauth2(e endpoints, redirectURI string) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, Endpoint: e.Endpoint, RedirectURL: redirectURI, Scopes: p.Scopes}
}

// authenticated returns the client's configuration for token requests.
func (p *provider) authenticated(e endpoints, redirectURI string) (*oauth2.Config, error) {
	config := p.oauth2(e, redirectURI)
	config.ClientSecret = p.ClientSecret.Reveal()
	if p.Kind == kindApple {
		var err error
		if config.ClientSecret, err = p.appleSecret(p.now()); err != nil {
			return nil, err
		}
	}
	return config, nil
}

// authorizationURL returns the URL to which the browser is sent with a state.
func (p *provider) authorizationURL(ctx context.Context, state string, s oauthState) (string, error) {
	e, err := p.protocol.endpoints(ctx)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(s.Verifier), oauth2.SetAuthURLParam("nonce", s.Nonce)}
	switch p.Kind {
	case kindGoogle:
		options = append(options, oauth2.AccessTypeOffline)
	case kindApple: // required for its scopes; PostOAuth receives the form
		options = append(options, oauth2.SetAuthURLParam("response_mode", "form_post"))
	}
	return p.oauth2(e, s.RedirectURI).AuthCodeURL(state, options...), nil
}

// redeem exchanges a code and returns the account that it belongs to.
func (p *provider) redeem(ctx context.Context, code string, s oauthState) (providerAccount, *oauth2.Token, error) {
	e, err := p.protocol.endpoints(ctx)
	if err != nil {
		return providerAccount{}, nil, err
	}
	config, err := p.authenticated(e, s.RedirectURI)
	if err != nil {
		return providerAccount{}, nil, err
	}
	token, err := config.Exchange(p.withClient(ctx), code, oauth2.VerifierOption(s.Verifier))
	if err != nil {
		if isGrantRefused(err) {
			return providerAccount{}, nil, subjects.InvalidField("code", "invalid or expired code; begin again")
		}
		return providerAccount{}, nil, providerError("exchanging a code", err)
	}
	who, err := p.protocol.identify(ctx, token, s.Nonce)
	if err == nil && !who.valid() {
		err = errUntrusted(errors.New("the provider returned no valid subject"))
	}
	return who, token, err
}

// refresh exchanges a refresh token. If the response has no new refresh token, the old one stays valid.
func (p *provider) refresh(ctx context.Context, refreshToken string) (*oauth2.Token, error) {
	e, err := p.protocol.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	config, err := p.authenticated(e, "")
	if err != nil {
		return nil, err
	}
	return config.TokenSource(p.withClient(ctx), &oauth2.Token{RefreshToken: refreshToken}).Token()
}

func (p *provider) withClient(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, p.client)
}

// isGrantRefused reports whether a provider refused a code or refresh token. GitHub has error codes of its own.
func isGrantRefused(err error) bool {
	var refused *oauth2.RetrieveError
	words := []string{"invalid_grant", "bad_verification_code", "bad_refresh_token"}
	return errors.As(err, &refused) && slices.Contains(words, refused.ErrorCode)
}

// providerError converts an error of a call to a provider. Of the response it keeps only the status and the error code,
// because a body may contain a token.
func providerError(doing string, err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		cause := fmt.Errorf("%s: status %d, %.64q", doing, refused.Response.StatusCode, refused.ErrorCode)
		return &subjects.Error{Code: subjects.CodeProvider, Detail: "the provider refused the request", Cause: cause}
	}
	var call *url.Error
	if errors.As(err, &call) {
		return &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the provider cannot be reached", RetryAfter: 10 * time.Second,
			Cause: fmt.Errorf("%s: %w", doing, call.Err),
		}
	}
	return &subjects.Error{Code: subjects.CodeProvider, Detail: "the provider's response is invalid", Cause: fmt.Errorf("%s: %w", doing, err)}
}
