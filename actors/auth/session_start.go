package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth/refresh"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

// signIn describes a completed sign-in.
type signIn struct {
	method     string
	twoFactors bool
	// replaces is the session that the client had when the sign-in began, if that was an earlier call.
	replaces sessionRef
}

// callerSession returns the session whose access token came with the call, or the zero value. The token of an API key
// belongs to no session.
func callerSession(ctx context.Context) sessionRef {
	caller := actors.CallerFrom(ctx)
	if caller.KeyID != "" {
		return sessionRef{}
	}
	return sessionRef{UserID: caller.UserID, SessionID: caller.SessionID}
}

// start signs an account in. The sign-in is audited before the session is created, so that a crash grants nothing
// unrecorded. If all of the account's sessions end in between, the new one is deleted and the sign-in fails. The
// client's earlier sessions end last, so that a failed sign-in ends none.
func (ss *sessions) start(ctx context.Context, u user, by signIn) (subjects.Session, error) {
	if ss.config.requiresVerification(u) {
		return subjects.Session{}, errUnverified()
	}
	if _, err := ss.mustEnroll(ctx, u, by.twoFactors); err != nil {
		return subjects.Session{}, err
	}
	if err := ss.awaitErasure(ctx, u); err != nil {
		return subjects.Session{}, err
	}
	now := ss.Now().UTC()
	origin := actors.CallerFrom(ctx).Origin
	s := session{
		ID: ss.NewID(), UserID: u.ID, Method: by.method, TwoFactors: by.twoFactors, Device: truncateUserAgent(origin.UserAgent),
		IP: origin.IP, CreatedAt: now, RefreshedAt: now, ExpiresAt: now.Add(ss.config.SessionTTL), Epoch: u.Epoch,
	}
	token, err := refresh.New(ss.tokenKey, s.UserID, s.ID)
	if err != nil {
		return subjects.Session{}, fmt.Errorf("creating a refresh token: %w", err)
	}
	s.touch(now, ss.config.SessionIdle)
	s.Current = token.Hash()
	device := ss.devices.issue(u.ID)
	s.DeviceHash = ss.devices.client(ctx, device).device
	if err := ss.recordStart(ctx, s); err != nil {
		return subjects.Session{}, err
	}
	if err := ss.trim(ctx, u.ID, by.replaces.SessionID, callerSession(ctx).SessionID); err != nil {
		return subjects.Session{}, err
	}
	key := sessionKey(u.ID, s.ID)
	if _, err := ss.bucket.Create(ctx, key, s, s.endsAt().Sub(now)); err != nil {
		return subjects.Session{}, err
	}
	fresh, err := userByID(ctx, ss.DB.DB, u.ID)
	if err == nil && (fresh.Epoch != u.Epoch || fresh.Disabled) {
		err = errSignIn()
	}
	var answer subjects.Session
	if err == nil {
		answer, err = ss.issue(ctx, fresh, s, token.Text, now)
	}
	if err == nil {
		err = ss.endReplaced(ctx, by.replaces)
	}
	if err != nil {
		return subjects.Session{}, errors.Join(err, ss.bucket.Delete(ctx, key))
	}
	answer.DeviceToken = device
	return answer, nil
}

const (
	// erasureWait is how long a sign-in waits for the erasure of the account that its own replaced, and erasurePoll how often
	// it looks.
	erasureWait = 4 * time.Second
	erasurePoll = 25 * time.Millisecond
	// erasureRetryAfter is when a sign-in that did not wait longer should be tried again.
	erasureRetryAfter = 5 * time.Second
)

// awaitErasure returns once the unverified account that u replaced is erased in every actor: before that u has no session. The
// error is CodeUnavailable with ReasonErasing if an actor has not answered in time; the erasure continues.
func (ss *sessions) awaitErasure(ctx context.Context, u user) error {
	if u.ErasureID == "" {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, erasureWait)
	defer cancel()
	for {
		row, err := erasureByID(ctx, ss.DB.DB, u.ErasureID)
		if err != nil || row.ErasedAt != 0 {
			return err
		}
		if wait.Sleep(waiting, erasurePoll) != nil {
			return &subjects.Error{
				Code: subjects.CodeUnavailable, Reason: subjects.ReasonErasing, RetryAfter: erasureRetryAfter,
				Detail: "an earlier, unverified account with this address is still being erased; sign in again",
			}
		}
	}
}

// recordStart audits and publishes the start of a session.
func (ss *sessions) recordStart(ctx context.Context, s session) error {
	return ss.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		err := ss.recorder.audit(ctx, tx, auditEntry{action: auditLogin, outcome: auditSuccess, userID: s.UserID, sessionID: s.ID})
		if err != nil {
			return err
		}
		started := subjects.SessionStarted{SessionID: s.ID, Method: s.Method}
		return publish(ctx, ss.recorder, tx, subjects.SessionStartedEvent, s.UserID, started)
	})
}
