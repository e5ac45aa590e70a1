package auth

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

// bounds are what one user may have of what the actor stores.
type bounds struct {
	*quota.Quotas

	apiKeys, passkeys *quota.Bound
}

func newBounds(a *Actor) *bounds {
	b := &bounds{
		apiKeys: &quota.Bound{
			Name: "auth.api_keys_per_user", What: "API keys", Unit: quota.Count, Limit: int64(a.config.APIKeysPerUser), Used: countAPIKeys,
		},
		passkeys: &quota.Bound{
			Name: "auth.passkeys_per_user", What: "passkeys", Unit: quota.Count, Limit: int64(a.config.PasskeysPerUser), Used: countPasskeys,
		},
	}
	sessions := &quota.Bound{
		Name: "auth.sessions_per_user", What: "sessions; one more ends the oldest", Unit: quota.Count, Limit: int64(a.config.SessionsPerUser),
		Used: func(ctx context.Context, _ bun.IDB, userID string) (int64, error) {
			list, err := a.sessions.list(ctx, userID)
			return int64(len(list)), err
		},
	}
	events := &quota.Bound{
		Name: "auth.audit_events_per_user", What: "security events that are listed; one more replaces the oldest", Unit: quota.Count,
		Limit: int64(a.config.AuditEventsPerUser),
	}
	b.Quotas = quota.New(a.DB, a.Metrics, b.apiKeys, b.passkeys, sessions, events)
	return b
}

// getLimits answers with the bounds of the caller.
func (a *Actor) getLimits(ctx context.Context, _ subjects.Empty) (subjects.UserLimits, error) {
	return a.bounds.List(ctx, actors.CallerFrom(ctx).UserID)
}
