package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// TestChildrenAfterATakeover: the owner of a parent dies before it has cancelled a child that the parent does not wait for any more,
// because the owner of the child is paused. The parent's next owner cancels it: of a parent that has ended, of one that has a call
// in flight, and of one that waits for long.
func TestChildrenAfterATakeover(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		after  time.Duration
		cancel bool
	}{
		"the parent has ended":     {after: 300 * time.Millisecond, cancel: true},
		"the parent makes a call":  {after: 1080 * time.Millisecond},
		"the parent waits":         {after: 2 * time.Second},
		"the parent has gone long": {after: 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onProcess(t, nil, func(t *testing.T, first *testProcess) {
				second, third := newTestProcess(t, first.w), newTestProcess(t, first.w)
				for number := 1; number < subjects.WorkflowPartitions; number++ {
					if err := second.engine.acquire(t.Context(), number); err != nil {
						t.Fatal(err)
					}
					if lost := first.engine.partition(number); lost != nil {
						lost.close(nil)
					}
				}
				parent, child := first.startedIn(0, "race"), ""
				_ = wait.Until(t.Context(), nil, 250*time.Millisecond)
				for child == "" || PartitionOf(child) == 0 { // else the same process owns both
					parent = first.startedIn(0, "race")
					_ = wait.Until(t.Context(), nil, 250*time.Millisecond)
					child = first.w.ledger.execution(parent).child("slowchild")
				}
				resume := second.pause()
				if test.cancel {
					if _, err := first.engine.Cancel(t.Context(), Row{ID: parent}, ""); err != nil {
						t.Fatal(err)
					}
				}
				_ = wait.Until(t.Context(), nil, test.after-250*time.Millisecond)
				first.flush()
				first.kill()
				resume()
				if first.w.ledger.execution(child).end != nil {
					t.Fatal("the child has ended before the takeover")
				}
				if err := third.engine.acquire(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				_ = wait.Until(t.Context(), nil, 10*time.Second)
				if end := first.w.ledger.execution(child).end; end == nil || end.kind != machine.ExecutionCancelled {
					t.Errorf("the child ends as %+v\n%s", end, first.w.report())
				}
			})
		})
	}
}

// startedIn starts an execution in a partition.
func (p *testProcess) startedIn(number int, workflow string) string {
	p.t.Helper()
	row := Row{
		ID: IDIn(p.newID(), number), UserID: "ada", WorkflowID: workflow, Version: 1, Name: workflow, Input: "{}", CreatedAt: time.Now().UnixMicro(),
	}
	if err := p.engine.Start(p.t.Context(), number, row, "", false, nil); err != nil {
		p.t.Fatal(err)
	}
	return row.ID
}

// TestChildThatNobodyAwaits: a child whose start comes too late is cancelled.
func TestChildThatNobodyAwaits(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		ended, running := p.started("steps"), p.started("timeout")
		p.want(ended, machine.Completed)
		for _, parent := range []string{ended, running} {
			row, _, err := p.begin(t.Context(), order{userID: "ada", workflow: "slowchild", parent: parent, parentCall: "1"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			p.want(row.ID, machine.Cancelled)
		}
	})
}

// TestChildrenOfTheEnded: a parent that ends takes its child along, and one that waits gets its child's output.
func TestChildrenOfTheEnded(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		waits, cancelled := p.started("parent"), p.started("parent")
		_ = wait.Until(t.Context(), nil, 300*time.Millisecond)
		child := p.w.ledger.execution(cancelled).child("child")
		if _, err := p.engine.Cancel(t.Context(), Row{ID: cancelled, Partition: PartitionOf(cancelled)}, ""); err != nil {
			t.Fatal(err)
		}
		p.want(child, machine.Cancelled)
		p.want(waits, machine.Completed)
	})
}

// TestSuspendedBeforeItsStart: an execution that waits for a limit is suspended, and its owner dies before that is projected.
func TestSuspendedBeforeItsStart(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, first *testProcess) {
		first.started("both")
		waiting := first.started("both")
		first.flush()
		number := LimitedPartition("both")
		row := Row{ID: waiting, Partition: number}
		if reply, err := first.engine.Suspend(t.Context(), row, ""); err != nil || reply.Status != machine.Suspended {
			t.Fatalf("%+v, %v", reply, err)
		}
		first.kill()
		second := newTestProcess(t, first.w)
		second.acquireAll()
		second.want(waiting, machine.Suspended)
		if reply, err := second.engine.Resume(t.Context(), row); err != nil || reply.Status != subjects.ExecutionPending {
			t.Fatalf("%+v, %v", reply, err)
		}
		second.want(waiting, machine.Completed)
	})
}

// TestStartsWaitForTheLog: neither a second start with an id, nor a schedule's pause, returns before the log has the first start.
func TestStartsWaitForTheLog(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		release := p.log.block()
		o := order{userID: "ada", workflow: "steps", id: DerivedID("1"), schedule: "s"}
		first, second, drained := make(chan error, 1), make(chan error, 1), make(chan error, 1)
		go func() {
			_, _, err := p.begin(t.Context(), o, nil)
			first <- err
		}()
		_ = wait.Until(t.Context(), nil, 50*time.Millisecond)
		go func() {
			row := Row{ID: o.id, WorkflowID: "steps", Input: "{}"}
			second <- p.engine.Start(t.Context(), PartitionOf(o.id), row, "", false, nil)
		}()
		go func() { drained <- p.engine.DrainStarts(t.Context()) }()
		_ = wait.Until(t.Context(), nil, time.Second)
		if len(first)+len(second)+len(drained) != 0 {
			t.Error("something is answered before the log has the start")
		}
		release()
		if err := <-first; err != nil {
			t.Errorf("the start: %v", err)
		}
		if err := <-second; !errors.Is(err, ErrTaken) {
			t.Errorf("the second start: %v", err)
		}
		if err := <-drained; err != nil {
			t.Errorf("the pause: %v", err)
		}
		p.w.paused["s"] = true
		if _, _, err := p.begin(t.Context(), order{userID: "ada", workflow: "steps", schedule: "s"}, nil); !errors.Is(err, ErrSchedulePaused) {
			t.Errorf("a start by a paused schedule: %v", err)
		}
	})
}
