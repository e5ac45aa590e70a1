//go:build torture

package e2e_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

const (
	takeoverRounds     = 6
	takeoverExecutions = 48
	takeoverWait       = 300 * time.Millisecond
)

// TestTakeover kills one of three workflow processes and measures how long the others need to take over its executions, which
// is up to two seconds on an idle machine. It fails if executions do not complete.
func TestTakeover(t *testing.T) {
	s := newWorkflowStorm(t)
	workflow := s.create(stormDocument("takeover", "{}", "", "\n- rest: {wait: {milliseconds: 300}}\n- say: {call: echo, with: {n: 1}}\n"))
	var took []time.Duration
	for round := range takeoverRounds {
		var ids []string
		for range takeoverExecutions {
			id := uuid.Must(uuid.NewV7()).String()
			if _, ok := s.retry(s.runner, http.MethodPost, "/v1/workflows/"+workflow+"/executions", map[string]any{"execution_id": id}, http.StatusAccepted); !ok {
				return
			}
			ids = append(ids, id)
		}
		w := s.workers[round%len(s.workers)]
		w.kill()
		killed := time.Now()
		last := killed.Add(takeoverWait)
		for _, id := range ids {
			a := s.ended(id, killed.Add(waitTimeout))
			if a.text(".status") != "completed" {
				t.Fatalf("%s is %s", id, a)
			}
			ended, err := time.Parse(time.RFC3339Nano, a.text(".ended_at"))
			if err != nil {
				t.Fatal(err)
			}
			if ended.After(last) {
				last = ended
			}
			s.checkHistory(id, takeoverWait, false)
		}
		took = append(took, last.Sub(killed)-takeoverWait)
		if err := s.launch(w, false); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(took)
	t.Logf("executions of a killed process continued after %v (median), %v (maximum of %d)", took[len(took)/2], took[len(took)-1], len(took))
}
