package engine

import (
	"container/heap"
	"context"
	"slices"
	"sync"
)

// fairSemaphore bounds how many executions, calls or evaluations a process runs at once, and how many of them are one user's. Users whose
// requests are queued take turns; one user's come by priority, then by age: a priority does not delay other users. Slots are in memory
// only, so that a crash leaks none.
type fairSemaphore struct {
	mu     sync.Mutex
	active int
	limit  int
	// perUser bounds the slots that one user has; 0: only limit does. Where several users have slots, each may have limit/(n+1), and the last
	// tenth of them is for users who have none. activeBy are the slots by user.
	perUser  int
	activeBy map[string]int
	// limitOf, where it is not nil, is what perUser is for a user now; perUser must not be 0.
	limitOf func(userID string) int
	// userOrder are the users with queued requests, the next one first; byUser are their requests.
	userOrder []string
	byUser    map[string]*slotRequests
	length    int
	count     uint64
}

// slotRequest is a queued request for a slot.
type slotRequest struct {
	userID   string
	priority int
	number   uint64
	run      func()
	// at is its index in its user's heap; -1: it is not queued any more.
	at int
}

// acquireOrQueue takes a slot (nil), or queues run to be called with one. The request can be withdrawn by cancel until then.
func (f *fairSemaphore) acquireOrQueue(userID string, priority int, run func()) (queued *slotRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active < f.limit && f.mayHaveMore(userID) {
		f.take(userID)
		return nil
	}
	requests := f.byUser[userID]
	if requests == nil {
		if requests = new(slotRequests); f.byUser == nil {
			f.byUser = map[string]*slotRequests{}
		}
		f.byUser[userID] = requests
		f.userOrder = append(f.userOrder, userID)
	}
	f.count++
	f.length++
	queued = &slotRequest{userID: userID, priority: priority, number: f.count, run: run}
	heap.Push(requests, queued)
	return queued
}

// mayHaveMore reports whether a user has fewer slots than one may have.
func (f *fairSemaphore) mayHaveMore(userID string) bool {
	active := f.activeBy[userID]
	switch {
	case f.perUser == 0:
		return true
	case active == 0:
		return true // perUser is at least 1
	case f.limit-f.active <= f.limit/reservedPart && len(f.activeBy) > 1:
		return false
	}
	most := f.perUser
	if len(f.activeBy) > 1 {
		most = min(most, max(1, f.limit/(len(f.activeBy)+1)))
	}
	if f.limitOf != nil {
		most = min(most, f.limitOf(userID))
	}
	return active < most
}

// reservedPart is the part of the slots, as a divisor, that is for users who have none.
const reservedPart = 10

// tryAcquire takes a slot if one is free for the user.
func (f *fairSemaphore) tryAcquire(userID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active >= f.limit || !f.mayHaveMore(userID) {
		return false
	}
	f.take(userID)
	return true
}

func (f *fairSemaphore) take(userID string) {
	f.active++
	if f.perUser == 0 {
		return
	}
	if f.activeBy == nil {
		f.activeBy = map[string]int{}
	}
	f.activeBy[userID]++
}

// cancel withdraws a request; false: it has got a slot already.
func (f *fairSemaphore) cancel(w *slotRequest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.at < 0 {
		return false
	}
	requests := f.byUser[w.userID]
	heap.Remove(requests, w.at)
	f.length--
	if len(*requests) == 0 {
		delete(f.byUser, w.userID)
		f.userOrder = slices.DeleteFunc(f.userOrder, func(userID string) bool { return userID == w.userID })
	}
	return true
}

// pop removes the next request of the queue that may have a slot, and puts its user last; nil: there is none.
func (f *fairSemaphore) pop() *slotRequest {
	at := slices.IndexFunc(f.userOrder, f.mayHaveMore)
	if at < 0 {
		return nil
	}
	userID := f.userOrder[at]
	f.userOrder = slices.Delete(f.userOrder, at, at+1)
	requests := f.byUser[userID]
	first, _ := heap.Pop(requests).(*slotRequest)
	f.length--
	if len(*requests) > 0 {
		f.userOrder = append(f.userOrder, userID)
	} else {
		delete(f.byUser, userID)
	}
	return first
}

// acquire waits for a slot; false: ctx or stop ended first.
func (f *fairSemaphore) acquire(ctx context.Context, stop <-chan struct{}, userID string, priority int) bool {
	select {
	case <-ctx.Done():
		return false
	case <-stop:
		return false
	default:
	}
	mine := make(chan struct{})
	queued := f.acquireOrQueue(userID, priority, func() { close(mine) })
	if queued == nil {
		return true
	}
	select {
	case <-mine:
		return true
	case <-ctx.Done():
	case <-stop:
	}
	if !f.cancel(queued) {
		f.release(userID) // the slot came at the same time
	}
	return false
}

// release frees a user's slot, and passes free ones on to the next requests: there may be several, where one user fewer has slots now.
func (f *fairSemaphore) release(userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active--
	if f.perUser > 0 {
		if f.activeBy[userID]--; f.activeBy[userID] == 0 {
			delete(f.activeBy, userID)
		}
	}
	f.passOn()
}

// recheck passes free slots on to queued requests: limitOf has changed.
func (f *fairSemaphore) recheck() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passOn()
}

func (f *fairSemaphore) passOn() {
	for f.length > 0 && f.active < f.limit {
		next := f.pop()
		if next == nil {
			return
		}
		f.take(next.userID)
		go next.run()
	}
}

// activeOf is how many slots a user has.
func (f *fairSemaphore) activeOf(userID string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.activeBy[userID]
}

// queued is the number of queued requests.
func (f *fairSemaphore) queued() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.length
}

// queuedOf is the number of a user's queued requests.
func (f *fairSemaphore) queuedOf(userID string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if requests := f.byUser[userID]; requests != nil {
		return len(*requests)
	}
	return 0
}

// room is how many more may take a slot or queue for one, where at most maxQueued may be queued.
func (f *fairSemaphore) room(maxQueued int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(0, f.limit-f.active) + max(0, maxQueued-f.length)
}

// free is the number of free slots.
func (f *fairSemaphore) free() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.limit - f.active
}

// slotRequests is a heap of one user's requests.
type slotRequests []*slotRequest

func (w slotRequests) Len() int { return len(w) }
func (w slotRequests) Less(i, j int) bool {
	if w[i].priority != w[j].priority {
		return w[i].priority > w[j].priority
	}
	return w[i].number < w[j].number
}

func (w slotRequests) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].at, w[j].at = i, j
}

// Push implements heap.Interface.
func (w *slotRequests) Push(x any) {
	one, _ := x.(*slotRequest)
	one.at = len(*w)
	*w = append(*w, one)
}

// Pop implements heap.Interface.
func (w *slotRequests) Pop() any {
	last := (*w)[len(*w)-1]
	(*w)[len(*w)-1] = nil
	*w = (*w)[:len(*w)-1]
	last.at = -1
	return last
}
