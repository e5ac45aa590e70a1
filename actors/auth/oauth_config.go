package auth

import (
	"cmp"
	"regexp"
	"slices"
	"time"

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
	// Kind is google, github, microsoft, apple or oidc. The default is the provider's ID if that is a kind, otherwise oidc.
	Kind string `koanf:"kind"`
	// Issuer is the OpenID issuer. The kinds google, apple and microsoft have defaults (microsoft: all tenants). For github it
	// is the URL of a GitHub Enterprise Server.
	Issuer       string      `koanf:"issuer"`
	ClientID     string      `koanf:"client_id"`
	ClientSecret mesh.Secret `koanf:"client_secret"`
	// TeamID, KeyID and PrivateKey (PEM) replace ClientSecret for the kind apple, whose secret is a token signed with that key.
	TeamID     string      `koanf:"team_id"`
	KeyID      string      `koanf:"key_id"`
	PrivateKey mesh.Secret `koanf:"private_key"`
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
	kindApple     = "apple"
)

var kindIssuers = map[string]string{
	kindGoogle:    "https://accounts.google.com",
	kindGitHub:    "https://github.com",
	kindMicrosoft: "https://login.microsoftonline.com/common/v2.0",
	kindApple:     "https://appleid.apple.com",
}

// maxOAuthState is the maximum of StateTTL: the browser's cookie lives no longer (subjects.InitiateOAuth).
const maxOAuthState = time.Hour

func defaultOAuthConfig() OAuthConfig {
	return OAuthConfig{
		StateTTL: 10 * time.Minute, FreshFor: 5 * time.Minute, RefreshEvery: time.Minute, RefreshBefore: 5 * time.Minute,
	}
}

var providerID = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

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
		if p.Kind == kindApple {
			p.Scopes = []string{"openid", "email", "name"}
		}
	}
	if p.Kind != kindGitHub && !slices.Contains(p.Scopes, "openid") {
		p.Scopes = append([]string{"openid"}, p.Scopes...)
	}
	return p
}
