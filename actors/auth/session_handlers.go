package auth

import (
	"context"
	"errors"
	"slices"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// refreshToken exchanges a refresh token. The roles of the new access token are those of this moment.
func (a *Actor) refreshToken(ctx context.Context, req subjects.RefreshTokenRequest) (subjects.Session, error) {
	now := a.Now().UTC()
	token, ok := parseRefreshToken(a.refreshKey, req.RefreshToken)
	if !ok {
		return subjects.Session{}, errRefresh()
	}
	u, err := userByID(ctx, a.DB.DB, token.userID)
	if subjects.CodeOf(err) == subjects.CodeNotFound || err == nil && u.Disabled {
		return subjects.Session{}, errRefresh()
	}
	if err != nil {
		return subjects.Session{}, err
	}
	// The token stays what it is, for when the address is verified.
	if a.mustVerify(u) {
		return subjects.Session{}, errUnverified()
	}
	turn, err := a.rotate(ctx, token, a.clientOf(ctx, req.DeviceToken), u.Epoch, now)
	if err != nil {
		return subjects.Session{}, err
	}
	if turn.verdict == reusedToken {
		return subjects.Session{}, a.endFamily(ctx, u, turn.session)
	}
	return a.issue(ctx, u, turn.session, turn.refresh, now)
}

// endFamily ends the session of a refresh token that two parties hold, and tells the user.
func (a *Actor) endFamily(ctx context.Context, u user, s session) error {
	if err := a.endSessions(ctx, s.UserID, endReuse, s); err != nil {
		return err
	}
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := a.notify(ctx, tx, u, reuseText); err != nil {
			return err
		}
		return a.audit(ctx, tx, entry{action: auditTokenReuse, outcome: auditFailure, userID: s.UserID, sessionID: s.ID})
	})
	if err != nil {
		return err
	}
	return errRefresh()
}

func (a *Actor) logout(ctx context.Context, req subjects.LogoutRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	ended := []session{{ID: caller.SessionID}}
	if req.All {
		if err := a.callerFresh(caller); err != nil {
			return subjects.Empty{}, err
		}
		all, err := a.userSessions(ctx, caller.UserID)
		if err != nil {
			return subjects.Empty{}, err
		}
		// The caller's own is ended whether the listing has it or not.
		others := slices.DeleteFunc(all, func(s session) bool { return s.ID == caller.SessionID })
		ended = append(ended, others...)
	}
	return subjects.Empty{}, a.endSessions(ctx, caller.UserID, endLogout, ended...)
}

func (a *Actor) listSessions(ctx context.Context, req subjects.ListSessionsRequest) (subjects.Page[subjects.SessionInfo], error) {
	caller := actors.CallerFrom(ctx)
	page := subjects.Page[subjects.SessionInfo]{Items: []subjects.SessionInfo{}}
	list, err := a.userSessions(ctx, caller.UserID)
	if err != nil {
		return page, err
	}
	// Ids grow with time, as the listing's order falls: what follows the cursor is older than it.
	for _, s := range list {
		if req.Cursor != "" && s.ID >= req.Cursor {
			continue
		}
		if len(page.Items) == req.PageLimit() {
			page.NextCursor = page.Items[len(page.Items)-1].SessionID
			break
		}
		page.Items = append(page.Items, s.info(caller.SessionID))
	}
	return page, nil
}

func (a *Actor) revokeSession(ctx context.Context, req subjects.RevokeSessionRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	userID := caller.UserID
	if req.SessionID != caller.SessionID {
		if err := a.callerFresh(caller); err != nil {
			return subjects.Empty{}, err
		}
	}
	found, err := a.sessions.Get(ctx, sessionKey(userID, req.SessionID))
	if errors.Is(err, kv.ErrNotFound) {
		return subjects.Empty{}, subjects.Errorf(subjects.CodeNotFound, "there is no such session")
	}
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.endSessions(ctx, userID, endRevoked, found.Value)
}

// validateToken tells about a token; of one that is not good it tells nothing else, whatever the reason.
func (a *Actor) validateToken(ctx context.Context, req subjects.ValidateTokenRequest) (subjects.TokenStatus, error) {
	claims, err := a.Verifier.Verify(ctx, req.Token)
	if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
		a.metrics.validations.WithLabelValues("invalid").Inc()
		return subjects.TokenStatus{}, nil
	}
	if err != nil {
		a.metrics.validations.WithLabelValues("error").Inc()
		return subjects.TokenStatus{}, err
	}
	a.metrics.validations.WithLabelValues("valid").Inc()
	return subjects.TokenStatus{
		Active: true, Subject: claims.Subject, SessionID: claims.SessionID, ClientID: claims.ClientID, TokenType: "Bearer",
		Issuer: claims.Issuer, Audience: claims.Audience, IssuedAt: claims.IssuedAt, ExpiresAt: claims.ExpiresAt,
		Roles: claims.Roles, Scope: claims.Scope,
	}, nil
}

func (a *Actor) jwks(context.Context, subjects.Empty) (subjects.JSONWebKeySet, error) {
	return a.keys.set(), nil
}
