package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
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
	// WithdrawApprovals closes the approval requests of calls that are no longer outstanding, in the projection's transaction.
	WithdrawApprovals func(ctx context.Context, tx database.Tx, executionID string, calls []string) error
	// PendingCalls returns the calls of executions that have an open approval request, by execution.
	PendingCalls func(ctx context.Context, executions []string) (map[string][]string, error)
	// ScheduleAllows reports whether a schedule still starts an execution of this id: false once it was paused or replaced.
	ScheduleAllows func(ctx context.Context, scheduleID, executionID string) (bool, error)
}

// Engine owns this process's share of the partitions and runs the executions in them.
type Engine struct {
	Options
	logStream, feedStream jetstream.Stream
	metrics               *metrics
	ownership             *ownership
	executionSlots        fairSemaphore
	projector             *projector
	feedQueue             *feedQueue
	// turnLimit is how many bytes of events a message of the log takes.
	transitionLimit int
	// steps bounds the calls in flight, calls counts the background goroutines.
	callSlots  fairSemaphore
	background sync.WaitGroup
	// stopping is closed when the process begins to stop: no call starts after that.
	stopping chan struct{}
	halt     sync.Once
}

// NewEngine opens the streams of the log and the feed. Loops must run for it to work.
func New(ctx context.Context, o Options) (*Engine, error) {
	log, err := o.Conn.JS.Stream(ctx, subjects.WorkflowLog.Name)
	if err != nil {
		return nil, fmt.Errorf("opening the stream of logs: %w", err)
	}
	told, err := o.Conn.JS.Stream(ctx, subjects.WorkflowFeed.Name)
	if err != nil {
		return nil, fmt.Errorf("opening the stream of watched executions: %w", err)
	}
	e := &Engine{
		Options: o, logStream: log, feedStream: told, ownership: newOwnership(o.NewID()),
		executionSlots: fairSemaphore{limit: o.Config.MaxConcurrent}, projector: newProjector(), feedQueue: newFeedQueue(), transitionLimit: int(o.Conn.MaxPayload()) - logOverhead,
		callSlots: fairSemaphore{limit: o.Config.MaxSteps}, stopping: make(chan struct{}),
	}
	e.metrics = newMetrics(o.Metrics, e.executionSlots.queued, e.blockedExecutions, e.callSlots.queued)
	return e, nil
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
