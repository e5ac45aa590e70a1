package runtime

import "sync"

// drainGroup counts running work. Once it is closed, nothing can be added, and its channel is closed when the last work is done. A
// sync.WaitGroup does not refuse work.
type drainGroup struct {
	mu      sync.Mutex
	running int
	closed  bool
	drained chan struct{}
}

func newDrainGroup() *drainGroup { return &drainGroup{drained: make(chan struct{})} }

// add counts one more piece of work. It returns false if the group is closed.
func (g *drainGroup) add() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.running++
	return true
}

// done must follow each successful add.
func (g *drainGroup) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	if g.closed && g.running == 0 {
		close(g.drained)
	}
}

// close refuses further work. The returned channel is closed when nothing is running. It must be called once.
func (g *drainGroup) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.running == 0 {
		close(g.drained)
	}
	return g.drained
}
