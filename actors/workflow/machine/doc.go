// Package machine is a deterministic, in-memory interpreter of Open Workflow definitions. An Execution is a state
// machine driven by events: it decides the order of tasks, retries, error handling and what the execution waits for.
// The package has no side effects: it reads no clock, and uses neither the network nor storage.
//
// The protocol is: decide, append, act. Start and Handle return the events of one transition, already applied to the
// execution. The caller appends them to its log and only then acts on what is outstanding: Calls, Timers and
// Listeners. Results are passed back to Handle as an Outcome. An outcome that nothing waits for yields no events, so
// delivering the same outcome twice is safe.
//
// Restore rebuilds an execution by applying the events of its log. The log may end at any event, also within a
// transition; Continue then decides the remaining events. A call whose result is in the log is never outstanding
// again. A call that was scheduled and has no result is outstanding again with the same Key.
//
// All times and identifiers come from outcomes and events; jitter is derived from the execution's id. Secrets come from
// the Environment and are written to no event; their values are masked in what calls return.
//
// Inside, reducer applies events to the State, decider chooses the next event from it, evaluator evaluates the
// definition's expressions, callBuilder builds calls, and eventConsumer and eventMatcher select CloudEvents for
// listeners.
package machine

import "time"

// Bounds of one execution.
const (
	// MaxRuns bounds the task runs of an execution; every iteration and attempt counts. The execution faults beyond it.
	MaxRuns = 100_000
	// MaxTransition bounds the events of one transition. A longer one is split: Settled is false, and Continue decides
	// the rest.
	MaxTransition = 2_000
	// MaxOpen bounds the task runs that are open at the same time.
	MaxOpen = 1_000
	// MaxRetryDelay bounds the delay before a retry.
	MaxRetryDelay = 30 * 24 * time.Hour
)
