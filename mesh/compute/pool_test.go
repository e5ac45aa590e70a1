package compute_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/mesh/compute"
)

// TestCallersTakeTurns: computations that wait are run in turns of their callers, each caller's in order; one whose context ends is not run.
func TestCallersTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := compute.NewPool()
		others := make(chan struct{})
		defer close(others)
		for p.Free() > 1 {
			go func() { _ = p.Do(t.Context(), "other", func() { <-others }) }()
			synctest.Wait()
		}
		hold := make(chan struct{})
		go func() { _ = p.Do(t.Context(), "first", func() { <-hold }) }()
		synctest.Wait()
		var mu sync.Mutex
		var ran []string
		var all sync.WaitGroup
		for _, name := range []string{"a1", "a2", "a3", "b1", "c1", "b2"} {
			all.Go(func() {
				if err := p.Do(t.Context(), name[:1], func() { mu.Lock(); ran = append(ran, name); mu.Unlock() }); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Do(short, "b", func() { t.Error("it was run") }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ends with %v", err)
		}
		if p.Queued() != 6 {
			t.Errorf("%d wait, want 6", p.Queued())
		}
		close(hold)
		all.Wait()
		if got := strings.Join(ran, " "); got != "a1 b1 c1 a2 b2 a3" {
			t.Errorf("they ran as %s", got)
		}
		if p.Queued() != 0 || p.Free() != 1 {
			t.Errorf("%d wait, %d places are free at the end", p.Queued(), p.Free())
		}
	})
}

// TestPlacesAreReturned: a panic returns its place, and a computation inside another needs none.
func TestPlacesAreReturned(t *testing.T) {
	t.Parallel()
	p := compute.NewPool()
	free := p.Free()
	func() {
		defer func() { _ = recover() }()
		_ = p.Do(t.Context(), "a", func() { panic("x") })
	}()
	if p.Free() != free {
		t.Errorf("%d places are free after a panic, want %d", p.Free(), free)
	}
	for range free + 1 {
		if err := p.Do(compute.Inside(t.Context()), "a", func() {
			if p.Free() != free {
				t.Error("it has taken a place")
			}
		}); err != nil {
			t.Error(err)
		}
	}
	ran := false
	if err := p.DoLarge(t.Context(), "a", compute.Large-1, func() { ran = p.Free() == free }); err != nil || !ran {
		t.Errorf("small data needs a place: %v", err)
	}
	if err := p.DoLarge(t.Context(), "a", compute.Large, func() { ran = p.Free() == free-1 }); err != nil || !ran {
		t.Errorf("large data needs no place: %v", err)
	}
}
