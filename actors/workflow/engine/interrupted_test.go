package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// TestLateTimerPrecedesAResult: a timer that fires late, because the process has other work, still wins over the result of a call that
// comes after the timer was due.
func TestLateTimerPrecedesAResult(t *testing.T) {
	t.Parallel()
	unjudged := func(p *profile) { p.Calm = false } // the ledger does not judge how late the timer is
	onProcess(t, unjudged, func(t *testing.T, p *testProcess) {
		id := p.started("deadline")
		_ = wait.Until(t.Context(), nil, 100*time.Millisecond)
		one := p.home(id)
		one.mu.Lock()
		one.timers = timers{wake: one.timerWake} // nothing looks at the clock
		one.mu.Unlock()
		p.want(id, machine.Faulted)
		for _, event := range p.w.ledger.execution(id).events {
			if event.Type == machine.CallCompleted || event.Type == machine.CallFailed {
				t.Errorf("the result counts: %+v", event)
			}
		}
	})
}

// TestResultOfAnAbandonedCallIsIgnored: a call that is not in flight any more has no result, whatever it is.
func TestResultOfAnAbandonedCallIsIgnored(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		id := p.started("slowrace")
		_ = wait.Until(t.Context(), nil, 600*time.Millisecond)
		one := p.home(id)
		one.mu.Lock()
		h := one.executions[id]
		call := h.machine.Awaited()
		one.mu.Unlock()
		const slow = "2"
		if containsCall(call, slow) || p.w.ledger.execution(id).runs[2] == nil {
			t.Fatalf("the calls are %+v", call)
		}
		before := len(p.w.ledger.execution(id).events)
		for name, result := range map[string]callResult{
			"output": {id: slow, outcome: machine.CallDone(slow, 1, time.Now())}, "external": {id: slow, external: true, child: "c"},
			"fault": {id: slow, outcome: machine.CallFault(slow, machine.NewError(machine.TypeRuntime, "x"), time.Now()), child: "c"},
		} {
			if one.complete(context.Background(), h, result) {
				t.Errorf("%s is taken", name)
			}
		}
		one.mu.Lock()
		if len(h.external) > 0 || len(h.orphanCandidates) > 0 {
			t.Errorf("the execution waits for %v, and may have started %v", h.external, h.orphanCandidates)
		}
		one.mu.Unlock()
		p.want(id, machine.Completed)
		for _, event := range p.w.ledger.execution(id).events[:before] {
			if event.Run == 2 && event.Type == machine.CallCompleted {
				t.Error("the result is in the log")
			}
		}
	})
}

// TestApprovalOfAnAbandonedCall: the request of an approval that was still being made when a faster branch ended its call is withdrawn
// afterwards, and so is one that had been made.
func TestApprovalOfAnAbandonedCall(t *testing.T) {
	t.Parallel()
	for name, delay := range map[string]time.Duration{"made before": 10 * time.Millisecond, "being made": 200 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onProcess(t, nil, func(t *testing.T, p *testProcess) {
				p.engine.activities.dispatch = func(_ context.Context, row Row, call *machine.Call, _ bool) (any, error) {
					_ = wait.Until(t.Context(), nil, delay) // it does not notice that it is cancelled
					p.w.store.requestApproval(row.ID, call.ID)
					return nil, ErrExternal
				}
				id := p.started("slowapprove")
				p.want(id, machine.Waiting)
				if open := p.w.store.openApprovals(); len(open) > 0 {
					t.Errorf("the requests %v are open", open)
				}
			})
		})
	}
}

// TestIDsOfExecutionsAreUnique: an execution is not started under the id of another one, whether that is loaded, has ended or is
// evicted, and whether the caller vouches for the id or not.
func TestIDsOfExecutionsAreUnique(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		evicted, ended := p.started("slowchild"), p.started("short")
		p.want(ended, machine.Completed)
		loaded := p.started("slowfork")
		if p.isLoaded(evicted) || p.isLoaded(ended) {
			t.Fatal("an execution is loaded that should not be")
		}
		start := func(id string, fresh bool) error {
			row := Row{ID: id, UserID: "ada", WorkflowID: "steps", Version: 1, Name: "steps", Input: "{}", CreatedAt: time.Now().UnixMicro()}
			return p.engine.Start(t.Context(), PartitionOf(id), row, "", fresh, nil)
		}
		for _, id := range []string{loaded, evicted, ended} {
			if err := start(id, false); !errors.Is(err, ErrTaken) {
				t.Errorf("starting another execution: %v", err)
			}
		}
		if err := start(loaded, true); !errors.Is(err, ErrTaken) {
			t.Errorf("starting another execution under an id that is said to be new: %v", err)
		}
		p.want(loaded, machine.Completed)
	})
}
