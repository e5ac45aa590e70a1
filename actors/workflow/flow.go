package workflow

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
)

// flow bounds how many executions a process carries on. What waits for a slot waits in the order of priority, then of
// arrival. Slots belong to what is in memory and to nothing else: a process that dies takes none with it.
type flow struct {
	mu     sync.Mutex
	active int
	most   int
	queue  waiting
	count  uint64
}

// waiter is something that waits for a slot.
type waiter struct {
	priority int
	number   uint64
	run      func()
}

// enter takes a slot, or queues run to be called with one.
func (f *flow) enter(priority int, run func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active < f.most {
		f.active++
		return true
	}
	f.count++
	heap.Push(&f.queue, waiter{priority: priority, number: f.count, run: run})
	return false
}

// acquire waits for a slot; false: ctx or stop came first.
func (f *flow) acquire(ctx context.Context, stop <-chan struct{}, priority int) bool {
	select {
	case <-ctx.Done():
		return false
	case <-stop:
		return false
	default:
	}
	var settled atomic.Bool
	mine := make(chan struct{})
	if f.enter(priority, func() {
		if settled.CompareAndSwap(false, true) {
			close(mine)
		} else {
			f.leave()
		}
	}) {
		return true
	}
	select {
	case <-mine:
		return true
	case <-ctx.Done():
	case <-stop:
	}
	if !settled.CompareAndSwap(false, true) {
		f.leave() // it has come at the same moment
	}
	return false
}

// leave gives a slot to the next in the queue, or back.
func (f *flow) leave() {
	f.mu.Lock()
	if len(f.queue) == 0 {
		f.active--
		f.mu.Unlock()
		return
	}
	next, _ := heap.Pop(&f.queue).(waiter)
	f.mu.Unlock()
	go next.run()
}

// queued is how many wait, and free how many slots are.
func (f *flow) queued() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queue)
}

func (f *flow) free() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most - f.active
}

// waiting is a heap.
type waiting []waiter

func (w waiting) Len() int { return len(w) }
func (w waiting) Less(i, j int) bool {
	if w[i].priority != w[j].priority {
		return w[i].priority > w[j].priority
	}
	return w[i].number < w[j].number
}
func (w waiting) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

// Push is heap.Interface's.
func (w *waiting) Push(x any) {
	one, _ := x.(waiter)
	*w = append(*w, one)
}

// Pop is heap.Interface's.
func (w *waiting) Pop() any {
	last := (*w)[len(*w)-1]
	(*w)[len(*w)-1] = waiter{}
	*w = (*w)[:len(*w)-1]
	return last
}
