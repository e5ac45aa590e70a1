package auth

import (
	"cmp"
	"context"
	"net/url"
	"regexp"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) initiateOAuth(ctx context.Context, req subjects.InitiateOAuthRequest) (subjects.OAuthStart, error) {
	p, err := a.oauth.provider(req.Provider)
	if err != nil {
		return subjects.OAuthStart{}, err
	}
	return a.oauth.begin(ctx, p, req.RedirectURI, req.CookieBinding, oauthState{})
}

// completeOAuth handles a provider's callback: it signs in, or links an identity.
func (a *Actor) completeOAuth(ctx context.Context, req subjects.CompleteOAuthRequest) (subjects.Session, error) {
	p, err := a.oauth.provider(req.Provider)
	if err != nil {
		return subjects.Session{}, err
	}
	s, userID, err := a.finishOAuth(ctx, p, req)
	a.metrics.oauthLogin(p.id, s, err)
	if err != nil && subjects.CodeOf(err) != subjects.CodeInternal {
		failed := auditEntry{action: auditOAuth, outcome: auditFailure, userID: userID, detail: map[string]string{
			"provider": p.id, "code": string(subjects.CodeOf(err)),
		}}
		noted := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return a.recorder.audit(ctx, tx, failed) })
		if noted != nil {
			return subjects.Session{}, noted
		}
	}
	return s, err
}

// postOAuth redirects the browser from a provider's form to the callback.
func (a *Actor) postOAuth(_ context.Context, req subjects.CompleteOAuthRequest) (subjects.Document, error) {
	if _, err := a.oauth.provider(req.Provider); err != nil {
		return subjects.Document{}, err
	}
	query := url.Values{}
	for name, value := range map[string]string{
		"state": req.State, "code": req.Code, "iss": req.Issuer, "error": req.Error, "user": req.User,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	// Relative to the path of the request, which a proxy may have changed.
	return subjects.Document{Headers: map[string]string{"Location": "callback?" + query.Encode()}}, nil
}

// finishOAuth also returns the ID of the account concerned, if it is known when the callback fails.
func (a *Actor) finishOAuth(ctx context.Context, p *provider, req subjects.CompleteOAuthRequest) (subjects.Session, string, error) {
	none := subjects.Session{}
	state, err := a.oauth.takeState(ctx, p, req)
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
	if p.Kind == kindApple {
		who = who.withPostedName(req.User)
	}
	if state.links() {
		u, twoFactors, err := a.identities.finishLink(ctx, p, state, who, token)
		if err != nil {
			return none, state.UserID, err
		}
		s, err := a.sessions.start(ctx, u, signIn{method: byOAuth, twoFactors: twoFactors, replaces: state.Replaces})
		return s, u.ID, err
	}
	u, err := a.identities.resolve(ctx, p, who, token)
	if err != nil {
		return none, u.ID, err
	}
	if a.config.requiresVerification(u) {
		return none, u.ID, errUnverified()
	}
	due, err := hasTOTP(ctx, a.DB.DB, u.ID)
	if err != nil {
		return none, u.ID, err
	}
	if due {
		s, err := a.credentials.pendingSession(u, cmp.Or(state.Replaces, callerSession(ctx)))
		return s, u.ID, err
	}
	s, err := a.sessions.start(ctx, u, signIn{method: byOAuth, replaces: state.Replaces})
	return s, u.ID, err
}

// byOAuth is the method of sign-ins at a provider.
const byOAuth = "oauth"

var errorWord = regexp.MustCompile(`^[a-z_]{1,64}$`)

// errAnswer returns the error for a provider's error response. It repeats the provider's error code only if the code is
// well-formed (RFC 6749 §4.1.2.1).
func errAnswer(word string) error {
	switch {
	case word == "":
		return subjects.InvalidField("code", "is missing")
	case errorWord.MatchString(word):
		return subjects.Errorf(subjects.CodeUnauthenticated, "the provider refused the sign-in: %s", word)
	}
	return subjects.Errorf(subjects.CodeUnauthenticated, "the provider refused the sign-in")
}
