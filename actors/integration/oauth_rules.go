package integration

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// authorizationFlow is the state of an OAuth authorization from get_auth_url to the callback. It is sealed in the bucket
// integration_oauth_state, and used once.
type authorizationFlow struct {
	UserID    string `json:"user_id"`
	SessionID string `json:"session_id"`
	// Binding is the hash of the browser's cookie, which the callback page requires.
	Binding []byte `json:"binding"`

	Provider    string `json:"provider"`
	Auth        string `json:"auth"`
	RedirectURI string `json:"redirect_uri"`
	// Verifier is the PKCE code verifier (RFC 7636).
	Verifier string         `json:"verifier"`
	Label    string         `json:"label"`
	Settings map[string]any `json:"settings"`
	ClientID string         `json:"client_id,omitempty"`
	// IntegrationID is the connection to authorize again; empty creates one.
	IntegrationID string `json:"integration_id,omitempty"`
	// Replaces are the settings of that connection when the flow started. If they have changed since, the flow's settings, for which
	// the tokens are issued, would undo the change.
	Replaces  string    `json:"replaces,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// callbackParams are the parameters of the provider's redirect (RFC 6749 section 4.1.2, RFC 9207 section 2), and the secret
// of a client that the user has registered.
type callbackParams struct{ state, code, issuer, clientSecret string }

// openFlows opens the bucket of authorization flows.
func openFlows(d actors.Deps) (*oauthstate.Store[authorizationFlow], error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return oauthstate.Open[authorizationFlow](ctx, d.Conn.JS, d.Sealer, kv.IntegrationOAuthState)
}

func errInvalidState() error {
	return subjects.InvalidField("state", "is unknown, used, expired, or of another user, session or provider; start again with get_auth_url")
}

// flowError is the coded error of a flow whose client or address cannot be had from its settings.
func flowError(err error) error {
	var foreign *foreignHostError
	if errors.As(err, &foreign) {
		return foreign.coded("client_id")
	}
	failed := subjects.InvalidField("settings", "no authorization URL can be built: %s", err.Error())
	failed.Cause = err
	return failed
}

// oauthMethod is a provider's authentication method with an authorization code; the first if auth is empty.
func oauthMethod(p *manifest.Provider, auth string) *manifest.AuthMethod {
	i := slices.IndexFunc(p.Auth, func(m *manifest.AuthMethod) bool {
		return m.Kind == manifest.AuthOAuth2 && (auth == "" || m.ID == auth)
	})
	if i < 0 {
		return nil
	}
	return p.Auth[i]
}

func sameOrigin(a, b string) bool {
	left, err := url.Parse(a)
	if err != nil {
		return false
	}
	right, err := url.Parse(b)
	return err == nil && left.Scheme == right.Scheme && strings.EqualFold(left.Host, right.Host)
}
