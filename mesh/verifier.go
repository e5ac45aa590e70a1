package mesh

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// Verifier verifies access tokens locally, against the published keys and the watched buckets of revoked sessions and blocked accounts, so that a
// logout takes effect in every process at once. Verified tokens are cached until they expire; revocation is checked for every call.
type Verifier struct {
	membership       *Membership
	issuer, audience string
	now              func() time.Time
	keys             *kv.Bucket[subjects.SigningKey]
	keyMap           *kv.Map[subjects.SigningKey]
	revoked          *kv.Map[subjects.RevokedSession]
	blocked          *BlockedAccounts
	misses           *rate.Limiter
	tokens           *lru.Cache[string, verified]
	mu               sync.RWMutex // guards trusted
	trusted          map[string]trustedKey
	reads            singleflight.Group
}

// trustedKey is a public key that was read by kv.Bucket.Get at a revision of its bucket. Unlike the watch, that read ignores
// messages that auth did not write.
type trustedKey struct {
	revision uint64
	public   ed25519.PublicKey
}

// verified is a token whose form, signature and claims were checked.
type verified struct {
	claims Claims
	keyID  string
}

// keyReadTimeout bounds the read of a key.
const keyReadTimeout = 5 * time.Second

// maxCachedTokens is how many verified tokens are cached. The least recently used one is evicted.
const maxCachedTokens = 100_000

// NewVerifier loads the keys, the revoked sessions and the blocked accounts, and starts watching them.
func NewVerifier(
	ctx context.Context, p *Membership, issuer, audience string, now func() time.Time,
) (*Verifier, error) {
	tokens, err := lru.New[string, verified](maxCachedTokens)
	if err != nil {
		return nil, fmt.Errorf("creating the token cache: %w", err)
	}
	v := &Verifier{
		membership: p, issuer: issuer, audience: audience, now: now,
		misses: rate.NewLimiter(20, 20), tokens: tokens, trusted: map[string]trustedKey{},
	}
	if v.keys, err = kv.Open[subjects.SigningKey](ctx, p.conn.JS, kv.AuthKeys); err != nil {
		return nil, fmt.Errorf("opening the bucket of keys: %w", err)
	}
	if v.keyMap, err = kv.Watch(ctx, v.keys, ">"); err != nil {
		return nil, fmt.Errorf("watching the keys: %w", err)
	}
	v.keyMap.Range(func(e kv.Entry[subjects.SigningKey]) bool {
		_, err = v.read(ctx, e.Key)
		return err == nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the keys: %w", err)
	}
	// A barrier that arrives before the sessions are loaded is not acknowledged, so it is sent again.
	loaded := make(chan struct{})
	p.Handle(BarrierSessions, func(ctx context.Context, b Barrier) error {
		select {
		case <-loaded:
			return v.revoked.WaitRevision(ctx, b.Revision)
		default:
			return errors.New("the revoked sessions are still being loaded")
		}
	})
	revoked, err := kv.Open[subjects.RevokedSession](ctx, p.conn.JS, kv.AuthRevoked)
	if err != nil {
		return nil, fmt.Errorf("opening the bucket of revoked sessions: %w", err)
	}
	if v.revoked, err = kv.Watch(ctx, revoked, ">"); err != nil {
		return nil, fmt.Errorf("watching the revoked sessions: %w", err)
	}
	close(loaded)
	p.OnRejoin(v.revoked.Sync)
	v.blocked, err = WatchBlockedAccounts(ctx, p)
	return v, err
}

// Verify returns a token's claims. The error is CodeUnauthenticated for a token that is invalid, expired, of a revoked session or of a blocked account,
// and CodeUnavailable while this process cannot check it.
func (v *Verifier) Verify(ctx context.Context, token string) (Claims, error) {
	if !v.membership.Live() {
		return Claims{}, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "access tokens cannot be verified at present", RetryAfter: subjects.RetrySoon,
		}
	}
	now := v.now()
	claims, ok := v.cached(token)
	if !ok {
		var err error
		if claims, err = v.parse(ctx, token, now); err != nil {
			v.tokens.Remove(token)
			return Claims{}, err
		}
	}
	if !now.Before(time.Unix(claims.ExpiresAt, 0)) {
		v.tokens.Remove(token)
		return Claims{}, subjects.Errorf(subjects.CodeUnauthenticated, "the access token has expired")
	}
	if v.Revoked(claims.SessionID) || v.revokedWithAll(claims) {
		return Claims{}, subjects.Errorf(subjects.CodeUnauthenticated, "the session has ended")
	}
	if v.blocked.Has(claims.Subject) {
		return Claims{}, subjects.Errorf(subjects.CodeUnauthenticated, "the account is disabled or deleted")
	}
	return claims, nil
}

// Blocked returns the accounts for which nothing may start.
func (v *Verifier) Blocked() *BlockedAccounts { return v.blocked }

// Revoked reports whether a session was revoked, as far as this process knows.
func (v *Verifier) Revoked(sessionID string) bool {
	_, ended := v.revoked.Get(sessionID)
	return ended
}

// AllRevokedUntil returns the time up to which the access tokens of all sessions are revoked, as far as this process knows; zero if
// they are not.
func (v *Verifier) AllRevokedUntil() time.Time {
	all, _ := v.revoked.Get(subjects.EverySession)
	return all.RevokedAt
}

// revokedWithAll reports whether a token's session was revoked with all sessions. IssuedAt has a resolution of seconds.
func (v *Verifier) revokedWithAll(claims Claims) bool {
	return claims.KeyID == "" && claims.IssuedAt <= v.AllRevokedUntil().Unix()
}

// cached returns the cached claims of a token, unless its key was removed since.
func (v *Verifier) cached(token string) (Claims, bool) {
	known, ok := v.tokens.Get(token)
	if ok {
		_, ok = v.keyMap.Get(known.keyID)
	}
	return known.claims, ok
}

func (v *Verifier) parse(ctx context.Context, token string, now time.Time) (Claims, error) {
	var keyID string
	var lookup error
	claims, err := ParseToken(token, v.issuer, v.audience, now, func(kid string) (ed25519.PublicKey, bool) {
		keyID = kid
		key, err := v.key(ctx, kid)
		lookup = err
		return key, key != nil
	})
	if lookup != nil {
		return Claims{}, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "access tokens cannot be verified at present", RetryAfter: subjects.RetrySoon, Cause: lookup,
		}
	}
	if err != nil {
		return Claims{}, &subjects.Error{
			Code: subjects.CodeUnauthenticated, Detail: "the access token is not valid", Cause: err,
		}
	}
	v.tokens.Add(token, verified{claims, keyID})
	return claims, nil
}

// key returns a public key; nil if there is none. A key that was not read at its current revision is read; so is, at a limited
// rate, a key that the watch has not delivered yet, because a token signed with a new key may arrive before it.
func (v *Verifier) key(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	shown, ok := v.keyMap.Entry(kid)
	v.mu.RLock()
	known, read := v.trusted[kid]
	v.mu.RUnlock()
	if ok && read && known.revision == shown.Revision {
		return known.public, nil
	}
	if kid == "" {
		return nil, nil
	}
	// Concurrent lookups of a key share one read, which is not cancelled with the first caller's context.
	public, err, _ := v.reads.Do(kid, func() (any, error) {
		if !ok && !v.misses.Allow() {
			return ed25519.PublicKey(nil), nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyReadTimeout)
		defer cancel()
		return v.read(ctx, kid)
	})
	if err != nil {
		return nil, err
	}
	return public.(ed25519.PublicKey), nil
}

// read reads a key and caches it; nil if auth has written none.
func (v *Verifier) read(ctx context.Context, kid string) (ed25519.PublicKey, error) {
	entry, err := v.keys.Get(ctx, kid)
	if errors.Is(err, kv.ErrUnavailable) {
		return nil, err
	}
	if err != nil || entry.Value.KeyID != kid || len(entry.Value.Public) != ed25519.PublicKeySize {
		return nil, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.trusted[kid] = trustedKey{entry.Revision, entry.Value.Public}
	return entry.Value.Public, nil
}
