package engine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh/fair"
	"github.com/weftmesh/weft/subjects"
)

// TestLargeDecisionsAreMadeInThePool: an execution whose decisions exceed the quick slice, by steps or by data, is decided without the lock, ends
// with the same result, and is evicted and loaded again.
func TestLargeDecisionsAreMadeInThePool(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		for _, workflow := range []string{"costly", "bulky"} {
			id := p.started(workflow)
			p.want(id, machine.Waiting)
			if p.isLoaded(id) {
				t.Errorf("%s is not evicted", workflow)
			}
			time.Sleep(10 * time.Second)
			p.want(id, machine.Completed)
			row, _ := p.w.store.row(id)
			if !strings.HasPrefix(string(row.Output), `{"sum":`) {
				t.Errorf("%s returns %.100s", workflow, row.Output)
			}
		}
		one := p.engine.partition(0)
		one.mu.Lock()
		defer one.mu.Unlock()
		if bytes := p.engine.held.bytes(); bytes != 0 {
			t.Errorf("executions that have ended hold %d bytes", bytes)
		}
		if p.engine.evaluators.Free() < 1 || p.engine.evaluators.Queued() != 0 {
			t.Error("the evaluator pool is busy")
		}
	})
}

// TestControlOfLargeExecutions cancels an execution while it is being decided in the pool, for ever.
func TestControlOfLargeExecutions(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		id := p.started("endless")
		for deciding := false; !deciding; time.Sleep(time.Millisecond) {
			one := p.home(id)
			one.mu.Lock()
			h := one.executions[id]
			deciding = h != nil && h.deciding
			one.mu.Unlock()
		}
		reply, err := controller{p.home(id)}.control(t.Context(), id, machine.Cancel("enough", time.Now()))
		if err != nil || reply.Status != machine.Cancelled || !reply.Changed {
			t.Fatalf("%+v, %v", reply, err)
		}
		p.want(id, machine.Cancelled)
	})
}

// TestUsersWhoHoldTooMuch: an execution that grows past what its user's executions may hold ends with a fault that names the bound.
func TestUsersWhoHoldTooMuch(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		p.engine.held.perUser = 70 << 10
		first, second := p.started("bulky"), p.started("bulky")
		faulted := 0
		for _, id := range []string{first, second} {
			if p.status(id) == machine.Faulted {
				row, _ := p.w.store.row(id)
				if faulted++; !strings.Contains(row.Error, "workflow.max_bytes_per_user") {
					t.Errorf("the execution ended with %s", row.Error)
				}
			}
		}
		if faulted == 0 {
			t.Error("no execution has ended")
		}
	})
	b := heldBytes{perUser: 100, total: 150}
	for _, step := range []struct {
		user    string
		by      int
		tooMuch bool
	}{{"ada", 60, false}, {"ada", 41, true}, {"ada", -41, false}, {"bob", 20, false}, {"eve", 80, true}, {"bob", 1, false}, {"ada", -60, false}, {"bob", 9, false}} {
		if got := b.change(step.user, step.by); got != step.tooMuch {
			t.Errorf("%s, %+d: too much: %t", step.user, step.by, got)
		}
	}
}

// TestBacklog: while SQL is away, starts are refused past one bound, and running executions wait past another. Both go on afterwards.
func TestBacklog(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		id := p.started("short")
		p.engine.backlog.add("ada", 2*maxBacklog+1)
		_, _, err := p.begin(t.Context(), order{userID: "ada", workflow: "short"}, nil)
		if subjects.CodeOf(err) != subjects.CodeUnavailable {
			t.Errorf("a start ends with %v", err)
		}
		if _, _, err := p.begin(t.Context(), order{userID: "bob", workflow: "short"}, nil); err != nil {
			t.Errorf("another user's start ends with %v", err)
		}
		p.engine.backlog.add("ada", maxBacklog)
		if _, _, err := p.begin(t.Context(), order{userID: "bob", workflow: "short"}, nil); subjects.CodeOf(err) != subjects.CodeUnavailable {
			t.Errorf("past three bounds, another user's start ends with %v", err)
		}
		p.engine.backlog.add("ada", -maxBacklog)
		before := p.effects()
		time.Sleep(5 * time.Second)
		if after := p.effects(); after > before+4 { // one that was in flight, and those of the other user
			t.Errorf("%d calls were made meanwhile", after-before)
		}
		p.engine.backlog.add("ada", -2*maxBacklog-1)
		p.flush()
		p.want(id, machine.Completed)
		if _, _, err := p.begin(t.Context(), order{userID: "ada", workflow: "short"}, nil); err != nil {
			t.Error(err)
		}
		p.status(id)
		if left := p.engine.backlog.size(); left != 0 {
			t.Errorf("the backlog has %d bytes at the end", left)
		}
	})
}

func (p *testProcess) effects() int {
	p.w.ledger.mu.Lock()
	defer p.w.ledger.mu.Unlock()
	return p.w.ledger.effects
}

// TestSlowCallsHoldNoSlot: calls that hang give their step slots back after a second, up to a user's bound; then the user has one slot, and
// others have theirs.
func TestSlowCallsHoldNoSlot(t *testing.T) {
	t.Parallel()
	onRunner(t, func(ctx context.Context, _ int) (any, error) {
		return nil, wait.Until(ctx, nil, 10*time.Second)
	}, func(t *testing.T, r *runnerTest) {
		r.slots = fair.Semaphore{Limit: 4, PerUser: 3, LimitOf: r.stepSlots}
		r.slow = fair.Semaphore{Limit: 100, PerUser: 5}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { r.run(t.Context(), Row{UserID: "ada"}, function, false) })
		}
		time.Sleep(time.Second / 2)
		if slots := r.slots.ActiveOf("ada"); slots != 3 {
			t.Errorf("one user has %d of 4 slots at first", slots)
		}
		time.Sleep(3 * time.Second)
		if slots, slow := r.slots.ActiveOf("ada"), r.slow.ActiveOf("ada"); slots > 2 || slow != 5 {
			t.Errorf("the user has %d slots and %d slow calls", slots, slow)
		}
		start := time.Now()
		if !r.slots.Acquire(t.Context(), nil, "bob", 0) || time.Since(start) > 0 {
			t.Error("another user waits for a slot")
		}
		r.slots.Release("bob")
		all.Wait()
		if r.slots.Free() != 4 || r.slow.Free() != 100 {
			t.Errorf("%d and %d slots are free at the end", r.slots.Free(), r.slow.Free())
		}
		r.slots = fair.Semaphore{Limit: 2} // as it was
	})
}

// TestActiveUsers: the bound of a user's executions holds exactly where all are started by one process; far from it nothing is counted.
func TestActiveUsers(t *testing.T) {
	t.Parallel()
	open, counts := 0, 0
	a := activeUsers{max: 100, now: time.Now, count: func(context.Context, string) (int, error) { counts++; return open, nil }}
	for ; open < 100; open++ {
		if err := a.admit(t.Context(), "ada"); err != nil {
			t.Fatalf("after %d: %v", open, err)
		}
	}
	if counts > 10 {
		t.Errorf("%d counts for 100 starts", counts)
	}
	err := a.admit(t.Context(), "ada")
	if subjects.CodeOf(err) != subjects.CodeRateLimited || !strings.Contains(fmt.Sprint(err), "workflow.max_active_per_user") {
		t.Errorf("one more: %v", err)
	}
	if err := a.admit(t.Context(), "bob"); err != nil {
		t.Errorf("another user: %v", err)
	}
	open -= 10
	if err := a.admit(t.Context(), "ada"); err != nil {
		t.Errorf("after some have ended: %v", err)
	}
}

// TestLimitedCallsWaitWithoutASlot: a call that a rate limit refuses is made again after the time that the refusal names, holds no slot until
// then, and that is no attempt. Where the step timeout does not leave so long, it fails at once.
func TestLimitedCallsWaitWithoutASlot(t *testing.T) {
	t.Parallel()
	onRunner(t, func(_ context.Context, attempt int) (any, error) {
		if attempt <= 4 {
			return nil, &subjects.Error{Code: subjects.CodeRateLimited, RetryAfter: 5 * time.Second}
		}
		return "out", nil
	}, func(t *testing.T, r *runnerTest) {
		start := time.Now()
		var during int
		time.AfterFunc(2*time.Second, func() { during = r.slots.Free() })
		result := r.run(t.Context(), Row{UserID: "ada"}, function, false)
		if result.outcome.EndsCall() != true || r.labels[0] != "completed" || time.Since(start) < 20*time.Second || time.Since(start) > 21*time.Second {
			t.Errorf("%+v %v after %s", result, r.labels, time.Since(start))
		}
		if during != 2 {
			t.Errorf("%d slots were free while the call waited", during)
		}
	})
	onRunner(t, func(context.Context, int) (any, error) {
		return nil, &subjects.Error{Code: subjects.CodeRateLimited, RetryAfter: 2 * time.Minute}
	}, func(t *testing.T, r *runnerTest) {
		start := time.Now()
		if r.run(t.Context(), Row{UserID: "ada"}, function, false); len(r.attempts) != 1 || r.labels[0] != "faulted" || time.Since(start) != 0 {
			t.Errorf("%d attempts, %v after %s", len(r.attempts), r.labels, time.Since(start))
		}
	})
}

// TestRestoredListenersDecideUnderTheLock: an event that a restored execution does not listen for is looked at without a place in the pool.
func TestRestoredListenersDecideUnderTheLock(t *testing.T) {
	t.Parallel()
	def, faults := language.Parse([]byte("document: {dsl: 1.0.3, namespace: a, name: b, version: 1.0.0}\ndo:\n- hear: {listen: {to: {one: {with: {type: a.b}}}}}\n"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	now := time.Unix(0, 0)
	x, _ := machine.Start(def, "x", map[string]any{}, now, machine.Environment{})
	snapshot, err := x.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if x, err = machine.RestoreSnapshot(def, machine.Environment{}, snapshot); err != nil {
		t.Fatal(err)
	}
	event := map[string]any{"specversion": "1.0", "id": "1", "source": "https://a.example", "type": "c.d"}
	if events, rest := quickly(x, []machine.Outcome{machine.EventArrived(event, now)}, now); len(events) > 0 || len(rest) > 0 || !x.Settled() {
		t.Errorf("%d events, %d outcomes left, settled: %v", len(events), len(rest), x.Settled())
	}
	event["type"] = "a.b"
	if events, rest := quickly(x, []machine.Outcome{machine.EventArrived(event, now)}, now); len(events) == 0 || len(rest) > 0 {
		t.Errorf("%d events, %d outcomes left", len(events), len(rest))
	}
}
