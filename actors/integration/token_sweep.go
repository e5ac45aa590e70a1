package integration

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Bounds of one look through the connections.
const (
	sweepTokens   = 100
	sweepTogether = 8
)

// refreshTokens renews access tokens ahead of their end until ctx ends. Of several processes that see one due, one
// renews it, and none waits for another.
func (a *Actor) refreshTokens(ctx context.Context) error {
	tick := time.NewTicker(a.config.Refresh.Every)
	defer tick.Stop()
	for {
		for {
			n, err := a.refreshDue(ctx)
			if err != nil {
				return err
			}
			if n < sweepTokens || ctx.Err() != nil {
				break
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			a.awaitTokens()
			return nil
		}
	}
}

// awaitTokens returns once what providers have been asked for is stored.
func (a *Actor) awaitTokens() {
	a.asking.Lock()
	a.asking.Unlock() //nolint:gocritic,staticcheck // to have had it is all
}

// refreshDue renews what is due now, at most a batch of it, and tells how much that was.
func (a *Actor) refreshDue(ctx context.Context) (int, error) {
	rows, err := dueConnections(ctx, a.DB.DB, a.Now().UnixMicro(), sweepTokens)
	if err != nil {
		return 0, err
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, sweepTogether)
	for _, c := range rows {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			a.refreshAhead(ctx, c)
		})
	}
	wg.Wait()
	return len(rows), nil
}

func (a *Actor) refreshAhead(ctx context.Context, c connectionRow) {
	ctx, cancel := context.WithTimeout(ctx, a.config.Refresh.renewWithin())
	defer cancel()
	p, err := a.provider(c.Provider)
	if err != nil {
		err = errors.Join(err, a.release(ctx, c, ""))
	} else {
		_, _, err = a.tryRenew(ctx, p, c, a.NewID())
	}
	if err != nil && ctx.Err() == nil {
		a.Log.Warn("refreshing an access token ahead of time", zap.String("integration_id", c.ID), zap.String("provider", c.Provider), zap.Error(err))
	}
}
