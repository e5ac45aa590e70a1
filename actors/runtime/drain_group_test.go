package runtime

import (
	"sync"
	"testing"
	"testing/synctest"
)

// ended reports whether a channel is closed.
func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestDrainGroup(t *testing.T) {
	t.Parallel()
	t.Run("without work", func(t *testing.T) {
		t.Parallel()
		g := newDrainGroup()
		if !g.add() {
			t.Fatal("an open group refused work")
		}
		g.done()
		if !ended(g.close()) {
			t.Error("an idle group is not drained when it is closed")
		}
		if g.add() {
			t.Error("a closed group accepted work")
		}
	})
	t.Run("with work", func(t *testing.T) {
		t.Parallel()
		g := newDrainGroup()
		g.add()
		g.add()
		drained := g.close()
		g.done()
		if ended(drained) {
			t.Error("it is drained while work is running")
		}
		if g.add() {
			t.Error("a closed group accepted work")
		}
		g.done()
		if !ended(drained) {
			t.Error("it is not drained after the last work")
		}
	})
}

// Work that is added while the group is closed is either refused or waited for.
func TestDrainGroupWaitsForAllItAccepted(t *testing.T) {
	t.Parallel()
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			g := newDrainGroup()
			var mu sync.Mutex
			accepted, finished := 0, 0
			for range 8 {
				go func() {
					if !g.add() {
						return
					}
					mu.Lock()
					accepted++
					mu.Unlock()
					defer g.done()
					mu.Lock()
					finished++
					mu.Unlock()
				}()
			}
			<-g.close()
			mu.Lock()
			defer mu.Unlock()
			if accepted != finished {
				t.Errorf("drained with %d of %d finished", finished, accepted)
			}
		})
	}
}
