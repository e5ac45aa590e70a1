// Package fair shares slots between users.
package fair

import (
	"container/heap"
	"context"
	"slices"
	"sync"
)

// Semaphore bounds how many executions or calls a process runs at once, and how many of them are one user's. Users whose requests are queued
// take turns; one user's come by priority, then by age: a priority does not delay other users. Slots are in memory only, so that a crash
// leaks none.
type Semaphore struct {
	// Limit is the number of slots.
	Limit int
	// PerUser bounds the slots that one user has; 0: only Limit does. Where several users have slots, each may have Limit/(n+1), and the last
	// tenth of them is for users who have none.
	PerUser int
	// LimitOf, where it is not nil, is what PerUser is for a user now; PerUser must not be 0.
	LimitOf func(userID string) int

	mu     sync.Mutex
	active int
	// activeBy are the slots by user.
	activeBy map[string]int
	// userOrder are the users with queued requests, the next one first; byUser are their requests.
	userOrder []string
	byUser    map[string]*requestHeap
	length    int
	count     uint64
}

// Request is a queued request for a slot.
type Request struct {
	userID   string
	priority int
	number   uint64
	run      func()
	// at is its index in its user's heap; -1: it is not queued any more.
	at int
}

// AcquireOrQueue takes a slot (nil), or queues run to be called with one. The request can be withdrawn by Cancel until then.
func (f *Semaphore) AcquireOrQueue(userID string, priority int, run func()) (queued *Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active < f.Limit && f.mayHaveMore(userID) {
		f.take(userID)
		return nil
	}
	requests := f.byUser[userID]
	if requests == nil {
		if requests = new(requestHeap); f.byUser == nil {
			f.byUser = map[string]*requestHeap{}
		}
		f.byUser[userID] = requests
		f.userOrder = append(f.userOrder, userID)
	}
	f.count++
	f.length++
	queued = &Request{userID: userID, priority: priority, number: f.count, run: run}
	heap.Push(requests, queued)
	return queued
}

// mayHaveMore reports whether a user has fewer slots than one may have.
func (f *Semaphore) mayHaveMore(userID string) bool {
	active := f.activeBy[userID]
	switch {
	case f.PerUser == 0:
		return true
	case active == 0:
		return true // PerUser is at least 1
	case f.Limit-f.active <= f.Limit/reservedPart && len(f.activeBy) > 1:
		return false
	}
	most := f.PerUser
	if len(f.activeBy) > 1 {
		most = min(most, f.share())
	}
	if f.LimitOf != nil {
		most = min(most, f.LimitOf(userID))
	}
	return active < most
}

// IsOverShare reports whether requests are queued while a user has more slots than the share of each user who has any.
func (f *Semaphore) IsOverShare(userID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.length > 0 && f.activeBy[userID] > f.share()
}

// share is the part of the slots that each of several users may have. The caller holds the lock.
func (f *Semaphore) share() int { return max(1, f.Limit/(len(f.activeBy)+1)) }

// reservedPart is the part of the slots, as a divisor, that is for users who have none.
const reservedPart = 10

// TryAcquire takes a slot if one is free for the user.
func (f *Semaphore) TryAcquire(userID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active >= f.Limit || !f.mayHaveMore(userID) {
		return false
	}
	f.take(userID)
	return true
}

func (f *Semaphore) take(userID string) {
	f.active++
	if f.PerUser == 0 {
		return
	}
	if f.activeBy == nil {
		f.activeBy = map[string]int{}
	}
	f.activeBy[userID]++
}

// Cancel withdraws a request; false: it has got a slot already.
func (f *Semaphore) Cancel(w *Request) bool {
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
func (f *Semaphore) pop() *Request {
	at := slices.IndexFunc(f.userOrder, f.mayHaveMore)
	if at < 0 {
		return nil
	}
	userID := f.userOrder[at]
	f.userOrder = slices.Delete(f.userOrder, at, at+1)
	requests := f.byUser[userID]
	first, _ := heap.Pop(requests).(*Request)
	f.length--
	if len(*requests) > 0 {
		f.userOrder = append(f.userOrder, userID)
	} else {
		delete(f.byUser, userID)
	}
	return first
}

// Acquire waits for a slot; false: ctx or stop ended first.
func (f *Semaphore) Acquire(ctx context.Context, stop <-chan struct{}, userID string, priority int) bool {
	select {
	case <-ctx.Done():
		return false
	case <-stop:
		return false
	default:
	}
	if f.TryAcquire(userID) {
		return true
	}
	mine := make(chan struct{})
	queued := f.AcquireOrQueue(userID, priority, func() { close(mine) })
	if queued == nil {
		return true
	}
	select {
	case <-mine:
		return true
	case <-ctx.Done():
	case <-stop:
	}
	if !f.Cancel(queued) {
		f.Release(userID) // the slot came at the same time
	}
	return false
}

// Release frees a user's slot, and passes free ones on to the next requests: there may be several, where one user fewer has slots now.
func (f *Semaphore) Release(userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active--
	if f.PerUser > 0 {
		if f.activeBy[userID]--; f.activeBy[userID] == 0 {
			delete(f.activeBy, userID)
		}
	}
	f.passOn()
}

// Recheck passes free slots on to queued requests: LimitOf has changed.
func (f *Semaphore) Recheck() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passOn()
}

func (f *Semaphore) passOn() {
	for f.length > 0 && f.active < f.Limit {
		next := f.pop()
		if next == nil {
			return
		}
		f.take(next.userID)
		go next.run()
	}
}

// ActiveOf is how many slots a user has.
func (f *Semaphore) ActiveOf(userID string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.activeBy[userID]
}

// Queued is the number of queued requests.
func (f *Semaphore) Queued() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.length
}

// QueuedOf is the number of a user's queued requests.
func (f *Semaphore) QueuedOf(userID string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if requests := f.byUser[userID]; requests != nil {
		return len(*requests)
	}
	return 0
}

// Room is how many more may take a slot or queue for one, where at most maxQueued may be queued.
func (f *Semaphore) Room(maxQueued int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(0, f.Limit-f.active) + max(0, maxQueued-f.length)
}

// Free is the number of free slots.
func (f *Semaphore) Free() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Limit - f.active
}

// InUse is the number of slots that are taken, and of requests that are queued, at one time.
func (f *Semaphore) InUse() (active, queued int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.active, f.length
}

// requestHeap is a heap of one user's requests.
type requestHeap []*Request

func (w requestHeap) Len() int { return len(w) }
func (w requestHeap) Less(i, j int) bool {
	if w[i].priority != w[j].priority {
		return w[i].priority > w[j].priority
	}
	return w[i].number < w[j].number
}

func (w requestHeap) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].at, w[j].at = i, j
}

// Push implements heap.Interface.
func (w *requestHeap) Push(x any) {
	one, _ := x.(*Request)
	one.at = len(*w)
	*w = append(*w, one)
}

// Pop implements heap.Interface.
func (w *requestHeap) Pop() any {
	last := (*w)[len(*w)-1]
	(*w)[len(*w)-1] = nil
	*w = (*w)[:len(*w)-1]
	last.at = -1
	return last
}
