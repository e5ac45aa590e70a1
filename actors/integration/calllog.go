package integration

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of the log's memory and of its batches.
const (
	maxPendingCalls = 4096
	callBatch       = 200
	callLinger      = 20 * time.Millisecond
	callFlushWithin = 5 * time.Second
)

// callLog writes the log of calls behind the answers' backs: many rows a transaction, some milliseconds late.
// Its owner's reads go through flush and so see what was answered before. Killed, a process loses the last
// moments of the log and nothing else.
type callLog struct {
	write   func(context.Context, []callRow) error
	wake    chan struct{}
	writing chan struct{} // holds one token: the right to write
	mu      sync.Mutex
	pending []callRow
	stopped bool
}

func newCallLog(write func(context.Context, []callRow) error) *callLog {
	l := &callLog{write: write, wake: make(chan struct{}, 1), writing: make(chan struct{}, 1)}
	l.writing <- struct{}{}
	return l
}

// add logs a call. It waits for the database only where the loop has ended or cannot follow.
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
	l.poke()
	return nil
}

// flush returns once every call logged before it is in the database. What could not be written stays pending, up to
// the bound: then the oldest goes.
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

func (l *callLog) putBack(rows []callRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Concat(rows, l.pending)
	l.pending = all[max(0, len(all)-maxPendingCalls):]
	l.poke()
}

func (l *callLog) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx ends; calls that are logged after that are written one by one.
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
