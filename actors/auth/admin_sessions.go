package auth

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// endUserSessions signs an account out everywhere. Its next epoch also ends the sign-ins that wait for a second factor.
func (a *Actor) endUserSessions(ctx context.Context, req subjects.GetUserRequest) (subjects.Empty, error) {
	u, err := userByID(ctx, a.DB.DB, req.UserID)
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.replaceSessions(ctx, u, "", endAdmin, func(ctx context.Context, tx actors.Tx, u user) error {
		if err := saveUser(ctx, tx, u, "epoch"); err != nil {
			return err
		}
		detail := map[string]string{"by": actors.CallerFrom(ctx).UserID}
		return a.audit(ctx, tx, entry{action: auditEndSessions, outcome: auditSuccess, userID: u.ID, detail: detail})
	})
}

// endEverySession signs everybody out, however many they are: by one mark all processes refuse the access tokens of until
// then, and the accounts' next epoch refuses the refresh tokens. As with one account the tokens end before the change is
// recorded, and again after it, for who signed in between. Telling of each session that has ended is left to a sweep.
func (a *Actor) endEverySession(ctx context.Context, _ subjects.Empty) (subjects.Empty, error) {
	if err := a.revokeEveryone(ctx); err != nil {
		return subjects.Empty{}, err
	}
	_, err := actors.Step(ctx, a.DB, "change", func(ctx context.Context, tx actors.Tx) (struct{}, error) {
		if err := nextEpoch(ctx, tx, a.Now()); err != nil {
			return struct{}{}, err
		}
		by := actors.CallerFrom(ctx)
		return struct{}{}, a.audit(ctx, tx, entry{
			action: auditEndAll, outcome: auditSuccess, userID: by.UserID, sessionID: by.SessionID,
		})
	})
	if err != nil {
		return subjects.Empty{}, err
	}
	if err := a.revokeEveryone(ctx); err != nil {
		return subjects.Empty{}, err
	}
	select {
	case a.swept <- struct{}{}:
	default:
	}
	return subjects.Empty{}, nil
}

// copiesApart is how far the clocks of auth's copies may be apart for one to date the end of what another has signed.
const copiesApart = time.Second

// revokeEveryone has every process refuse the access tokens that sessions have got until now, before it returns.
func (a *Actor) revokeEveryone(ctx context.Context) error {
	mark := subjects.RevokedSession{RevokedAt: a.Now().UTC().Add(copiesApart)}
	revision, err := a.revoked.PutTTL(ctx, subjects.EverySession, mark, a.config.AccessTTL+revokedMargin)
	if err != nil {
		return err
	}
	return mesh.RaiseBarrier(ctx, a.Conn, mesh.Barrier{Kind: mesh.BarrierSessions, Revision: revision})
}

// sweepSessions removes the sessions that ended with everybody's, and tells of them: when asked, and at the start what an
// earlier process may have left.
func (a *Actor) sweepSessions(ctx context.Context) error {
	due := !a.Verifier.AllRevokedUntil().IsZero()
	for {
		if due {
			if err := a.sweepEnded(ctx); err != nil && ctx.Err() == nil {
				a.Log.Warn("removing sessions that have ended", zap.Error(err))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.swept:
			due = true
		}
	}
}

// sweepEnded removes the sessions of epochs that are over.
func (a *Actor) sweepEnded(ctx context.Context) error {
	keys := map[string][]string{}
	a.live.Range(func(s kv.Entry[sessionMark]) bool {
		keys[s.Value.UserID] = append(keys[s.Value.UserID], s.Key)
		return true
	})
	for userID, of := range keys {
		u, err := userByID(ctx, a.DB.DB, userID)
		if subjects.CodeOf(err) == subjects.CodeNotFound {
			continue
		}
		if err != nil {
			return err
		}
		list, err := a.readSessions(ctx, of)
		if err != nil {
			return err
		}
		var ended []session
		for _, s := range list {
			if s.Epoch < u.Epoch {
				ended = append(ended, s)
			}
		}
		if err := a.endSessions(ctx, userID, endAdmin, ended...); err != nil {
			return err
		}
	}
	return nil
}
