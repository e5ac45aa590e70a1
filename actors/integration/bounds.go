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

	connections, objects, deliveries, deliveredBytes, minuteBytes *quota.Bound
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
	b.minuteBytes = &quota.Bound{
		Name: "integration.webhooks.max_bytes_per_minute", What: "bytes of events delivered to hooks", Unit: quota.Bytes,
		Limit: c.Webhooks.MaxBytesPerMinute, Period: time.Minute, Used: usageOn(today, func(r hookUsageRow) int64 {
			if r.Minute != minuteOf(d.Now()) {
				return 0
			}
			return r.MinuteBytes
		}),
	}
	hooks := *b.hooks
	hooks.Used = nil // it counts the hooks of a connection
	b.Quotas = quota.New(d.DB, d.Metrics, b.connections, &hooks, b.objects, b.deliveries, b.deliveredBytes, b.minuteBytes)
	return b
}

// countDelivery counts a delivery of so many bytes to a hook of a user. The error refuses it until the day or the minute ends.
func (b *bounds) countDelivery(ctx context.Context, tx database.Tx, userID string, bytes int64, now time.Time) error {
	used, err := addHookUsage(ctx, tx, hookUsageRow{UserID: userID, Day: dayOf(now)}.with(bytes, now))
	if err != nil {
		return err
	}
	return b.refuseDelivery(used, now)
}

// refuseDelivery returns the error of a delivery with which the hooks of a user have received too much.
func (b *bounds) refuseDelivery(used hookUsageRow, now time.Time) error {
	ends := now.Truncate(day).Add(day).Sub(now)
	switch {
	case used.Deliveries > b.deliveries.Limit:
		return b.RefuseFor(b.deliveries, ends)
	case used.Bytes > b.deliveredBytes.Limit:
		return b.RefuseFor(b.deliveredBytes, ends)
	case used.MinuteBytes > b.minuteBytes.Limit:
		return b.RefuseFor(b.minuteBytes, now.Truncate(time.Minute).Add(time.Minute).Sub(now))
	}
	return nil
}

// dayOf returns the day of a time, in days since the Unix epoch.
func dayOf(t time.Time) int64 { return t.Unix() / int64(day/time.Second) }

// minuteOf returns the minute of a time, in minutes since the Unix epoch.
func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// getLimits answers with the bounds of the caller.
func (a *Actor) getLimits(ctx context.Context, _ subjects.Empty) (subjects.UserLimits, error) {
	return a.bounds.List(ctx, actors.CallerFrom(ctx).UserID)
}
