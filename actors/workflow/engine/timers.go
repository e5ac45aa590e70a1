package engine

import (
	"container/heap"
	"time"
)

// timers are the times at which executions are to be looked at. One that is set twice rings twice, and does no harm: what
// is due is the machine's to tell.
type timers struct {
	heap timerHeap
	set  map[timer]struct{}
}

type timer struct {
	at int64
	id string
}

func (t *timers) add(at time.Time, id string) {
	one := timer{at.UnixNano(), id}
	if _, known := t.set[one]; known {
		return
	}
	if t.set == nil {
		t.set = map[timer]struct{}{}
	}
	t.set[one] = struct{}{}
	heap.Push(&t.heap, one)
}

// due takes the next execution out whose time has come.
func (t *timers) due(now time.Time) (id string, ok bool) {
	if len(t.heap) == 0 || t.heap[0].at > now.UnixNano() {
		return "", false
	}
	one, _ := heap.Pop(&t.heap).(timer)
	delete(t.set, one)
	return one.id, true
}

// next is when the next one is due.
func (t *timers) next() (time.Time, bool) {
	if len(t.heap) == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, t.heap[0].at), true
}

// alarms is a heap.
type timerHeap []timer

func (a timerHeap) Len() int           { return len(a) }
func (a timerHeap) Less(i, j int) bool { return a[i].at < a[j].at }
func (a timerHeap) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }

// Push is heap.Interface's.
func (a *timerHeap) Push(x any) {
	one, _ := x.(timer)
	*a = append(*a, one)
}

// Pop is heap.Interface's.
func (a *timerHeap) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}
