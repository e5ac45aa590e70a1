package workflow_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/database"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// timed is a bundle whose clock the test moves.
type timed struct {
	*bundle
	moved *atomic.Int64
}

func setupTimed(t *testing.T, kind actortest.Database) *timed {
	t.Helper()
	moved := &atomic.Int64{}
	now := func() time.Time { return time.Now().Add(time.Duration(moved.Load())) }
	return &timed{setup(t, kind, actortest.WithClock(now)), moved}
}

// advance moves the clock, and signs the user in anew.
func (c *timed) advance(t *testing.T, by time.Duration) {
	t.Helper()
	c.moved.Add(int64(by))
	c.ada = mesh.As{Token: c.mesh.Token(t, c.user)}
}

// scheduled is a definition with a schedule, its options and tasks.
func scheduled(on, options, tasks string) string {
	document := "document: {dsl: '1.0.3', namespace: test, name: timed, version: '0.1.0'"
	if options != "" {
		document += ", metadata: {schedule: {" + options + "}}"
	}
	return document + "}\nschedule: {" + on + "}\ndo:\n" + tasks
}

const quick = "- say: {call: echo, with: {given: '${ . }'}}\n"

// plan creates a workflow with a schedule.
func (c *timed) plan(t *testing.T, definition string) (workflowID string, s subjects.WorkflowSchedule) {
	t.Helper()
	w := call(t, c.bundle, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, definition)})
	page := call(t, c.bundle, subjects.ListSchedules, subjects.ListSchedulesRequest{WorkflowID: w.ID})
	if len(page.Items) != 1 {
		t.Fatalf("schedules of the workflow: %+v", page.Items)
	}
	return w.ID, page.Items[0]
}

func (c *timed) schedule(t *testing.T, id string) subjects.WorkflowSchedule {
	t.Helper()
	return call(t, c.bundle, subjects.GetSchedule, subjects.ScheduleRequest{ScheduleID: id})
}

// runs waits until the schedule's runs, oldest first, have these statuses.
func (c *timed) runs(t *testing.T, id string, want ...string) []subjects.ScheduledRun {
	t.Helper()
	var runs []subjects.ScheduledRun
	eventually(t, "runs "+fmt.Sprint(want), func() bool {
		runs = c.schedule(t, id).RecentRuns
		slices.Reverse(runs)
		var got []string
		for _, run := range runs {
			got = append(got, run.Status)
		}
		return slices.Equal(got, want)
	})
	return runs
}

func (c *timed) executions(t *testing.T, workflowID string) []subjects.Execution {
	t.Helper()
	return call(t, c.bundle, subjects.ListExecutions, subjects.ListExecutionsRequest{WorkflowID: workflowID}).Items
}

func TestScheduleRunsEachNominalTimeOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		id, s := c.plan(t, scheduled("every: PT1H", "overlap: allow, catchUp: PT1H30M, input: {at: '${ .nominal_time }'}", quick))
		if s.Kind != "every" || s.Seconds != 3600 || s.Overlap != "allow" || len(s.NextRuns) != 5 || s.Paused || s.WorkflowID != id {
			t.Errorf("planned: %+v", s)
		}
		first := s.NextRuns[0]
		c.advance(t, time.Hour+time.Second)
		runs := c.runs(t, s.ID, "ended")
		e := c.until(t, runs[0].ExecutionID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		wantOutput(t, e, `{"given":{"at":"`+first.Format(time.RFC3339)+`"}}`)
		if !runs[0].NominalTime.Equal(first) {
			t.Errorf("the run is of %s, want %s", runs[0].NominalTime, first)
		}
		// Within the catch-up window all that was missed is made up for; what is older is missed.
		c.advance(t, 5*time.Hour)
		runs = c.runs(t, s.ID, "ended", "missed", "ended", "ended")
		if !strings.Contains(runs[1].Reason, "nor those after it") {
			t.Errorf("the missed run says %q", runs[1].Reason)
		}
		if n := len(c.executions(t, id)); n != 3 {
			t.Errorf("%d executions, want 3", n)
		}
		if next := c.schedule(t, s.ID).NextRuns[0]; !next.Equal(first.Add(6 * time.Hour)) {
			t.Errorf("the next run is at %s, want %s", next, first.Add(6*time.Hour))
		}
	})
}

func TestScheduleOverlap(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		const slow = "- rest: {wait: {hours: 100}}\n"
		plans := map[string]string{}
		for _, policy := range []string{"skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other"} {
			_, s := c.plan(t, scheduled("every: PT1H", "overlap: "+policy, slow))
			plans[policy] = s.ID
		}
		step := func(want map[string][]string) {
			t.Helper()
			c.advance(t, time.Hour+time.Second)
			for policy, statuses := range want {
				c.runs(t, plans[policy], statuses...)
			}
		}
		step(map[string][]string{
			"skip": {"started"}, "buffer_one": {"started"}, "buffer_all": {"started"}, "cancel_other": {"started"}, "terminate_other": {"started"},
		})
		step(map[string][]string{
			"skip": {"started", "skipped"}, "buffer_one": {"started", "due"}, "buffer_all": {"started", "due"},
			"cancel_other": {"ended", "started"}, "terminate_other": {"ended", "started"},
		})
		step(map[string][]string{
			"skip": {"started", "skipped", "skipped"}, "buffer_one": {"started", "due", "skipped"}, "buffer_all": {"started", "due", "due"},
			"cancel_other": {"ended", "ended", "started"},
		})
		if s := c.schedule(t, plans["buffer_all"]); s.Waiting != 2 {
			t.Errorf("%d runs wait, want 2", s.Waiting)
		}
		runs := c.runs(t, plans["buffer_all"], "started", "due", "due")
		call(t, c.bundle, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: runs[0].ExecutionID})
		c.runs(t, plans["buffer_all"], "ended", "started", "due")
		cancelled := c.runs(t, plans["cancel_other"], "ended", "ended", "started")
		if e := c.status(t, cancelled[0].ExecutionID); e.Status != subjects.ExecutionCancelled {
			t.Errorf("what the next run has replaced is %s", e.Status)
		}
	})
}

func TestPauseAndBackfill(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		id, s := c.plan(t, scheduled("cron: '0 9 * * *'", "timeZone: America/New_York, input: {day: '${ .scheduled_for[:10] }', again: '${ .backfill }'}", quick))
		if s.TimeZone != "America/New_York" || s.Cron != "0 9 * * *" {
			t.Errorf("planned: %+v", s)
		}
		first := s.NextRuns[0]
		paused := call(t, c.bundle, subjects.PauseSchedule, subjects.PauseScheduleRequest{ScheduleID: s.ID, Note: "holidays"})
		if !paused.Paused || paused.Note != "holidays" || len(paused.NextRuns) != 0 {
			t.Errorf("paused: %+v", paused)
		}
		if page := call(t, c.bundle, subjects.ListSchedules, subjects.ListSchedulesRequest{Paused: new(bool)}); len(page.Items) != 0 {
			t.Errorf("listed as not paused: %+v", page.Items)
		}
		c.advance(t, 4*24*time.Hour)
		resumed := call(t, c.bundle, subjects.ResumeSchedule, subjects.ScheduleRequest{ScheduleID: s.ID})
		if resumed.Paused || resumed.Note != "" || len(resumed.RecentRuns) != 0 || !resumed.NextRuns[0].After(first.Add(72*time.Hour)) {
			t.Errorf("resumed: %+v", resumed)
		}
		fill := subjects.BackfillScheduleRequest{ScheduleID: s.ID, Since: first, Until: first.Add(49 * time.Hour)}
		if done := call(t, c.bundle, subjects.BackfillSchedule, fill); done.Planned != 3 || done.Known != 0 {
			t.Errorf("backfilled: %+v", done)
		}
		runs := c.runs(t, s.ID, "ended", "ended", "ended")
		e := c.until(t, runs[0].ExecutionID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		newYork, err := time.LoadLocation("America/New_York")
		if err != nil {
			t.Fatal(err)
		}
		wantOutput(t, e, fmt.Sprintf(`{"given":{"again":true,"day":%q}}`, first.In(newYork).Format(time.DateOnly)))
		// A nominal time has one run: backfilling it again runs nothing.
		if done := call(t, c.bundle, subjects.BackfillSchedule, fill); done.Planned != 0 || done.Known != 3 {
			t.Errorf("backfilled again: %+v", done)
		}
		if n := len(c.executions(t, id)); n != 3 {
			t.Errorf("%d executions, want 3", n)
		}
		fill.Until = fill.Since
		wantCode(t, c.bundle, subjects.CodeInvalid, subjects.BackfillSchedule, c.ada, fill)
		fill.Until = c.mesh.Now().Add(time.Hour)
		wantCode(t, c.bundle, subjects.CodeInvalid, subjects.BackfillSchedule, c.ada, fill)
		fill.Since, fill.Until = first.AddDate(-5, 0, 0), first
		wantCode(t, c.bundle, subjects.CodeInvalid, subjects.BackfillSchedule, c.ada, fill)
		eve := mesh.As{Token: c.mesh.Token(t, actortest.User())}
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.GetSchedule, eve, subjects.ScheduleRequest{ScheduleID: s.ID})
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.PauseSchedule, eve, subjects.PauseScheduleRequest{ScheduleID: s.ID})
	})
}

// TestScheduleWithoutConsent: consent is checked when a run starts; the first refused run is told to the user, a later
// one that can be started begins a new count.
func TestScheduleWithoutConsent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		id, s := c.plan(t, scheduled("every: PT1H", "", quick))
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		c.advance(t, time.Hour+time.Second)
		c.runs(t, s.ID, "refused")
		c.advance(t, time.Hour)
		runs := c.runs(t, s.ID, "refused", "refused")
		eventually(t, "the schedule says why", func() bool {
			return strings.Contains(c.schedule(t, s.ID).Refused, subjects.ScopeWorkflowsExecute)
		})
		wantCode(t, c.bundle, subjects.CodeConsentRequired, subjects.BackfillSchedule, c.ada, subjects.BackfillScheduleRequest{
			ScheduleID: s.ID, Since: runs[0].NominalTime, Until: runs[1].NominalTime,
		})
		c.mesh.Consent(t, c.user, subjects.ScopeWorkflowsExecute)
		c.advance(t, time.Hour)
		c.runs(t, s.ID, "refused", "refused", "ended")
		eventually(t, "no run is refused any more", func() bool { return c.schedule(t, s.ID).Refused == "" })
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		c.advance(t, time.Hour)
		c.runs(t, s.ID, "refused", "refused", "ended", "refused")
		told := c.told(t, subjects.RunRefused.Subject, 2)
		var event subjects.Envelope[subjects.RunRefusal]
		if err := json.Unmarshal(told[0], &event); err != nil {
			t.Fatal(err)
		}
		if event.UserID != c.user || event.Data.WorkflowID != id || event.Data.Code != subjects.CodeConsentRequired || event.Data.Trigger != "schedule" {
			t.Errorf("told: %+v", event)
		}
	})
}

// told waits until so many events are told on a subject, and returns them.
func (b *bundle) told(t *testing.T, subject string, count int) [][]byte {
	t.Helper()
	stream, err := b.mesh.Conn(t, "operator").JS.Stream(t.Context(), subjects.Events.Name)
	if err != nil {
		t.Fatal(err)
	}
	var messages [][]byte
	eventually(t, fmt.Sprintf("%d events on %s", count, subject), func() bool {
		messages = nil
		for next := uint64(1); ; next++ {
			m, err := stream.GetMsg(t.Context(), next)
			if err != nil {
				break
			}
			if m.Subject == subject {
				messages = append(messages, m.Data)
			}
		}
		return len(messages) >= count
	})
	if len(messages) > count {
		t.Fatalf("%d events on %s, want %d", len(messages), subject, count)
	}
	return messages
}

func TestScheduleFollowsItsDefinition(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		id, s := c.plan(t, scheduled("every: PT1H", "", "- say: {call: echo, with: {version: 1}}\n"))
		update := func(definition string) {
			t.Helper()
			call(t, c.bundle, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: id, Definition: yaml(t, definition)})
		}
		c.advance(t, 30*time.Minute)
		update(scheduled("every: PT1H", "", "- say: {call: echo, with: {version: 2}}\n"))
		if again := c.schedule(t, s.ID); again.Version != 2 || !again.NextRuns[0].Equal(s.NextRuns[0]) {
			t.Errorf("the same times go on elsewhere: %+v", again)
		}
		c.advance(t, 30*time.Minute+time.Second)
		runs := c.runs(t, s.ID, "ended")
		wantOutput(t, c.until(t, runs[0].ExecutionID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"version":2}`)
		update(scheduled("every: PT3H", "", quick))
		if again := c.schedule(t, s.ID); again.Seconds != 10800 || again.NextRuns[0].Sub(c.mesh.Now()) < 2*time.Hour {
			t.Errorf("other times begin anew: %+v", again)
		}
		update(workflowOf(quick))
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.GetSchedule, c.ada, subjects.ScheduleRequest{ScheduleID: s.ID})
		update(scheduled("every: PT1H", "", quick))
		c.schedule(t, s.ID)
		call(t, c.bundle, subjects.DeleteWorkflow, subjects.WorkflowRequest{WorkflowID: id})
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.GetSchedule, c.ada, subjects.ScheduleRequest{ScheduleID: s.ID})
	})
}

func TestAfterCompletion(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		_, s := c.plan(t, scheduled("after: PT10M", "", "- hold: {call: github.hold}\n"))
		c.advance(t, 10*time.Minute+time.Second)
		<-c.held
		c.advance(t, time.Hour)
		c.runs(t, s.ID, "started")
		close(c.hold)
		c.runs(t, s.ID, "ended")
		c.advance(t, 9*time.Minute)
		c.runs(t, s.ID, "ended")
		c.advance(t, time.Minute+time.Second)
		c.runs(t, s.ID, "ended", "ended")
		wantCode(t, c.bundle, subjects.CodeConflict, subjects.BackfillSchedule, c.ada, subjects.BackfillScheduleRequest{
			ScheduleID: s.ID, Since: s.CreatedAt, Until: s.CreatedAt.Add(time.Minute),
		})
	})
}

// TestSchedulesOfTwoProcesses: two processes on one database, and a third that takes over when both have died, start
// one execution for each nominal time.
func TestSchedulesOfTwoProcesses(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		second := c.host
		if kind.Name != database.DialectSQLite {
			second = c.bundle.start(t)
		}
		id, s := c.plan(t, scheduled("every: PT1M", "overlap: allow, catchUp: PT30M", quick))
		for range 10 {
			c.advance(t, time.Minute)
			c.schedule(t, s.ID)
		}
		_ = second.Stop(t)
		_ = c.host.Stop(t)
		c.advance(t, 10*time.Minute)
		c.host = c.bundle.start(t)
		eventually(t, "there is a run for each minute", func() bool {
			runs := c.schedule(t, s.ID).RecentRuns
			return len(runs) == 20 && !slices.ContainsFunc(runs, func(r subjects.ScheduledRun) bool {
				return r.Status != "started" && r.Status != "ended"
			})
		})
		if n := len(c.executions(t, id)); n != 20 {
			t.Errorf("%d executions of 20 nominal times", n)
		}
	})
}
