package outbox

import (
	"context"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
)

const (
	// settlePoll is the interval at which Settle looks at the table, settleWait how long it does.
	settlePoll = 20 * time.Millisecond
	settleWait = 5 * time.Second
)

// Settle returns once the messages that were committed before the call are published and their rows deleted. An erasure calls it before it purges
// streams and scrubs the database's files. The error is database.ErrUnavailable where that takes longer than five seconds.
func (o *Outbox) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	since := o.cfg.Now()
	for {
		count, oldest, err := o.Pending(ctx)
		if err != nil {
			return err
		}
		if count == 0 || oldest < o.cfg.Now().Sub(since) {
			return nil
		}
		if wait.Sleep(ctx, settlePoll) != nil {
			return database.ErrUnavailable
		}
	}
}
