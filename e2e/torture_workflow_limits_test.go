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
	// laneLimit executions of a key may go on at a time, paceLimit begin in any pacePeriod.
	laneLimit, paceLimit = 2, 3
	pacePeriod           = time.Second
	// limitedClients keep so many limited executions going: more than may.
	limitedClients, limitedOpen = 4, 20
)

// stormLimits are executions with limits in the storm. What they do is seen by the provider, which counts who is between
// the first call and the last one of an execution.
type stormLimits struct {
	s           *workflowStorm
	lane, paced string

	mu      sync.Mutex
	started map[string]limitedOne
	// inside are the executions of each key between their calls, done those that have made their last one.
	inside map[string]map[int]bool
	done   map[int]bool
	// most is how many were inside of one key, late how many calls came of executions that had gone on: a process that was
	// killed or stood still had them on their way, and another one has made them again. They count for nothing.
	most, late int
}

// limitedOne is an execution with limits; acked is when its start was answered, began and ended are its history's.
type limitedOne struct {
	workflow, key       string
	n, priority         int
	acked, began, ended time.Time
}

func newStormLimits(s *workflowStorm) *stormLimits {
	l := &stormLimits{s: s, started: map[string]limitedOne{}, inside: map[string]map[int]bool{}, done: map[int]bool{}}
	flow := fmt.Sprintf("{flow: {concurrency: {key: '${ .key }', limit: %d}, priority: '${ .priority }'}}", laneLimit)
	l.lane = s.create(stormDocument("lane", flow, "", `
- in: {call: http.get, with: {connection: shop, path: '${ "/lane/\(.key)/\(.n)/in" }'}}
- work: {wait: {milliseconds: 250}}
- out: {call: http.get, with: {connection: shop, path: '${ $workflow.input | "/lane/\(.key)/\(.n)/out" }'}}
`))
	flow = fmt.Sprintf("{flow: {rate: {key: '${ .key }', limit: %d, period: {milliseconds: %d}}}}", paceLimit, pacePeriod.Milliseconds())
	l.paced = s.create(stormDocument("paced", flow, "", `
- out: {call: http.get, with: {connection: shop, path: '${ "/pace/\(.key)/\(.n)/out" }'}}
`))
	s.shop.onCall = l.saw
	return l
}

// saw counts a call at the provider.
func (l *stormLimits) saw(path string) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(parts) != 4 || parts[0] != "lane" && parts[0] != "pace" {
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
		if len(l.inside[key]) > laneLimit {
			l.s.t.Errorf("%d executions of the key %s go on, the limit is %d: %v", len(l.inside[key]), key, laneLimit, l.inside[key])
		}
	}
}

func (l *stormLimits) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.started) - len(l.done)
}

// start starts one limited execution after the other, more at a time than may go on.
func (l *stormLimits) start() {
	for !l.s.over.Load() {
		if l.open() >= limitedOpen {
			<-time.After(5 * time.Millisecond)
			continue
		}
		if !l.startOne() {
			return
		}
	}
}

func (l *stormLimits) startOne() bool {
	n := int(stormNumber.Add(1))
	one := limitedOne{workflow: l.lane, key: string(rune('a' + n%2)), n: n, priority: n / 2 % 3}
	if n%3 == 0 {
		one.workflow, one.key = l.paced, "c"
	}
	id := uuid.Must(uuid.NewV7()).String()
	_, ok := l.s.insist(l.s.runner, http.MethodPost, "/v1/workflows/"+one.workflow+"/executions",
		map[string]any{"execution_id": id, "input": map[string]any{"n": n, "key": one.key, "priority": one.priority}}, http.StatusAccepted)
	one.acked = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started[id] = one
	return ok
}

// settle waits for the ends of all, and judges by their histories.
func (l *stormLimits) settle() {
	deadline := time.Now().Add(stormSettled)
	lanes, paces := map[string][]limitedOne{}, map[string][]limitedOne{}
	for id, one := range l.started {
		if a := l.s.ended(id, deadline); a.text(".status") != subjects.ExecutionCompleted {
			l.s.t.Errorf("the limited execution %s is %s: %s", id, a.text(".status"), a.text(".error"))
			continue
		}
		history := l.s.look(id, 0, false)
		if len(history) == 0 {
			continue
		}
		one.began, one.ended = l.at(history[0]), l.at(history[len(history)-1])
		if one.workflow == l.lane {
			lanes[one.key] = append(lanes[one.key], one)
		} else {
			paces[one.key] = append(paces[one.key], one)
		}
	}
	for key, all := range lanes {
		l.judgeLane(key, all)
	}
	for key, all := range paces {
		slices.SortFunc(all, byBeginning)
		for i := paceLimit; i < len(all); i++ {
			if took := all[i].began.Sub(all[i-paceLimit].began); took < pacePeriod {
				l.s.t.Errorf("%d executions of the key %s began within %s", paceLimit+1, key, took)
			}
		}
	}
	l.fill()
}

func byBeginning(a, b limitedOne) int { return a.began.Compare(b.began) }

func (l *stormLimits) at(event json.RawMessage) time.Time {
	var of struct{ At time.Time }
	if err := json.Unmarshal(event, &of); err != nil {
		l.s.t.Error(err)
	}
	return of.At
}

// judgeLane checks that no more than the limit went on at a time, and none of a lower priority began while one of a higher
// was known to wait.
func (l *stormLimits) judgeLane(key string, all []limitedOne) {
	slices.SortFunc(all, byBeginning)
	for i, one := range all {
		beside := 1
		for _, other := range all[:i] {
			if other.ended.After(one.began) {
				beside++
			}
		}
		if beside > laneLimit {
			l.s.t.Errorf("%d executions of the key %s went on at %s", beside, key, one.began)
		}
		for _, later := range all[i+1:] {
			if later.priority > one.priority && later.acked.Before(one.began) {
				l.s.t.Errorf("%d of priority %d and the key %s began at %s before %d of priority %d, which waited since %s",
					one.n, one.priority, key, one.began, later.n, later.priority, later.acked)
			}
		}
	}
}

// fill has as many executions go on at once as the limits let, of each key: what has ended holds nothing.
func (l *stormLimits) fill() {
	for _, key := range []string{"a", "b"} {
		var ids []string
		for range laneLimit + 1 {
			n := int(stormNumber.Add(1))
			l.s.shop.hold(fmt.Sprintf("/lane/%s/%d/in", key, n))
			a, ok := l.s.insist(l.s.runner, http.MethodPost, "/v1/workflows/"+l.lane+"/executions",
				map[string]any{"input": map[string]any{"n": n, "key": key, "priority": 0}}, http.StatusAccepted)
			if !ok {
				return
			}
			ids = append(ids, a.text(".id"))
		}
		err := eventually(func() (bool, string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.inside[key]) == laneLimit, fmt.Sprintf("%d go on", len(l.inside[key]))
		})
		if err != nil {
			l.s.t.Errorf("of %d executions of the key %s, %d may go on: %v", len(ids), key, laneLimit, err)
		}
		l.s.shop.releaseAll()
		for _, id := range ids {
			if a := l.s.ended(id, time.Now().Add(stormSettled)); a.text(".status") != subjects.ExecutionCompleted {
				l.s.t.Errorf("the limited execution %s is %s", id, a.text(".status"))
			}
		}
	}
}

// String tells what was seen.
func (l *stormLimits) String() string {
	return fmt.Sprintf("%d limited executions, at most %d of a key at once, %d late calls", len(l.started), l.most, l.late)
}
