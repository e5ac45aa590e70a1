package auth

import (
	"context"
	"time"
)

// repeat calls f at once and then once per interval until ctx ends. It returns the first error of f, or nil if ctx has
// ended.
func repeat(ctx context.Context, interval time.Duration, f func(context.Context) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
