package auth

import (
	"context"
	"errors"
	"slices"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth/refresh"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// refreshToken exchanges a refresh token. The new access token has the account's current roles.
func (a *Actor) refreshToken(ctx context.Context, req subjects.RefreshTokenRequest) (subjects.Session, error) {
	now := a.Now().UTC()
	token, ok := refresh.Parse(a.sessions.tokenKey, req.RefreshToken)
	if !ok {
		return subjects.Session{}, errRefresh()
	}
	u, err := userByID(ctx, a.DB.DB, token.UserID)
	if isNotFound(err) || err == nil && u.Disabled {
		return subjects.Session{}, errRefresh()
	}
	if err != nil {
		return subjects.Session{}, err
	}
	// The token is not consumed: it can be used once the address is verified.
	if a.config.requiresVerification(u) {
		return subjects.Session{}, errUnverified()
	}
	rotated, err := a.sessions.rotate(ctx, token, a.devices.client(ctx, req.DeviceToken), u.Epoch, now)
	if err != nil {
		return subjects.Session{}, err
	}
	if rotated.verdict == tokenReused {
		return subjects.Session{}, a.sessions.endReused(ctx, u, rotated.session)
	}
	return a.sessions.issue(ctx, u, rotated.session, rotated.refresh, now)
}

func (a *Actor) logout(ctx context.Context, req subjects.LogoutRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	ended := []session{{ID: caller.SessionID}}
	if req.All {
		if err := a.credentials.requireRecentSignIn(caller); err != nil {
			return subjects.Empty{}, err
		}
		all, err := a.sessions.list(ctx, caller.UserID)
		if err != nil {
			return subjects.Empty{}, err
		}
		// The caller's session is ended even if it is missing from the list.
		others := slices.DeleteFunc(all, func(s session) bool { return s.ID == caller.SessionID })
		ended = append(ended, others...)
	}
	return subjects.Empty{}, a.sessions.end(ctx, caller.UserID, endLogout, ended...)
}

func (a *Actor) listSessions(ctx context.Context, req subjects.ListSessionsRequest) (subjects.Page[subjects.SessionInfo], error) {
	caller := actors.CallerFrom(ctx)
	page := subjects.Page[subjects.SessionInfo]{Items: []subjects.SessionInfo{}}
	before, err := idCursor(req.Cursor)
	if err != nil {
		return page, err
	}
	list, err := a.sessions.list(ctx, caller.UserID)
	if err != nil {
		return page, err
	}
	// IDs increase with time and the list is the newest first, so IDs after the cursor are smaller.
	for _, s := range list {
		if before != "" && s.ID >= before {
			continue
		}
		if len(page.Items) == req.PageLimit() {
			page.NextCursor = actors.EncodeCursor(page.Items[len(page.Items)-1].SessionID)
			break
		}
		page.Items = append(page.Items, s.view(caller.SessionID))
	}
	return page, nil
}

func (a *Actor) revokeSession(ctx context.Context, req subjects.RevokeSessionRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	userID := caller.UserID
	if req.SessionID != caller.SessionID {
		if err := a.credentials.requireRecentSignIn(caller); err != nil {
			return subjects.Empty{}, err
		}
	}
	found, err := a.sessions.get(ctx, userID, req.SessionID)
	if errors.Is(err, kv.ErrNotFound) {
		return subjects.Empty{}, subjects.Errorf(subjects.CodeNotFound, "there is no such session")
	}
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.sessions.end(ctx, userID, endRevoked, found)
}

// validateToken describes an access token. Of an invalid one it says only that it is inactive, whatever the reason (RFC
// 7662 §2.2).
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
	return a.keys.jwks(), nil
}
