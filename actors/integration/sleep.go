package integration

import (
	"context"
	"time"

	"github.com/weftmesh/weft/actors/wait"
)

// sleep waits for a duration. It returns false if ctx ends first, at once if ctx's deadline is too early.
func sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	return wait.Sleep(ctx, d) == nil
}
