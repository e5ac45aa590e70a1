package runtime

import "sync"

// gate counts what is under way, and closes: from then on nothing enters, and idle ends when the last has
// left.
type gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	idle   chan struct{}
}

func newGate() *gate { return &gate{idle: make(chan struct{})} }

// enter counts one in, or tells that the gate is closed.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.closed && g.inside == 0 {
		close(g.idle)
	}
}

// close lets nothing in any more; the channel ends when nothing is inside. To be called once.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.inside == 0 {
		close(g.idle)
	}
	return g.idle
}
