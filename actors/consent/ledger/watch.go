package ledger

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

// watchInterval is the interval between two looks whether the stream has all entries.
const watchInterval = time.Minute

// RunWatch looks at the start and every minute whether the stream still has every entry of the tree, reports it to Missing, and logs an error if not.
func (l *Ledger) RunWatch(ctx context.Context) error {
	return wait.Repeat(ctx, watchInterval, func(ctx context.Context) error {
		n, err := l.missing(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			l.Log.Warn("looking for entries that the ledger's stream has lost", zap.Error(err))
		case err == nil:
			l.Missing(n)
			if n > 0 {
				l.Log.Error("the ledger's stream has lost entries; `weft ledger verify --records` names the first", zap.Int64("entries", n))
			}
		}
		return nil
	})
}

// missing counts the entries of the tree that the stream does not have: those before its first message and after its last one, and messages that are
// missing between.
func (l *Ledger) missing(ctx context.Context) (int64, error) {
	stream, err := l.JS.Stream(ctx, subjects.Ledger.Name)
	if err != nil {
		return 0, fmt.Errorf("looking at the ledger's stream: %w", err)
	}
	state := stream.CachedInfo().State
	n, err := l.store.leavesOutside(ctx, int64(state.FirstSeq), int64(state.LastSeq))
	return n + int64(state.NumDeleted), err
}
