package kv

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Cells returns the number of keys that the limiter has state for.
func (l *Limiter) Cells() (n int) {
	for i := range l.shards {
		l.shards[i].mu.Lock()
		n += len(l.shards[i].cells)
		l.shards[i].mu.Unlock()
	}
	return n
}

// PaceSlots is the number of slots in a pacer's period.
const PaceSlots = paceSlots

// PaceSimulation is a pacer's record without a bucket, on a simulated clock.
type PaceSimulation struct {
	record paceRecord
	limit  int
	period time.Duration
}

// NewPaceSimulation returns a simulation in which no token is taken.
func NewPaceSimulation(limit int, period time.Duration) *PaceSimulation {
	return &PaceSimulation{limit: limit, period: period}
}

// Take takes up to wanted tokens and returns how many it got.
func (s *PaceSimulation) Take(at int64, wanted int) int {
	slot := slotOf(at, s.period)
	n := min(wanted, s.record.free(at, slot, s.limit))
	if n > 0 {
		s.record = s.record.take(at, slot, n)
	}
	return n
}

// Wait returns how long no token can be taken.
func (s *PaceSimulation) Wait(at int64) time.Duration {
	return s.record.wait(at, slotOf(at, s.period), s.limit, s.period)
}

// Hold applies a statement of the enforcer.
func (s *PaceSimulation) Hold(at int64, left int, lasts time.Duration) {
	if h := (paceHold{Until: at + int64(lasts), Left: left}); !s.record.holds(h) {
		s.record = s.record.hold(at, h)
	}
}

// Create creates every bucket and object store of the mesh that does not exist.
func Create(ctx context.Context, js jetstream.JetStream, replicas int) error {
	if err := CreateSpecs(ctx, js, replicas, All()...); err != nil {
		return err
	}
	for _, spec := range ObjectStores() {
		if err := createStream(ctx, js, spec, replicas); err != nil {
			return err
		}
	}
	return nil
}
