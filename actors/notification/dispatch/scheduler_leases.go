package dispatch

import (
	"slices"
	"time"
)

// idle returns queues that have had nothing to do for some time. They are not loaded until closeIdle.
func (s *scheduler) idle(after time.Duration) (list []*queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if len(q.have) == 0 && q.inFlight == 0 && !q.more && !q.loading && !q.offered && time.Since(q.usedAt) >= after {
			q.loading, q.again = true, false
			list = append(list, q)
		}
	}
	return list
}

// closeIdle removes idle queues whose leases have ended, unless there is something to do for them again.
func (s *scheduler) closeIdle(list []*queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range list {
		q.loading, q.leasedUntil = false, time.Time{}
		if q.more {
			s.want(q)
			continue
		}
		delete(s.queues, q.id)
		delete(s.wanting, q)
	}
}

// lease sets the end of the leases of queues.
func (s *scheduler) lease(list []*queue, got []string, until time.Time) (without []*queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range list {
		if slices.Contains(got, q.id) {
			if len(q.ready) > 0 && time.Now().After(q.leasedUntil) { // another process may have had it since
				s.unloadLocked(q)
			}
			q.leasedUntil = until
		} else {
			without = append(without, q)
		}
	}
	return without
}

// forgetQueues removes queues that another process has leased. Attempts in flight end as usual.
func (s *scheduler) forgetQueues(list []*queue) {
	for _, q := range list {
		s.unload(q)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range list {
		q.loading, q.more, q.leasedUntil = false, false, time.Time{}
	}
}

// unleased returns queues whose lease is to be taken before they are loaded.
func (s *scheduler) unleased(list []*queue) (without []*queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range list {
		if time.Until(q.leasedUntil) <= s.margin {
			without = append(without, q)
		}
	}
	return without
}

// leasedQueues returns the queues with a lease.
func (s *scheduler) leasedQueues() (list []*queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if !q.leasedUntil.IsZero() {
			list = append(list, q)
		}
	}
	return list
}
