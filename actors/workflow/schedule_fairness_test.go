package workflow_test

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestSchedulesOfOneUserDoNotDelayAnother: one user's schedules ask for 1,500 runs a second, more than a process makes. Another
// user's schedule of a second is late by less than a second each time, and skips none.
func TestSchedulesOfOneUserDoNotDelayAnother(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		define := func(every string) subjects.WorkflowDefinitionRequest {
			return subjects.WorkflowDefinitionRequest{Definition: yaml(t, scheduled("every: "+every, "catchUp: PT5S", "- a: {set: {x: 1}}\n"))}
		}
		for range 150 {
			call(t, b, subjects.CreateWorkflow, define("{milliseconds: 100}"))
		}
		victim := actortest.User()
		b.mesh.Consent(t, victim, subjects.ScopeWorkflowsExecute)
		b.as = mesh.As{Token: b.mesh.Token(t, victim)}
		w := call(t, b, subjects.CreateWorkflow, define("{seconds: 1}"))
		schedule := call(t, b, subjects.ListSchedules, subjects.ListSchedulesRequest{WorkflowID: w.ID}).Items[0]
		const runs = 6
		var recent []subjects.ScheduledRun
		eventually(t, "the runs have started", func() bool {
			recent = call(t, b, subjects.GetSchedule, subjects.ScheduleRequest{ScheduleID: schedule.ID}).RecentRuns
			return len(recent) >= runs && recent[0].Status != "due"
		})
		var worst time.Duration
		for i, run := range recent {
			if want := recent[0].NominalTime.Add(-time.Duration(i) * time.Second); !run.NominalTime.Equal(want) {
				t.Errorf("run %d is of %s, want %s", i, run.NominalTime, want)
			}
			e := b.awaitStatus(t, run.ExecutionID, subjects.ExecutionCompleted)
			worst = max(worst, e.CreatedAt.Sub(run.NominalTime))
		}
		if worst >= time.Second {
			t.Errorf("a run was late by %s", worst)
		}
		t.Logf("the worst run was late by %s", worst)
	})
}
