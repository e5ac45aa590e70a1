//go:build torture

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/subjects"
)

const (
	// concurrencyLimit executions of a key may run concurrently, rateLimit may start in any ratePeriod.
	concurrencyLimit, rateLimit = 2, 3
	ratePeriod                  = time.Second
	// limitedClients keep up to limitedOpen limited executions open, more than the limits allow to run.
	limitedClients, limitedOpen = 4, 20
)

// stormLimits starts executions of workflows with limits during the storm. The provider counts the executions that are between
// their first and their last call.
type stormLimits struct {
	s *workflowStorm
	// concurrent and rated are the IDs of the workflows with a concurrency limit and with a rate limit.
	concurrent, rated string

	mu      sync.Mutex
	started map[string]limitedExecution
	// inside has the executions of each key between their calls, done those that have made their last one.
	inside map[string]map[int]bool
	done   map[int]bool
	// most is the largest number of executions inside of one key. late counts calls of executions that are done: a process that
	// was killed or paused had them in flight when another one repeated them. They are ignored.
	most, late int
}

// limitedExecution is an execution of a limited workflow. acked is when its start was acknowledged, began and ended are from its
// history.
type limitedExecution struct {
	workflow, key       string
	n, priority         int
	acked, began, ended time.Time
}

// newStormLimits creates the workflows.
func newStormLimits(s *workflowStorm) *stormLimits {
	l := &stormLimits{s: s, started: map[string]limitedExecution{}, inside: map[string]map[int]bool{}, done: map[int]bool{}}
	flow := fmt.Sprintf("{flow: {concurrency: {key: '${ .key }', limit: %d}, priority: '${ .priority }'}}", concurrencyLimit)
	l.concurrent = s.create(stormDocument("concurrent", flow, "", `
- in: {call: http.get, with: {connection: shop, path: '${ "/concurrent/\(.key)/\(.n)/in" }'}}
- work: {wait: {milliseconds: 250}}
- out: {call: http.get, with: {connection: shop, path: '${ $workflow.input | "/concurrent/\(.key)/\(.n)/out" }'}}
`))
	flow = fmt.Sprintf("{flow: {rate: {key: '${ .key }', limit: %d, period: {milliseconds: %d}}}}", rateLimit, ratePeriod.Milliseconds())
	l.rated = s.create(stormDocument("rated", flow, "", `
- out: {call: http.get, with: {connection: shop, path: '${ "/rated/\(.key)/\(.n)/out" }'}}
`))
	s.shop.onCall = l.onCall
	return l
}

// onCall counts a call at the provider and checks the concurrency limit.
func (l *stormLimits) onCall(path string) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(parts) != 4 || parts[0] != "concurrent" && parts[0] != "rated" {
		return
	}
	key := parts[1]
	n, err := strconv.Atoi(parts[2])
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.done[n]:
		l.late++
	case parts[3] == "out":
		l.done[n] = true
		delete(l.inside[key], n)
	default:
		if l.inside[key] == nil {
			l.inside[key] = map[int]bool{}
		}
		l.inside[key][n] = true
		l.most = max(l.most, len(l.inside[key]))
		if len(l.inside[key]) > concurrencyLimit {
			l.s.t.Errorf("%d executions of the key %s are running, the limit is %d: %v", len(l.inside[key]), key, concurrencyLimit, l.inside[key])
		}
	}
}

// open returns the number of executions that have not made their last call.
func (l *stormLimits) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.started) - len(l.done)
}

// start starts limited executions in sequence, up to limitedOpen at a time.
func (l *stormLimits) start() {
	for !l.s.over.Load() {
		if l.open() >= limitedOpen {
			<-time.After(5 * time.Millisecond)
			continue
		}
		if !l.startExecution() {
			return
		}
	}
}

// startExecution starts one execution and reports whether it was acknowledged.
func (l *stormLimits) startExecution() bool {
	n := int(stormNumber.Add(1))
	one := limitedExecution{workflow: l.concurrent, key: string(rune('a' + n%2)), n: n, priority: n / 2 % 3}
	if n%3 == 0 {
		one.workflow, one.key = l.rated, "c"
	}
	id := uuid.Must(uuid.NewV7()).String()
	_, ok := l.s.retry(l.s.runner, http.MethodPost, "/v1/workflows/"+one.workflow+"/executions",
		map[string]any{"execution_id": id, "input": map[string]any{"n": n, "key": one.key, "priority": one.priority}}, http.StatusAccepted)
	one.acked = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started[id] = one
	return ok
}

// verify waits until all executions have ended, and checks the limits by their histories.
func (l *stormLimits) verify() {
	deadline := time.Now().Add(verifyTimeout)
	concurrent, rated := map[string][]limitedExecution{}, map[string][]limitedExecution{}
	for id, one := range l.started {
		if a := l.s.ended(id, deadline); a.text(".status") != subjects.ExecutionCompleted {
			l.s.t.Errorf("the limited execution %s is %s: %s", id, a.text(".status"), a.text(".error"))
			continue
		}
		history := l.s.checkHistory(id, 0, false)
		if len(history) == 0 {
			continue
		}
		one.began, one.ended = l.at(history[0]), l.at(history[len(history)-1])
		if one.workflow == l.concurrent {
			concurrent[one.key] = append(concurrent[one.key], one)
		} else {
			rated[one.key] = append(rated[one.key], one)
		}
	}
	for key, all := range concurrent {
		l.checkConcurrency(key, all)
	}
	for key, all := range rated {
		slices.SortFunc(all, byStart)
		for i := rateLimit; i < len(all); i++ {
			if took := all[i].began.Sub(all[i-rateLimit].began); took < ratePeriod {
				l.s.t.Errorf("%d executions of the key %s started within %s", rateLimit+1, key, took)
			}
		}
	}
	l.occupySlots()
}

func byStart(a, b limitedExecution) int { return a.began.Compare(b.began) }

// at returns the time of an event.
func (l *stormLimits) at(event json.RawMessage) time.Time {
	var of struct{ At time.Time }
	if err := json.Unmarshal(event, &of); err != nil {
		l.s.t.Error(err)
	}
	return of.At
}

// checkConcurrency checks the executions of a key: no more than the limit ran concurrently, and none started while an
// acknowledged one of a higher priority waited.
func (l *stormLimits) checkConcurrency(key string, all []limitedExecution) {
	slices.SortFunc(all, byStart)
	for i, one := range all {
		concurrent := 1
		for _, other := range all[:i] {
			if other.ended.After(one.began) {
				concurrent++
			}
		}
		if concurrent > concurrencyLimit {
			l.s.t.Errorf("%d executions of the key %s were running at %s", concurrent, key, one.began)
		}
		for _, later := range all[i+1:] {
			if later.priority > one.priority && later.acked.Before(one.began) {
				l.s.t.Errorf("%d of priority %d and the key %s started at %s before %d of priority %d, which had waited since %s",
					one.n, one.priority, key, one.began, later.n, later.priority, later.acked)
			}
		}
	}
}

// occupySlots runs as many executions of each key concurrently as the limit allows, which shows that ended executions have
// released their slots.
func (l *stormLimits) occupySlots() {
	for _, key := range []string{"a", "b"} {
		var ids []string
		for range concurrencyLimit + 1 {
			n := int(stormNumber.Add(1))
			l.s.shop.hold(fmt.Sprintf("/concurrent/%s/%d/in", key, n))
			a, ok := l.s.retry(l.s.runner, http.MethodPost, "/v1/workflows/"+l.concurrent+"/executions",
				map[string]any{"input": map[string]any{"n": n, "key": key, "priority": 0}}, http.StatusAccepted)
			if !ok {
				return
			}
			ids = append(ids, a.text(".id"))
		}
		err := eventually(func() (bool, string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.inside[key]) == concurrencyLimit, fmt.Sprintf("%d are running", len(l.inside[key]))
		})
		if err != nil {
			l.s.t.Errorf("of %d executions of the key %s, %d should run: %v", len(ids), key, concurrencyLimit, err)
		}
		l.s.shop.releaseAll()
		for _, id := range ids {
			if a := l.s.ended(id, time.Now().Add(verifyTimeout)); a.text(".status") != subjects.ExecutionCompleted {
				l.s.t.Errorf("the limited execution %s is %s", id, a.text(".status"))
			}
		}
	}
}

// String summarises the executions for the log.
func (l *stormLimits) String() string {
	return fmt.Sprintf("%d limited executions, at most %d of a key at once, %d late calls", len(l.started), l.most, l.late)
}
