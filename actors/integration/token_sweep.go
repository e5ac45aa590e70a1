package integration

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/mesh"
)

const (
	// refreshBatch is how many due connections one search returns.
	refreshBatch = 100
	// refreshConcurrency is how many of them are renewed concurrently.
	refreshConcurrency = 8
)

// run renews access tokens before they expire, until ctx ends. If several processes find the same token due, one renews it,
// and the others do not wait for it. run returns once the tokens that have been requested are stored.
func (t *tokenRefresher) run(ctx context.Context) error {
	tick := time.NewTicker(t.config.Every)
	defer tick.Stop()
	for {
		for {
			n, err := t.renewDue(ctx)
			if err != nil {
				return err
			}
			if n < refreshBatch || ctx.Err() != nil {
				break
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.awaitInFlight()
			return nil
		}
	}
}

// awaitInFlight returns once the tokens that have been requested are stored.
func (t *tokenRefresher) awaitInFlight() {
	t.inFlight.Lock()
	t.inFlight.Unlock() //nolint:gocritic,staticcheck // acquiring it waits for the readers
}

// renewDue renews the tokens that are due, up to refreshBatch, and returns how many there were.
func (t *tokenRefresher) renewDue(ctx context.Context) (int, error) {
	rows, err := connectionsToRefresh(ctx, t.DB.DB, t.Now().UnixMicro(), refreshBatch)
	if err != nil {
		return 0, err
	}
	var renewals errgroup.Group
	renewals.SetLimit(refreshConcurrency)
	for _, c := range rows {
		renewals.Go(func() error {
			err := mesh.Recovered(func() error { t.renewAhead(ctx, c); return nil })
			if err != nil { // the others are renewed
				t.Log.Error("renewing an access token ahead of expiry", zap.String("integration_id", c.ID), zap.Error(err))
			}
			return nil
		})
	}
	_ = renewals.Wait() // no function returns an error
	return len(rows), nil
}

func (t *tokenRefresher) renewAhead(ctx context.Context, c connectionRow) {
	ctx, cancel := context.WithTimeout(ctx, t.config.renewWithin())
	defer cancel()
	p, err := t.registry.find(c.Provider)
	switch {
	case t.Guard.Blocked(c.UserID): // renewed once the account is enabled, or at the next use
		err = t.release(ctx, c, "", nil)
	case err != nil:
		err = errors.Join(err, t.release(ctx, c, "", err))
	default:
		_, _, err = t.tryRenew(ctx, p, c, t.NewID())
	}
	if err != nil && ctx.Err() == nil {
		t.Log.Warn("renewing an access token ahead of expiry", zap.String("integration_id", c.ID), zap.String("provider", c.Provider), zap.Error(err))
	}
}
