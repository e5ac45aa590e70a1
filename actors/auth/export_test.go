package auth

import (
	"context"

	"github.com/weftmesh/weft/mesh"
)

// RotateKeys lets a test rotate the signing keys at a moment of its choice.
func (a *Actor) RotateKeys(ctx context.Context) error { return a.keys.rotate(ctx) }

// SignWithCurrentKey lets a test have a token that its actor would not make.
func (a *Actor) SignWithCurrentKey(claims mesh.Claims) (string, error) { return a.keys.sign(claims) }

// CheckOAuth lets a test try settings of providers.
func CheckOAuth(providers map[string]OAuthProvider) error {
	c := defaultOAuthConfig()
	c.Providers = providers
	return c.check()
}
