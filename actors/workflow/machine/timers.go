package machine

import (
	"strconv"
	"strings"
	"time"
)

// Timer is a time that an execution waits for.
type Timer struct {
	ID string
	At time.Time
}

// The kinds of timers.
const (
	timerWait    = "wait"
	timerRetry   = "retry"
	timerAttempt = "attempt"
	timerTask    = "timeout"
)

// timers are the times that a run waits for, by kind.
func (r *Run) timers() map[string]time.Time {
	timers := map[string]time.Time{}
	switch {
	case r.Phase == PhaseWaiting:
		timers[timerWait] = r.Due
	case r.Phase == PhaseRetrying:
		timers[timerRetry] = r.Due
	case !r.AttemptDue.IsZero() && r.Phase == PhaseRunning:
		timers[timerAttempt] = r.AttemptDue
	}
	if !r.Deadline.IsZero() {
		timers[timerTask] = r.Deadline
	}
	return timers
}

// timerID is the ID of a timer. Those of a try contain the attempt, so that a timer of an earlier attempt never fires
// for a later one.
func timerID(kind string, run *Run) string {
	id := kind + ":" + strconv.Itoa(run.ID)
	if run.Tries > 0 && kind != timerTask {
		id += ":" + strconv.Itoa(run.Tries)
	}
	return id
}

func splitTimer(id string) (kind string, run int) {
	kind, rest, _ := strings.Cut(id, ":")
	rest, _, _ = strings.Cut(rest, ":")
	return kind, parseID(rest)
}

func parseID(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return value
}

// Timers are the times that the execution waits for; none while it is suspended or ended.
func (x *Execution) Timers() []Timer {
	if x.state.Status != Running {
		return nil
	}
	var timers []Timer
	for _, run := range x.state.Runs {
		for _, kind := range []string{timerWait, timerRetry, timerAttempt, timerTask} {
			if due, ok := run.timers()[kind]; ok {
				timers = append(timers, Timer{ID: timerID(kind, run), At: due})
			}
		}
	}
	return timers
}
