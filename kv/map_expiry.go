package kv

import (
	"container/heap"
	"time"
)

// expiry is when an entry of a Map ends.
type expiry struct {
	key      string
	revision uint64
	at       time.Time
}

// expiries is a heap of expiries, the earliest first.
type expiries []expiry

// Len implements heap.Interface.
func (e expiries) Len() int { return len(e) }

// Less implements heap.Interface.
func (e expiries) Less(i, j int) bool { return e[i].at.Before(e[j].at) }

// Swap implements heap.Interface.
func (e expiries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *expiries) Push(x any) { *e = append(*e, x.(expiry)) }

// Pop implements heap.Interface.
func (e *expiries) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

// expireAfter schedules the end of an entry whose message has a TTL. The time is counted from when the message was received, so that
// no entry ends early, whatever the clocks show; one that was stored long before ends late, by up to its age. The server leaves no message
// when a key expires: one that did could not be told from a copy.
func (m *Map[T]) expireAfter(key string, msg message) {
	ttl := msg.ttl()
	if ttl == 0 {
		ttl = m.bucket.spec.TTL
	}
	if ttl == 0 {
		return
	}
	heap.Push(&m.expiries, expiry{key: key, revision: msg.sequence, at: time.Now().Add(ttl)})
	m.scheduleExpiry()
}

// scheduleExpiry sets the timer to the earliest end.
func (m *Map[T]) scheduleExpiry() {
	if len(m.expiries) > 0 {
		m.expiry.Reset(time.Until(m.expiries[0].at))
	}
}

// expire drops the entries that have ended.
func (m *Map[T]) expire() {
	for now := time.Now(); len(m.expiries) > 0 && !m.expiries[0].at.After(now); {
		end := heap.Pop(&m.expiries).(expiry)
		if entry, ok := m.Entry(end.key); ok && entry.Revision == end.revision {
			m.drop(end.key, end.revision)
		}
	}
	m.scheduleExpiry()
}
