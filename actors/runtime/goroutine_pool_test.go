package runtime

import (
	"sync"
	"testing"
)

// A pool runs each function at once, whatever the number of idle goroutines, keeps at most maxIdle of them, and still runs functions
// after it is closed.
func TestGoroutinePool(t *testing.T) {
	t.Parallel()
	p := newGoroutinePool()
	for range 3 {
		var started, done sync.WaitGroup
		release := make(chan struct{})
		started.Add(3 * maxIdle)
		for range 3 * maxIdle {
			done.Add(1)
			p.do(func() {
				defer done.Done()
				started.Done()
				<-release
			})
		}
		started.Wait()
		close(release)
		done.Wait()
	}
	if idle := len(p.idle); idle > maxIdle {
		t.Errorf("%d goroutines are idle, want at most %d", idle, maxIdle)
	}
	p.close()
	late := make(chan struct{})
	p.do(func() { close(late) })
	<-late
}
