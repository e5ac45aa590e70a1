package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// TestProbeNamesThePartitionThatStandsStill holds a partition's lock, keeps its log from being written, and takes it away.
func TestProbeNamesThePartitionThatStandsStill(t *testing.T) {
	t.Parallel()
	// In real time: in virtual time nothing moves while a goroutine waits for a mutex.
	w := newWorld(1, profile{Calm: true, Processes: 1, MaxConcurrent: 100, MaxSteps: 100, MaxQueued: 100, CutAfter: 1000, MessageLimit: 60_000})
	p := newTestProcess(t, w)
	p.acquireAll()
	t.Cleanup(func() {
		for _, owned := range p.engine.owned() {
			owned.close(nil)
		}
	})
	for number := range subjects.WorkflowPartitions {
		if p.engine.partition(number) == nil {
			if err := p.engine.acquire(t.Context(), number); err != nil {
				t.Fatal(err)
			}
		}
	}
	probe := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		return p.engine.Probe(ctx)
	}
	want := func(text string) {
		t.Helper()
		err := probe()
		if subjects.CodeOf(err) != subjects.CodeUnavailable || !strings.Contains(err.Error(), text) {
			t.Errorf("the probe returns %v, want %q", err, text)
		}
	}
	if err := probe(); err != nil {
		t.Fatalf("the probe returns %v", err)
	}
	held := p.engine.partition(3)
	held.mu.Lock()
	want("partition 3 does not move")
	held.mu.Unlock()
	if err := probe(); err != nil {
		t.Errorf("after the lock was released: %v", err)
	}
	held.close(errors.New("taken away"))
	want("partition 3 has no owner")
	if err := p.engine.acquire(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := probe(); err != nil {
		t.Errorf("with an owner again: %v", err)
	}
}
