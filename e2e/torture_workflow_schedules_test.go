//go:build torture

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// stormSchedules has two workflows that run on a schedule during the storm: one every second, and one a second after its previous
// run has ended.
type stormSchedules struct {
	s *workflowStorm
	// every and after are the IDs of the workflows.
	every, after  string
	ticks, rounds int
}

// newStormSchedules creates the workflows, whose schedules start at once.
func newStormSchedules(s *workflowStorm) *stormSchedules {
	return &stormSchedules{
		s: s,
		every: s.create(stormDocument("every", "{schedule: {overlap: allow, input: {nominal: '${ .nominal_time }'}}}", "schedule: {every: {seconds: 1}}\n", `
- tick: {call: http.get, with: {connection: shop, path: '${ "/tick/\(.nominal)" }'}}
`)),
		after: s.create(stormDocument("after", "{}", "schedule: {after: {seconds: 1}}\n", `
- round: {call: http.get, with: {connection: shop, path: /round}}
`)),
	}
}

// verify waits until both schedules have run after the storm, pauses them, and checks their executions.
func (c *stormSchedules) verify() {
	stormEnd := time.Now()
	afterStorm := func(e subjects.Execution) bool { return e.CreatedAt.After(stormEnd) && e.EndedAt != nil }
	every, after := c.await(c.every, afterStorm), c.await(c.after, afterStorm)
	for _, workflow := range []string{c.every, c.after} {
		schedule := c.scheduleOf(workflow)
		if a, ok := c.s.retry(c.s.runner, http.MethodPost, "/v1/schedules/"+schedule.ID+"/pause", map[string]any{}, http.StatusOK); !ok {
			c.s.t.Errorf("pausing a schedule: %s", a)
		}
	}
	c.ticks, c.rounds = len(every), len(after)
	c.checkEvery(every)
	c.checkAfter(after)
	for _, workflow := range []string{c.every, c.after} {
		for _, e := range c.executions(workflow) {
			if a := c.s.ended(e.ID, time.Now().Add(verifyTimeout)); a.text(".status") != subjects.ExecutionCompleted {
				c.s.t.Errorf("the scheduled execution %s is %s: %s", e.ID, a.text(".status"), a.text(".error"))
			}
			c.s.checkHistory(e.ID, 0, false)
		}
	}
}

// await waits until an execution of a workflow is as wanted, and returns all in the order of their creation.
func (c *stormSchedules) await(workflow string, wanted func(subjects.Execution) bool) (all []subjects.Execution) {
	err := eventually(func() (bool, string) {
		all = c.executions(workflow)
		return slices.ContainsFunc(all, wanted), fmt.Sprintf("%d executions", len(all))
	})
	if err != nil {
		c.s.t.Errorf("a schedule has not run after the storm: %v", err)
	}
	return all
}

// checkEvery checks that each second has exactly one run.
func (c *stormSchedules) checkEvery(all []subjects.Execution) {
	runs := map[time.Time]int{}
	var last time.Time
	for _, e := range all {
		a, _ := c.s.retry(c.s.runner, http.MethodGet, "/v1/executions/"+e.ID, nil, http.StatusOK)
		nominal, err := time.Parse(time.RFC3339, a.text(".input.nominal"))
		if err != nil {
			c.s.t.Errorf("the scheduled execution %s has no nominal time: %v", e.ID, err)
			continue
		}
		runs[nominal]++
		if nominal.After(last) {
			last = nominal
		}
	}
	first := c.scheduleOf(c.every).CreatedAt.Truncate(time.Second).Add(time.Second)
	for at := first; !at.After(last); at = at.Add(time.Second) {
		if runs[at] != 1 {
			c.s.t.Errorf("the nominal time %s has %d runs", at, runs[at])
		}
		delete(runs, at)
		if path := "/tick/" + at.UTC().Format(time.RFC3339); c.s.shop.count(path) == 0 && !at.Equal(last) {
			c.s.t.Errorf("the run of %s has not made its call", at)
		}
	}
	if len(runs) > 0 {
		c.s.t.Errorf("there are runs for times that are not in the schedule: %v", runs)
	}
}

// checkAfter checks that each run started at least a second after the previous one had ended.
func (c *stormSchedules) checkAfter(all []subjects.Execution) {
	for i, e := range all[min(1, len(all)):] {
		if before := all[i].EndedAt; before == nil || e.CreatedAt.Sub(*before) < time.Second {
			c.s.t.Errorf("the run of %s started less than a second after the previous one ended, at %v", e.CreatedAt, before)
		}
	}
}

// scheduleOf returns the schedule of a workflow.
func (c *stormSchedules) scheduleOf(workflow string) subjects.WorkflowSchedule {
	var page subjects.Page[subjects.WorkflowSchedule]
	c.read("/v1/schedules?workflow_id="+workflow, &page)
	if len(page.Items) != 1 {
		c.s.t.Errorf("the workflow %s has %d schedules", workflow, len(page.Items))
		return subjects.WorkflowSchedule{}
	}
	return page.Items[0]
}

// executions returns the executions of a workflow in the order of their creation.
func (c *stormSchedules) executions(workflow string) (all []subjects.Execution) {
	path := "/v1/executions?limit=100&workflow_id=" + workflow
	for cursor := path; cursor != ""; {
		var page subjects.Page[subjects.Execution]
		c.read(cursor, &page)
		all = append(all, page.Items...)
		cursor = ""
		if page.NextCursor != "" {
			cursor = path + "&cursor=" + page.NextCursor
		}
	}
	slices.SortFunc(all, func(a, b subjects.Execution) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return all
}

// read decodes the response to a GET request.
func (c *stormSchedules) read(path string, into any) {
	a, ok := c.s.retry(c.s.runner, http.MethodGet, path, nil, http.StatusOK)
	if !ok {
		return
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		c.s.t.Errorf("reading %s: %v", path, err)
	}
}

// String summarises the runs for the log.
func (c *stormSchedules) String() string {
	return fmt.Sprintf("%d runs of every second, %d runs after the previous one", c.ticks, c.rounds)
}
