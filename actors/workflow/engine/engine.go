// Package engine runs the executions of workflows durably.
//
// Executions are spread over a fixed number of partitions. Each partition has one owner, a process that holds its executions in
// memory and appends what it decides to the partition's log: the transitions of many executions as one message, fenced by the log's
// last sequence. That append is the only commit: a transition is decided in memory, appended, and only then acted upon. SQL is the
// projection of the logs, a moment behind them; it has the executions that are evicted from memory or have ended, and every history.
//
// When an owner dies another process takes the partition over: it fences the log and restores the executions from SQL and from the
// messages that are not projected. Where two processes believe that they own a partition, the log refuses the append of one of them,
// which gives the partition up.
//
// The package runs documents (package language) by their machines (package machine) and serves no endpoint: what it needs from the
// actor is in Options.
package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/mesh/fair"
	"github.com/weftmesh/weft/mesh/memory"
	"github.com/weftmesh/weft/subjects"
)

// Options are what an Engine works with. The functions are what it needs from the actor above it; all are required.
type Options struct {
	Config  Config
	Conn    *mesh.Conn
	DB      *database.DB
	Outbox  *outbox.Outbox
	Log     *zap.Logger
	Metrics prometheus.Registerer
	// Now is the clock, NewID makes UUIDv7 strings.
	Now   func() time.Time
	NewID func() string

	// Definition returns a version of a workflow, parsed. Its error is a not_found one where there is none.
	Definition func(ctx context.Context, workflowID string, version int) (*language.Workflow, error)
	// Environment is what executions of a definition see besides their data, such as the user's secrets.
	Environment func(def *language.Workflow, userID string) machine.Environment
	// Dispatch makes one call of an execution and returns its output. repeated: an earlier owner may have made it.
	// ErrExternal: the call has started, and CompleteCall will end it.
	Dispatch func(ctx context.Context, row Row, call *machine.Call, repeated bool) (any, error)
	// CallTimeout is how long a call may take, its retries included; nil: Config.StepTimeout.
	CallTimeout func(ctx context.Context, row Row, call *machine.Call) time.Duration
	// WithdrawApprovals closes the approval requests of calls that are no longer outstanding, in the projection's transaction.
	WithdrawApprovals func(ctx context.Context, tx database.Tx, executionID string, calls []string) error
	// PendingCalls returns the calls of executions that have an open approval request, by execution.
	PendingCalls func(ctx context.Context, executions []string) (map[string][]string, error)
	// LifecycleListeners returns those of some users who have a workflow that receives lifecycle events, in the projection's
	// transaction.
	LifecycleListeners func(ctx context.Context, tx database.Tx, users []string) ([]string, error)
	// ScheduleAllows reports whether a schedule still starts an execution of this id: false once it was paused or replaced.
	ScheduleAllows func(ctx context.Context, scheduleID, executionID string) (bool, error)
	// Guarded runs start, which appends the start of an execution to the log, if the execution's consent is active, and makes
	// revocations wait until start has returned. If live is false, a revocation may not have waited, and nothing may be appended.
	Guarded func(ctx context.Context, row Row, start func(ctx context.Context, live func() bool) error) error
	// AwaitUnblocked returns when the user's account is not blocked, true at once if it is not; false if stop is closed or ctx
	// ends first.
	AwaitUnblocked func(ctx context.Context, stop <-chan struct{}, userID string) bool
}

// Engine owns this process's share of the partitions and runs the executions in them.
type Engine struct {
	Options
	log   logStore
	store store
	bus   bus
	// single: no other process runs the actor.
	single     bool
	metrics    *metrics
	ownership  *ownership
	projector  *projector
	feedQueue  *feedQueue
	activities activityRunner
	// evaluators bounds the decisions that are made without a partition's lock.
	evaluators *compute.Pool
	// batchBytes bounds the data that one transaction of a projection writes.
	batchBytes int
	// alwaysInPool: small decisions are made without the lock too, in simulations.
	alwaysInPool bool
	backlog      backlog
	logRate      *logRate
	held         heldBytes
	active       activeUsers
	// executionSlots bounds the executions that the process runs at once.
	executionSlots fair.Semaphore
	// transitionLimit bounds the events in a message of the log, in bytes.
	transitionLimit int
	// background counts the engine's short-lived goroutines.
	background sync.WaitGroup
	// stopping is closed when the process begins to stop: no call is dispatched after that.
	stopping chan struct{}
	halt     sync.Once
}

// New opens the streams of the log and the feed. The engine works once its Loops run.
func New(ctx context.Context, o Options) (*Engine, error) {
	for _, stream := range []subjects.Stream{subjects.WorkflowLog, subjects.WorkflowFeed} {
		if _, err := o.Conn.JS.Stream(ctx, stream.Name); err != nil {
			return nil, fmt.Errorf("opening the stream %s: %w", stream.Name, err)
		}
	}
	e := newEngine(o, int(o.Conn.MaxPayload())-logOverhead)
	e.evaluators = compute.Default
	e.log, e.store = streamLog{o.Conn, o.Log}, sqlStore{&e.Options}
	e.bus = natsBus{conn: o.Conn, log: o.Log, background: &e.background}
	e.single = o.DB.Dialect() == database.DialectSQLite // whose file one process has open
	return e, nil
}

// newEngine makes an engine without its log, store and bus.
func newEngine(o Options, transitionLimit int) *Engine {
	e := &Engine{
		Options: o, ownership: newOwnership(o.NewID()), projector: newProjector(),
		executionSlots: fair.Semaphore{Limit: o.Config.MaxConcurrent, PerUser: o.Config.MaxConcurrentPerUser}, evaluators: compute.NewPool(),
		batchBytes: maxBatchBytes, logRate: newLogRate(o.Now), backlog: backlog{limit: int(memory.AtMost(maxBacklog, 32))},
		held:      heldBytes{perUser: o.Config.MaxBytesPerUser, total: int(memory.AtMost(int64(o.Config.MaxBytes), 6))},
		feedQueue: newFeedQueue(), transitionLimit: transitionLimit, stopping: make(chan struct{}),
	}
	e.activities = activityRunner{
		dispatch: o.Dispatch, slots: fair.Semaphore{Limit: o.Config.MaxSteps, PerUser: o.Config.MaxStepsPerUser},
		timeout: o.Config.StepTimeout, timeoutOf: o.CallTimeout,
		unblocked: o.AwaitUnblocked, retries: o.Config.StepRetries, retryDelay: o.Config.StepRetryDelay, now: o.Now, stopping: e.stopping,
		observe: func(result string, took time.Duration) { e.metrics.call(result, took) },
	}
	e.active = activeUsers{max: o.Config.MaxActivePerUser, now: o.Now, count: e.openExecutions}
	e.activities.slow = fair.Semaphore{Limit: maxSlowCalls, PerUser: o.Config.MaxSlowPerUser}
	e.activities.slots.LimitOf = e.activities.stepSlots
	startObserving()
	e.metrics = newMetrics(o.Metrics, e)
	return e
}

// Loops are the engine's background work by name; each runs until its context ends.
func (e *Engine) Loops() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"ownership": e.runOwnership, "projection": e.runProjector, "feed": e.runFeed, "stop": e.awaitStop,
	}
}

// awaitStop marks the engine as stopping when ctx ends.
func (e *Engine) awaitStop(ctx context.Context) error {
	<-ctx.Done()
	e.halt.Do(func() { close(e.stopping) })
	return nil
}

// Stopping reports whether the process is stopping.
func (e *Engine) Stopping() bool {
	select {
	case <-e.stopping:
		return true
	default:
		return false
	}
}

// Stopped is closed once the process is stopping.
func (e *Engine) Stopped() <-chan struct{} { return e.stopping }
