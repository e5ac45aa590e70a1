package runtime

import (
	"context"
	"sync"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// probeAge is how old the result of a check may be.
const probeAge = time.Second

// probe runs a check at most once within probeAge, and not again before it has ended, however often its result is asked for.
type probe struct {
	check func(context.Context) error

	mu sync.Mutex
	// running is closed when the check that runs has ended; nil if none does.
	running chan struct{}
	since   time.Time
	last    error
}

// errCheckRuns is the result of a check that does not end.
var errCheckRuns = &subjects.Error{Code: subjects.CodeTimeout, Detail: "no answer in time", RetryAfter: subjects.RetrySoon}

// result returns the check's result once it is known, or errCheckRuns when ctx ends first.
func (p *probe) result(ctx context.Context) error {
	p.mu.Lock()
	if p.running == nil {
		if time.Since(p.since) < probeAge {
			defer p.mu.Unlock()
			return p.last
		}
		p.since, p.running = time.Now(), make(chan struct{})
		go p.run(context.WithoutCancel(ctx))
	}
	running := p.running
	p.mu.Unlock()
	select {
	case <-running:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.last
	case <-ctx.Done():
		return errCheckRuns
	}
}

func (p *probe) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := p.check(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = err
	close(p.running)
	p.running = nil
}

// probeService prepares the checks of the service.
func (r *Runtime) probeService() {
	r.checks = map[string]*probe{}
	for name, check := range r.service.Checks {
		r.addProbe(name, check)
	}
	for _, c := range r.consumers {
		r.addProbe("durable "+c.w.Consumer.Durable, c.probe)
	}
}

func (r *Runtime) addProbe(name string, check func(context.Context) error) {
	r.checks[name] = &probe{check: func(ctx context.Context) error { return r.recovered(func() error { return check(ctx) }) }}
}

// stalledFetch is how long a fetch may take: longer than one that gets no message.
const stalledFetch = fetchTimeout + 10*time.Second

// probe returns nil if the durable exists and is not paused, and messages are fetched from it. Places that are all taken are no error: the
// messages would be handled, and users whose messages take long are not to make a process unready.
func (c *consumer) probe(ctx context.Context) error {
	if failure := c.failure.Load(); failure != nil {
		return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "messages cannot be fetched", RetryAfter: subjects.RetrySoon, Cause: *failure}
	}
	if turn := c.turn.Load(); turn > 0 && time.Since(time.Unix(0, turn)) > stalledFetch {
		return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "no messages are fetched", RetryAfter: subjects.RetrySoon}
	}
	info, err := c.durable.Info(ctx)
	if err != nil {
		return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the durable does not answer", RetryAfter: subjects.RetrySoon, Cause: err}
	}
	if info.Paused {
		return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the durable is paused", RetryAfter: subjects.RetrySoon}
	}
	return nil
}
