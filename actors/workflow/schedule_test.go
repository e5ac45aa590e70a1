package workflow_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// timed is a bundle whose clock the test advances.
type timed struct {
	*bundle

	offset *atomic.Int64
}

func setupTimed(t *testing.T, kind actortest.Database) *timed {
	t.Helper()
	offset := &atomic.Int64{}
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	return &timed{setup(t, kind, actortest.WithClock(now)), offset}
}

// advance advances the clock, and renews the user's token, which may have expired.
func (c *timed) advance(t *testing.T, by time.Duration) {
	t.Helper()
	c.offset.Add(int64(by))
	c.as = mesh.As{Token: c.mesh.Token(t, c.user)}
}

// scheduled returns a definition with a schedule, its options in the metadata, and tasks.
func scheduled(on, options, tasks string) string {
	document := "document: {dsl: '1.0.3', namespace: test, name: timed, version: '0.1.0'"
	if options != "" {
		document += ", metadata: {schedule: {" + options + "}}"
	}
	return document + "}\nschedule: {" + on + "}\ndo:\n" + tasks
}

const echoTasks = "- say: {call: echo, with: {given: '${ . }'}}\n"

// createScheduled creates a workflow with a schedule.
func (c *timed) createScheduled(t *testing.T, definition string) (workflowID string, s subjects.WorkflowSchedule) {
	t.Helper()
	w := call(t, c.bundle, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, definition)})
	page := call(t, c.bundle, subjects.ListSchedules, subjects.ListSchedulesRequest{WorkflowID: w.ID})
	if len(page.Items) != 1 {
		t.Fatalf("schedules of the workflow: %+v", page.Items)
	}
	return w.ID, page.Items[0]
}

func (c *timed) getSchedule(t *testing.T, id string) subjects.WorkflowSchedule {
	t.Helper()
	return call(t, c.bundle, subjects.GetSchedule, subjects.ScheduleRequest{ScheduleID: id})
}

// awaitRuns waits until the schedule's runs, the oldest first, have these statuses.
func (c *timed) awaitRuns(t *testing.T, id string, want ...string) []subjects.ScheduledRun {
	t.Helper()
	var runs []subjects.ScheduledRun
	eventually(t, fmt.Sprintf("the runs are %v", want), func() bool {
		runs = c.getSchedule(t, id).RecentRuns
		slices.Reverse(runs)
		var got []string
		for _, run := range runs {
			got = append(got, run.Status)
		}
		return slices.Equal(got, want)
	})
	return runs
}

func (c *timed) listExecutions(t *testing.T, workflowID string) []subjects.Execution {
	t.Helper()
	return call(t, c.bundle, subjects.ListExecutions, subjects.ListExecutionsRequest{WorkflowID: workflowID}).Items
}

func TestScheduleRunsEachNominalTimeOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		id, s := c.createScheduled(t, scheduled("every: PT1H", "overlap: allow, catchUp: PT1H30M, input: {at: '${ .nominal_time }'}", echoTasks))
		if s.Kind != "every" || s.Seconds != 3600 || s.Overlap != "allow" || len(s.NextRuns) != 5 || s.Paused || s.WorkflowID != id {
			t.Errorf("the schedule is %+v", s)
		}
		first := s.NextRuns[0]
		c.advance(t, time.Hour+time.Second)
		runs := c.awaitRuns(t, s.ID, "ended")
		e := c.awaitStatus(t, runs[0].ExecutionID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		wantOutput(t, e, `{"given":{"at":"`+first.Format(time.RFC3339)+`"}}`)
		if !runs[0].NominalTime.Equal(first) {
			t.Errorf("the run is of %s, want %s", runs[0].NominalTime, first)
		}
		// Runs within the catch-up window start late; older ones are missed.
		c.advance(t, 5*time.Hour)
		runs = c.awaitRuns(t, s.ID, "ended", "missed", "ended", "ended")
		if !strings.Contains(runs[1].Reason, "nor those after it") {
			t.Errorf("the missed run has the reason %q", runs[1].Reason)
		}
		if n := len(c.listExecutions(t, id)); n != 3 {
			t.Errorf("%d executions, want 3", n)
		}
		if next := c.getSchedule(t, s.ID).NextRuns[0]; !next.Equal(first.Add(6 * time.Hour)) {
			t.Errorf("the next run is at %s, want %s", next, first.Add(6*time.Hour))
		}
	})
}

func TestScheduleOverlap(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		const slow = "- rest: {wait: {hours: 100}}\n"
		schedules := map[string]string{}
		for _, policy := range []string{"skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other"} {
			_, s := c.createScheduled(t, scheduled("every: PT1H", "overlap: "+policy, slow))
			schedules[policy] = s.ID
		}
		_, s := c.createScheduled(t, scheduled("every: PT1H", "", slow))
		schedules["default"] = s.ID
		step := func(want map[string][]string) {
			t.Helper()
			c.advance(t, time.Hour+time.Second)
			for policy, statuses := range want {
				c.awaitRuns(t, schedules[policy], statuses...)
			}
		}
		step(map[string][]string{
			"skip": {"started"}, "buffer_one": {"started"}, "buffer_all": {"started"}, "cancel_other": {"started"}, "terminate_other": {"started"},
		})
		step(map[string][]string{
			"skip": {"started", "skipped"}, "buffer_one": {"started", "due"}, "buffer_all": {"started", "due"},
			"cancel_other": {"ended", "started"}, "terminate_other": {"ended", "started"}, "default": {"started", "started"},
		})
		step(map[string][]string{
			"skip": {"started", "skipped", "skipped"}, "buffer_one": {"started", "due", "skipped"}, "buffer_all": {"started", "due", "due"},
			"cancel_other": {"ended", "ended", "started"},
		})
		if s := c.getSchedule(t, schedules["buffer_all"]); s.Waiting != 2 {
			t.Errorf("%d runs are waiting, want 2", s.Waiting)
		}
		runs := c.awaitRuns(t, schedules["buffer_all"], "started", "due", "due")
		call(t, c.bundle, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: runs[0].ExecutionID})
		c.awaitRuns(t, schedules["buffer_all"], "ended", "started", "due")
		cancelled := c.awaitRuns(t, schedules["cancel_other"], "ended", "ended", "started")
		if e := c.getExecution(t, cancelled[0].ExecutionID); e.Status != subjects.ExecutionCancelled {
			t.Errorf("the execution that the next run replaced is %s", e.Status)
		}
	})
}

func TestPauseAndBackfill(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		id, s := c.createScheduled(t, scheduled("cron: '0 9 * * *'", "timeZone: America/New_York, input: {day: '${ .scheduled_for[:10] }', again: '${ .backfill }'}", echoTasks))
		if s.TimeZone != "America/New_York" || s.Cron != "0 9 * * *" {
			t.Errorf("the schedule is %+v", s)
		}
		first := s.NextRuns[0]
		paused := call(t, c.bundle, subjects.PauseSchedule, subjects.PauseScheduleRequest{ScheduleID: s.ID, Note: "holidays"})
		if !paused.Paused || paused.Note != "holidays" || len(paused.NextRuns) != 0 {
			t.Errorf("the paused schedule is %+v", paused)
		}
		if page := call(t, c.bundle, subjects.ListSchedules, subjects.ListSchedulesRequest{Paused: new(bool)}); len(page.Items) != 0 {
			t.Errorf("a paused schedule is listed as not paused: %+v", page.Items)
		}
		c.advance(t, 4*24*time.Hour)
		resumed := call(t, c.bundle, subjects.ResumeSchedule, subjects.ScheduleRequest{ScheduleID: s.ID})
		if resumed.Paused || resumed.Note != "" || len(resumed.RecentRuns) != 0 || !resumed.NextRuns[0].After(first.Add(72*time.Hour)) {
			t.Errorf("the resumed schedule is %+v", resumed)
		}
		fill := subjects.BackfillScheduleRequest{ScheduleID: s.ID, Since: first, Until: first.Add(49 * time.Hour)}
		if done := call(t, c.bundle, subjects.BackfillSchedule, fill); done.Planned != 3 || done.Known != 0 {
			t.Errorf("the backfill is %+v", done)
		}
		runs := c.awaitRuns(t, s.ID, "ended", "ended", "ended")
		e := c.awaitStatus(t, runs[0].ExecutionID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		newYork, err := time.LoadLocation("America/New_York")
		if err != nil {
			t.Fatal(err)
		}
		wantOutput(t, e, fmt.Sprintf(`{"given":{"again":true,"day":%q}}`, first.In(newYork).Format(time.DateOnly)))
		// A nominal time has one run: a second backfill starts nothing.
		if done := call(t, c.bundle, subjects.BackfillSchedule, fill); done.Planned != 0 || done.Known != 3 {
			t.Errorf("the second backfill is %+v", done)
		}
		if n := len(c.listExecutions(t, id)); n != 3 {
			t.Errorf("%d executions, want 3", n)
		}
		fill.Until = fill.Since
		wantCode(t, c.bundle, subjects.CodeInvalid, subjects.BackfillSchedule, c.as, fill)
		fill.Until = c.mesh.Now().Add(time.Hour)
		wantCode(t, c.bundle, subjects.CodeInvalid, subjects.BackfillSchedule, c.as, fill)
		fill.Since, fill.Until = first.AddDate(-5, 0, 0), first
		wantCode(t, c.bundle, subjects.CodeInvalid, subjects.BackfillSchedule, c.as, fill)
		eve := mesh.As{Token: c.mesh.Token(t, actortest.User())}
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.GetSchedule, eve, subjects.ScheduleRequest{ScheduleID: s.ID})
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.PauseSchedule, eve, subjects.PauseScheduleRequest{ScheduleID: s.ID})
	})
}

// TestScheduleWithoutConsent: consent is checked when a run starts. The user is notified of the first refused run, and of the next
// one only after a run has started.
func TestScheduleWithoutConsent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		id, s := c.createScheduled(t, scheduled("every: PT1H", "", echoTasks))
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		c.advance(t, time.Hour+time.Second)
		c.awaitRuns(t, s.ID, "refused")
		c.advance(t, time.Hour)
		runs := c.awaitRuns(t, s.ID, "refused", "refused")
		eventually(t, "the schedule has the reason", func() bool {
			return strings.Contains(c.getSchedule(t, s.ID).Refused, subjects.ScopeWorkflowsExecute)
		})
		wantCode(t, c.bundle, subjects.CodeConsentRequired, subjects.BackfillSchedule, c.as, subjects.BackfillScheduleRequest{
			ScheduleID: s.ID, Since: runs[0].NominalTime, Until: runs[1].NominalTime,
		})
		c.mesh.Consent(t, c.user, subjects.ScopeWorkflowsExecute)
		c.advance(t, time.Hour)
		c.awaitRuns(t, s.ID, "refused", "refused", "ended")
		eventually(t, "the schedule has no reason", func() bool { return c.getSchedule(t, s.ID).Refused == "" })
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		c.advance(t, time.Hour)
		c.awaitRuns(t, s.ID, "refused", "refused", "ended", "refused")
		events := c.publishedEvents(t, subjects.RunRefused.Subject, 2)
		var event subjects.Envelope[subjects.RunRefusal]
		if err := json.Unmarshal(events[0], &event); err != nil {
			t.Fatal(err)
		}
		if event.UserID != c.user || event.Data.WorkflowID != id || event.Data.Code != subjects.CodeConsentRequired || event.Data.Trigger != "schedule" {
			t.Errorf("the event is %+v", event)
		}
	})
}

// publishedEvents waits until so many events are published on a subject, and returns them.
func (b *bundle) publishedEvents(t *testing.T, subject string, count int) [][]byte {
	t.Helper()
	stream, err := b.mesh.Conn(t, "operator").JS.Stream(t.Context(), subjects.Events.Name)
	if err != nil {
		t.Fatal(err)
	}
	var messages [][]byte
	eventually(t, fmt.Sprintf("%d events are published on %s", count, subject), func() bool {
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

// TestScheduleFollowsDefinition: a new version with the same timing continues the schedule, one with another timing starts it anew,
// and one without a schedule deletes it, as does deleting the workflow.
func TestScheduleFollowsDefinition(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		id, s := c.createScheduled(t, scheduled("every: PT1H", "", "- say: {call: echo, with: {version: 1}}\n"))
		update := func(definition string) {
			t.Helper()
			call(t, c.bundle, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: id, Definition: yaml(t, definition)})
		}
		c.advance(t, 30*time.Minute)
		update(scheduled("every: PT1H", "", "- say: {call: echo, with: {version: 2}}\n"))
		if again := c.getSchedule(t, s.ID); again.Version != 2 || !again.NextRuns[0].Equal(s.NextRuns[0]) {
			t.Errorf("with the same timing the schedule is %+v", again)
		}
		c.advance(t, 30*time.Minute+time.Second)
		runs := c.awaitRuns(t, s.ID, "ended")
		wantOutput(t, c.awaitStatus(t, runs[0].ExecutionID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"version":2}`)
		update(scheduled("every: PT3H", "", echoTasks))
		if again := c.getSchedule(t, s.ID); again.Seconds != 10800 || again.NextRuns[0].Sub(c.mesh.Now()) < 2*time.Hour {
			t.Errorf("with another timing the schedule is %+v", again)
		}
		update(workflowOf(echoTasks))
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.GetSchedule, c.as, subjects.ScheduleRequest{ScheduleID: s.ID})
		update(scheduled("every: PT1H", "", echoTasks))
		c.getSchedule(t, s.ID)
		call(t, c.bundle, subjects.DeleteWorkflow, subjects.DeleteWorkflowRequest{WorkflowID: id})
		wantCode(t, c.bundle, subjects.CodeNotFound, subjects.GetSchedule, c.as, subjects.ScheduleRequest{ScheduleID: s.ID})
	})
}

// TestScheduleAfter: the next run of an after schedule is due a time after the end of the last one.
func TestScheduleAfter(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		_, s := c.createScheduled(t, scheduled("after: PT10M", "", "- hold: {call: github.hold}\n"))
		c.advance(t, 10*time.Minute+time.Second)
		<-c.reached
		c.advance(t, time.Hour)
		c.awaitRuns(t, s.ID, "started")
		close(c.release)
		c.awaitRuns(t, s.ID, "ended")
		c.advance(t, 9*time.Minute)
		c.awaitRuns(t, s.ID, "ended")
		c.advance(t, time.Minute+time.Second)
		c.awaitRuns(t, s.ID, "ended", "ended")
		wantCode(t, c.bundle, subjects.CodeConflict, subjects.BackfillSchedule, c.as, subjects.BackfillScheduleRequest{
			ScheduleID: s.ID, Since: s.CreatedAt, Until: s.CreatedAt.Add(time.Minute),
		})
	})
}

// TestSchedulesOfTwoProcesses: two processes on one database, and a third that follows them, start one execution for each nominal
// time.
func TestSchedulesOfTwoProcesses(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		c := setupTimed(t, kind)
		second := c.host
		if kind.Name != database.DialectSQLite {
			second = c.bundle.start(t)
		}
		id, s := c.createScheduled(t, scheduled("every: PT1M", "overlap: allow, catchUp: PT30M", echoTasks))
		for range 10 {
			c.advance(t, time.Minute)
			c.getSchedule(t, s.ID)
		}
		_ = second.Stop(t)
		_ = c.host.Stop(t)
		c.advance(t, 10*time.Minute)
		c.host = c.bundle.start(t)
		eventually(t, "there is a run for each minute", func() bool {
			runs := c.getSchedule(t, s.ID).RecentRuns
			return len(runs) == 20 && !slices.ContainsFunc(runs, func(r subjects.ScheduledRun) bool {
				return r.Status != "started" && r.Status != "ended"
			})
		})
		if n := len(c.listExecutions(t, id)); n != 20 {
			t.Errorf("%d executions for 20 nominal times", n)
		}
	})
}
