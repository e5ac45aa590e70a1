package integration

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
)

// Bounds of the log's memory and of its batches.
const (
	maxPendingCalls = 4096
	callBatch       = 200
	callLinger      = 20 * time.Millisecond
	callFlushWithin = 5 * time.Second
)

// callLog writes the table calls asynchronously, in batches, a few milliseconds late. Reads call flush first, and so see
// every call whose reply was sent before. A process that is killed loses the calls of the last milliseconds.
type callLog struct {
	db      *database.DB
	config  CallsConfig
	now     func() time.Time
	wake    chan struct{}
	writing chan struct{} // holds one token: the right to write
	mu      sync.Mutex
	pending []callRow
	stopped bool
}

func newCallLog(d actors.Deps, c CallsConfig) *callLog {
	l := &callLog{db: d.DB, config: c, now: d.Now, wake: make(chan struct{}, 1), writing: make(chan struct{}, 1)}
	l.writing <- struct{}{}
	return l
}

// add logs a call. It waits for the database only if run has ended or too many calls are pending.
func (l *callLog) add(row callRow) error {
	l.mu.Lock()
	l.pending = append(l.pending, row)
	direct := l.stopped || len(l.pending) >= maxPendingCalls
	l.mu.Unlock()
	if direct {
		ctx, cancel := context.WithTimeout(context.Background(), callFlushWithin)
		defer cancel()
		return l.flush(ctx)
	}
	l.notify()
	return nil
}

// flush writes every call that was added before it. Calls that could not be written stay pending; beyond maxPendingCalls
// the oldest are dropped.
func (l *callLog) flush(ctx context.Context) error {
	select {
	case <-l.writing:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { l.writing <- struct{}{} }()
	for {
		l.mu.Lock()
		n := min(len(l.pending), callBatch)
		rows := l.pending[:n:n]
		l.pending = l.pending[n:]
		l.mu.Unlock()
		if n == 0 {
			return nil
		}
		if err := l.write(ctx, rows); err != nil {
			l.putBack(rows)
			return err
		}
	}
}

func (l *callLog) write(ctx context.Context, rows []callRow) error {
	return l.db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return insertCalls(ctx, tx, rows) })
}

func (l *callLog) putBack(rows []callRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Concat(rows, l.pending)
	l.pending = all[max(0, len(all)-maxPendingCalls):]
	l.notify()
}

func (l *callLog) notify() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run writes pending calls until ctx ends. Calls that are added after that are written one by one.
func (l *callLog) run(ctx context.Context) error {
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return l.stop()
		}
		select {
		case <-time.After(callLinger):
		case <-ctx.Done():
			return l.stop()
		}
		if err := l.flush(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (l *callLog) stop() error {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), callFlushWithin)
	defer cancel()
	return l.flush(ctx)
}

// sweepBatch is how many rows one transaction of a sweep processes.
const sweepBatch = 1000

// sweep applies the log's retention until ctx ends.
func (l *callLog) sweep(ctx context.Context) error {
	return wait.Repeat(ctx, l.config.SweepEvery, l.sweepOnce)
}

func (l *callLog) sweepOnce(ctx context.Context) error {
	before := l.now().Add(-l.config.KeepFor).UnixMicro()
	err := l.db.InBatches(ctx, sweepBatch, func(ctx context.Context, tx database.Tx) (int64, error) {
		return deleteCallsBefore(ctx, tx, before, sweepBatch)
	})
	if err != nil {
		return err
	}
	// A connection without new calls has no more than at the last sweep, which another process may have made.
	rows, err := connectionsWithMoreCalls(ctx, l.db.DB, l.now().Add(-max(2*l.config.SweepEvery, time.Hour)).UnixMicro(), l.config.KeepNewest)
	if err != nil {
		return err
	}
	for _, of := range rows {
		err := l.db.InBatches(ctx, sweepBatch, func(ctx context.Context, tx database.Tx) (int64, error) {
			return deleteAllButNewestCalls(ctx, tx, of, l.config.KeepNewest, sweepBatch)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
