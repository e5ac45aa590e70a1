package integration

import (
	"context"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/webhook"
	"github.com/weftmesh/weft/subjects"
)

const (
	// keySetLifetime is how long a provider's key set is used.
	keySetLifetime = time.Hour
	// keySetRefresh bounds how often a key set is fetched because it lacks a key.
	keySetRefresh = time.Minute
	maxKeySet     = 256 << 10
	// maxKeySets is how many providers' key sets are kept.
	maxKeySets = 64
)

// hookKeys caches the key sets (RFC 7517) of providers that sign deliveries with tokens, by URL: at most maxKeySets, the least
// recently used one is evicted.
type hookKeys struct {
	client *egress.Client
	now    func() time.Time
	sets   *lru.Cache[string, cachedKeySet]
}

type cachedKeySet struct {
	keys      webhook.KeySet
	fetchedAt time.Time
}

func newHookKeys(client *egress.Client, now func() time.Time) *hookKeys {
	sets, err := lru.New[string, cachedKeySet](maxKeySets)
	if err != nil {
		panic(err) // maxKeySets is not positive
	}
	return &hookKeys{client: client, now: now, sets: sets}
}

// find returns the key set to verify a delivery with; nil if its scheme uses none.
func (k *hookKeys) find(ctx context.Context, s *webhook.Scheme, r webhook.Request) (webhook.KeySet, error) {
	id := s.KeyID(r)
	if s.JWKS == "" || id == "" {
		return nil, nil
	}
	cached, _ := k.sets.Get(s.JWKS)
	age := k.now().Sub(cached.fetchedAt)
	if _, ok := cached.keys[id]; ok && age < keySetLifetime || age < keySetRefresh {
		return cached.keys, nil
	}
	response, err := k.client.Do(ctx, egress.Request{Method: http.MethodGet, URL: s.JWKS, MaxBody: maxKeySet})
	var keys webhook.KeySet
	if err == nil && response.Status == http.StatusOK {
		keys, err = webhook.ParseKeySet(response.Body)
	}
	if keys == nil {
		return nil, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the provider's keys cannot be read right now", RetryAfter: subjects.RetrySoon, Cause: err,
		}
	}
	k.sets.Add(s.JWKS, cachedKeySet{keys, k.now()})
	return keys, nil
}
