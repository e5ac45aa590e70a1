package auth

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) listIdentities(ctx context.Context, req subjects.ListIdentitiesRequest) (subjects.Page[subjects.Identity], error) {
	page := subjects.Page[subjects.Identity]{Items: []subjects.Identity{}}
	list, err := userIdentities(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, req.Cursor, req.PageLimit()+1)
	if err != nil {
		return page, err
	}
	if len(list) > req.PageLimit() {
		list = list[:req.PageLimit()]
		page.NextCursor = list[len(list)-1].Provider
	}
	for _, i := range list {
		page.Items = append(page.Items, i.shown())
	}
	return page, nil
}

// linkIdentity begins a linking. An account whose address is not verified gets none: who verifies it later would have
// a stranger's way in beside their own.
func (a *Actor) linkIdentity(ctx context.Context, req subjects.LinkIdentityRequest) (subjects.OAuthStart, error) {
	caller := actors.CallerFrom(ctx)
	p, err := a.oauth.provider(req.Provider)
	if err != nil {
		return subjects.OAuthStart{}, err
	}
	if err := a.callerFresh(caller); err != nil {
		return subjects.OAuthStart{}, err
	}
	u, err := userByID(ctx, a.DB.DB, caller.UserID)
	if err != nil {
		return subjects.OAuthStart{}, err
	}
	if !u.EmailVerified {
		return subjects.OAuthStart{}, errUnverified()
	}
	_, err = userIdentity(ctx, a.DB.DB, u.ID, p.id)
	if err == nil {
		err = errLinked()
	}
	if subjects.CodeOf(err) != subjects.CodeNotFound {
		return subjects.OAuthStart{}, err
	}
	return a.startOAuth(ctx, p, req.RedirectURI, req.CookieBinding, oauthState{UserID: u.ID, SessionID: caller.SessionID})
}

func (a *Actor) callerFresh(caller actors.Caller) error {
	return fresh(time.Unix(caller.Claims.AuthTime, 0), a.Now(), a.config.OAuth.FreshFor)
}

// endLinking adds a provider's account to the one that began the linking, if the session that began it still lives; it
// tells whether that had been opened with two factors.
func (a *Actor) endLinking(ctx context.Context, p *provider, s oauthState, who account, token *oauth2.Token) (u user, twoFactors bool, err error) {
	found, err := a.sessions.Get(ctx, sessionKey(s.UserID, s.SessionID))
	if errors.Is(err, kv.ErrNotFound) {
		return user{}, false, errState()
	}
	if err != nil {
		return user{}, false, err
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		var err error
		if u, err = lockUser(ctx, tx, s.UserID); err != nil {
			return err
		}
		switch {
		case found.Value.Epoch < u.Epoch || !a.Now().Before(found.Value.ends()):
			return errState()
		case u.Disabled:
			return errShut()
		case !u.EmailVerified:
			return errUnverified()
		}
		return a.link(ctx, tx, p, u, who, token)
	})
	return u, found.Value.TwoFactors, err
}

func (a *Actor) link(ctx context.Context, tx database.Tx, p *provider, u user, who account, token *oauth2.Token) error {
	err := a.attach(ctx, tx, p, u, who, token)
	if errors.Is(err, errRaced) {
		return errLinked()
	}
	if err != nil {
		return err
	}
	if err := a.notify(ctx, tx, u, linkedText(p.id)); err != nil {
		return err
	}
	if err := a.auditIdentity(ctx, tx, auditLink, u.ID, p.id); err != nil {
		return err
	}
	return tell(ctx, a, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: []string{"identities"}})
}

// unlinkIdentity removes an identity. Every other session of the account ends: one may be of whoever had the identity.
func (a *Actor) unlinkIdentity(ctx context.Context, req subjects.UnlinkIdentityRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	if err := a.callerFresh(caller); err != nil {
		return subjects.Empty{}, err
	}
	u, err := userByID(ctx, a.DB.DB, caller.UserID)
	if err != nil {
		return subjects.Empty{}, err
	}
	i, err := userIdentity(ctx, a.DB.DB, u.ID, req.Provider)
	if err != nil {
		return subjects.Empty{}, err
	}
	// Asked before anybody is signed out, and again where it counts.
	all, err := userWaysIn(ctx, a.DB.DB, u.ID)
	if err == nil {
		err = a.keepsWayIn(u, i, all)
	}
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.replaceSessions(ctx, u, caller.SessionID, endIdentity, func(ctx context.Context, tx database.Tx, u user) error {
		all, err := userWaysIn(ctx, tx, u.ID)
		if err == nil {
			err = a.keepsWayIn(u, i, all)
		}
		if err != nil {
			return err
		}
		if err := dropIdentity(ctx, tx, i.ID); err != nil {
			return err
		}
		if err := saveUser(ctx, tx, u, "epoch"); err != nil {
			return err
		}
		if err := a.notify(ctx, tx, u, unlinkedText(i.Provider)); err != nil {
			return err
		}
		if err := a.auditIdentity(ctx, tx, auditUnlink, u.ID, i.Provider); err != nil {
			return err
		}
		return tell(ctx, a, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: []string{"identities"}})
	})
}

// endIdentity is why sessions end when an identity is removed.
const endIdentity = "identity_removed"

// maxIdentities is more than the providers that anybody configures.
const maxIdentities = 1000

// keepsWayIn refuses to remove an identity if its user could not sign in without it.
func (a *Actor) keepsWayIn(u user, removed identity, all waysIn) error {
	others := 0
	for _, i := range all.identities {
		if _, configured := a.oauth.providers[i.Provider]; configured && i.ID != removed.ID {
			others++
		}
	}
	for _, p := range all.passkeys {
		if !p.Suspended {
			others++
		}
	}
	return lastWayIn(u, others)
}

func errUnverified() error {
	return subjects.Errorf(subjects.CodeForbidden, "verify your e-mail address first")
}

func errLinked() error {
	return subjects.Errorf(subjects.CodeConflict, "an account of this provider is linked already, here or to another user; unlink it there first")
}
