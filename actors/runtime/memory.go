package runtime

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/mesh/memory"
	"github.com/weftmesh/weft/subjects"
)

const (
	// requestMemory bounds the memory in bytes of the requests that the actors of a process decode and handle, or an eighth of the process's
	// memory limit if that is less.
	requestMemory = 64 << 20
	// smallRequest is the size in bytes up to which a request does not count: the number of such requests is bounded by the endpoint.
	smallRequest = 16 << 10
	// decodingTime is how long a request counts: after it, it waits for something else, such as the end of an execution.
	decodingTime = 10 * time.Second
)

// NewMemory returns the budget of the requests that the actors of a process handle at the same time. One user may hold a quarter. It counts
// refusals in the metric weft_request_memory_refused_total of a registry, which may be nil.
func NewMemory(registry prometheus.Registerer) *memory.Budget {
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weft_request_memory_refused_total",
		Help: "Requests that an actor refused for want of memory, because the user has a share of it or all is in use.",
	}, []string{"reason"})
	if registry != nil {
		registry.MustRegister(refused)
	}
	return memory.NewBudget("large requests", memory.AtMost(requestMemory, 8), memory.DefaultWait,
		func(reason string) { refused.WithLabelValues(reason).Inc() })
}

// largeRequest is the memory that one large request holds; a small one has none, which is nil.
type largeRequest struct {
	r    *Runtime
	size int64

	mu          sync.Mutex
	reservation memory.Reservation
	timer       *time.Timer
	done        bool
}

// receive counts the bytes of a message until it is answered, or for decodingTime. It returns false if there is no room for it.
func (r *Runtime) receive(size int) (*largeRequest, bool) {
	if size <= smallRequest {
		return nil, true
	}
	l := &largeRequest{r: r, size: int64(size)}
	if r.received.Add(l.size) > r.Memory.Size() {
		r.received.Add(-l.size)
		return nil, false
	}
	return l, true
}

// reserve waits for the memory that the message takes when it is decoded. The errors are those of Reservation.Grow.
func (l *largeRequest) reserve(ctx context.Context, d *subjects.Descriptor, caller actors.Caller, data []byte) error {
	if l == nil {
		return nil
	}
	reservation := l.r.Memory.Reserve(caller.UserID)
	if err := reservation.Grow(ctx, d.DecodedSize(data)); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reservation = reservation
	l.timer = time.AfterFunc(decodingTime, l.giveBack)
	return nil
}

// giveBack gives all memory back, once.
func (l *largeRequest) giveBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return
	}
	l.done = true
	if l.timer != nil {
		l.timer.Stop()
		l.reservation.Release()
	}
	l.r.received.Add(-l.size)
}

func (l *largeRequest) release() {
	if l != nil {
		l.giveBack()
	}
}
