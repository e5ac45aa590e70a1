package gateway

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxKeptKeys bounds what is known of keys: so many good ones, and so many that were refused.
	maxKeptKeys = 10_000
	// maxKeyMargin is how long before its end a key's token is no longer used; a short-lived one, the last tenth of it.
	maxKeyMargin = 30 * time.Second
	// refusedFor is how long a refusal of a key holds without asking again.
	refusedFor = 5 * time.Second
	// maxAPIKey bounds a key, in bytes, as the endpoint that takes it does.
	maxAPIKey = 256
)

// apiKeys knows what API keys were exchanged for, by hash: never a key itself.
type apiKeys struct {
	g      *Gateway
	asking singleflight.Group
	mu     sync.Mutex
	good   keptKeys
	bad    keptKeys
}

type keyHash [sha256.Size]byte

// keptKeys holds, until a time, the token of a key; of a refused key, none. Refused ones live in a map of their own, so
// that no number of made-up keys drives a good one out.
type keptKeys map[keyHash]keptKey

type keptKey struct {
	token string
	until time.Time
}

func newAPIKeys(g *Gateway) *apiKeys {
	return &apiKeys{g: g, good: keptKeys{}, bad: keptKeys{}}
}

// put keeps one; past the bound another, any, makes room.
func (k keptKeys) put(hash keyHash, kept keptKey) {
	if _, known := k[hash]; !known && len(k) >= maxKeptKeys {
		for other := range k {
			delete(k, other)
			break
		}
	}
	k[hash] = kept
}

// get returns what still holds.
func (k keptKeys) get(hash keyHash, now time.Time) (keptKey, bool) {
	kept, ok := k[hash]
	if ok && !now.Before(kept.until) {
		delete(k, hash)
		return keptKey{}, false
	}
	return kept, ok
}

// known tells the token that a key was exchanged for, or that it was refused a moment ago.
func (a *apiKeys) known(hash keyHash) (token string, refused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.g.Now()
	if kept, ok := a.good.get(hash, now); ok {
		return kept.token, false
	}
	_, refused = a.bad.get(hash, now)
	return "", refused
}

func (a *apiKeys) keep(hash keyHash, token string, ends time.Time) {
	now := a.g.Now()
	margin := min(maxKeyMargin, ends.Sub(now)/10)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.good.put(hash, keptKey{token: token, until: ends.Add(-margin)})
}

func (a *apiKeys) refuse(hash keyHash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.good, hash)
	a.bad.put(hash, keptKey{until: a.g.Now().Add(refusedFor)})
}

// exchanged is a token that has been verified.
type exchanged struct{ token, user string }

// exchangeKey makes the caller the user whose key came. A key that is refused leaves the caller nobody, and says why in
// refused; the error is CodeRateLimited, CodeUnavailable or CodeTimeout. The token is verified on each use, so that a
// revoked key ends at once; one that no longer is valid is exchanged anew, for the case that only a signing key has gone.
func (x *exchange) exchangeKey(ctx context.Context) error {
	a, hash := x.g.keys, keyHash(sha256.Sum256([]byte(x.caller.key)))
	token, refused := a.known(hash)
	if token != "" {
		claims, err := x.g.Verifier.Verify(ctx, token)
		if err == nil {
			x.caller.token, x.caller.user = token, claims.Subject
			return nil
		}
		if subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			return err
		}
	}
	if refused || len(x.caller.key) > maxAPIKey {
		x.caller.refused = subjects.Errorf(subjects.CodeUnauthenticated, "the API key is not valid")
		return nil
	}
	if err := x.g.limits.anyone(ctx, x); err != nil {
		return err
	}
	got, err := a.exchange(ctx, hash, x.caller.key)
	switch subjects.CodeOf(err) {
	case "":
		x.caller.token, x.caller.user = got.token, got.user
		return nil
	case subjects.CodeUnauthenticated:
		x.caller.refused = err
		return nil
	}
	return err
}

// exchange asks auth, once for all who come with the same key meanwhile; none of them going away ends it for the others.
func (a *apiKeys) exchange(ctx context.Context, hash keyHash, key string) (exchanged, error) {
	result := a.asking.DoChan(string(hash[:]), func() (any, error) {
		got, err := a.ask(context.WithoutCancel(ctx), hash, key)
		if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
			a.refuse(hash)
		}
		return got, err
	})
	select {
	case r := <-result:
		got, _ := r.Val.(exchanged)
		return got, r.Err
	case <-ctx.Done():
		return exchanged{}, &subjects.Error{Code: subjects.CodeTimeout, Detail: "no answer in time", Cause: ctx.Err()}
	}
}

func (a *apiKeys) ask(ctx context.Context, hash keyHash, key string) (exchanged, error) {
	done, err := a.g.breakers[subjects.ExchangeAPIKey.Describe().Actor].allow(ctx, a.g.Conn)
	if err != nil {
		return exchanged{}, err
	}
	got, err := mesh.Call(ctx, a.g.Conn, subjects.ExchangeAPIKey, subjects.ExchangeAPIKeyRequest{Key: key}, mesh.As{Service: true})
	done(err)
	if err != nil {
		return exchanged{}, err
	}
	claims, err := a.g.Verifier.Verify(ctx, got.AccessToken)
	if err != nil {
		return exchanged{}, err
	}
	a.keep(hash, got.AccessToken, time.Unix(claims.ExpiresAt, 0))
	return exchanged{token: got.AccessToken, user: claims.Subject}, nil
}
