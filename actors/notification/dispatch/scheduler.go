package dispatch

import (
	"sync"
	"time"
)

// Bounds of a process.
const (
	// maxQueues bounds the endpoints with loaded deliveries, maxLoaded the deliveries that wait for an attempt.
	maxQueues = 4096
	maxLoaded = 32 << 10
	// maxUnrecorded bounds the attempts that were made and not recorded.
	maxUnrecorded = 2048
)

// slots are the attempts in flight: of a process, or of one user.
type slots struct{ fast, slow int }

// scheduler decides which attempt is made next. It holds what is loaded, and neither reads the database nor makes attempts.
//
// Attempts that take a second and more have slots of their own, as have those to endpoints whose last attempt failed or was slow. So
// endpoints that do not answer leave the slots of the others free, after a second at the latest. A user has at most three quarters of
// the fast slots and a quarter of the slow ones.
type scheduler struct {
	mu     sync.Mutex
	queues map[string]*queue
	// wanting are queues of which deliveries may have to be loaded.
	wanting map[*queue]struct{}
	users   map[string]*slots
	used    slots
	limits  slots
	fast    ring
	slow    ring
	// loaded is the number of deliveries that wait for an attempt, unrecorded of those whose attempt is not recorded.
	loaded, unrecorded int
	// blocked means that attempts cannot be recorded, stopped that no more are made.
	blocked, stopped bool
	// leased means that attempts need a lease.
	leased bool
	// margin is how long a lease must last for an attempt to start.
	margin time.Duration
}

func newScheduler(fast int, leased bool, margin time.Duration) *scheduler {
	return &scheduler{
		queues: map[string]*queue{}, wanting: map[*queue]struct{}{}, users: map[string]*slots{}, limits: slots{fast: fast, slow: 2 * fast},
		fast: newRing(), slow: newRing(), leased: leased, margin: margin,
	}
}

// wake notes that endpoints may have due deliveries that are not loaded. It returns false if there is no room for all of them.
func (s *scheduler) wake(endpointIDs ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := true
	for _, id := range endpointIDs {
		q := s.queues[id]
		if q == nil {
			if len(s.queues) >= maxQueues {
				all = false
				continue
			}
			q = &queue{id: id, have: map[string]struct{}{}, limit: startPerEndpoint, usedAt: time.Now()}
			s.queues[id] = q
		}
		s.want(q)
		q.again = q.again || q.loading
	}
	return all
}

// append adds a delivery to those that wait for an attempt. The caller holds the lock.
func (s *scheduler) append(q *queue, row deliveryRow) {
	q.have[row.ID] = struct{}{}
	q.ready = append(q.ready, &delivery{
		id: row.ID, eventID: row.EventID, eventType: row.Type, ordering: row.Ordering, attempts: row.Attempts, base: row.Base, queue: q,
	})
	q.usedAt = time.Now()
	s.loaded++
}

// want notes that a queue may have due deliveries that are not loaded. The caller holds the lock.
func (s *scheduler) want(q *queue) {
	q.more = true
	s.wanting[q] = struct{}{}
}

// startable reports whether an attempt of the queue may be started.
func (s *scheduler) startable(q *queue, now time.Time) bool {
	return len(q.ready) > 0 && q.inFlight < q.limit && !now.Before(q.pausedUntil) && (!s.leased || time.Until(q.leasedUntil) > s.margin)
}

// offer puts a queue into its ring, if an attempt of it may be started. The caller holds the lock.
func (s *scheduler) offer(q *queue, now time.Time) {
	switch {
	case q.offered || !s.startable(q, now):
	case q.failing:
		s.slow.push(q)
	default:
		s.fast.push(q)
	}
}

// offerAll offers every queue: a pause or a lease may have changed.
func (s *scheduler) offerAll(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		s.offer(q, now)
		if q.more {
			s.want(q)
		}
	}
}

// pick returns deliveries whose attempts are started now, at most n.
func (s *scheduler) pick(n int, now time.Time) (list []*delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(list) < n && !s.blocked && !s.stopped && s.unrecorded < maxUnrecorded {
		q := s.nextQueue(now)
		if q == nil {
			break
		}
		d := q.ready[0]
		q.ready[0], q.ready = nil, q.ready[1:]
		s.loaded--
		q.inFlight++
		q.usedAt = time.Now()
		d.slow = q.failing
		s.take(q.userID, d.slow, 1)
		s.offer(q, now)
		if q.more && q.low() {
			s.want(q)
		}
		list = append(list, d)
	}
	return list
}

// nextQueue takes the queue whose turn it is: a fast one while there are slots for them, else a slow one.
func (s *scheduler) nextQueue(now time.Time) *queue {
	accepts := func(slow bool) func(q *queue) bool {
		return func(q *queue) bool {
			if s.startable(q, now) && q.failing == slow {
				return true
			}
			s.offer(q, now) // into the other ring
			return false
		}
	}
	if s.used.fast < s.limits.fast && s.used.fast+s.used.slow < s.limits.fast+2*s.limits.slow {
		share := max(1, s.limits.fast*3/4)
		if q := s.fast.next(func(user string) bool { return s.of(user).fast < share }, accepts(false)); q != nil {
			return q
		}
	}
	if s.used.slow < s.limits.slow {
		share := max(1, s.limits.slow/4)
		return s.slow.next(func(user string) bool { return s.of(user).slow < share }, accepts(true))
	}
	return nil
}

func (s *scheduler) of(userID string) slots {
	if u := s.users[userID]; u != nil {
		return *u
	}
	return slots{}
}

// take changes the slots in use by n. The caller holds the lock.
func (s *scheduler) take(userID string, slow bool, n int) {
	u := s.users[userID]
	if u == nil {
		u = &slots{}
		s.users[userID] = u
	}
	if slow {
		u.slow += n
		s.used.slow += n
	} else {
		u.fast += n
		s.used.fast += n
	}
	if *u == (slots{}) {
		delete(s.users, userID)
	}
}

// slowed moves an attempt that takes long to the slow slots. Its endpoint is failing until it answers in time.
func (s *scheduler) slowed(d *delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.done {
		return
	}
	s.fails(d.queue)
	if !d.slow {
		s.take(d.queue.userID, false, -1)
		s.take(d.queue.userID, true, 1)
		d.slow = true
	}
}

// fails marks the endpoint of a queue as failing, and forgets most of its backlog where memory is short: it is loaded again in small parts.
func (s *scheduler) fails(q *queue) {
	q.failing = true
	if s.loaded > maxLoaded/2 && len(q.ready) > fewRows && !q.loading {
		s.unloadLocked(q)
	}
}

// ended says how an attempt ended.
type ended struct {
	made, ok, slow bool
	pausedUntil    time.Time
}

// finished frees the slot of an attempt. It counts as not recorded until recorded is called.
func (s *scheduler) finished(d *delivery, e ended, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := d.queue
	s.take(q.userID, d.slow, -1)
	d.done = true
	q.inFlight--
	s.unrecorded++
	q.usedAt = time.Now()
	if e.made {
		q.failing = !e.ok || e.slow
		if e.ok {
			q.proven = true
			q.limit = min(2*q.limit, maxPerEndpoint)
		} else {
			q.limit = max(q.limit/2, 1)
		}
		if q.failing {
			s.fails(q)
		}
	}
	if e.pausedUntil.After(q.pausedUntil) {
		q.pausedUntil = e.pausedUntil
	}
	s.offer(q, now)
}

// released frees the slot of an attempt that was not made, and forgets the delivery, which is loaded again later.
func (s *scheduler) released(list ...*delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range list {
		s.take(d.queue.userID, d.slow, -1)
		d.done = true
		d.queue.inFlight--
		s.want(d.queue)
		delete(d.queue.have, d.id)
	}
}

// recorded forgets deliveries whose attempts were recorded. The next one of an ordering key can be loaded then.
func (s *scheduler) recorded(list []*delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range list {
		q := d.queue
		s.unrecorded--
		delete(q.have, d.id)
		if q.loading {
			if q.stale == nil {
				q.stale = map[string]struct{}{}
			}
			q.stale[d.id] = struct{}{}
		}
		if d.ordering != "" {
			s.want(q)
			q.again = q.again || q.loading
		}
	}
}

// unload forgets the deliveries of a queue that wait for an attempt.
func (s *scheduler) unload(q *queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unloadLocked(q)
}

func (s *scheduler) unloadLocked(q *queue) {
	for _, d := range q.ready {
		delete(q.have, d.id)
	}
	s.loaded -= len(q.ready)
	q.ready, q.afterDue, q.afterID, q.afterKey = nil, 0, "", ""
	s.want(q)
}

// setBlocked stops attempts while they cannot be recorded, and lets them continue.
func (s *scheduler) setBlocked(blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocked = blocked
}

// stop lets no further attempt start.
func (s *scheduler) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

// get returns the queue of an endpoint that has anything loaded; nil if there is none.
func (s *scheduler) get(endpointID string) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queues[endpointID]
}
