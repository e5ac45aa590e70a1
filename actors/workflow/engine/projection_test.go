package engine

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// slowStore is a store whose projections take a second, and fail with an error while there is one.
type slowStore struct {
	store
	mu      sync.Mutex
	err     error
	commits bool // although it fails
	count   int
}

func (s *slowStore) project(ctx context.Context, batches ...projectionBatch) error {
	time.Sleep(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if s.err != nil && !s.commits {
		return s.err
	}
	if err := s.store.project(ctx, batches...); err != nil {
		return err
	}
	return s.err
}

func (s *slowStore) fail(err error, commits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.commits = err, commits
}

func (p *testProcess) slow() *slowStore {
	s := &slowStore{store: p.hooks.store}
	p.hooks.mu.Lock()
	defer p.hooks.mu.Unlock()
	p.hooks.projecting = s.project
	return s
}

// TestSharedFlush: who asks for a flush during a projection shares the next one, because the running one may miss what was
// acknowledged since it began.
func TestSharedFlush(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		s := p.slow()
		id := p.started("listen")
		time.Sleep(500 * time.Millisecond)
		var all sync.WaitGroup
		start := time.Now()
		all.Go(p.flush)
		time.Sleep(100 * time.Millisecond)
		if _, err := p.engine.Cancel(t.Context(), Row{ID: id, Partition: PartitionOf(id)}, ""); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			all.Go(func() {
				p.flush()
				if row, _ := p.w.store.row(id); row.Status != string(machine.Cancelled) {
					t.Errorf("a flush returns while the execution is stored as %s", row.Status)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); s.count != 2 || took > 2100*time.Millisecond {
			t.Errorf("%d projections in %s, want two", s.count, took)
		}
	})
}

// TestFlushThatIsCancelled: neither a waiter's context nor that of the one that projects ends the projection of the others.
func TestFlushThatIsCancelled(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		p.slow()
		id := p.started("listen")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- p.engine.flush(ctx) }()
		synctest.Wait()
		go func() { second <- p.engine.flush(t.Context()) }()
		synctest.Wait()
		third := p.engine.flush(ctx)
		if !errors.Is(third, context.DeadlineExceeded) {
			t.Errorf("a waiter whose context ends: %v", third)
		}
		if err := errors.Join(<-first, <-second); err != nil {
			t.Errorf("the others: %v", err)
		}
		if _, ok := p.w.store.row(id); !ok {
			t.Error("the execution is not stored")
		}
	})
}

// TestFailedProjection: everyone who shares a projection gets its error, and the next one writes the same again, whether SQL had it
// or not.
func TestFailedProjection(t *testing.T) {
	t.Parallel()
	for name, commits := range map[string]bool{"rolled back": false, "committed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onProcess(t, nil, func(t *testing.T, p *testProcess) {
				s := p.slow()
				s.fail(errSimulated, commits)
				id := p.started("short")
				time.Sleep(20 * time.Millisecond)
				if err := p.engine.flush(t.Context()); !errors.Is(err, errSimulated) {
					t.Errorf("a failed projection: %v", err)
				}
				if _, ok := p.w.store.row(id); ok != commits {
					t.Errorf("SQL has the execution: %v", ok)
				}
				if n := p.unprojectedBytes(PartitionOf(id)); n == 0 {
					t.Error("nothing is left to project")
				}
				s.fail(nil, false)
				p.want(id, machine.Completed)
				raw, err := p.w.store.events(id)
				if err != nil || !p.w.ledger.execution(id).sameEvents(raw) {
					t.Errorf("the history has %d events, %v", len(raw), err)
				}
				if n := p.unprojectedBytes(PartitionOf(id)); n != 0 {
					t.Errorf("%d bytes are left to project", n)
				}
			})
		})
	}
}

// TestProjectionOfAFormerOwner: a projection is refused once another owner has claimed the partition, and the partition is closed.
func TestProjectionOfAFormerOwner(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, first *testProcess) {
		first.engine.projector.run <- struct{}{} // it projects nothing until the partition has another owner
		id := first.started("listen")
		number := PartitionOf(id)
		second := newTestProcess(t, first.w)
		if err := second.engine.acquire(t.Context(), number); err != nil {
			t.Fatal(err)
		}
		<-first.engine.projector.run
		if err := first.engine.flush(t.Context()); err != nil {
			t.Errorf("a flush of a former owner: %v", err)
		}
		if first.engine.partition(number) != nil {
			t.Error("the former owner keeps the partition")
		}
		second.want(id, machine.Waiting)
	})
}

// TestProjectedRows: the first run of events is in the execution's row, later ones are rows of their own.
func TestProjectedRows(t *testing.T) {
	t.Parallel()
	event := json.RawMessage("1")
	batch := projectionBatch{executions: []projectedExecution{
		{row: Row{ID: "new", Events: 2}, events: []json.RawMessage{event, event}},
		{row: Row{ID: "more", Events: 5}, events: []json.RawMessage{event, event}, known: true},
		{row: Row{ID: "same", Events: 5}, known: true, limits: &LimitRow{ExecutionID: "same"}},
	}}
	fresh, known, histories, limits := batch.rows()
	if len(fresh) != 1 || fresh[0].History != "[1,1]" {
		t.Errorf("fresh: %+v", fresh)
	}
	if len(known) != 2 || known[0].History != "" || known[1].History != "" {
		t.Errorf("known: %+v", known)
	}
	if len(histories) != 1 || histories[0].ExecutionID != "more" || histories[0].First != 4 || histories[0].Events != "[1,1]" {
		t.Errorf("histories: %+v", histories)
	}
	if len(limits) != 1 || limits[0].ExecutionID != "same" {
		t.Errorf("limits: %+v", limits)
	}
}

// TestTruncation: a log is truncated once enough of it is projected, and never past that.
func TestTruncation(t *testing.T) {
	t.Parallel()
	onProcess(t, func(p *profile) { p.CutAfter = 5 }, func(t *testing.T, p *testProcess) {
		var id string
		for range 20 {
			id = p.started("steps")
			time.Sleep(10 * time.Millisecond)
		}
		p.want(id, machine.Completed)
		if n := p.w.log.length(PartitionOf(id)); n > 10 {
			t.Errorf("the log has %d messages", n)
		}
		if err := p.engine.TruncateLogs(t.Context()); err != nil {
			t.Fatal(err)
		}
		for number := range p.w.log.parts {
			if n := p.w.log.length(number); n != 1 {
				t.Errorf("the log of partition %d has %d messages, want the last one", number, n)
			}
		}
	})
}
