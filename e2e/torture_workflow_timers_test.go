//go:build torture

package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/reference"
)

const (
	// timedExecutions is how many executions with timers over slow calls a storm of two minutes has at least; a shorter one has fewer.
	timedExecutions = 2000
	// timedVariants is how many workflows of each shape there are, each with random times.
	timedVariants = 8
	// timedClients start them in sequence, with a pause in between.
	timedClients = 4
	timedPause   = 40 * time.Millisecond
	// slowCall is how long the provider takes for a call that a timer interrupts.
	slowCall = 8 * time.Second
	// timerLateness bounds how late an owner that lives fires a timer, without the time in which its process got no processor.
	timerLateness = 250 * time.Millisecond
)

// timedShapes are workflows in which timers meet calls of slowCall. X and Y are random times in milliseconds.
var timedShapes = []string{`
- guarded:
    try: [{ask: {SLOW, timeout: {after: {milliseconds: X}}}}]
    catch: {errors: {with: {status: 408}}, as: e, do: [{tell: {set: {status: '${ $e.status }'}}}]}
`, `
- guarded:
    try: [{group: {timeout: {after: {milliseconds: X}}, do: [{say: {set: {n: 1}}}, {ask: {SLOW}}, {again: {SLOW}}]}}]
    catch: {errors: {with: {status: 408}}, as: e, do: [{tell: {set: {status: '${ $e.status }'}}}]}
`, `
- guarded:
    try: [{ask: {SLOW}}]
    catch:
      errors: {with: {status: 408}}
      retry: {delay: {milliseconds: Y}, limit: {attempt: {count: 1, duration: {milliseconds: X}}}}
      do: [{tell: {set: {status: '${ $error.status }'}}}]
`, `
- first: {fork: {compete: true, branches: [{slow: {SLOW}}, {fast: {do: [{rest: {wait: {milliseconds: X}}}, {say: {set: {n: 1}}}]}}]}}
`, `
- both:
    fork:
      branches:
      - slow: {try: [{ask: {SLOW, timeout: {after: {milliseconds: X}}}}], catch: {errors: {with: {status: 408}}, do: [{tell: {set: {late: true}}}]}}
      - waits: {do: [{rest: {wait: {milliseconds: Y}}}, {say: {set: {n: 1}}}]}
      - parks: {do: [{rest: {wait: {milliseconds: 2300}}}, {say: {set: {n: 2}}}]}
`}

// stormTimers starts executions whose timers meet slow calls during the storm, and measures when the timers fire.
type stormTimers struct {
	s         *workflowStorm
	records   string
	workflows []timedWorkflow

	mu      sync.Mutex
	started map[string]int // workflow by execution
	fired   []firedTimer
}

type timedWorkflow struct {
	id         string
	definition *language.Workflow
}

// firedTimer is a timer that an owner has fired, as its process records it.
type firedTimer struct {
	Execution, Timer string
	Due, From, Fired time.Time
	// Stalled is how long the process got no processor between From and Fired.
	Stalled time.Duration
}

// late is how late the timer fired, without the time in which its process got no processor.
func (f firedTimer) late() time.Duration { return f.Fired.Sub(f.From) - f.Stalled }

// newStormTimers creates the workflows. records is the directory that the workers' records are in.
func newStormTimers(s *workflowStorm, records string) *stormTimers {
	m := &stormTimers{s: s, records: records, started: map[string]int{}}
	s.shop.slow = slowCall
	for i, shape := range timedShapes {
		for variant := range timedVariants {
			random := func() string { return fmt.Sprint(50 + rand.IntN(1400)) }
			tasks := strings.NewReplacer("X", random(), "Y", random(),
				"SLOW", "call: http.get, with: {connection: shop, path: '/slow/x'}").Replace(shape)
			document := stormDocument(fmt.Sprintf("timed-%d-%d", i, variant), "{}", "", tasks)
			definition, faults := language.Parse([]byte(document))
			if len(faults) > 0 {
				s.t.Fatal(faults)
			}
			m.workflows = append(m.workflows, timedWorkflow{s.create(document), definition})
		}
	}
	return m
}

// wanted is how many executions the storm has at least.
func (m *stormTimers) wanted() int {
	return int(min(1, tortureDuration(m.s.t).Minutes()/2) * timedExecutions)
}

func (m *stormTimers) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.started)
}

// start starts executions in sequence.
func (m *stormTimers) start() {
	for !m.s.over.Load() {
		<-time.After(timedPause)
		at, id := rand.IntN(len(m.workflows)), uuid.Must(uuid.NewV7()).String()
		_, ok := m.s.retry(m.s.runner, http.MethodPost, "/v1/workflows/"+m.workflows[at].id+"/executions", map[string]any{"execution_id": id}, http.StatusAccepted)
		if !ok {
			return
		}
		m.mu.Lock()
		m.started[id] = at
		m.mu.Unlock()
	}
}

// verify waits until every execution has ended, compares it with the reference interpreter, and checks when the timers have fired.
func (m *stormTimers) verify() {
	deadline := time.Now().Add(verifyTimeout)
	for id, at := range m.started {
		m.s.ended(id, deadline)
		history := m.s.checkHistory(id, 0, false)
		if history == nil {
			continue
		}
		want := reference.Run(m.workflows[at].definition, map[string]any{}, time.Now(), func(*language.Task, any, int) reference.CallReply {
			return reference.CallReply{Took: slowCall}
		})
		if err := want.Agrees(history); err != nil {
			m.s.t.Errorf("%s of %s: %v", id, m.workflows[at].definition.Document.Name, err)
		}
		for _, data := range history {
			var event struct{ Type, Key string }
			if err := json.Unmarshal(data, &event); err != nil || event.Type == "call_completed" {
				m.s.t.Errorf("%s of %s: the answer to a call counts that was interrupted (%v)", id, m.workflows[at].definition.Document.Name, err)
			}
		}
	}
	m.readRecords()
	for _, f := range m.fired {
		if f.Fired.Before(f.Due) {
			m.s.t.Errorf("timer %s of %s fired %s early", f.Timer, f.Execution, f.Due.Sub(f.Fired))
		}
		if f.late() > timerLateness {
			m.s.t.Errorf("timer %s of %s fired %s late, and %s of that its process was running: due %s, its owner's since %s, fired %s",
				f.Timer, f.Execution, f.Fired.Sub(f.From), f.late(), f.Due, f.From, f.Fired)
		}
	}
	if n := len(m.started); n < m.wanted() || len(m.fired) < n {
		m.s.t.Errorf("%d executions and %d timers, want %d executions", n, len(m.fired), m.wanted())
	}
}

// readRecords reads what the workers have recorded, those that were killed too.
func (m *stormTimers) readRecords() {
	files, err := filepath.Glob(filepath.Join(m.records, "*"))
	if err != nil {
		m.s.t.Fatal(err)
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			m.s.t.Fatal(err)
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			var f firedTimer
			if json.Unmarshal(lines.Bytes(), &f) == nil { // a process may be killed while it writes one
				m.fired = append(m.fired, f)
			}
		}
		_ = file.Close()
	}
	slices.SortFunc(m.fired, func(a, b firedTimer) int { return int(a.late() - b.late()) })
}

// String is the measurement.
func (m *stormTimers) String() string {
	if len(m.fired) == 0 {
		return "no timer has fired"
	}
	at := func(share float64) firedTimer { return m.fired[int(share*float64(len(m.fired)-1))] }
	overdue, raw := 0, time.Duration(0)
	for _, f := range m.fired {
		if f.From.After(f.Due) {
			overdue++
		}
		raw = max(raw, f.Fired.Sub(f.From))
	}
	return fmt.Sprintf("%d timed executions; %d timers fired, %d of them overdue at a takeover; late by %s (median), %s (99 %%), %s (most) of their process's "+
		"own time, %s (most) by the clock; %d slow calls dropped", len(m.started), len(m.fired), overdue, at(0.5).late().Round(time.Microsecond),
		at(0.99).late().Round(time.Microsecond), at(1).late().Round(time.Microsecond), raw.Round(time.Microsecond), m.s.shop.dropped)
}
