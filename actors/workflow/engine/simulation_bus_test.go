package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// memoryBus carries commands and heartbeats, as core NATS does: each subscriber of a subject gets every message, and the first
// answer counts.
type memoryBus struct {
	w         *world
	mu        sync.Mutex
	servers   map[int][]*busServer
	listeners []*busListener
}

type busServer struct {
	p      *process
	ctx    context.Context //nolint:containedctx // the subscription's life
	handle func(ctx context.Context, data []byte) ([]byte, error)
}

type busListener struct {
	p      *process
	queue  chan []byte
	closed chan struct{}
	once   sync.Once
}

func (l *busListener) close() { l.once.Do(func() { close(l.closed) }) }

// drop ends the subscriptions of a process.
func (b *memoryBus) drop(p *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for number := range b.servers {
		b.servers[number] = slices.DeleteFunc(b.servers[number], func(s *busServer) bool { return s.p == p })
	}
	b.listeners = slices.DeleteFunc(b.listeners, func(l *busListener) bool {
		if l.p == p {
			l.close()
		}
		return l.p == p
	})
}

// processBus is the bus as one process reaches it.
type processBus struct{ p *process }

func (b processBus) request(ctx context.Context, number int, data []byte) ([]byte, error) {
	if err := b.p.enter(); err != nil {
		return nil, err
	}
	w := b.p.w
	r := w.random("request/" + b.p.name)
	time.Sleep(w.latency(r, 2*time.Millisecond))
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(commandTimeout)
	}
	hang := func() ([]byte, error) {
		select {
		case <-time.After(time.Until(deadline)):
		case <-ctx.Done():
		}
		return nil, &subjects.Error{Code: subjects.CodeTimeout, Detail: "no answer in time"}
	}
	lost := false
	if w.faulty(r, w.profile.RequestFault) {
		switch r.IntN(4) {
		case 0:
			return nil, errNetwork // not sent
		case 1:
			return hang()
		default:
			lost = true // handled, and the reply is lost
		}
	}
	w.bus.mu.Lock()
	servers := slices.Clone(w.bus.servers[number])
	w.bus.mu.Unlock()
	servers = slices.DeleteFunc(servers, func(s *busServer) bool { return s.ctx.Err() != nil })
	if len(servers) == 0 {
		return nil, &subjects.Error{Code: subjects.CodeUnavailable, Detail: "nobody serves this right now", RetryAfter: time.Second}
	}
	type answer struct {
		data []byte
		err  error
	}
	answers := make(chan answer, len(servers))
	for _, s := range servers {
		s.p.engine.background.Go(func() {
			if s.p.enter() != nil {
				return // a dead process answers nothing
			}
			ctx, cancel := context.WithDeadline(s.ctx, deadline)
			defer cancel()
			data, err := s.handle(ctx, data)
			if s.p.enter() == nil {
				answers <- answer{data, err}
			}
		})
	}
	if lost {
		return hang()
	}
	select {
	case a := <-answers:
		if a.err != nil {
			return nil, subjects.ProblemOf(a.err, "", "").AsError()
		}
		time.Sleep(w.latency(r, 2*time.Millisecond))
		return a.data, b.p.enter()
	case <-time.After(time.Until(deadline)):
	case <-ctx.Done():
	}
	return nil, &subjects.Error{Code: subjects.CodeTimeout, Detail: "no answer in time"}
}

func (b processBus) serve(ctx context.Context, number int, handle func(ctx context.Context, data []byte) ([]byte, error)) error {
	if err := b.p.enter(); err != nil {
		return err
	}
	s := &busServer{p: b.p, ctx: ctx, handle: handle}
	bus := b.p.w.bus
	bus.mu.Lock()
	bus.servers[number] = append(bus.servers[number], s)
	bus.mu.Unlock()
	context.AfterFunc(ctx, func() {
		bus.mu.Lock()
		defer bus.mu.Unlock()
		bus.servers[number] = slices.DeleteFunc(bus.servers[number], func(other *busServer) bool { return other == s })
	})
	return nil
}

func (b processBus) broadcast(data []byte) error {
	if err := b.p.enter(); err != nil {
		return err
	}
	w := b.p.w
	w.bus.mu.Lock()
	defer w.bus.mu.Unlock()
	for _, l := range w.bus.listeners {
		if l.p != b.p && w.faulty(w.random("heartbeat/"+b.p.name+"/"+l.p.name), w.profile.HeartbeatFault) {
			continue
		}
		select {
		case l.queue <- data:
		default: // a slow consumer loses messages
		}
	}
	return nil
}

func (b processBus) listen(handle func(data []byte)) (stop func(), err error) {
	if err := b.p.enter(); err != nil {
		return nil, err
	}
	l := &busListener{p: b.p, queue: make(chan []byte, 1000), closed: make(chan struct{})}
	bus := b.p.w.bus
	bus.mu.Lock()
	bus.listeners = append(bus.listeners, l)
	bus.mu.Unlock()
	go func() {
		for {
			select {
			case data := <-l.queue:
				if b.p.enter() != nil {
					return
				}
				handle(data)
			case <-l.closed:
				return
			}
		}
	}()
	return l.close, nil
}
