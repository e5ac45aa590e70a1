package workflow

import (
	"context"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// safetyCacheSize is how many providers' actions are remembered, safetyCacheTime for how long: an operator may replace a manifest.
	safetyCacheSize = 256
	safetyCacheTime = time.Minute
)

// actionSafety knows which actions of providers may be repeated.
type actionSafety struct {
	conn  *mesh.Conn
	now   func() time.Time
	known *lru.Cache[string, providerSafety]
}

// providerSafety are the safeties of a provider's actions, and when they were read.
type providerSafety struct {
	actions map[string]egress.Safety
	read    time.Time
}

func newActionSafety(conn *mesh.Conn, now func() time.Time) *actionSafety {
	known, err := lru.New[string, providerSafety](safetyCacheSize)
	if err != nil {
		panic("workflow: a cache's size must be positive")
	}
	return &actionSafety{conn: conn, now: now, known: known}
}

// mayRepeat reports whether an action has the same effect once and several times. An action of which that is not known, or depends
// on its input, has not.
func (s *actionSafety) mayRepeat(ctx context.Context, provider, action, userID string) bool {
	known, ok := s.known.Get(provider)
	if !ok || s.now().Sub(known.read) > safetyCacheTime {
		detail, err := mesh.Call(ctx, s.conn, subjects.GetProvider, subjects.ProviderRequest{Provider: provider}, mesh.As{Service: true, UserID: userID})
		if err != nil {
			return false
		}
		known = providerSafety{actions: make(map[string]egress.Safety, len(detail.Actions)), read: s.now()}
		for _, one := range detail.Actions {
			known.actions[one.ID] = egress.Safety(one.Safety)
		}
		s.known.Add(provider, known)
	}
	return known.actions[action] == egress.Read || known.actions[action] == egress.Idempotent
}
