package auth

import (
	"cmp"
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

// Why a session ended.
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
)

// revokedMargin is how much longer than an access token its session's revocation is kept: clocks differ.
const revokedMargin = 30 * time.Second

func sessionKey(userID, sessionID string) string { return kv.EncodeKey(userID, sessionID) }

func sessionContext(sessionID string) []byte { return []byte("auth_sessions/" + sessionID) }

// userSessions lists a user's live sessions, the newest first.
func (a *Actor) userSessions(ctx context.Context, userID string) ([]session, error) {
	keys, err := a.sessions.Keys(ctx, kv.EncodeKey(userID)+".>")
	if err != nil {
		return nil, err
	}
	return a.readSessions(ctx, keys)
}

func (a *Actor) readSessions(ctx context.Context, keys []string) ([]session, error) {
	now := a.Now()
	list := make([]session, 0, len(keys))
	for _, key := range keys {
		found, err := a.sessions.Get(ctx, key)
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if now.Before(found.Value.ends()) {
			list = append(list, found.Value)
		}
	}
	slices.SortFunc(list, func(a, b session) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return list, nil
}

// rotation is what a refresh came to.
type rotation struct {
	session session
	refresh string
	verdict refreshVerdict
}

// rotate exchanges a genuine refresh token by one compare-and-set on its session: of any number of parallel
// exchanges one wins, and the others find its successor. CodeUnauthenticated where the session has ended.
func (a *Actor) rotate(ctx context.Context, token refreshToken, by client, epoch int64, now time.Time) (rotation, error) {
	key := sessionKey(token.userID, token.sessionID)
	for {
		found, err := a.sessions.Get(ctx, key)
		dead := err == nil && (!now.Before(found.Value.ends()) || found.Value.Epoch < epoch)
		if errors.Is(err, kv.ErrNotFound) || dead {
			return rotation{}, errRefresh()
		}
		if err != nil {
			return rotation{}, err
		}
		s := found.Value
		verdict := s.judge(token.hash(), by, now, a.config.RefreshGrace)
		if verdict == reusedToken {
			return rotation{session: s, verdict: verdict}, nil
		}
		if verdict == repeatToken {
			refresh, err := a.Sealer.Open(s.Successor, sessionContext(s.ID))
			return rotation{session: s, refresh: string(refresh), verdict: verdict}, err
		}
		next, err := a.succeed(&s, by, now)
		if err != nil {
			return rotation{}, err
		}
		_, err = a.sessions.UpdateTTL(ctx, key, s, found.Revision, s.ends().Sub(now))
		if errors.Is(err, kv.ErrConflict) {
			// A later look at the clock must not find the winner's rotation to lie in the future.
			now = a.Now().UTC()
			continue
		}
		return rotation{session: s, refresh: next, verdict: verdict}, err
	}
}

// succeed gives a session its next refresh token.
func (a *Actor) succeed(s *session, by client, now time.Time) (string, error) {
	next, err := newRefreshToken(a.refreshKey, s.UserID, s.ID)
	if err != nil {
		return "", fmt.Errorf("making a refresh token: %w", err)
	}
	s.Previous, s.Current, s.RefreshedAt, s.RefreshedBy = s.Current, next.hash(), now, by.place
	s.used(now, a.config.SessionIdle)
	s.Successor, err = a.Sealer.Seal([]byte(next.text), sessionContext(s.ID))
	return next.text, err
}

// endSessions ends sessions of a user: their refresh tokens at once, their access tokens at every process
// before it returns. Only then is it told, in a step of its own: a crash on the way leaves less allowed,
// never more.
func (a *Actor) endSessions(ctx context.Context, userID, reason string, ended ...session) error {
	if len(ended) == 0 {
		return nil
	}
	ids := make([]string, 0, len(ended))
	for _, s := range ended {
		if err := a.sessions.Delete(ctx, sessionKey(userID, s.ID)); err != nil {
			return err
		}
		ids = append(ids, s.ID)
	}
	if err := a.revokeIDs(ctx, userID, ids...); err != nil {
		return err
	}
	_, err := actors.Step(ctx, a.DB, "ended/"+ids[0], func(ctx context.Context, tx actors.Tx) (struct{}, error) {
		return struct{}{}, a.tellEnded(ctx, tx, userID, reason, ids)
	})
	return err
}

func (a *Actor) tellEnded(ctx context.Context, tx actors.Tx, userID, reason string, ids []string) error {
	for _, id := range ids {
		e := entry{
			action: auditSessionEnd, outcome: auditSuccess, userID: userID, sessionID: id,
			detail: map[string]string{"reason": reason},
		}
		if err := a.audit(ctx, tx, e); err != nil {
			return err
		}
		told := subjects.SessionEnded{SessionID: id, Reason: reason}
		if err := tell(ctx, a, tx, subjects.SessionEndedEvent, userID, told); err != nil {
			return err
		}
	}
	return nil
}

// revokeIDs has every process refuse the access tokens of sessions, or of API keys, before it returns.
func (a *Actor) revokeIDs(ctx context.Context, userID string, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	var last uint64
	revoked := subjects.RevokedSession{UserID: userID, RevokedAt: a.Now().UTC()}
	for _, id := range ids {
		revision, err := a.revoked.PutTTL(ctx, id, revoked, a.config.AccessTTL+revokedMargin)
		if err != nil {
			return err
		}
		last = max(last, revision)
	}
	return mesh.RaiseBarrier(ctx, a.Conn, mesh.Barrier{Kind: mesh.BarrierSessions, Revision: last})
}

// endAllSessions ends a user's sessions but for one.
func (a *Actor) endAllSessions(ctx context.Context, userID, keep, reason string) error {
	list, err := a.userSessions(ctx, userID)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(s session) bool { return s.ID == keep })
	return a.endSessions(ctx, userID, reason, list...)
}

// carryOver lets a session live on in the account's next epoch.
func (a *Actor) carryOver(ctx context.Context, u user, sessionID string) error {
	return a.changeSession(ctx, u.ID, sessionID, func(s *session) { s.Epoch = u.Epoch + 1 })
}

// changeSession changes a session that lives, which does not move its end.
func (a *Actor) changeSession(ctx context.Context, userID, sessionID string, change func(*session)) error {
	key := sessionKey(userID, sessionID)
	for {
		found, err := a.sessions.Get(ctx, key)
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		s := found.Value
		change(&s)
		_, err = a.sessions.UpdateTTL(ctx, key, s, found.Revision, max(time.Second, s.ends().Sub(a.Now())))
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
}

func errSignIn() error {
	return subjects.Errorf(subjects.CodeUnauthenticated, "the e-mail address or the password is wrong")
}

func errRefresh() error {
	return subjects.Errorf(subjects.CodeUnauthenticated, "the refresh token is not valid")
}
