//go:build torture

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// lateness summarises the runs of the victim's schedule and deliveries.
type lateness struct {
	// bound is how late a run may be.
	bound      time.Duration
	runs, late int
	worst      time.Duration
}

func (l *lateness) add(took time.Duration) {
	l.runs++
	l.worst = max(l.worst, took)
	if took > l.bound {
		l.late++
	}
}

// keptWithin bounds the time of all reads after a restart. What cannot be read by then counts as lost.
const keptWithin = 30 * time.Second

// checkKept checks, after a restart, everything that was acknowledged to the victim. until is when weft was asked to terminate: runs that were
// due later may be late.
func (v *bystander) checkKept(until time.Time, bound time.Duration) (l lateness, problems []string) {
	l.bound = bound
	v.readUntilTime = time.Now().Add(keptWithin)
	problem := func(format string, a ...any) {
		if len(problems) < 8 {
			problems = append(problems, fmt.Sprintf(format, a...))
		}
	}
	for id, n := range v.executions {
		a := v.read("/v1/executions/" + id)
		if a.text(".status") != subjects.ExecutionCompleted || a.text(".output.n") != strconv.Itoa(n) {
			problem("the acknowledged execution %s of %d is %.300s", id, n, a)
		}
	}
	for id, n := range v.listeners {
		a := v.read("/v1/executions/" + id)
		if want := "waiting"; v.heard[id] && a.text(".status") != subjects.ExecutionCompleted || a.status != http.StatusOK {
			problem("the listener %s of event %d (published: %t) is %.300s, want %s or completed", id, n, v.heard[id], a, want)
		}
	}
	for key, sent := range v.deliveries {
		a := v.readUntil("/v1/executions?workflow_id="+v.delivered+"&attribute=delivery:"+key, ".items[0].ended_at")
		if a.text(".items | length") != "1" || a.text(".items[0].status") != subjects.ExecutionCompleted {
			problem("the delivery %s has the executions %.300s", key, a)
			continue
		}
		if at, err := time.Parse(time.RFC3339Nano, a.text(".items[0].ended_at")); err == nil && sent.Before(until) {
			l.add(at.Sub(sent))
		}
	}
	v.checkSchedule(until, &l, problem)
	return l, problems
}

// checkSchedule checks that each second has exactly one run.
func (v *bystander) checkSchedule(until time.Time, l *lateness, problem func(string, ...any)) {
	runs := map[time.Time]int{}
	var first, last time.Time
	for cursor := ""; ; {
		a := v.read("/v1/executions?limit=100&workflow_id=" + v.scheduled + "&cursor=" + url.QueryEscape(cursor))
		var page subjects.Page[subjects.Execution]
		if err := json.Unmarshal(a.body, &page); err != nil || a.status != http.StatusOK {
			problem("the schedule's runs: %.300s (%v)", a, err)
			return
		}
		for _, e := range page.Items {
			nominal, err := time.Parse(time.RFC3339, e.Attributes["nominal"])
			if err != nil {
				problem("the run %s has no nominal time: %v", e.ID, err)
				continue
			}
			runs[nominal]++
			if first.IsZero() || nominal.Before(first) {
				first = nominal
			}
			if nominal.After(last) {
				last = nominal
			}
			switch {
			case nominal.After(until.Add(-lateAfter)):
			case e.EndedAt == nil || e.Status != subjects.ExecutionCompleted:
				problem("the run of %s is %s", nominal, e.Status)
			default:
				l.add(e.EndedAt.Sub(nominal))
			}
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	missing := 0
	for at := first; at.Before(until.Add(-lateAfter)); at = at.Add(time.Second) {
		if runs[at] > 1 {
			problem("the nominal time %s has %d runs", at, runs[at])
		}
		if runs[at] == 0 {
			missing++
		}
	}
	if missing > 0 || last.IsZero() {
		problem("%d runs of the schedule are missing", missing)
	}
}

// readUntil reads a resource again until an expression holds, for up to victimTimeout.
func (v *bystander) readUntil(path, expression string) (a answer) {
	for end := v.deadline(); time.Now().Before(end); {
		a = v.read(path)
		if holds, err := a.holds(expression); err == nil && holds {
			return a
		}
		<-time.After(20 * time.Millisecond) // between two looks
	}
	return a
}

// read makes a GET request, again for some seconds while weft is unavailable.
func (v *bystander) read(path string) (a answer) {
	for end := v.deadline(); time.Now().Before(end); {
		var err error
		if a, err = v.client.do(v.site.t.Context(), http.MethodGet, path, nil); err == nil && a.status < http.StatusInternalServerError {
			return a
		} else if err != nil {
			a.body = []byte(err.Error())
		}
		<-time.After(100 * time.Millisecond) // until it is available
	}
	return a
}

// deadline is when a read is given up.
func (v *bystander) deadline() time.Time {
	if end := time.Now().Add(victimTimeout); end.Before(v.readUntilTime) {
		return end
	}
	return v.readUntilTime
}
