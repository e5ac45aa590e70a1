package workflow

import "sync"

// live are the executions that this process carries on, and who waits for their ends.
type live struct {
	mu       sync.Mutex
	runners  map[string]*runner
	waiters  map[string]map[chan struct{}]struct{}
	stopping chan struct{}
	once     sync.Once
}

func newLive() *live {
	return &live{
		runners: map[string]*runner{}, waiters: map[string]map[chan struct{}]struct{}{}, stopping: make(chan struct{}),
	}
}

// enter registers a runner, unless the execution has one here.
func (l *live) enter(r *runner) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runners[r.row.ID] != nil {
		return false
	}
	l.runners[r.row.ID] = r
	return true
}

func (l *live) leave(r *runner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runners, r.row.ID)
}

func (l *live) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runners[id] != nil
}

// poke tells a runner, where there is one here, that its log has grown.
func (l *live) poke(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.runners[id]; r != nil {
		select {
		case r.poked <- struct{}{}:
		default:
		}
	}
}

// wait gives a channel that is closed once the execution's end is recorded by this process.
func (l *live) wait(id string) (ended <-chan struct{}, stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan struct{})
	if l.waiters[id] == nil {
		l.waiters[id] = map[chan struct{}]struct{}{}
	}
	l.waiters[id][c] = struct{}{}
	return c, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiters[id], c)
		if len(l.waiters[id]) == 0 {
			delete(l.waiters, id)
		}
	}
}

// ended wakes who waits for the execution.
func (l *live) ended(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.waiters[id] {
		close(c)
	}
	delete(l.waiters, id)
}

// stop tells every runner to hand its execution over.
func (l *live) stop() { l.once.Do(func() { close(l.stopping) }) }

func (l *live) isStopping() bool {
	select {
	case <-l.stopping:
		return true
	default:
		return false
	}
}
