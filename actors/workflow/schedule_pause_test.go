package workflow_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestNothingStartsAfterPause: after pause_schedule has returned no run starts, not even one that was being dispatched.
func TestNothingStartsAfterPause(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id, s := c.createScheduled(t, scheduled("every: PT1S", "overlap: allow", echoTasks))
		most := 0
		for i := range 40 {
			c.advance(t, 20*time.Second)
			// Pause at a random moment of the scheduler pass.
			advanced := time.Now()
			for delay := time.Duration(rand.IntN(15)) * time.Millisecond; time.Since(advanced) < delay; {
				c.getSchedule(t, s.ID)
			}
			if request := (subjects.PauseScheduleRequest{ScheduleID: s.ID}); i%2 == 0 {
				keyed(t, c.bundle, actortest.User(), subjects.PauseSchedule, request)
			} else {
				call(t, c.bundle, subjects.PauseSchedule, request)
			}
			before := c.countExecutions(t, id)
			for range 10 {
				if after := c.countExecutions(t, id); after != before {
					t.Fatalf("%d runs started after the pause", after-before)
				}
			}
			most = max(most, before)
			call(t, c.bundle, subjects.ResumeSchedule, subjects.ScheduleRequest{ScheduleID: s.ID})
		}
		if most == 0 {
			t.Error("no run started before a pause")
		}
	})
}

// countExecutions returns the number of a workflow's executions.
func (c *timed) countExecutions(t *testing.T, workflowID string) (n int) {
	t.Helper()
	for _, count := range c.statuses(t, workflowID) {
		n += count
	}
	return n
}

// TestPauseKeepsCorrelations: a correlation that was complete before its schedule was paused starts when that is resumed.
func TestPauseKeepsCorrelations(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		_ = c.host.Stop(t)
		c.config.MaxConcurrent, c.config.MaxQueuedPerUser = 1, 1
		c.host = c.start(t)
		id, s := c.createScheduled(t, scheduled("on: {all: [{with: {type: left}}, {with: {type: right}}]}", "", echoTasks))
		occupied := c.create(t, holdTasks)
		running, waiting := c.startExecution(t, occupied, "{}"), c.startExecution(t, occupied, "{}")
		<-c.reached
		event := func(kind string) subjects.PublishEventRequest {
			return subjects.PublishEventRequest{Event: json.RawMessage(
				`{"specversion": "1.0", "id": "` + kind + `", "source": "https://test.example", "type": "` + kind + `"}`)}
		}
		call(t, c.bundle, subjects.PublishEvent, event("left"))
		wantCode(t, c.bundle, subjects.CodeRateLimited, subjects.PublishEvent, c.as, event("right"))
		call(t, c.bundle, subjects.PauseSchedule, subjects.PauseScheduleRequest{ScheduleID: s.ID})
		close(c.release)
		for _, id := range []string{running, waiting} {
			c.awaitStatus(t, id, subjects.ExecutionCompleted)
		}
		_, other := c.createScheduled(t, strings.Replace(scheduled("every: PT1H", "", echoTasks), "name: timed", "name: other", 1))
		c.advance(t, time.Hour+time.Second)
		c.awaitRuns(t, other.ID, "ended") // the scheduler has made a pass
		if n := c.countExecutions(t, id); n != 0 {
			t.Errorf("%d executions started while the schedule was paused", n)
		}
		call(t, c.bundle, subjects.ResumeSchedule, subjects.ScheduleRequest{ScheduleID: s.ID})
		eventually(t, "the correlation's execution is completed", func() bool { return c.statuses(t, id)[subjects.ExecutionCompleted] == 1 })
	})
}
