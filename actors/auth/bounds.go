package auth

import (
	"context"

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
	count := func(setting, what string, limit int, used quota.Counter) *quota.Bound {
		return &quota.Bound{Name: "auth." + setting, What: what, Unit: quota.Count, Limit: int64(limit), Used: used}
	}
	c, b := a.config, &bounds{}
	b.apiKeys = count("api_keys_per_user", "API keys", c.APIKeysPerUser, countAPIKeys)
	b.passkeys = count("passkeys_per_user", "passkeys", c.PasskeysPerUser, countPasskeys)
	sessions := quota.Elsewhere(func(ctx context.Context, userID string) (int64, error) {
		list, err := a.sessions.list(ctx, userID)
		return int64(len(list)), err
	})
	b.Quotas = quota.New(a.DB, a.Metrics, b.apiKeys, b.passkeys,
		count("sessions_per_user", "sessions; one more ends the oldest", c.SessionsPerUser, sessions),
		count("audit_events_per_user", "security events that are listed; one more replaces the oldest", c.AuditEventsPerUser, nil))
	return b
}

// getLimits answers with the bounds of the caller.
func (a *Actor) getLimits(ctx context.Context, _ subjects.Empty) (subjects.UserLimits, error) {
	return a.bounds.List(ctx, actors.CallerFrom(ctx).UserID)
}
