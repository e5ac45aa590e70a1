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

// TestPauseHolds: once a pause was answered, nothing is started that was on its way then.
func TestPauseHolds(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id, s := c.plan(t, scheduled("every: PT1S", "overlap: allow", quick))
		begun := 0
		for i := range 40 {
			c.advance(t, 20*time.Second)
			started := time.Now()
			for patience := time.Duration(rand.IntN(15)) * time.Millisecond; time.Since(started) < patience; {
				c.schedule(t, s.ID)
			}
			if request := (subjects.PauseScheduleRequest{ScheduleID: s.ID}); i%2 == 0 {
				keyed(t, c.bundle, actortest.User(), subjects.PauseSchedule, request)
			} else {
				call(t, c.bundle, subjects.PauseSchedule, request)
			}
			before := c.started(t, id)
			for range 10 {
				if after := c.started(t, id); after != before {
					t.Fatalf("%d runs were started after the pause", after-before)
				}
			}
			begun = max(begun, before)
			call(t, c.bundle, subjects.ResumeSchedule, subjects.ScheduleRequest{ScheduleID: s.ID})
		}
		if begun == 0 {
			t.Error("no run was started")
		}
	})
}

// started counts the executions of a workflow.
func (c *timed) started(t *testing.T, workflowID string) (n int) {
	t.Helper()
	for _, count := range c.statuses(t, workflowID) {
		n += count
	}
	return n
}

// TestPauseKeepsGathered: what events have made whole before a pause is started when the schedule goes on.
func TestPauseKeepsGathered(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		_ = c.host.Stop(t)
		c.config.MaxConcurrent, c.config.MaxQueuedPerUser = 1, 1
		c.host = c.start(t)
		id, s := c.plan(t, scheduled("on: {all: [{with: {type: left}}, {with: {type: right}}]}", "", quick))
		holds := c.create(t, holding)
		running, waiting := c.startOf(t, holds, "{}"), c.startOf(t, holds, "{}")
		<-c.held
		event := func(kind string) subjects.PublishEventRequest {
			return subjects.PublishEventRequest{Event: json.RawMessage(
				`{"specversion": "1.0", "id": "` + kind + `", "source": "https://test.example", "type": "` + kind + `"}`)}
		}
		call(t, c.bundle, subjects.PublishEvent, event("left"))
		wantCode(t, c.bundle, subjects.CodeRateLimited, subjects.PublishEvent, c.ada, event("right"))
		call(t, c.bundle, subjects.PauseSchedule, subjects.PauseScheduleRequest{ScheduleID: s.ID})
		close(c.hold)
		for _, id := range []string{running, waiting} {
			c.until(t, id, subjects.ExecutionCompleted)
		}
		_, beside := c.plan(t, strings.Replace(scheduled("every: PT1H", "", quick), "name: timed", "name: beside", 1))
		c.advance(t, time.Hour+time.Second)
		c.runs(t, beside.ID, "ended") // schedules were looked at
		if n := c.started(t, id); n != 0 {
			t.Errorf("%d executions were started while the schedule was paused", n)
		}
		call(t, c.bundle, subjects.ResumeSchedule, subjects.ScheduleRequest{ScheduleID: s.ID})
		eventually(t, "what was gathered is started", func() bool { return c.statuses(t, id)[subjects.ExecutionCompleted] == 1 })
	})
}
