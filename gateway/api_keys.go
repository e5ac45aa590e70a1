package gateway

import (
	"context"
	"crypto/sha256"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxCachedKeys bounds the cached tokens, and separately the cached rejections.
	maxCachedKeys = 10_000
	// maxKeyMargin is how long before its expiry a cached token is dropped; at most a tenth of its lifetime.
	maxKeyMargin = 30 * time.Second
	// rejectionTTL is how long the rejection of a key is cached.
	rejectionTTL = 5 * time.Second
	// maxAPIKey bounds a key, in bytes, as subjects.ExchangeAPIKey does.
	maxAPIKey = 256
)

// apiKeys exchanges API keys for access tokens and caches the results by the key's hash. It does not keep keys.
type apiKeys struct {
	g        *Gateway
	inFlight singleflight.Group
	// tokens and rejections are separate caches, so that invalid keys cannot evict valid ones.
	tokens, rejections keyCache
}

type keyHash [sha256.Size]byte

// keyCache caches results of exchanges until they expire: at most maxCachedKeys, the least recently used one is evicted.
type keyCache struct {
	entries *lru.Cache[keyHash, cachedKey]
}

// cachedKey is the token of a valid key, or has no token for a rejected one.
type cachedKey struct {
	token string
	until time.Time
	// blocks is, for a rejected key, the revision of the blocked accounts that was known before: a later one may have unblocked
	// the key's account.
	blocks uint64
}

func newAPIKeys(g *Gateway) *apiKeys {
	return &apiKeys{g: g, tokens: newKeyCache(), rejections: newKeyCache()}
}

func newKeyCache() keyCache {
	entries, err := lru.New[keyHash, cachedKey](maxCachedKeys)
	if err != nil {
		panic(err) // maxCachedKeys is not positive
	}
	return keyCache{entries}
}

// get returns an entry that has not expired.
func (c keyCache) get(hash keyHash, now time.Time) (cachedKey, bool) {
	entry, ok := c.entries.Get(hash)
	if !ok || !now.Before(entry.until) {
		return cachedKey{}, false
	}
	return entry, true
}

// cached returns the cached token of a key, or whether its rejection is cached.
func (a *apiKeys) cached(hash keyHash) (token string, rejected bool) {
	now := a.g.Now()
	if entry, ok := a.tokens.get(hash, now); ok {
		return entry.token, false
	}
	entry, rejected := a.rejections.get(hash, now)
	return "", rejected && entry.blocks == a.g.Verifier.Blocked().Revision()
}

func (a *apiKeys) cacheToken(hash keyHash, token string, expires time.Time) {
	now := a.g.Now()
	margin := min(maxKeyMargin, expires.Sub(now)/10)
	a.tokens.entries.Add(hash, cachedKey{token: token, until: expires.Add(-margin)})
}

func (a *apiKeys) cacheRejection(hash keyHash, blocks uint64) {
	a.tokens.entries.Remove(hash)
	a.rejections.entries.Add(hash, cachedKey{until: a.g.Now().Add(rejectionTTL), blocks: blocks})
}

// verifiedToken is an access token and its subject.
type verifiedToken struct {
	token  string
	claims mesh.Claims
}

// exchangeAPIKey sets the caller to the user of the request's API key. An invalid key leaves the caller anonymous and sets
// authErr; the returned error is CodeRateLimited, CodeUnavailable or CodeTimeout. A cached token is verified on each use, so
// that a revoked key is rejected at once. If that fails, the key is exchanged again, because the token may be invalid only
// because its signing key was removed.
func (rc *requestContext) exchangeAPIKey(ctx context.Context) error {
	a, hash := rc.g.apiKeys, keyHash(sha256.Sum256([]byte(rc.caller.apiKey)))
	token, rejected := a.cached(hash)
	if token != "" {
		claims, err := rc.g.Verifier.Verify(ctx, token)
		if err == nil {
			rc.caller.token, rc.caller.user, rc.caller.claims = token, claims.Subject, claims
			return nil
		}
		if subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			return err
		}
	}
	if rejected || len(rc.caller.apiKey) > maxAPIKey {
		rc.caller.authErr = subjects.Errorf(subjects.CodeUnauthenticated, "the API key is not valid")
		return nil
	}
	if err := rc.g.limits.takePerIP(ctx, rc); err != nil {
		return err
	}
	verified, err := a.exchange(ctx, hash, rc.caller.apiKey)
	switch subjects.CodeOf(err) {
	case "":
		rc.caller.token, rc.caller.user, rc.caller.claims = verified.token, verified.claims.Subject, verified.claims
		return nil
	case subjects.CodeUnauthenticated:
		rc.caller.authErr = err
		return nil
	}
	return err
}

// exchange calls the auth actor, once for concurrent requests with the same key. A request that is canceled does not cancel
// the exchange for the others.
func (a *apiKeys) exchange(ctx context.Context, hash keyHash, key string) (verifiedToken, error) {
	result := a.inFlight.DoChan(string(hash[:]), func() (any, error) {
		blocks := a.g.Verifier.Blocked().Revision()
		verified, err := a.call(context.WithoutCancel(ctx), hash, key)
		if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
			a.cacheRejection(hash, blocks)
		}
		return verified, err
	})
	select {
	case r := <-result:
		verified, _ := r.Val.(verifiedToken)
		return verified, r.Err
	case <-ctx.Done():
		return verifiedToken{}, &subjects.Error{Code: subjects.CodeTimeout, Detail: "the API key was not exchanged in time", Cause: ctx.Err()}
	}
}

// call exchanges the key, verifies the token and caches it.
func (a *apiKeys) call(ctx context.Context, hash keyHash, key string) (verifiedToken, error) {
	done, err := a.g.breakers[subjects.ExchangeAPIKey.Describe().Actor].allow(ctx, a.g.Conn)
	if err != nil {
		return verifiedToken{}, err
	}
	reply, err := mesh.Call(ctx, a.g.Conn, subjects.ExchangeAPIKey, subjects.ExchangeAPIKeyRequest{Key: key}, mesh.As{Service: true})
	done(err)
	if err != nil {
		return verifiedToken{}, err
	}
	claims, err := a.g.Verifier.Verify(ctx, reply.AccessToken)
	if err != nil {
		return verifiedToken{}, err
	}
	a.cacheToken(hash, reply.AccessToken, time.Unix(claims.ExpiresAt, 0))
	return verifiedToken{token: reply.AccessToken, claims: claims}, nil
}
