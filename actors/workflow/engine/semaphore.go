package engine

import (
	"container/heap"
	"context"
	"slices"
	"sync"
)

// flow bounds how many executions a process carries on. The users of what waits for a slot take turns; what waits of one
// user comes in the order of priority, then of arrival: nobody's priority is at another's cost. Slots belong to what is in
// memory and to nothing else: a process that dies takes none with it.
type fairSemaphore struct {
	mu     sync.Mutex
	active int
	limit  int
	// turns are the users of what waits, the next one first, and lines what waits, by user.
	userOrder []string
	byUser    map[string]*slotRequests
	length    int
	count     uint64
}

// waiter is something that waits for a slot.
type slotRequest struct {
	userID   string
	priority int
	number   uint64
	run      func()
	// at is its place in its user's line, -1 once it has left that.
	at int
}

// enter takes a slot, or queues run to be called with one: that can be taken back as long as remove finds it.
func (f *fairSemaphore) acquireOrQueue(userID string, priority int, run func()) (queued *slotRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active < f.limit {
		f.active++
		return nil
	}
	line := f.byUser[userID]
	if line == nil {
		if line = new(slotRequests); f.byUser == nil {
			f.byUser = map[string]*slotRequests{}
		}
		f.byUser[userID] = line
		f.userOrder = append(f.userOrder, userID)
	}
	f.count++
	f.length++
	queued = &slotRequest{userID: userID, priority: priority, number: f.count, run: run}
	heap.Push(line, queued)
	return queued
}

// remove takes back what waits for a slot; false: it does not wait any more, it has been given one.
func (f *fairSemaphore) cancel(w *slotRequest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.at < 0 {
		return false
	}
	line := f.byUser[w.userID]
	heap.Remove(line, w.at)
	f.length--
	if len(*line) == 0 {
		delete(f.byUser, w.userID)
		f.userOrder = slices.DeleteFunc(f.userOrder, func(userID string) bool { return userID == w.userID })
	}
	return true
}

// next takes the next one out of the queue, which is not empty, and lets its user wait for another turn.
func (f *fairSemaphore) pop() *slotRequest {
	userID := f.userOrder[0]
	f.userOrder = f.userOrder[1:]
	line := f.byUser[userID]
	first, _ := heap.Pop(line).(*slotRequest)
	f.length--
	if len(*line) > 0 {
		f.userOrder = append(f.userOrder, userID)
	} else {
		delete(f.byUser, userID)
	}
	return first
}

// acquire waits for a slot; false: ctx or stop came first.
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
		f.release() // the slot has come at the same moment
	}
	return false
}

// leave gives a slot to the next in the queue, or back.
func (f *fairSemaphore) release() {
	f.mu.Lock()
	if f.length == 0 {
		f.active--
		f.mu.Unlock()
		return
	}
	next := f.pop()
	f.mu.Unlock()
	go next.run()
}

// queued is how many wait, and free how many slots are.
func (f *fairSemaphore) queued() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.length
}

// queuedOf is how many of a user's wait.
func (f *fairSemaphore) queuedOf(userID string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if line := f.byUser[userID]; line != nil {
		return len(*line)
	}
	return 0
}

func (f *fairSemaphore) free() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.limit - f.active
}

// waiting is a heap: what waits of one user.
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

// Push is heap.Interface's.
func (w *slotRequests) Push(x any) {
	one, _ := x.(*slotRequest)
	one.at = len(*w)
	*w = append(*w, one)
}

// Pop is heap.Interface's.
func (w *slotRequests) Pop() any {
	last := (*w)[len(*w)-1]
	(*w)[len(*w)-1] = nil
	*w = (*w)[:len(*w)-1]
	last.at = -1
	return last
}
