package auth

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/mesh"
)

// OAuthConfig configures the providers with which users can sign in.
type OAuthConfig struct {
	// Providers maps IDs to providers. The ID is part of the routes: google, github, microsoft, or any name for an
	// OpenID issuer.
	Providers map[string]OAuthProvider `koanf:"providers"`
	// StateTTL is how long a sign-in at a provider may take, at most an hour.
	StateTTL time.Duration `koanf:"state_ttl"`
	// FreshFor is the maximum age of a sign-in for changes that require a recent one, such as linking an identity.
	FreshFor time.Duration `koanf:"fresh_for"`
	// RefreshEvery is the interval at which due tokens are looked up. RefreshBefore is how long before its expiry a
	// token is refreshed. Tokens of users who have not signed in with the provider for SessionTTL are left to expire.
	RefreshEvery  time.Duration `koanf:"refresh_every"`
	RefreshBefore time.Duration `koanf:"refresh_before"`
}

// OAuthProvider configures one provider.
type OAuthProvider struct {
	// Kind is google, github, microsoft or oidc. The default is the provider's ID if that is a kind, otherwise oidc.
	Kind string `koanf:"kind"`
	// Issuer is the OpenID issuer. The kinds google and microsoft have defaults (microsoft: all tenants). For github it
	// is the URL of a GitHub Enterprise Server.
	Issuer       string      `koanf:"issuer"`
	ClientID     string      `koanf:"client_id"`
	ClientSecret mesh.Secret `koanf:"client_secret"`
	// Scopes replaces the default scopes of the kind. openid is always requested from an OpenID issuer.
	Scopes []string `koanf:"scopes"`
	// RedirectURIs lists exactly the redirect URIs that are registered at the provider. The first is the default.
	RedirectURIs []string `koanf:"redirect_uris"`
}

// Kinds of providers.
const (
	kindOpenID    = "oidc"
	kindGoogle    = "google"
	kindGitHub    = "github"
	kindMicrosoft = "microsoft"
)

var kindIssuers = map[string]string{
	kindGoogle:    "https://accounts.google.com",
	kindGitHub:    "https://github.com",
	kindMicrosoft: "https://login.microsoftonline.com/common/v2.0",
}

// maxOAuthState is the maximum of StateTTL: the browser's cookie lives no longer (subjects.InitiateOAuth).
const maxOAuthState = time.Hour

func defaultOAuthConfig() OAuthConfig {
	return OAuthConfig{
		StateTTL: 10 * time.Minute, FreshFor: 5 * time.Minute, RefreshEvery: time.Minute, RefreshBefore: 5 * time.Minute,
	}
}

var providerID = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

func (c OAuthConfig) check() error {
	for key, d := range map[string]time.Duration{
		"state_ttl": c.StateTTL, "fresh_for": c.FreshFor, "refresh_every": c.RefreshEvery, "refresh_before": c.RefreshBefore,
	} {
		if d < time.Second {
			return fmt.Errorf("auth.oauth.%s is %s, it must be at least a second", key, d)
		}
	}
	if c.StateTTL > maxOAuthState {
		return fmt.Errorf("auth.oauth.state_ttl is %s, it must be at most %s", c.StateTTL, maxOAuthState)
	}
	for id, p := range c.Providers {
		if !providerID.MatchString(id) {
			return fmt.Errorf("auth.oauth.providers: %q must consist of lower-case letters, digits, - and _, and start with a letter", id)
		}
		if err := p.withDefaults(id).check(); err != nil {
			return fmt.Errorf("auth.oauth.providers.%s.%w", id, err)
		}
	}
	return nil
}

// withDefaults returns the configuration with the defaults of the ID and the kind.
func (p OAuthProvider) withDefaults(id string) OAuthProvider {
	if p.Kind == "" {
		p.Kind = kindOpenID
		if _, known := kindIssuers[id]; known {
			p.Kind = id
		}
	}
	p.Issuer = cmp.Or(p.Issuer, kindIssuers[p.Kind])
	if len(p.Scopes) == 0 {
		p.Scopes = []string{"openid", "email", "profile"}
		if p.Kind == kindGitHub {
			p.Scopes = []string{"read:user", "user:email"}
		}
	}
	if p.Kind != kindGitHub && !slices.Contains(p.Scopes, "openid") {
		p.Scopes = append([]string{"openid"}, p.Scopes...)
	}
	return p
}

func (p OAuthProvider) check() error {
	if !slices.Contains([]string{kindOpenID, kindGoogle, kindGitHub, kindMicrosoft}, p.Kind) {
		return fmt.Errorf("kind is %q, it must be google, github, microsoft or oidc", p.Kind)
	}
	if u, err := url.Parse(p.Issuer); err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("issuer is %q, it must be a URL without credentials, query and fragment", p.Issuer)
	}
	if p.ClientID == "" {
		return fmt.Errorf("client_id is missing")
	}
	if len(p.RedirectURIs) == 0 {
		return fmt.Errorf("redirect_uris is missing")
	}
	for _, uri := range p.RedirectURIs {
		if !oauthstate.GoodRedirect(uri) {
			return fmt.Errorf("redirect_uris has %q, it must be https, http on localhost, or a private-use scheme with a dot, without fragment", uri)
		}
	}
	return nil
}
