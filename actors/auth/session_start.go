package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// signIn is how a session comes about.
type signIn struct {
	method     string
	twoFactors bool
	// replaces is the session that the client had as it began, where that was another call than the one that signs in.
	replaces sessionRef
}

// sessionOf is the session whose access token came with a call. An API key's is none.
func sessionOf(ctx context.Context) sessionRef {
	caller := actors.CallerFrom(ctx)
	if caller.KeyID != "" {
		return sessionRef{}
	}
	return sessionRef{UserID: caller.UserID, SessionID: caller.SessionID}
}

// startSession signs an account in. What grants is written last: first the record that it happens, then the
// session. An account whose sessions were all ended in between gets none. What the client had before ends last, so that a
// sign-in which fails costs nobody a session.
func (a *Actor) startSession(ctx context.Context, u user, by signIn) (subjects.Session, error) {
	if a.mustVerify(u) {
		return subjects.Session{}, errUnverified()
	}
	if _, err := a.mustEnroll(ctx, u, by.twoFactors); err != nil {
		return subjects.Session{}, err
	}
	now := a.Now().UTC()
	origin := actors.CallerFrom(ctx).Origin
	s := session{
		ID: a.NewID(), UserID: u.ID, Method: by.method, TwoFactors: by.twoFactors, Device: bounded(origin.UserAgent), IP: origin.IP,
		CreatedAt: now, RefreshedAt: now, ExpiresAt: now.Add(a.config.SessionTTL), Epoch: u.Epoch,
	}
	token, err := newRefreshToken(a.refreshKey, s.UserID, s.ID)
	if err != nil {
		return subjects.Session{}, fmt.Errorf("making a refresh token: %w", err)
	}
	s.used(now, a.config.SessionIdle)
	s.Current = token.hash()
	device := a.newDevice(u.Email)
	s.DeviceSum = a.clientOf(ctx, device).device
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		if err := a.audit(ctx, tx, entry{action: auditLogin, outcome: auditSuccess, userID: u.ID, sessionID: s.ID}); err != nil {
			return err
		}
		return tell(ctx, a, tx, subjects.SessionStartedEvent, u.ID, subjects.SessionStarted{SessionID: s.ID, Method: by.method})
	})
	if err != nil {
		return subjects.Session{}, err
	}
	if err := a.trimSessions(ctx, u.ID, by.replaces.SessionID, sessionOf(ctx).SessionID); err != nil {
		return subjects.Session{}, err
	}
	key := sessionKey(u.ID, s.ID)
	if _, err := a.sessions.Create(ctx, key, s, s.ends().Sub(now)); err != nil {
		return subjects.Session{}, err
	}
	fresh, err := userByID(ctx, a.DB.DB, u.ID)
	if err == nil && (fresh.Epoch != u.Epoch || fresh.Disabled) {
		err = errSignIn()
	}
	var answer subjects.Session
	if err == nil {
		answer, err = a.issue(ctx, fresh, s, token.text, now)
	}
	if err == nil {
		err = a.endFormer(ctx, by.replaces)
	}
	if err != nil {
		return subjects.Session{}, errors.Join(err, a.sessions.Delete(ctx, key))
	}
	answer.DeviceToken = device
	return answer, nil
}

// issue makes the answer of a sign-in or refresh. The access token ends no later than its session, and is dated after
// the moment until which everybody's are refused.
func (a *Actor) issue(ctx context.Context, u user, s session, refresh string, now time.Time) (subjects.Session, error) {
	expires := now.Add(a.config.AccessTTL)
	if ends := s.ends(); ends.Before(expires) {
		expires = ends
	}
	enroll, err := a.mustEnroll(ctx, u, s.TwoFactors)
	if err != nil {
		return subjects.Session{}, err
	}
	scope := ""
	if enroll {
		scope = subjects.ScopeEnroll
	}
	issued := max(now.Unix(), a.Verifier.AllRevokedUntil().Unix()+1)
	access, err := a.keys.sign(mesh.Claims{
		Issuer: a.Issuer, Audience: a.Audience, Subject: u.ID, ClientID: a.config.ClientID, ID: a.NewID(),
		SessionID: s.ID, IssuedAt: issued, ExpiresAt: expires.Unix(), AuthTime: s.CreatedAt.Unix(), Roles: u.Roles, Scope: scope,
	})
	if err != nil {
		return subjects.Session{}, err
	}
	return subjects.Session{
		AccessToken: access, RefreshToken: refresh, TokenType: "Bearer",
		ExpiresIn: int(expires.Unix() - now.Unix()), SessionID: s.ID, User: u.profile(),
		EnrollmentRequired: enroll,
	}, nil
}

// endFormer ends the sessions that a client had as it began and as it ended a sign-in, whosever they are: the client
// changes hands. The first may have ended meanwhile; the second's access token was good a moment ago.
func (a *Actor) endFormer(ctx context.Context, began sessionRef) error {
	ended := sessionOf(ctx)
	if ended.SessionID != "" {
		if err := a.endSessions(ctx, ended.UserID, endReplaced, session{ID: ended.SessionID}); err != nil {
			return err
		}
	}
	if began.SessionID == "" || began == ended {
		return nil
	}
	found, err := a.sessions.Get(ctx, sessionKey(began.UserID, began.SessionID))
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.endSessions(ctx, began.UserID, endReplaced, found.Value)
}

// trimSessions ends the oldest sessions of a user who is about to have too many; those that are about to end do not count.
func (a *Actor) trimSessions(ctx context.Context, userID string, ending ...string) error {
	keys, err := a.sessions.Keys(ctx, kv.EncodeKey(userID)+".>")
	if err != nil || len(keys) < a.config.SessionsPerUser {
		return err
	}
	list, err := a.readSessions(ctx, keys)
	list = slices.DeleteFunc(list, func(s session) bool { return slices.Contains(ending, s.ID) })
	if err != nil || len(list) < a.config.SessionsPerUser {
		return err
	}
	surplus := list[a.config.SessionsPerUser-1:]
	return a.endSessions(ctx, userID, endTooMany, surplus...)
}
