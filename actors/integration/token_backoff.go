package integration

import (
	"context"
	"errors"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxSweepWait bounds the wait before a failed renewal ahead of expiry is tried again, maxCallWait that before a call tries it.
	maxSweepWait = 15 * time.Minute
	maxCallWait  = time.Minute
	// maxProviderWait bounds a wait that the provider asks for.
	maxProviderWait = time.Hour
)

// release ends a claim after a failure that is not final, and sets when the renewal is tried again: later with each failure in a row,
// and not before the provider's Retry-After. A call that needs the token tries once more at once, because most failures pass, and waits
// from the second failure on.
func (t *tokenRefresher) release(ctx context.Context, c connectionRow, claim string, cause error) error {
	var failed *manifest.TokenError
	asked := time.Duration(0)
	if errors.As(cause, &failed) {
		asked = min(failed.RetryAfter, maxProviderWait)
	}
	sweep := backoff(t.config.Every, c.RefreshFailures, max(maxSweepWait, t.config.Every))
	sweep += time.Duration(t.jitter() * float64(sweep))
	call := time.Duration(0)
	if c.RefreshFailures > 0 {
		call = backoff(time.Second, c.RefreshFailures-1, maxCallWait)
	}
	now := t.Now()
	sweepAt, callAt := now.Add(max(sweep, asked)).UnixMicro(), now.Add(max(call, asked)).UnixMicro()
	return t.DB.RunInTx(context.WithoutCancel(ctx), func(ctx context.Context, tx database.Tx) error {
		return releaseTokens(ctx, tx, c, claim, sweepAt, callAt)
	})
}

// backoff doubles a wait for each earlier failure, up to a limit.
func backoff(wait time.Duration, failures int64, limit time.Duration) time.Duration {
	for range min(failures, 32) {
		if wait >= limit {
			break
		}
		wait *= 2
	}
	return min(wait, limit)
}

// checkBackoff returns an error while a connection's renewal waits after failures.
func (t *tokenRefresher) checkBackoff(c connectionRow) error {
	wait := time.UnixMicro(c.RefreshAfter).Sub(t.Now())
	if wait <= 0 {
		return nil
	}
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: c.Provider + " issues no access token right now; the last requests failed", RetryAfter: wait,
	}
}
