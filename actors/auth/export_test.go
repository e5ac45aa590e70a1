package auth

import (
	"context"

	"github.com/weftmesh/weft/mesh"
)

// RotateKeys rotates the signing keys at once.
func (a *Actor) RotateKeys(ctx context.Context) error { return a.keys.rotate(ctx) }

// SignWithCurrentKey signs claims that the actor would not issue.
func (a *Actor) SignWithCurrentKey(claims mesh.Claims) (string, error) { return a.keys.sign(claims) }

// CheckOAuth checks settings of providers.
func CheckOAuth(providers map[string]OAuthProvider) error {
	c := defaultOAuthConfig()
	c.Providers = providers
	return c.check()
}
