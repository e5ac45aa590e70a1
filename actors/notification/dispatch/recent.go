package dispatch

import "sync"

// maxRecent bounds the payloads that are kept in memory from their commit to their first attempt, in bytes.
const maxRecent = 8 << 20

// eventKey names an event.
type eventKey struct{ user, event string }

// recent has the payloads of the events that this process added last, so that their first attempts do not read them.
type recent struct {
	mu       sync.Mutex
	payloads map[eventKey][]byte
	order    []eventKey
	bytes    int
}

func newRecent() *recent { return &recent{payloads: map[eventKey][]byte{}} }

// add keeps a payload. The oldest ones are removed.
func (r *recent) add(key eventKey, payload []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.payloads[key]; ok {
		return
	}
	r.payloads[key] = payload
	r.order = append(r.order, key)
	r.bytes += len(payload) + recentOverhead
	for r.bytes > maxRecent {
		oldest := r.order[0]
		r.order = r.order[1:]
		r.bytes -= len(r.payloads[oldest]) + recentOverhead
		delete(r.payloads, oldest)
	}
}

// recentOverhead is what an entry takes besides its payload, in bytes.
const recentOverhead = 256

// get returns a payload; nil if it is not kept.
func (r *recent) get(key eventKey) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.payloads[key]
}
