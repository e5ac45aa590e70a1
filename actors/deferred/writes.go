package deferred

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

const (
	// maxWrites bounds the operations that share a transaction.
	maxWrites = 128
	// writeTimeout bounds one transaction.
	writeTimeout = 10 * time.Second
)

type operation struct {
	run    func(ctx context.Context, tx bun.Tx) error
	result chan error
}

// writes runs operations that come at the same time in one transaction: a thousand messages that fail together cost some ten commits.
type writes struct {
	db *database.DB

	mu      sync.Mutex
	pending []operation
	running bool
}

// do runs an operation and returns once it is committed. It may run more than once, and run is still called if ctx ends first.
func (w *writes) do(ctx context.Context, run func(ctx context.Context, tx bun.Tx) error) error {
	o := operation{run, make(chan error, 1)}
	w.mu.Lock()
	w.pending = append(w.pending, o)
	if !w.running {
		w.running = true
		go w.drain()
	}
	w.mu.Unlock()
	select {
	case err := <-o.result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drain runs what is pending until nothing is.
func (w *writes) drain() {
	for {
		w.mu.Lock()
		batch := w.pending[:min(len(w.pending), maxWrites)]
		w.pending = w.pending[len(batch):]
		if len(batch) == 0 {
			w.pending, w.running = nil, false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		err := w.commit(batch)
		for _, o := range batch {
			if err != nil && len(batch) > 1 && !errors.Is(err, database.ErrUnavailable) {
				o.result <- w.commit([]operation{o}) // one of them is at fault
				continue
			}
			o.result <- err
		}
	}
}

func (w *writes) commit(batch []operation) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return w.db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, o := range batch {
			if err := o.run(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}
