package consent

import (
	"context"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

// grantPeriod is the period of consent.max_grants_per_day, which ends now.
const grantPeriod = 24 * time.Hour

// bounds are what one user may do.
type bounds struct {
	*quota.Quotas

	grants          *quota.Bound
	privacyRequests *quota.Bound
}

func newBounds(a *Actor) *bounds {
	grants := &quota.Bound{
		Name: "consent.max_grants_per_day", What: "grants of consent", Unit: quota.Count, Limit: int64(a.config.MaxGrantsPerDay), Period: grantPeriod,
		Used: grantsSince(func() time.Time { return a.Now().Add(-grantPeriod) }),
	}
	requests := &quota.Bound{
		Name: "consent.privacy.max_requests_per_month", What: "privacy requests", Unit: quota.Count, Limit: int64(a.config.Privacy.MaxRequestsPerMonth),
		Period: requestPeriod, Used: requestsSince(func() time.Time { return a.Now().Add(-requestPeriod) }),
	}
	return &bounds{Quotas: quota.New(a.DB, a.Metrics, grants, requests), grants: grants, privacyRequests: requests}
}

// getLimits answers with the bounds of the caller.
func (a *Actor) getLimits(ctx context.Context, _ subjects.Empty) (subjects.UserLimits, error) {
	return a.bounds.List(ctx, actors.CallerFrom(ctx).UserID)
}
