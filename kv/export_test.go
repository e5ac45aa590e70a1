package kv

import "time"

// Cells is how many keys the limiter remembers.
func (l *Limiter) Cells() (n int) {
	for i := range l.shards {
		l.shards[i].mu.Lock()
		n += len(l.shards[i].cells)
		l.shards[i].mu.Unlock()
	}
	return n
}

// PaceSlots is how many slots a pacer's period has.
const PaceSlots = paceSlots

// PaceSimulation is a pacer's record without a bucket, at times of the test's own.
type PaceSimulation struct {
	record paceRecord
	limit  int
	period time.Duration
}

// NewPaceSimulation begins with nothing taken.
func NewPaceSimulation(limit int, period time.Duration) *PaceSimulation {
	return &PaceSimulation{limit: limit, period: period}
}

// Take takes what it can get of the wanted and says how many.
func (s *PaceSimulation) Take(at int64, wanted int) int {
	slot := slotOf(at, s.period)
	n := min(wanted, s.record.free(at, slot, s.limit))
	if n > 0 {
		s.record = s.record.take(at, slot, n)
	}
	return n
}

// Wait is how long there is nothing to take.
func (s *PaceSimulation) Wait(at int64) time.Duration {
	return s.record.wait(at, slotOf(at, s.period), s.limit, s.period)
}
