package notification

import (
	"context"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

// pruneEvery is the interval of deletions of surplus notifications.
const pruneEvery = time.Minute

// bounds are what one user may have of what the actor stores.
type bounds struct {
	*quota.Quotas

	scheduled, waiting, kept, keptBytes, devices *quota.Bound
	phone                                        phoneBounds

	mu sync.Mutex
	// notified are the users who got a notification from this process since the last prune.
	notified map[string]bool
}

func newBounds(d actors.Deps, c Config, more ...*quota.Bound) *bounds {
	b := &bounds{
		scheduled: &quota.Bound{
			Name: "notification.max_scheduled_per_user", What: "scheduled notifications", Unit: quota.Count,
			Limit: int64(c.MaxScheduledPerUser), Used: countScheduled,
		},
		waiting: &quota.Bound{
			Name: "notification.pipeline.max_waiting_per_user", What: "deliveries that are deferred or batched", Unit: quota.Count,
			Limit: int64(c.Pipeline.MaxWaitingPerUser), Used: countWaiting,
		},
		kept: &quota.Bound{
			Name: "notification.max_kept_per_user", What: "notifications that are kept; one more replaces the oldest", Unit: quota.Count,
			Limit: int64(c.MaxKeptPerUser), Used: countKept,
		},
		keptBytes: &quota.Bound{
			Name: "notification.max_kept_bytes_per_user", What: "bytes of notifications that are kept; more replace the oldest",
			Unit: quota.Bytes, Limit: c.MaxKeptBytesPerUser, Used: keptBytes,
		},
		devices: devicesBound(c.Devices), phone: newPhoneBounds(d, c.Phone), notified: map[string]bool{},
	}
	listed := append([]*quota.Bound{b.scheduled, b.waiting, b.kept, b.keptBytes, b.devices}, b.phone.listed()...)
	b.Quotas = quota.New(d.DB, d.Metrics, append(listed, more...)...)
	return b
}

// note records that a user got a notification.
func (b *bounds) note(userID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notified[userID] = true
}

// take returns the users recorded since the last call.
func (b *bounds) take() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	users := b.notified
	b.notified = map[string]bool{}
	return users
}

// pruneNotifications deletes the surplus notifications of the users who got some, every pruneEvery.
func (a *Actor) pruneNotifications(ctx context.Context) error {
	return wait.Repeat(ctx, pruneEvery, a.prune)
}

func (a *Actor) prune(ctx context.Context) error {
	for userID := range a.bounds.take() {
		for deleted := surplusBatch; deleted == surplusBatch; {
			err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
				deleted, err = a.pruneUser(ctx, tx, userID)
				return err
			})
			if err != nil {
				a.bounds.note(userID)
				return err
			}
		}
	}
	return nil
}

// pruneUser deletes surplus notifications of a user and publishes the unread count, which they may have been part of.
func (a *Actor) pruneUser(ctx context.Context, tx database.Tx, userID string) (deleted int, err error) {
	deleted, err = a.store.deleteSurplus(ctx, tx, userID, a.bounds.kept.Limit, a.bounds.keptBytes.Limit, a.Now().Add(-ratePeriod))
	if err != nil || deleted == 0 {
		return deleted, err
	}
	if err := a.store.lockInbox(ctx, tx, userID); err != nil {
		return deleted, err
	}
	unread, err := a.store.unreadCount(ctx, userID)
	if err != nil {
		return deleted, err
	}
	return deleted, a.publish(ctx, tx, userID, eventUnreadCount, subjects.UnreadCount{UnreadCount: unread})
}

// getLimits answers with the bounds of the caller.
func (a *Actor) getLimits(ctx context.Context, _ subjects.Empty) (subjects.UserLimits, error) {
	return a.bounds.List(ctx, actors.CallerFrom(ctx).UserID)
}
