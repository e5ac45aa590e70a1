// Package workflow is the actor that runs workflows: documents of the Open Workflow Specification, described by
// package language, decided about by package machine.
//
// It owns the subjects weft.v1.workflow.*, the tables workflows, workflow_versions, executions,
// execution_histories and execution_timers, the job workflow.advance, the stream WORKFLOW_HISTORY and the event
// workflow.execution_finished.
//
// Its promise: what an execution has done is never done again, whatever dies. The history of an execution, one
// subject of WORKFLOW_HISTORY, is the truth; appending to it, fenced by the subject's last sequence, is the only
// commit. A turn is decided in memory, appended, and only then acted upon. SQL indexes what is live and keeps what
// has ended.
//
// An execution that has something to do has exactly one job. The worker that holds the job carries the execution
// on until it ends or waits for long; a worker that dies loses the job to another within AckWait. Two workers that
// both believe to hold it meet at the append: one of them wins, the other steps aside.
package workflow

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/subjects"
)

// Migrations are the actor's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// startupTimeout bounds what New asks of the mesh.
const startupTimeout = 10 * time.Second

// Config are the actor's settings.
type Config struct {
	// MaxConcurrent is how many executions a process carries on at once. Those past it wait as jobs.
	MaxConcurrent int `koanf:"max_concurrent"`
	// MaxSteps is how many calls a process makes at once, of all its executions.
	MaxSteps int `koanf:"max_steps"`
	// StepTimeout bounds one call, its retries included.
	StepTimeout time.Duration `koanf:"step_timeout"`
	// StepRetries and StepRetryDelay are how often, and after what time, a call is made again that reached nobody.
	StepRetries    int           `koanf:"step_retries"`
	StepRetryDelay time.Duration `koanf:"step_retry_delay"`
	// ShortWait is up to what time an execution that waits stays in memory; past it, it is woken by a job.
	ShortWait time.Duration `koanf:"short_wait"`
	// MaxInput bounds an execution's input, MaxResult what one call gives, in bytes of JSON.
	MaxInput  int `koanf:"max_input"`
	MaxResult int `koanf:"max_result"`
	// KeepLog is how long after its end an execution can still be followed live.
	KeepLog time.Duration `koanf:"keep_log"`
}

// DefaultConfig is what a process runs with unless told otherwise.
func DefaultConfig() Config {
	return Config{
		MaxConcurrent: 100, MaxSteps: 20, StepTimeout: time.Minute, StepRetries: 3, StepRetryDelay: 5 * time.Second,
		ShortWait: 2 * time.Second, MaxInput: 256 << 10, MaxResult: 256 << 10, KeepLog: time.Hour,
	}
}

func (c Config) check() error {
	switch {
	case c.MaxConcurrent < 1 || c.MaxConcurrent > 10_000:
		return fmt.Errorf("workflow.max_concurrent %d is not between 1 and 10000", c.MaxConcurrent)
	case c.MaxSteps < 1 || c.MaxSteps > 10_000:
		return fmt.Errorf("workflow.max_steps %d is not between 1 and 10000", c.MaxSteps)
	case c.StepTimeout < time.Millisecond || c.StepRetries < 0 || c.StepRetryDelay < 0 || c.ShortWait < 0 || c.KeepLog < 0:
		return fmt.Errorf("workflow.step_timeout %s is not positive, or another time or count is negative", c.StepTimeout)
	case c.MaxInput < 1 || c.MaxInput > maxValue || c.MaxResult < 1 || c.MaxResult > maxValue:
		return fmt.Errorf("workflow.max_input %d or workflow.max_result %d is not between 1 and %d", c.MaxInput, c.MaxResult, maxValue)
	}
	return nil
}

// maxValue is the largest value that a message of the history has room for.
const maxValue = 512 << 10

// Actor runs workflows.
type Actor struct {
	actors.Deps
	config  Config
	history jetstream.Stream
	egress  *egress.Client
	metrics *metrics
	parsed  *definitions
	live    *live
	// steps bounds the calls under way.
	steps chan struct{}
	// timersChanged tells the loop of timers to look again.
	timersChanged chan struct{}
}

// New makes the actor.
func New(d actors.Deps, c Config) (*Actor, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startupTimeout)
	defer cancel()
	history, err := d.Conn.JS.Stream(ctx, subjects.WorkflowHistory.Name)
	if err != nil {
		return nil, fmt.Errorf("opening the stream of histories: %w", err)
	}
	client, err := egress.New(egress.Options{
		Allow: d.EgressAllow, AllowHTTP: d.EgressAllowHTTP, MaxBody: int64(c.MaxResult), Timeout: c.StepTimeout,
		UserAgent: "weft/" + d.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("making the client of outbound calls: %w", err)
	}
	a := &Actor{
		Deps: d, config: c, history: history, egress: client, parsed: newDefinitions(), live: newLive(),
		steps: make(chan struct{}, c.MaxSteps), timersChanged: make(chan struct{}, 1),
	}
	a.metrics = newMetrics(d.Metrics)
	return a, nil
}

// Service is the actor as the runtime runs it.
func (a *Actor) Service() actors.Service {
	return actors.Service{
		Name: "workflow",
		Bindings: []actors.Binding{
			actors.Bind(subjects.CreateWorkflow, a.create),
			actors.Bind(subjects.UpdateWorkflow, a.update),
			actors.Bind(subjects.GetWorkflow, a.get),
			actors.Bind(subjects.ListWorkflows, a.list),
			actors.Bind(subjects.DeleteWorkflow, a.delete),
			actors.Bind(subjects.ListWorkflowVersions, a.versions),
			actors.Bind(subjects.ValidateWorkflow, a.validate),
			actors.Bind(subjects.ExecuteWorkflow, a.execute),
			actors.Bind(subjects.StartExecution, a.start),
			actors.Bind(subjects.GetExecutionStatus, a.status),
			actors.Bind(subjects.GetExecutionHistory, a.historyOf),
			actors.Bind(subjects.WatchExecution, a.watch),
			actors.Bind(subjects.ListExecutions, a.listExecutions),
			actors.Bind(subjects.CancelExecution, a.cancel),
			actors.Bind(subjects.SuspendExecution, a.suspend),
			actors.Bind(subjects.ResumeExecution, a.resume),
		},
		Workers: []actors.Worker{actors.Work(subjects.Advance, a.advance).Concurrent(a.config.MaxConcurrent)},
		Background: map[string]func(context.Context) error{
			"timers": a.runTimers, "purge": a.runPurge, "stop": a.awaitStop,
		},
	}
}
