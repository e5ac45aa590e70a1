package runtime

import (
	"sync"
	"testing"
)

// TestACrewRunsEachAtOnce: nothing waits for another, however many goroutines are kept, and none outlives a dismissal.
func TestACrewRunsEachAtOnce(t *testing.T) {
	t.Parallel()
	c := newCrew()
	for range 3 {
		var began, done sync.WaitGroup
		release := make(chan struct{})
		began.Add(3 * idleCrew)
		for range 3 * idleCrew {
			done.Add(1)
			c.do(func() {
				defer done.Done()
				began.Done()
				<-release
			})
		}
		began.Wait()
		close(release)
		done.Wait()
	}
	if kept := len(c.waiting); kept > idleCrew {
		t.Errorf("%d goroutines are kept", kept)
	}
	c.dismiss()
	late := make(chan struct{})
	c.do(func() { close(late) })
	<-late
}
