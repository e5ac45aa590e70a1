// Package machine runs one execution of an Open Workflow definition, in memory and deterministically. It owns how
// tasks follow on each other, what is retried, what is caught, and what an execution waits for. It does nothing
// itself: no clock, no network, no storage.
//
// Decide in memory, append, then act. An execution is the fold of its events. Start and Handle decide: they return
// the events of one turn, already applied. The caller appends them, and only then acts on what is outstanding: Calls,
// Timers and Subscriptions. What comes of that goes back in as an Outcome. An outcome that nothing waits for yields no
// events, so telling it twice does no harm.
//
// Restore folds a log into the same execution. The log may end anywhere, in the middle of a turn too; Continue
// decides what was not decided yet. A call whose result is in the log is never outstanding again. A call that was
// scheduled without a result is, with the same Key.
//
// Times and identities come from outcomes and events alone; jitter is derived from the execution's id. Secrets are
// given to Start and Restore and are written to no event, except where a definition copies them into data itself.
package machine

import "time"

// Bounds of one execution.
const (
	// MaxRuns bounds the task runs of an execution, each iteration and attempt counted. The execution faults past it.
	MaxRuns = 100_000
	// MaxTurn bounds the events of one turn; Continue goes on after it (Settled tells).
	MaxTurn = 2_000
	// MaxOpen bounds the task runs that are open at a time.
	MaxOpen = 1_000
	// MaxRetryDelay bounds the delay before a retry.
	MaxRetryDelay = 30 * 24 * time.Hour
)
