package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// wantQuarantined checks that an execution has ended with a fault that says so, and that others of its partition have not.
func (p *testProcess) wantQuarantined(id, detail string) {
	p.t.Helper()
	p.want(id, machine.Faulted)
	row, _ := p.w.store.row(id)
	if !strings.Contains(row.Error, detail) || row.EndedAt == 0 || row.ErrorType != machine.TypeRuntime {
		p.t.Errorf("execution %s ended at %d with %s %s, want %q", id, row.EndedAt, row.ErrorType, row.Error, detail)
	}
	if count := counted(p.t, p.engine, "workflow_quarantined_executions_total"); count < 1 {
		p.t.Errorf("%v executions are counted as quarantined", count)
	}
	if free := p.engine.executionSlots.Free(); free != p.w.profile.MaxConcurrent {
		p.t.Errorf("%d slots are free, want %d", free, p.w.profile.MaxConcurrent)
	}
}

// counted is the value of a counter of an engine.
func counted(t *testing.T, e *Engine, name string) float64 {
	t.Helper()
	registry, _ := e.Metrics.(*prometheus.Registry)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func quarantines(p *profile) { p.Quarantines = true }

// TestPanicsAreQuarantined: an execution whose decision panics ends alone, whether it is decided under the lock or in the pool.
func TestPanicsAreQuarantined(t *testing.T) {
	t.Parallel()
	for name, pooled := range map[string]bool{"under the lock": false, "in the pool": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onProcess(t, quarantines, func(t *testing.T, p *testProcess) {
				id, other := p.started("short"), p.started("short")
				one := p.home(id)
				one.mu.Lock()
				one.executions[id].machine, one.executions[id].heavy = &machine.Execution{}, pooled // its next outcome panics
				one.mu.Unlock()
				p.wantQuarantined(id, "the execution was quarantined")
				p.want(other, machine.Completed)
				if events, err := p.w.store.events(id); err != nil || !strings.Contains(string(events[len(events)-1]), `"execution_faulted"`) {
					t.Errorf("the history ends with %s, %v", events, err)
				}
			})
		})
	}
}

// TestUnrestorableExecutions: an execution whose snapshot cannot be read ends when its timer is due, and one whose history cannot be read when
// another process takes its partition over, which that process owns then. The next owner replays the quarantine from the log.
func TestUnrestorableExecutions(t *testing.T) {
	t.Parallel()
	onProcess(t, quarantines, func(t *testing.T, p *testProcess) {
		id, other := p.started("long"), p.started("long")
		time.Sleep(20 * time.Millisecond)
		p.flush()
		p.flush()
		p.w.store.corrupt(id, func(row *Row) { row.Snapshot = `{"sequence": "broken"` })
		p.wantQuarantined(id, "the execution was quarantined")
		time.Sleep(5 * time.Second)
		p.want(other, machine.Completed)
	})
	onProcess(t, quarantines, func(t *testing.T, first *testProcess) {
		id, other := first.started("short"), first.started("short")
		time.Sleep(5 * time.Millisecond)
		first.flush()
		first.kill()
		first.w.store.corruptHistory(id)
		second := newTestProcess(t, first.w)
		second.acquireAll()
		third := newTestProcess(t, first.w) // before SQL has the quarantine
		time.Sleep(20 * time.Millisecond)
		third.acquireAll()
		second.kill()
		third.want(id, machine.Faulted)
		third.want(other, machine.Completed)
	})
}

// TestUnstorableExecutions: an execution whose row the database refuses ends alone: the others are stored.
func TestUnstorableExecutions(t *testing.T) {
	t.Parallel()
	onProcess(t, quarantines, func(t *testing.T, p *testProcess) {
		var others []string
		for range 5 {
			others = append(others, p.started("short"))
		}
		row, _, err := p.begin(t.Context(), order{userID: "eve", workflow: "short", input: `{"x":"` + refusedInput + `"}`}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.wantQuarantined(row.ID, unstorableDetail)
		for _, id := range others {
			p.want(id, machine.Completed)
		}
		if p.isLoaded(row.ID) || p.unprojectedBytes(PartitionOf(row.ID)) != 0 {
			t.Error("the refused execution stays in memory")
		}
	})
}

// TestPanicsOfStarts: a start that panics is refused, and leaves nothing.
func TestPanicsOfStarts(t *testing.T) {
	t.Parallel()
	onProcess(t, nil, func(t *testing.T, p *testProcess) {
		environment := p.engine.Environment
		p.engine.Environment = nil
		_, _, err := p.begin(t.Context(), order{userID: "ada", workflow: "short"}, nil)
		if subjects.CodeOf(err) != subjects.CodeInternal {
			t.Errorf("the start ends with %v", err)
		}
		p.engine.Environment = environment
		p.want(p.started("short"), machine.Completed)
	})
}
