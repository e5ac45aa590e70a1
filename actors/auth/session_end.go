package auth

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Reasons for which a session ends.
const (
	endLogout   = "logout"
	endRevoked  = "revoked"
	endTooMany  = "too_many"
	endReuse    = "token_reuse"
	endMFA      = "mfa_changed"
	endDisabled = "disabled"
	endPassword = "password_changed"
	endDeleted  = "deleted"
	endAdmin    = "admin"
	endReplaced = "replaced"
	endIdentity = "identity_removed"
)

// revokedMargin is the time by which a revocation outlives the access tokens it revokes, because clocks differ.
const revokedMargin = 30 * time.Second

// clockSkew is the assumed maximum difference between the clocks of auth's copies.
const clockSkew = time.Second

// end ends sessions of a user: their refresh tokens at once, their access tokens at every process before it returns.
// The ends are recorded afterwards, in a step of their own: after a crash in between, fewer tokens are valid than
// recorded, never more.
func (ss *sessions) end(ctx context.Context, userID, reason string, ended ...session) error {
	if len(ended) == 0 {
		return nil
	}
	ids := make([]string, 0, len(ended))
	for _, s := range ended {
		if err := ss.bucket.Delete(ctx, sessionKey(userID, s.ID)); err != nil {
			return err
		}
		ids = append(ids, s.ID)
	}
	if err := ss.revoke(ctx, userID, ids...); err != nil {
		return err
	}
	_, err := idempotency.Step(ctx, ss.DB, "ended/"+ids[0], func(ctx context.Context, tx database.Tx) (struct{}, error) {
		return struct{}{}, ss.recordEnd(ctx, tx, userID, reason, ids)
	})
	return err
}

// recordEnd audits and publishes the end of sessions.
func (ss *sessions) recordEnd(ctx context.Context, tx database.Tx, userID, reason string, ids []string) error {
	for _, id := range ids {
		e := auditEntry{
			action: auditSessionEnd, outcome: auditSuccess, userID: userID, sessionID: id,
			detail: map[string]string{"reason": reason},
		}
		if err := ss.recorder.audit(ctx, tx, e); err != nil {
			return err
		}
		ended := subjects.SessionEnded{SessionID: id, Reason: reason}
		if err := publish(ctx, ss.recorder, tx, subjects.SessionEndedEvent, userID, ended); err != nil {
			return err
		}
	}
	return nil
}

// revoke revokes the access tokens of sessions or API keys. When it returns, every process refuses them.
func (ss *sessions) revoke(ctx context.Context, userID string, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	var last uint64
	revoked := subjects.RevokedSession{UserID: userID, RevokedAt: ss.Now().UTC()}
	for _, id := range ids {
		revision, err := ss.revoked.PutTTL(ctx, id, revoked, ss.config.AccessTTL+revokedMargin)
		if err != nil {
			return err
		}
		last = max(last, revision)
	}
	return mesh.RaiseBarrier(ctx, ss.Conn, mesh.Barrier{Kind: mesh.BarrierSessions, Revision: last})
}

// revokeAll revokes the access tokens of all sessions issued up to now. When it returns, every process refuses them.
func (ss *sessions) revokeAll(ctx context.Context) error {
	mark := subjects.RevokedSession{RevokedAt: ss.Now().UTC().Add(clockSkew)}
	revision, err := ss.revoked.PutTTL(ctx, subjects.EverySession, mark, ss.config.AccessTTL+revokedMargin)
	if err != nil {
		return err
	}
	return mesh.RaiseBarrier(ctx, ss.Conn, mesh.Barrier{Kind: mesh.BarrierSessions, Revision: revision})
}

// endAll ends a user's sessions except the one with the ID keep.
func (ss *sessions) endAll(ctx context.Context, userID, keep, reason string) error {
	list, err := ss.list(ctx, userID)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(s session) bool { return s.ID == keep })
	return ss.end(ctx, userID, reason, list...)
}

// changeAccount changes an account in a way that ends its sessions, except the one with the ID keep (none if empty).
// The sessions end before the change, so that a crash leaves nobody signed in under what was revoked, and again after
// it, for sign-ins in between. change gets the account with its next epoch, which change must save.
func (ss *sessions) changeAccount(
	ctx context.Context, u user, keep, reason string, change func(context.Context, database.Tx, user) error,
) error {
	if err := ss.endAll(ctx, u.ID, keep, reason); err != nil {
		return err
	}
	if keep != "" {
		if err := ss.carryOver(ctx, u, keep); err != nil {
			return err
		}
	}
	_, err := idempotency.Step(ctx, ss.DB, "change", func(ctx context.Context, tx database.Tx) (struct{}, error) {
		now, err := lockUser(ctx, tx, u.ID)
		if err != nil {
			return struct{}{}, err
		}
		now.Epoch++
		now.UpdatedAt = ss.Now().UTC()
		return struct{}{}, change(ctx, tx, now)
	})
	if err != nil {
		return err
	}
	return ss.endAll(ctx, u.ID, keep, reason)
}

// endReused ends the session of a refresh token that was used twice, notifies the user, and returns errRefresh.
func (ss *sessions) endReused(ctx context.Context, u user, s session) error {
	if err := ss.end(ctx, s.UserID, endReuse, s); err != nil {
		return err
	}
	err := ss.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := ss.mailer.notify(ctx, tx, u, noticeReuse, tokenReuseText); err != nil {
			return err
		}
		return ss.recorder.audit(ctx, tx, auditEntry{action: auditTokenReuse, outcome: auditFailure, userID: s.UserID, sessionID: s.ID})
	})
	if err != nil {
		return err
	}
	return errRefresh()
}

// endReplaced ends the sessions that the client had at the first and at the last call of a sign-in, whichever accounts
// they belong to. The first may have ended meanwhile; the access token of the last has just been verified.
func (ss *sessions) endReplaced(ctx context.Context, first sessionRef) error {
	last := callerSession(ctx)
	if last.SessionID != "" {
		if err := ss.end(ctx, last.UserID, endReplaced, session{ID: last.SessionID}); err != nil {
			return err
		}
	}
	if first.SessionID == "" || first == last {
		return nil
	}
	found, err := ss.get(ctx, first.UserID, first.SessionID)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return ss.end(ctx, first.UserID, endReplaced, found)
}

// trim ends a user's oldest sessions if one more would exceed Config.SessionsPerUser. The sessions with the IDs in
// ending are about to end and do not count.
func (ss *sessions) trim(ctx context.Context, userID string, ending ...string) error {
	keys, err := ss.bucket.Keys(ctx, kv.EncodeKey(userID)+".>")
	if err != nil || len(keys) < ss.config.SessionsPerUser {
		return err
	}
	list, err := ss.read(ctx, keys)
	list = slices.DeleteFunc(list, func(s session) bool { return slices.Contains(ending, s.ID) })
	if err != nil || len(list) < ss.config.SessionsPerUser {
		return err
	}
	surplus := list[ss.config.SessionsPerUser-1:]
	return ss.end(ctx, userID, endTooMany, surplus...)
}

// requestSweep asks runSweep to delete the sessions of earlier epochs. It does not block.
func (ss *sessions) requestSweep() {
	select {
	case ss.sweepRequests <- struct{}{}:
	default:
	}
}

// runSweep deletes the sessions of earlier epochs on request, and once at the start if everybody's sessions were ended
// recently, because an earlier process may not have finished.
func (ss *sessions) runSweep(ctx context.Context) error {
	due := !ss.Verifier.AllRevokedUntil().IsZero()
	for {
		if due {
			if err := ss.sweep(ctx); err != nil && ctx.Err() == nil {
				ss.Log.Warn("deleting ended sessions", zap.Error(err))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ss.sweepRequests:
			due = true
		}
	}
}

// sweep ends, with a record of each, the sessions whose epoch is older than their account's.
func (ss *sessions) sweep(ctx context.Context) error {
	keys := map[string][]string{}
	ss.active.Range(func(s kv.Entry[sessionExpiry]) bool {
		keys[s.Value.UserID] = append(keys[s.Value.UserID], s.Key)
		return true
	})
	for userID, of := range keys {
		u, err := userByID(ctx, ss.DB.DB, userID)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		list, err := ss.read(ctx, of)
		if err != nil {
			return err
		}
		ended := slices.DeleteFunc(list, func(s session) bool { return s.Epoch >= u.Epoch })
		if err := ss.end(ctx, userID, endAdmin, ended...); err != nil {
			return err
		}
	}
	return nil
}
