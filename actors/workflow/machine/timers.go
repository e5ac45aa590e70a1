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

var timerKinds = [...]string{timerWait, timerRetry, timerAttempt, timerTask}

// timer is the time at which a timer of a kind fires; false where the run has none.
func (r *Run) timer(kind string) (due time.Time, ok bool) {
	switch kind {
	case timerWait:
		return r.Due, r.Phase == PhaseWaiting
	case timerRetry:
		return r.Due, r.Phase == PhaseRetrying
	case timerAttempt:
		return r.AttemptDue, r.Phase == PhaseRunning && !r.AttemptDue.IsZero()
	case timerTask:
		return r.Deadline, !r.Deadline.IsZero()
	}
	return time.Time{}, false
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
		for _, kind := range timerKinds {
			if due, ok := run.timer(kind); ok {
				timers = append(timers, Timer{ID: timerID(kind, run), At: due})
			}
		}
	}
	return timers
}

// NextTimer is the time of the next of Timers; zero where there is none.
func (x *Execution) NextTimer() (next time.Time) {
	if x.state.Status != Running {
		return next
	}
	for _, run := range x.state.Runs {
		for _, kind := range timerKinds {
			if due, ok := run.timer(kind); ok && (next.IsZero() || due.Before(next)) {
				next = due
			}
		}
	}
	return next
}
