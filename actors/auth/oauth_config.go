package auth

import (
	"cmp"
	"regexp"
	"slices"
	"time"

	"github.com/weftmesh/weft/mesh"
)

// OAuthConfig says with whom users can sign in.
type OAuthConfig struct {
	// Providers are by id, which is part of the routes: google, github, microsoft, or a name of one's own for any
	// OpenID issuer.
	Providers map[string]OAuthProvider `koanf:"providers"`
	// StateTTL is how long a sign-in at a provider may take, an hour at the most.
	StateTTL time.Duration `koanf:"state_ttl"`
	// FreshFor is how long ago the sign-in of who links or unlinks may be.
	FreshFor time.Duration `koanf:"fresh_for"`
	// RefreshEvery is how often providers' tokens are looked through, RefreshBefore how long before its end one is
	// refreshed. Those of who has not signed in with the provider for a session's life are left to end.
	RefreshEvery  time.Duration `koanf:"refresh_every"`
	RefreshBefore time.Duration `koanf:"refresh_before"`
}

// OAuthProvider is one provider.
type OAuthProvider struct {
	// Kind is google, github, microsoft or oidc. Empty: what the id says, else oidc.
	Kind string `koanf:"kind"`
	// Issuer is the OpenID issuer; the kinds google and microsoft know theirs (microsoft: any tenant's). For github it is
	// the address of a GitHub Enterprise Server.
	Issuer       string      `koanf:"issuer"`
	ClientID     string      `koanf:"client_id"`
	ClientSecret mesh.Secret `koanf:"client_secret"`
	// Scopes are asked for instead of the kind's own; openid is always among those of an OpenID issuer.
	Scopes []string `koanf:"scopes"`
	// RedirectURIs is the exact list of where the provider may send the browser back to, as registered there.
	RedirectURIs []string `koanf:"redirect_uris"`
}

// The kinds of providers.
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

// maxOAuthState is the longest StateTTL: the browser's cookie lives no longer (subjects.InitiateOAuth).
const maxOAuthState = time.Hour

func defaultOAuthConfig() OAuthConfig {
	return OAuthConfig{
		StateTTL: 10 * time.Minute, FreshFor: 5 * time.Minute, RefreshEvery: time.Minute, RefreshBefore: 5 * time.Minute,
	}
}

var providerID = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// named fills in what the provider's id says.
func (p OAuthProvider) named(id string) OAuthProvider {
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
