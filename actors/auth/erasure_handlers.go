package auth

import (
	"context"
	"errors"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// deleteAccount deletes the caller's account. The account is blocked in every process first; then one transaction deletes
// it and tells the other actors.
func (a *Actor) deleteAccount(ctx context.Context, req subjects.DeleteAccountRequest) (subjects.ErasureStarted, error) {
	u, err := a.credentials.confirmOwner(ctx, req.Password)
	if err == nil {
		err = a.credentials.stepUpCode(ctx, u, req.Code)
	}
	if err != nil {
		return subjects.ErasureStarted{}, err
	}
	others, err := countOtherAdmins(ctx, a.DB.DB, u.ID)
	if err != nil {
		return subjects.ErasureStarted{}, err
	}
	if err := requireAnotherAdmin(u, user{}, others); err != nil {
		return subjects.ErasureStarted{}, err
	}
	done, err := a.erasures.erase(ctx, u.ID, func(ctx context.Context, tx database.Tx, u user) (erased, error) {
		others, err := lockOtherAdmins(ctx, tx, u.ID)
		if err != nil {
			return erased{}, err
		}
		if err := requireAnotherAdmin(u, user{}, others); err != nil {
			return erased{}, err
		}
		done, err := a.erasures.begin(ctx, tx, u)
		if err != nil {
			return erased{}, err
		}
		farewell := message{
			UserID: done.ErasureID, Email: u.Email, Purpose: noticeDeleted, ExpiresAt: a.Now().UTC().Add(farewellRetention - messageRetention),
		}
		return done, a.mailer.send(ctx, tx, farewell, accountDeletedText)
	})
	if err != nil {
		return subjects.ErasureStarted{}, err
	}
	a.metrics.deletions.Inc()
	return subjects.ErasureStarted{ErasureID: done.ErasureID, Token: done.Token, Status: "erasing"}, nil
}

// getErasure returns the state of an erasure to a caller with the token of the deletion.
func (a *Actor) getErasure(ctx context.Context, req subjects.ErasureRequest) (subjects.ErasureStatus, error) {
	row, err := erasureByID(ctx, a.DB.DB, req.ErasureID)
	if err == nil && row.TokenHash != hashToken(req.Token) {
		err = errNoErasure
	}
	if err != nil {
		return subjects.ErasureStatus{}, err
	}
	answers, err := erasureAnswers(ctx, a.DB.DB, row.ID)
	if err != nil {
		return subjects.ErasureStatus{}, err
	}
	return row.status(answers), nil
}

// erasureRequests are the erasures that users have requested at the consent actor.
type erasureRequests struct{ *Actor }

// erase is deleteAccount by the session that the request names, as auth knows it: the calling actor does not vouch for it.
func (a erasureRequests) erase(ctx context.Context, req subjects.EraseAccountRequest) (subjects.ErasureStarted, error) {
	userID := actors.CallerFrom(ctx).UserID
	u, err := userByID(ctx, a.DB.DB, userID)
	var s session
	if err == nil {
		s, err = a.sessions.get(ctx, userID, req.SessionID)
	}
	if errors.Is(err, kv.ErrNotFound) || err == nil && (!a.Now().Before(s.endsAt()) || s.Epoch < u.Epoch) {
		return subjects.ErasureStarted{}, subjects.Errorf(subjects.CodeForbidden, "the session is not one of the user's, or has ended")
	}
	if err != nil {
		return subjects.ErasureStarted{}, err
	}
	ctx = actors.WithCaller(ctx, actors.Caller{
		UserID: userID, SessionID: s.ID, Origin: actors.Origin{IP: req.IP, UserAgent: req.Device},
		Claims: mesh.Claims{Subject: userID, SessionID: s.ID, AuthTime: s.CreatedAt.Unix()},
	})
	return a.deleteAccount(ctx, subjects.DeleteAccountRequest{Password: req.Password, Code: req.Code})
}
