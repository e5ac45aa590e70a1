package auth

import (
	"cmp"
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// oauth holds the configured providers and the pending authorization flows.
type oauth struct {
	providers map[string]*provider
	states    *oauthstate.Store[oauthState]
	ttl       time.Duration // lifetime of a flow
	now       func() time.Time
}

// openOAuth configures the providers and opens the bucket of states. It calls no provider.
func openOAuth(ctx context.Context, deps actors.Deps, config OAuthConfig) (*oauth, error) {
	o := &oauth{providers: map[string]*provider{}, ttl: config.StateTTL, now: deps.Now}
	client, err := egress.New(egress.Options{
		Allow: deps.EgressAllow, AllowHTTP: deps.EgressAllowHTTP, Timeout: callTimeout, MaxBody: 1 << 20,
	})
	if err != nil {
		return nil, err
	}
	for id, c := range config.Providers {
		p := &provider{OAuthProvider: c.withDefaults(id), id: id, client: client.HTTPClient(), now: deps.Now}
		if p.Kind == kindGitHub {
			p.protocol = newGitHub(p.OAuthProvider, p.client)
		} else {
			p.protocol = &openID{config: p.OAuthProvider, client: p.client, now: deps.Now}
		}
		o.providers[id] = p
	}
	o.states, err = oauthstate.Open[oauthState](ctx, deps.Conn.JS, deps.Sealer, kv.AuthOAuthState)
	return o, err
}

// provider returns a configured provider. The error is CodeNotFound if there is none with that ID.
func (o *oauth) provider(id string) (*provider, error) {
	if p, ok := o.providers[id]; ok {
		return p, nil
	}
	return nil, subjects.Errorf(subjects.CodeNotFound, "there is no such provider")
}

// begin starts an authorization flow: it stores s under a new state and returns the URL for the browser. s names the
// user and session if the flow links an identity; otherwise it is empty. cookie is the browser's binding from an earlier
// flow, or empty.
func (o *oauth) begin(ctx context.Context, p *provider, redirect, cookie string, s oauthState) (subjects.OAuthStart, error) {
	none := subjects.OAuthStart{}
	var err error
	if s.RedirectURI, err = p.redirectURI(redirect); err != nil {
		return none, err
	}
	state, binding := oauthstate.NewSecret(), oauthstate.KeepBinding(cookie)
	s.Provider, s.Nonce, s.Verifier = p.id, oauthstate.NewSecret(), oauth2.GenerateVerifier()
	s.Binding, s.Replaces = oauthstate.HashBinding(binding), callerSession(ctx)
	s.ExpiresAt = o.now().UTC().Add(o.ttl)
	address, err := p.authorizationURL(ctx, state, s)
	if err != nil {
		return none, err
	}
	if err := o.states.Put(ctx, state, s, o.ttl); err != nil {
		return none, err
	}
	return subjects.OAuthStart{
		AuthorizationURL: address, State: state, Binding: binding, ExpiresIn: int(o.ttl.Seconds()),
	}, nil
}

// takeState consumes the state of a callback and returns what begin stored under it; of concurrent callbacks with the
// same state, one succeeds. A callback from another browser, for another provider or from another issuer fails without
// consuming the state.
func (o *oauth) takeState(ctx context.Context, p *provider, req subjects.CompleteOAuthRequest) (oauthState, error) {
	s, err := o.states.Take(ctx, req.State, func(s oauthState) error {
		if !s.admits(p.id, cmp.Or(req.Binding, req.CookieBinding), o.now()) {
			return errState()
		}
		e, err := p.protocol.endpoints(ctx)
		if err != nil {
			return err
		}
		if e.issuerMismatch(req.Issuer) {
			return subjects.InvalidField("iss", "is not this provider's issuer")
		}
		return nil
	})
	if errors.Is(err, oauthstate.ErrNoState) {
		return oauthState{}, errState()
	}
	return s, err
}

// checkOtherCredential returns CodeConflict if the user could not sign in without the identity or passkey with the ID.
func (o *oauth) checkOtherCredential(ctx context.Context, db *database.DB, u user, removed string) error {
	all, err := userCredentials(ctx, db, u.ID)
	if err != nil {
		return err
	}
	return requireOtherCredential(u, all.count(o.providers, removed))
}
