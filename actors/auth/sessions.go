package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth/refresh"
	"github.com/weftmesh/weft/actors/dataexport"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// sessions starts, refreshes, lists and ends sessions. A session is an entry of the bucket auth_sessions; it ends when
// the entry expires or is deleted, or when the account's epoch exceeds the session's. The access tokens of an ended
// session are refused by its ID in the bucket auth_revoked, until they expire.
type sessions struct {
	actors.Deps

	config   Config
	keys     *keyring
	devices  devices
	mailer   *mailer
	recorder *recorder
	tokenKey []byte // MACs refresh tokens

	bucket  *kv.Bucket[session]
	revoked *kv.Bucket[subjects.RevokedSession]
	active  *kv.Map[sessionExpiry]
	// sweepRequests asks runSweep to delete the sessions of earlier epochs.
	sweepRequests chan struct{}
}

// openSessions opens the buckets. The caller must close active.
func openSessions(ctx context.Context, a *Actor, tokenKey []byte) (*sessions, error) {
	ss := &sessions{
		Deps: a.Deps, config: a.config, keys: a.keys, devices: a.devices, mailer: a.mailer, recorder: a.recorder,
		tokenKey: tokenKey, sweepRequests: make(chan struct{}, 1),
	}
	js := a.Conn.JS
	var err error
	if ss.bucket, err = kv.Open[session](ctx, js, kv.AuthSessions); err != nil {
		return nil, err
	}
	if ss.revoked, err = kv.Open[subjects.RevokedSession](ctx, js, kv.AuthRevoked); err != nil {
		return nil, err
	}
	expiries, err := kv.Open[sessionExpiry](ctx, js, kv.AuthSessions)
	if err != nil {
		return nil, err
	}
	if ss.active, err = kv.Watch(ctx, expiries, ">"); err != nil {
		return nil, fmt.Errorf("counting sessions: %w", err)
	}
	return ss, nil
}

// sessionKey is the key of a session in the bucket auth_sessions.
func sessionKey(userID, sessionID string) string { return kv.EncodeKey(userID, sessionID) }

// sessionContext is the associated data of a session's sealed successor token.
func sessionContext(sessionID string) []byte { return []byte("auth_sessions/" + sessionID) }

// list returns a user's live sessions, the newest first.
func (ss *sessions) list(ctx context.Context, userID string) ([]session, error) {
	keys, err := ss.bucket.Keys(ctx, kv.EncodeKey(userID)+".>")
	if err != nil {
		return nil, err
	}
	return ss.read(ctx, keys)
}

// read returns the live sessions with the given keys, the newest first.
func (ss *sessions) read(ctx context.Context, keys []string) ([]session, error) {
	now := ss.Now()
	list := make([]session, 0, len(keys))
	for _, key := range keys {
		found, err := ss.bucket.Get(ctx, key)
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if now.Before(found.Value.endsAt()) {
			list = append(list, found.Value)
		}
	}
	slices.SortFunc(list, func(a, b session) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return list, nil
}

// export returns a user's sessions as holdings.Set lists them.
func (ss *sessions) export(ctx context.Context, userID string) ([]dataexport.Record, error) {
	list, err := ss.list(ctx, userID)
	records := make([]dataexport.Record, len(list))
	for i, s := range list {
		records[i] = dataexport.Record{Key: s.ID, Values: map[string]any{
			"id": s.ID, "method": s.Method, "two_factors": s.TwoFactors, "device": s.Device, "ip": s.IP, "created_at": s.CreatedAt,
			"refreshed_at": s.RefreshedAt, "expires_at": s.ExpiresAt,
		}}
	}
	return records, err
}

// get returns one session of a user; kv.ErrNotFound if there is none.
func (ss *sessions) get(ctx context.Context, userID, sessionID string) (session, error) {
	found, err := ss.bucket.Get(ctx, sessionKey(userID, sessionID))
	return found.Value, err
}

// rotation is the result of a refresh.
type rotation struct {
	session session
	refresh string
	verdict refreshVerdict
}

// rotate exchanges a refresh token whose MAC is valid, by one compare-and-set on its session. Of concurrent exchanges
// one wins, and the others return its successor. The error is CodeUnauthenticated if the session has ended.
func (ss *sessions) rotate(ctx context.Context, token refresh.Token, by client, epoch int64, now time.Time) (rotation, error) {
	key := sessionKey(token.UserID, token.SessionID)
	for {
		found, err := ss.bucket.Get(ctx, key)
		ended := err == nil && (!now.Before(found.Value.endsAt()) || found.Value.Epoch < epoch)
		if errors.Is(err, kv.ErrNotFound) || ended {
			return rotation{}, errRefresh()
		}
		if err != nil {
			return rotation{}, err
		}
		s := found.Value
		verdict := s.classify(token.Hash(), by, now, ss.config.RefreshGrace)
		if verdict == tokenReused {
			return rotation{session: s, verdict: verdict}, nil
		}
		if verdict == tokenRepeated {
			refresh, err := ss.Sealer.Open(s.Successor, sessionContext(s.ID))
			return rotation{session: s, refresh: string(refresh), verdict: verdict}, err
		}
		next, err := ss.issueSuccessor(&s, by, now)
		if err != nil {
			return rotation{}, err
		}
		_, err = ss.bucket.UpdateTTL(ctx, key, s, found.Revision, s.endsAt().Sub(now))
		if errors.Is(err, kv.ErrConflict) {
			// Read the clock again: the winner's rotation must not be later than now.
			now = ss.Now().UTC()
			continue
		}
		return rotation{session: s, refresh: next, verdict: verdict}, err
	}
}

// issueSuccessor replaces the refresh token of s and returns the new one.
func (ss *sessions) issueSuccessor(s *session, by client, now time.Time) (string, error) {
	next, err := refresh.New(ss.tokenKey, s.UserID, s.ID)
	if err != nil {
		return "", fmt.Errorf("creating a refresh token: %w", err)
	}
	s.Previous, s.Current, s.RefreshedAt, s.RefreshedBy = s.Current, next.Hash(), now, by.origin
	s.touch(now, ss.config.SessionIdle)
	s.Successor, err = ss.Sealer.Seal([]byte(next.Text), sessionContext(s.ID))
	return next.Text, err
}

// issue returns the reply to a sign-in or refresh. The access token expires no later than its session. Its iat is later
// than the time up to which all access tokens are revoked.
func (ss *sessions) issue(ctx context.Context, u user, s session, refresh string, now time.Time) (subjects.Session, error) {
	expires := now.Add(ss.config.AccessTTL)
	if ends := s.endsAt(); ends.Before(expires) {
		expires = ends
	}
	enroll, err := ss.mustEnroll(ctx, u, s.TwoFactors)
	if err != nil {
		return subjects.Session{}, err
	}
	scope := ""
	if enroll {
		scope = subjects.ScopeEnroll
	}
	issued := max(now.Unix(), ss.Verifier.AllRevokedUntil().Unix()+1)
	access, err := ss.keys.sign(mesh.Claims{
		Issuer: ss.Issuer, Audience: ss.Audience, Subject: u.ID, ClientID: ss.config.ClientID, ID: ss.NewID(),
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

// mustEnroll reports whether a session may do no more than set up a second factor: the account needs one, and the
// session was not started with two. The error is CodeForbidden if the account has a passkey: then the user must sign in
// with it, because otherwise someone with the password alone could add a factor of their own. (If the account has an
// authenticator, every sign-in requires its code.)
func (ss *sessions) mustEnroll(ctx context.Context, u user, twoFactors bool) (bool, error) {
	if twoFactors || !ss.config.needsSecondFactor(u) {
		return false, nil
	}
	n, err := countActivePasskeys(ctx, ss.DB.DB, u.ID)
	if err == nil && n > 0 {
		err = subjects.Errorf(subjects.CodeForbidden, "this account needs two factors: sign in with your passkey")
	}
	return err == nil, err
}

// carryOver moves a session to the account's next epoch.
func (ss *sessions) carryOver(ctx context.Context, u user, sessionID string) error {
	return ss.update(ctx, u.ID, sessionID, func(s *session) { s.Epoch = u.Epoch + 1 })
}

// markTwoFactors records that the session's user has proved a second factor: from its next refresh on, the session is
// not limited to enrolment.
func (ss *sessions) markTwoFactors(ctx context.Context, userID, sessionID string) error {
	return ss.update(ctx, userID, sessionID, func(s *session) { s.TwoFactors = true })
}

// update changes a session without moving its end. It does nothing if the session has ended.
func (ss *sessions) update(ctx context.Context, userID, sessionID string, change func(*session)) error {
	key := sessionKey(userID, sessionID)
	for {
		found, err := ss.bucket.Get(ctx, key)
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		s := found.Value
		change(&s)
		_, err = ss.bucket.UpdateTTL(ctx, key, s, found.Revision, max(time.Second, s.endsAt().Sub(ss.Now())))
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
}

func errSignIn() error {
	return subjects.Errorf(subjects.CodeUnauthenticated, "the e-mail address or the password is wrong")
}

func errRefresh() error {
	return subjects.Errorf(subjects.CodeUnauthenticated, "invalid or expired refresh token")
}
