package dispatch

import (
	"sync"
	"time"
)

// Bounds of one endpoint.
const (
	// maxPerEndpoint bounds the attempts to an endpoint at a time. An endpoint starts with startPerEndpoint; a success doubles its bound,
	// a failure halves it.
	maxPerEndpoint   = 8
	startPerEndpoint = 2
	// loadRows is how many deliveries are loaded at a time, and loadBelow when the next ones are loaded.
	loadRows  = 64
	loadBelow = 32
	// fewRows and fewBelow are the same for an endpoint that is failing, or has taken none: so the backlogs of maxQueues of them leave room
	// in maxLoaded.
	fewRows  = 4
	fewBelow = 2
	// loadKeys is how many ordering keys are looked at in one load.
	loadKeys = 256
)

// slowAfter is when an attempt is slow, and no longer has one of the slots of fast ones.
const slowAfter = time.Second

// delivery is a loaded delivery: it waits for its attempt, is being attempted, or its attempt is being recorded.
type delivery struct {
	id, eventID, eventType, ordering string
	attempts, base                   int
	queue                            *queue
	// slow means that its attempt has a slot for slow ones.
	slow bool
	// done means that its attempt has ended.
	done bool
}

// queue is what is loaded of one endpoint. The scheduler's lock protects all but target.
type queue struct {
	id, userID string
	// ready are loaded deliveries without an attempt; have are all that are loaded, by id.
	ready []*delivery
	have  map[string]struct{}
	// loads counts the loads.
	loads int
	// stale are the deliveries that were recorded during the present load: what it reads of them may be older.
	stale map[string]struct{}
	// inFlight is the number of its attempts, limit their bound.
	inFlight, limit int
	// failing means that its last attempt failed or was slow.
	failing bool
	// proven means that an attempt has succeeded.
	proven bool
	// more means that the database may have due deliveries that are not loaded, again that some were added during a load.
	more, again, loading bool
	// afterDue and afterID are the position of the last loaded delivery, afterKey of the last ordering key.
	afterDue          int64
	afterID, afterKey string
	pausedUntil       time.Time
	// leasedUntil is the end of this process's lease, by the monotonic clock.
	leasedUntil time.Time
	// usedAt is when it last had anything to do, by the monotonic clock.
	usedAt time.Time
	// keptChecked means that no delivery of it is kept.
	keptChecked bool
	// ordered is whether deliveries were loaded in the order of their keys.
	ordered bool
	// offered means that it is in one of the scheduler's rings.
	offered bool

	target cachedTarget
}

// rows returns how many deliveries are loaded at a time.
func (q *queue) rows() int {
	if q.failing || !q.proven {
		return fewRows
	}
	return loadRows
}

// low reports whether the next deliveries are to be loaded.
func (q *queue) low() bool {
	if q.failing || !q.proven {
		return len(q.ready) < fewBelow
	}
	return len(q.ready) < loadBelow
}

// cachedTarget is an endpoint's state, which is read again after a second.
type cachedTarget struct {
	mu     sync.Mutex
	value  *target
	readAt time.Time
}

// forget has the endpoint read again before the next attempt.
func (c *cachedTarget) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value = nil
}

// ring has the queues with a delivery to attempt. Users take turns, and so do the endpoints of each.
type ring struct {
	users  []*userRing
	byUser map[string]*userRing
}

type userRing struct {
	userID string
	queues []*queue
}

func newRing() ring { return ring{byUser: map[string]*userRing{}} }

func (r *ring) push(q *queue) {
	u := r.byUser[q.userID]
	if u == nil {
		u = &userRing{userID: q.userID}
		r.byUser[q.userID] = u
		r.users = append(r.users, u)
	}
	u.queues = append(u.queues, q)
	q.offered = true
}

// next takes the first queue that fits accepts, of the first user that has a slot. A queue that it takes, or that does not fit, is no
// longer in the ring.
func (r *ring) next(userHasSlot func(userID string) bool, accepts func(q *queue) bool) *queue {
	for range len(r.users) {
		u := r.users[0]
		r.users = r.users[1:]
		if !userHasSlot(u.userID) {
			r.users = append(r.users, u)
			continue
		}
		var found *queue
		for len(u.queues) > 0 && found == nil {
			q := u.queues[0]
			u.queues = u.queues[1:]
			q.offered = false
			if accepts(q) {
				found = q
			}
		}
		if len(u.queues) > 0 {
			r.users = append(r.users, u)
		} else {
			delete(r.byUser, u.userID)
		}
		if found != nil {
			return found
		}
	}
	return nil
}
