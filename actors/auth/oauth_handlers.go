package auth

import (
	"cmp"
	"context"
	"errors"
	"regexp"

	"golang.org/x/oauth2"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) initiateOAuth(ctx context.Context, req subjects.InitiateOAuthRequest) (subjects.OAuthStart, error) {
	p, err := a.oauth.provider(req.Provider)
	if err != nil {
		return subjects.OAuthStart{}, err
	}
	return a.startOAuth(ctx, p, req.RedirectURI, req.CookieBinding, oauthState{})
}

// startOAuth makes a state and keeps what belongs to it. s says who links, if anybody does.
func (a *Actor) startOAuth(ctx context.Context, p *provider, redirect, cookie string, s oauthState) (subjects.OAuthStart, error) {
	none := subjects.OAuthStart{}
	var err error
	if s.RedirectURI, err = p.redirectURI(redirect); err != nil {
		return none, err
	}
	state, binding := oauthstate.NewSecret(), oauthstate.KeepBinding(cookie)
	s.Provider, s.Nonce, s.Verifier = p.id, oauthstate.NewSecret(), oauth2.GenerateVerifier()
	s.Binding, s.Replaces = oauthstate.HashBinding(binding), sessionOf(ctx)
	s.ExpiresAt = a.Now().UTC().Add(a.config.OAuth.StateTTL)
	address, err := p.authorizationURL(ctx, state, s)
	if err != nil {
		return none, err
	}
	if err := a.oauth.states.Put(ctx, state, s, a.config.OAuth.StateTTL); err != nil {
		return none, err
	}
	return subjects.OAuthStart{
		AuthorizationURL: address, State: state, Binding: binding, ExpiresIn: int(a.config.OAuth.StateTTL.Seconds()),
	}, nil
}

// completeOAuth signs in, or ends a linking, with what a provider sent the browser back with.
func (a *Actor) completeOAuth(ctx context.Context, req subjects.CompleteOAuthRequest) (subjects.Session, error) {
	p, err := a.oauth.provider(req.Provider)
	if err != nil {
		return subjects.Session{}, err
	}
	s, userID, err := a.comeBack(ctx, p, req)
	a.metrics.oauthLogin(p.id, s, err)
	if err != nil && subjects.CodeOf(err) != subjects.CodeInternal {
		failed := entry{action: auditOAuth, outcome: auditFailure, userID: userID, detail: map[string]string{
			"provider": p.id, "code": string(subjects.CodeOf(err)),
		}}
		noted := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return a.audit(ctx, tx, failed) })
		if noted != nil {
			return subjects.Session{}, noted
		}
	}
	return s, err
}

// comeBack also names the account that is concerned, as far as it is known when it fails.
func (a *Actor) comeBack(ctx context.Context, p *provider, req subjects.CompleteOAuthRequest) (subjects.Session, string, error) {
	none := subjects.Session{}
	state, err := a.takeState(ctx, p, req)
	if err != nil {
		return none, "", err
	}
	if req.Error != "" || req.Code == "" {
		return none, state.UserID, errAnswer(req.Error)
	}
	who, token, err := p.redeem(ctx, req.Code, state)
	if err != nil {
		return none, state.UserID, err
	}
	if state.links() {
		u, twoFactors, err := a.endLinking(ctx, p, state, who, token)
		if err != nil {
			return none, state.UserID, err
		}
		s, err := a.startSession(ctx, u, signIn{method: byOAuth, twoFactors: twoFactors, replaces: state.Replaces})
		return s, u.ID, err
	}
	u, err := a.accountOf(ctx, p, who, token)
	if err != nil {
		return none, u.ID, err
	}
	if a.mustVerify(u) {
		return none, u.ID, errUnverified()
	}
	factor, err := totpOf(ctx, a.DB.DB, u.ID)
	if err != nil {
		return none, u.ID, err
	}
	if factor != nil && factor.Confirmed {
		s, err := a.pendingSession(u, cmp.Or(state.Replaces, sessionOf(ctx)))
		return s, u.ID, err
	}
	s, err := a.startSession(ctx, u, signIn{method: byOAuth, replaces: state.Replaces})
	return s, u.ID, err
}

// byOAuth is the method of sessions that a provider's word opened.
const byOAuth = "oauth"

var errorWord = regexp.MustCompile(`^[a-z_]{1,64}$`)

// errAnswer is what a provider said instead of a code; only a word of the registry's form is repeated.
func errAnswer(word string) error {
	switch {
	case word == "":
		return subjects.InvalidField("code", "is missing")
	case errorWord.MatchString(word):
		return subjects.Errorf(subjects.CodeUnauthenticated, "the provider did not sign you in: %s", word)
	}
	return subjects.Errorf(subjects.CodeUnauthenticated, "the provider did not sign you in")
}

// takeState finds the state that somebody came back with, and uses it up: of any number who come at once with the same
// one, one gets it. It is not used up by who is not whom it was made for, nor by an answer of another issuer.
func (a *Actor) takeState(ctx context.Context, p *provider, req subjects.CompleteOAuthRequest) (oauthState, error) {
	s, err := a.oauth.states.Take(ctx, req.State, func(s oauthState) error {
		if !s.admits(p.id, cmp.Or(req.Binding, req.CookieBinding), a.Now()) {
			return errState()
		}
		e, err := p.vendor.endpoints(ctx)
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
