package integration

import (
	"context"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

// day is the period of the bounds of deliveries, which begins at midnight UTC.
const day = 24 * time.Hour

// bounds are what one user may have of what the actor stores.
type bounds struct {
	*quota.Quotas

	connections, objects, deliveries, deliveredBytes *quota.Bound
	// hooks is reserved for a connection in place of a user.
	hooks *quota.Bound
}

func newBounds(d actors.Deps, c Config) *bounds {
	b := &bounds{
		connections: &quota.Bound{
			Name: "integration.max_connections", What: "connections", Unit: quota.Count, Limit: int64(c.MaxConnections), Used: countConnections,
		},
		hooks: &quota.Bound{
			Name: "integration.webhooks.per_connection", What: "hooks of a connection", Unit: quota.Count,
			Limit: int64(c.Webhooks.PerConnection), Used: countHooks,
		},
		objects: &quota.Bound{
			Name: "integration.objects.per_user", What: "bytes of files, each counted with 4 KiB more than its size", Unit: quota.Bytes,
			Limit: c.Objects.PerUser, Used: userUsage,
		},
	}
	today := func() int64 { return dayOf(d.Now()) }
	b.deliveries = &quota.Bound{
		Name: "integration.webhooks.max_deliveries_per_day", What: "deliveries to hooks", Unit: quota.Count,
		Limit: c.Webhooks.MaxDeliveriesPerDay, Period: day, Used: usageOn(today, func(r hookUsageRow) int64 { return r.Deliveries }),
	}
	b.deliveredBytes = &quota.Bound{
		Name: "integration.webhooks.max_bytes_per_day", What: "bytes of events delivered to hooks", Unit: quota.Bytes,
		Limit: c.Webhooks.MaxBytesPerDay, Period: day, Used: usageOn(today, func(r hookUsageRow) int64 { return r.Bytes }),
	}
	hooks := *b.hooks
	hooks.Used = nil // it counts the hooks of a connection
	b.Quotas = quota.New(d.DB, d.Metrics, b.connections, &hooks, b.objects, b.deliveries, b.deliveredBytes)
	return b
}

// countDelivery counts a delivery of so many bytes to a hook of a user. The error refuses it until the day ends.
func (b *bounds) countDelivery(ctx context.Context, tx database.Tx, userID string, bytes int64, now time.Time) error {
	used, err := addHookUsage(ctx, tx, hookUsageRow{UserID: userID, Day: dayOf(now), Deliveries: 1, Bytes: bytes})
	if err != nil {
		return err
	}
	ends := now.Truncate(day).Add(day).Sub(now)
	switch {
	case used.Deliveries > b.deliveries.Limit:
		return b.RefuseFor(b.deliveries, ends)
	case used.Bytes > b.deliveredBytes.Limit:
		return b.RefuseFor(b.deliveredBytes, ends)
	}
	return nil
}

// dayOf returns the day of a time, in days since the Unix epoch.
func dayOf(t time.Time) int64 { return t.Unix() / int64(day/time.Second) }

// getLimits answers with the bounds of the caller.
func (a *Actor) getLimits(ctx context.Context, _ subjects.Empty) (subjects.UserLimits, error) {
	return a.bounds.List(ctx, actors.CallerFrom(ctx).UserID)
}
