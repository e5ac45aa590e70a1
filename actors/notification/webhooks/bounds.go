package webhooks

import (
	"context"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/quota"
)

const (
	// pendingFresh is how long a count of pending deliveries is used; what this process adds meanwhile is added to it. The bound is
	// therefore exceeded by at most what the other processes add in that time.
	pendingFresh = 5 * time.Second
	// pendingUsers is how many counts a process keeps.
	pendingUsers = 10_000
)

// webhookBounds are what one user may have of webhooks and their deliveries.
type webhookBounds struct {
	webhooks, pending, deliveries, bytes *quota.Bound

	db  *database.DB
	now func() time.Time

	mu     sync.Mutex
	counts map[string]pendingCount
}

type pendingCount struct {
	n  int64
	at time.Time
}

func newWebhookBounds(d actors.Deps, c Config) *webhookBounds {
	today := func() int64 { return usageDay(d.Now()) }
	return &webhookBounds{
		webhooks: &quota.Bound{
			Name: "notification.webhooks.per_user", What: "webhooks", Unit: quota.Count, Limit: int64(c.PerUser), Used: countWebhooks,
		},
		pending: &quota.Bound{
			Name: "notification.webhooks.max_pending_per_user", What: "deliveries to webhooks that wait; further events are dropped", Unit: quota.Count,
			Limit: int64(c.MaxPendingPerUser), Used: countPendingDeliveries,
		},
		deliveries: &quota.Bound{
			Name: "notification.webhooks.max_deliveries_per_day", What: "deliveries to webhooks; further events are dropped", Unit: quota.Count,
			Limit: c.MaxDeliveriesPerDay, Period: 24 * time.Hour, Used: webhookUsage(today, func(r webhookUsageRow) int64 { return r.Deliveries }),
		},
		bytes: &quota.Bound{
			Name: "notification.webhooks.max_bytes_per_day", What: "bytes of events for webhooks; further events are dropped", Unit: quota.Bytes,
			Limit: c.MaxBytesPerDay, Period: 24 * time.Hour, Used: webhookUsage(today, func(r webhookUsageRow) int64 { return r.Bytes }),
		},
		db: d.DB, now: d.Now, counts: map[string]pendingCount{},
	}
}

// Bounds are what one user may have, in the order in which they are listed.
func (w *Service) Bounds() []*quota.Bound {
	b := w.bounds
	return []*quota.Bound{b.webhooks, b.pending, b.deliveries, b.bytes}
}

// mayWait reports whether a user may have more pending deliveries.
func (b *webhookBounds) mayWait(ctx context.Context, userID string, adding int64) (bool, error) {
	now := b.now()
	b.mu.Lock()
	count, ok := b.counts[userID]
	b.mu.Unlock()
	if !ok || now.Sub(count.at) > pendingFresh {
		n, err := countPendingDeliveries(ctx, b.db.DB, userID)
		if err != nil {
			return false, err
		}
		count = pendingCount{n: n, at: now}
	}
	allowed := count.n+adding <= b.pending.Limit
	if allowed {
		count.n += adding
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.counts) >= pendingUsers {
		b.counts = map[string]pendingCount{}
	}
	b.counts[userID] = count
	return allowed, nil
}
