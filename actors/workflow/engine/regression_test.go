package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// Each test of this file has a schedule that TestSimulation once failed with, or that was found while it was written.

// TestOvertakenTakeover takes a partition over while a third process does too, projects the log and truncates it. The second process
// must notice that it has read a log with a gap: otherwise it makes a call again whose result was in the gap.
func TestOvertakenTakeover(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, first *testProcess) {
		id := first.started("short")
		number := PartitionOf(id)
		time.Sleep(5 * time.Millisecond)
		first.flush() // SQL has the call, and not its result
		time.Sleep(200 * time.Millisecond)
		first.kill()
		second, third := newTestProcess(t, first.w), newTestProcess(t, first.w)
		second.hooks.on("live", func() error {
			if err := third.engine.acquire(t.Context(), number); err != nil {
				t.Error(err)
			}
			if err := third.engine.partition(number).truncateNow(t.Context()); err != nil {
				t.Error(err)
			}
			return nil
		})
		if _, err := second.engine.takeOver(t.Context(), number); !errors.Is(err, errPartitionMoving) {
			t.Errorf("taking the partition over: %v", err)
		}
		third.want(id, machine.Completed)
	})
}

// TestUnwritableExecution ends an execution with an event that no message has room for with a fault, and
// returns its slot.
func TestUnwritableExecution(t *testing.T) {
	t.Parallel()
	onProcess(t, func(p *profile) { p.MessageLimit, p.FaultyCalls = 1500, true }, func(t *testing.T, p *testProcess) {
		p.want(p.started("large"), machine.Faulted)
		if free := p.engine.executionSlots.Free(); free != 100 {
			t.Errorf("%d slots are free, want 100", free)
		}
	})
}

// TestPendingRetry starts a retry that waits for a slot. When it gets one, the history of the other execution cannot be read: it is
// started later.
func TestPendingRetry(t *testing.T) {
	t.Parallel()
	onProcess(t, func(p *profile) { p.MaxConcurrent = 1 }, func(t *testing.T, p *testProcess) {
		ended := p.started("steps")
		p.want(ended, machine.Completed)
		busy := p.started("short")
		row, _, err := p.begin(t.Context(), order{userID: "ada", workflow: "steps", origin: Origin{Kind: OriginRetry, ID: ended}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.hooks.on("history", failTimes(2))
		p.want(busy, machine.Completed)
		p.want(row.ID, machine.Completed)
	})
}

// TestPendingRetryOfTheErased: a retry whose execution is gone when it gets a slot ends with a fault.
func TestPendingRetryOfTheErased(t *testing.T) {
	t.Parallel()
	onProcess(t, func(p *profile) { p.MaxConcurrent = 1 }, func(t *testing.T, p *testProcess) {
		busy := p.started("short")
		row, _, err := p.begin(t.Context(), order{userID: "ada", workflow: "steps", origin: Origin{Kind: OriginRetry, ID: "nothing"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.want(busy, machine.Completed)
		p.want(row.ID, machine.Faulted)
		if free := p.engine.executionSlots.Free(); free != 1 {
			t.Errorf("%d slots are free, want 1", free)
		}
	})
}

// TestNothingIsAcknowledgedBeforeTheLog repeats a cancellation, an event and the end of a call while the first attempt waits for the
// log: the repetition changes nothing, and must wait for it as well.
func TestNothingIsAcknowledgedBeforeTheLog(t *testing.T) {
	t.Parallel()
	event := map[string]any{"specversion": "1.0", "type": "ping", "source": "s", "id": "1"}
	for _, test := range []struct {
		workflow string
		do       func(ctx context.Context, p *testProcess, id string) error
	}{
		{"timeout", func(ctx context.Context, p *testProcess, id string) error {
			_, err := p.engine.Cancel(ctx, Row{ID: id, Partition: PartitionOf(id)}, "")
			return err
		}},
		{"listen", func(ctx context.Context, p *testProcess, _ string) error {
			_, err := p.engine.Deliver(ctx, "ada", event)
			return err
		}},
		{"approve", func(ctx context.Context, p *testProcess, id string) error {
			return p.engine.CompleteCall(ctx, id, "1", nil, nil)
		}},
	} {
		t.Run(test.workflow, func(t *testing.T) {
			t.Parallel()
			onProcess(t, nil, func(t *testing.T, p *testProcess) {
				id := p.started(test.workflow)
				time.Sleep(500 * time.Millisecond)
				release := p.log.block()
				done := make(chan error, 2)
				for range 2 {
					go func() { done <- test.do(t.Context(), p, id) }()
					time.Sleep(100 * time.Millisecond)
				}
				if len(done) != 0 {
					t.Errorf("acknowledged before the log has it: %v", <-done)
				}
				release()
				for range 2 {
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// TestParentIsCompletedAfterATakeover: the owner of a child dies after the child has ended, and its next owner cannot read at first
// which parents wait.
func TestParentIsCompletedAfterATakeover(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, first *testProcess) {
		parent, child := first.started("approve"), first.started("steps")
		first.want(parent, machine.Waiting)
		first.want(child, machine.Completed)
		first.kill()
		store := first.w.store
		store.mu.Lock()
		row := store.rows[child]
		row.ParentID, row.ParentCall = parent, "1"
		store.rows[child] = row
		store.mu.Unlock()
		second := newTestProcess(t, first.w)
		second.hooks.on("uncompletedParents", failTimes(subjects.WorkflowPartitions))
		second.acquireAll()
		second.want(parent, machine.Completed)
	})
}

// TestChildOfAFailedStart: the start of a child is answered with an error although the child exists. The call fails, and the child
// is cancelled.
func TestChildOfAFailedStart(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		dispatch := p.engine.activities.dispatch
		p.engine.activities.dispatch = func(ctx context.Context, row Row, call *machine.Call, repeated bool) (any, error) {
			output, err := dispatch(ctx, row, call, repeated)
			if call.Kind == machine.CallWorkflow {
				time.Sleep(500 * time.Millisecond) // the child has asked its parent by then
				err = subjects.Errorf(subjects.CodeInternal, "simulated")
			}
			return output, err
		}
		parent := p.started("race")
		p.status(parent)
		child := p.w.ledger.execution(parent).child("slowchild")
		p.want(child, machine.Cancelled)
	})
}

// TestEachAttemptHasAChildOfItsOwn: a call that awaits a child is attempted again while the child of the attempt before is running. The
// second attempt starts another child, and the first one is cancelled.
func TestEachAttemptHasAChildOfItsOwn(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		dispatch := p.engine.activities.dispatch
		p.engine.activities.dispatch = func(ctx context.Context, row Row, call *machine.Call, repeated bool) (any, error) {
			output, err := dispatch(ctx, row, call, repeated)
			if call.Kind == machine.CallWorkflow && call.Attempt == 1 {
				err = machine.NewError(machine.TypeCommunication, "simulated")
			}
			return output, err
		}
		parent := p.started("retrychild")
		p.want(parent, machine.Completed)
		children := p.w.ledger.execution(parent).children("child")
		if len(children) != 2 {
			t.Fatalf("the attempts start %v", children)
		}
		p.want(children[0], machine.Cancelled)
		p.want(children[1], machine.Completed)
	})
}

// TestTimeoutOfACallInFlight: timers fire while a call of the execution is in flight.
func TestTimeoutOfACallInFlight(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		id := p.started("deadline")
		p.want(id, machine.Faulted)
		e := p.w.ledger.execution(id)
		if took := e.events[len(e.events)-1].At.Sub(e.events[0].At); took > 600*time.Millisecond {
			t.Errorf("a timeout of half a second takes %s", took)
		}
	})
}

// TestTimerOfAnExecutionEvictedDuringTheRead: while the timers of evicted executions are read, those that are evicted meanwhile add
// their own, because the read may miss them.
func TestTimerOfAnExecutionEvictedDuringTheRead(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		id := p.started("long")
		time.Sleep(100 * time.Millisecond)
		one := p.home(id)
		one.mu.Lock()
		one.timersUntil = time.Time{}
		one.mu.Unlock()
		p.hooks.on("due", func() error {
			p.flush()
			return nil
		})
		evictedTimers{one}.read(time.Now().Add(timerHorizon))
		p.hooks.on("due", nil)
		one.mu.Lock()
		defer one.mu.Unlock()
		if one.executions[id] != nil {
			t.Error("the execution was not evicted")
		}
		if at, ok := one.timers.next(); !ok || at.After(time.Now().Add(2*time.Second)) {
			t.Errorf("the next timer is at %s, %v", at, ok)
		}
	})
}

// TestEventToAnExecutionEvictedDuringTheRead: an execution is evicted after the evicted listeners were read.
func TestEventToAnExecutionEvictedDuringTheRead(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		p.started("listen")
		time.Sleep(500 * time.Millisecond)
		p.hooks.on("listening", func() error {
			p.flush()
			return nil
		})
		delivered, err := p.engine.Deliver(t.Context(), "ada", map[string]any{"specversion": "1.0", "type": "ping", "source": "s", "id": "1"})
		if err != nil || delivered != 1 {
			t.Errorf("delivered to %d, %v", delivered, err)
		}
	})
}

// TestTerminationOfAnExecutionEvictedDuringTheRead: an execution that SQL does not have is evicted after the open ones were read.
func TestTerminationOfAnExecutionEvictedDuringTheRead(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		time.Sleep(time.Second) // the flushes of the takeover are over
		id := p.started("timeout")
		time.Sleep(50 * time.Millisecond)
		p.hooks.on("open", func() error {
			p.flush()
			return nil
		})
		if err := p.engine.TerminateUser(t.Context(), "ada"); err != nil {
			t.Fatal(err)
		}
		p.want(id, machine.Cancelled)
	})
}

// TestWaitersOfAClosedPartition: waiters for a result or an append get errPartitionMoving.
func TestWaitersOfAClosedPartition(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		ended := make(chan Result, 2)
		row, _, err := p.begin(t.Context(), order{userID: "ada", workflow: "timeout"}, ended)
		if err != nil {
			t.Fatal(err)
		}
		p.log.block()()
		release := p.log.block()
		defer release()
		cancelled := make(chan error, 1)
		one := p.home(row.ID)
		go func() {
			_, err := carryOut(t.Context(), one, cancelCommand{Execution: row.ID})
			cancelled <- err
		}()
		time.Sleep(50 * time.Millisecond)
		one.close(nil)
		synctest.Wait()
		if end := <-ended; !errors.Is(end.Err, errPartitionMoving) {
			t.Errorf("the starter gets %v", end.Err)
		}
		if err := <-cancelled; !errors.Is(err, errPartitionMoving) {
			t.Errorf("the cancellation gets %v", err)
		}
	})
}
