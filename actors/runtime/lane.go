package runtime

import (
	"slices"
	"sync"

	"github.com/weftmesh/weft/actors/wait"
)

// lane runs deliveries of one durable: a bounded number at once, each on a goroutine, and fairly between the users whom they concern.
// Where one user's deliveries run, they take half of the places, where those of n users run, each takes one of n+1 parts: there is a place
// for the next user however long they run. Deliveries that name no user take any place.
type lane struct {
	limit int
	// run handles a delivery.
	run func(*delivery)
	// freed is notified when a delivery has ended.
	freed wait.Signal

	mu      sync.Mutex
	held    map[*delivery]struct{} // running and waiting
	bytes   int                    // of the data of those
	running map[string]int         // by user
	count   int                    // running
	waiting map[string][]*delivery // by user
	queued  int                    // waiting
	order   []string               // the users of waiting; the first is served next
	closed  bool
}

func newLane(limit int, run func(*delivery)) *lane {
	return &lane{
		limit: max(1, limit), run: run, freed: wait.NewSignal(),
		held: map[*delivery]struct{}{}, running: map[string]int{}, waiting: map[string][]*delivery{},
	}
}

// share is how many deliveries of a user may run at once.
func (l *lane) share(userID string) int {
	if userID == "" {
		return l.limit
	}
	users := len(l.running)
	if l.running[""] > 0 {
		users--
	}
	if l.running[userID] == 0 {
		users++
	}
	return max(1, l.limit/(users+1))
}

// free returns how many deliveries of a user could start now.
func (l *lane) free(userID string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.freeLocked(userID)
}

func (l *lane) freeLocked(userID string) int {
	return max(0, min(l.share(userID)-l.running[userID], l.limit-l.count))
}

// offer starts a delivery or has it wait. It returns false if the waiting deliveries of the user, or of all, are too many already, unless
// force is set, or the lane is closed.
func (l *lane) offer(d *delivery, force bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	own := len(l.waiting[d.userID])
	if l.freeLocked(d.userID) > 0 && own == 0 {
		l.hold(d)
		l.start(d)
		return true
	}
	if !force && (own >= max(1, l.limit/2) || l.queued >= l.limit) {
		return false
	}
	l.hold(d)
	if own == 0 {
		l.order = append(l.order, d.userID)
	}
	l.waiting[d.userID] = append(l.waiting[d.userID], d)
	l.queued++
	return true
}

func (l *lane) hold(d *delivery) {
	l.held[d] = struct{}{}
	l.bytes += len(d.data)
}

// start starts a delivery that is held.
func (l *lane) start(d *delivery) {
	l.running[d.userID]++
	l.count++
	go func() {
		defer l.end(d)
		l.run(d)
	}()
}

// end releases the place of a delivery and starts the next.
func (l *lane) end(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(d)
	l.count--
	if l.running[d.userID]--; l.running[d.userID] == 0 {
		delete(l.running, d.userID)
	}
	for l.count < l.limit {
		i := slices.IndexFunc(l.order, func(userID string) bool { return l.freeLocked(userID) > 0 })
		if i < 0 {
			break
		}
		l.startNext(i)
	}
	l.freed.Notify()
}

// startNext starts the first waiting delivery of the i-th user in order, who is served last from then on.
func (l *lane) startNext(i int) {
	userID := l.order[i]
	l.order = slices.Delete(l.order, i, i+1)
	next := l.waiting[userID][0]
	if l.waiting[userID] = l.waiting[userID][1:]; len(l.waiting[userID]) == 0 {
		delete(l.waiting, userID)
	} else {
		l.order = append(l.order, userID)
	}
	l.queued--
	l.start(next)
}

func (l *lane) drop(d *delivery) {
	delete(l.held, d)
	l.bytes -= len(d.data)
}

// deliveries returns those that are running or waiting.
func (l *lane) deliveries() []*delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*delivery, 0, len(l.held))
	for d := range l.held {
		list = append(list, d)
	}
	return list
}

// load returns how many deliveries run or wait, and the bytes of their data.
func (l *lane) load() (count, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held), l.bytes
}

// close takes no more deliveries, and returns those that wait.
func (l *lane) close() (waiting []*delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, list := range l.waiting {
		waiting = append(waiting, list...)
	}
	for _, d := range waiting {
		l.drop(d)
	}
	l.waiting, l.order, l.queued = map[string][]*delivery{}, nil, 0
	return waiting
}
