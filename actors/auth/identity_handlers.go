package auth

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) listIdentities(ctx context.Context, req subjects.ListIdentitiesRequest) (subjects.Page[subjects.Identity], error) {
	after, err := idCursor(req.Cursor)
	if err != nil {
		return subjects.Page[subjects.Identity]{}, err
	}
	list, err := userIdentities(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, after, req.PageLimit()+1)
	return pageOf(list, req.PageLimit(), identity.view, func(i identity) string { return i.Provider }), err
}

// linkIdentity starts the flow that links an identity. It refuses an account whose address is not verified: otherwise
// the owner of the address, verifying it later, would share the account with another person.
func (a *Actor) linkIdentity(ctx context.Context, req subjects.LinkIdentityRequest) (subjects.OAuthStart, error) {
	caller := actors.CallerFrom(ctx)
	p, err := a.oauth.provider(req.Provider)
	if err != nil {
		return subjects.OAuthStart{}, err
	}
	if err := a.credentials.requireRecentSignIn(caller); err != nil {
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
	if !isNotFound(err) {
		return subjects.OAuthStart{}, err
	}
	return a.oauth.begin(ctx, p, req.RedirectURI, req.CookieBinding, oauthState{UserID: u.ID, SessionID: caller.SessionID})
}

// unlinkIdentity removes an identity. All other sessions of the account end, because the identity may have opened them.
func (a *Actor) unlinkIdentity(ctx context.Context, req subjects.UnlinkIdentityRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	if err := a.credentials.requireRecentSignIn(caller); err != nil {
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
	// Checked before sessions end, and again in the transaction.
	if err := a.oauth.checkOtherCredential(ctx, a.DB, u, i.ID); err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.sessions.changeAccount(ctx, u, caller.SessionID, endIdentity, func(ctx context.Context, tx database.Tx, u user) error {
		if err := a.oauth.checkOtherCredential(ctx, a.DB, u, i.ID); err != nil {
			return err
		}
		if err := deleteIdentity(ctx, tx, i.ID); err != nil {
			return err
		}
		if err := saveUser(ctx, tx, u, "epoch"); err != nil {
			return err
		}
		if err := a.mailer.notify(ctx, tx, u, unlinkedText(i.Provider)); err != nil {
			return err
		}
		if err := a.identities.audit(ctx, tx, auditUnlink, u.ID, i.Provider); err != nil {
			return err
		}
		return publish(ctx, a.recorder, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: []string{"identities"}})
	})
}

func errUnverified() error {
	return subjects.Errorf(subjects.CodeForbidden, "verify your e-mail address first")
}

func errLinked() error {
	return subjects.Errorf(subjects.CodeConflict, "an account of this provider is already linked, to this user or to another; unlink it first")
}
