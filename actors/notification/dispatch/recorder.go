package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
)

// recordBatch bounds the attempts of one transaction.
const recordBatch = 512

// The delays after a failed record.
const (
	recordRetryMin = 50 * time.Millisecond
	recordRetryMax = time.Second
)

// item is an attempt, or the refusal of one, that is to be recorded.
type item struct {
	delivery *delivery
	change   change
	outcome  Outcome
}

// recorder stores attempts in batches: those that end while a batch is written are the next one. What cannot be stored is tried again
// before anything else, and no attempt is started until then.
type recorder struct {
	d     *Dispatcher
	wake  wait.Signal
	mu    sync.Mutex
	items []item
}

func newRecorder(d *Dispatcher) *recorder { return &recorder{d: d, wake: wait.NewSignal()} }

func (r *recorder) add(i item) {
	r.mu.Lock()
	r.items = append(r.items, i)
	r.mu.Unlock()
	r.wake.Notify()
}

// take returns the oldest items.
func (r *recorder) take() []item {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.items), recordBatch)
	batch := r.items[:n:n]
	r.items = r.items[n:]
	if len(r.items) == 0 {
		r.items = nil
	}
	return batch
}

// run records until ctx ends, and then what is left for stopGrace.
func (r *recorder) run(ctx context.Context) {
	for ctx.Err() == nil {
		if batch := r.take(); len(batch) > 0 {
			r.retryUntilDone(ctx, batch)
			continue
		}
		_ = r.wake.Wait(ctx, pollEvery)
	}
	last, cancel := database.CleanupContext(ctx, stopGrace)
	defer cancel()
	for batch := r.take(); len(batch) > 0 && last.Err() == nil; batch = r.take() {
		r.retryUntilDone(last, batch)
	}
}

// retryUntilDone records a batch, again and again until ctx ends.
func (r *recorder) retryUntilDone(ctx context.Context, batch []item) {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = recordRetryMin, recordRetryMax
	for failed := false; ; failed = true {
		err := r.write(ctx, batch)
		if err == nil {
			if failed {
				r.d.scheduler.setBlocked(false)
				r.d.poll.Notify()
			}
			break
		}
		r.d.scheduler.setBlocked(true)
		r.d.o.Log.Warn("webhook attempts could not be recorded; no further ones are made until they are", zap.Int("attempts", len(batch)), zap.Error(err))
		if wait.Sleep(ctx, delays.NextBackOff()) != nil {
			r.mu.Lock()
			r.items = append(batch, r.items...)
			r.mu.Unlock()
			return
		}
	}
	done := make([]*delivery, len(batch))
	for i, one := range batch {
		done[i] = one.delivery
	}
	r.d.scheduler.recorded(done)
	r.d.load.Notify()
	r.d.feed.Notify()
}

// write records a batch in one transaction.
func (r *recorder) write(ctx context.Context, batch []item) error {
	changes := make([]change, len(batch))
	for i, one := range batch {
		changes[i] = one.change
	}
	return r.d.store.write(ctx, func(ctx context.Context, tx database.Tx) error {
		changed, err := r.d.store.record(ctx, tx, changes)
		if err != nil || r.d.o.Record == nil {
			return err
		}
		outcomes := make([]Outcome, 0, len(batch))
		for _, one := range batch {
			if one.change.made && changed[one.change.id] {
				outcomes = append(outcomes, one.outcome)
			}
		}
		if len(outcomes) == 0 {
			return nil
		}
		return r.d.o.Record(ctx, tx, outcomes)
	})
}
