package integration

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/webhook"
	"github.com/weftmesh/weft/subjects"
)

// How long a vendor's key set is believed, and how often one is asked for because of a key that it does not have.
const (
	keySetLife    = time.Hour
	keySetRefresh = time.Minute
	maxKeySet     = 256 << 10
)

// hookKeys holds the key sets of vendors that sign deliveries with tokens.
type hookKeys struct {
	client *egress.Client
	now    func() time.Time
	mu     sync.Mutex
	sets   map[string]heldKeys
}

type heldKeys struct {
	keys webhook.KeySet
	at   time.Time
}

func newHookKeys(client *egress.Client, now func() time.Time) *hookKeys {
	return &hookKeys{client: client, now: now, sets: map[string]heldKeys{}}
}

// find is the key set that a delivery is verified with; nil where its scheme has none.
func (k *hookKeys) find(ctx context.Context, s *webhook.Scheme, r webhook.Request) (webhook.KeySet, error) {
	id := s.KeyID(r)
	if s.JWKS == "" || id == "" {
		return nil, nil
	}
	k.mu.Lock()
	held := k.sets[s.JWKS]
	k.mu.Unlock()
	age := k.now().Sub(held.at)
	if _, there := held.keys[id]; there && age < keySetLife || age < keySetRefresh {
		return held.keys, nil
	}
	response, err := k.client.Do(ctx, egress.Request{Method: http.MethodGet, URL: s.JWKS, MaxBody: maxKeySet})
	var keys webhook.KeySet
	if err == nil && response.Status == http.StatusOK {
		keys, err = webhook.ParseKeySet(response.Body)
	}
	if keys == nil {
		return nil, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the provider's keys cannot be read right now", RetryAfter: time.Second, Cause: err,
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sets[s.JWKS] = heldKeys{keys, k.now()}
	return keys, nil
}
