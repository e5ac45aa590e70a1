// Package workflow is the actor that runs workflows: documents of the Open Workflow Specification, described by
// package language, decided about by package machine.
//
// It owns the subjects weft.v1.workflow.*, the tables workflows, workflow_versions, workflow_secrets, executions, execution_histories and
// partitions, the streams WORKFLOW_LOG and WORKFLOW_FEED, and the event
// workflow.executions_finished.
//
// Its promise: what an execution has done is never done again, whatever dies. Executions are spread over partitions. Each
// has one owner, a process that holds its executions in memory and appends what it decides to the partition's log: the
// turns of many executions as one message, fenced by the log's last sequence. That is the only commit. A turn is decided
// in memory, appended, and only then acted upon. SQL is the fold of the logs, a moment behind them; it holds what is
// parked, what has ended, and every history.
//
// An owner that dies is followed by another process within two seconds, which fences the log off and goes on from SQL
// and what the log has besides. Two processes that both believe to own a partition meet at the append: one of them
// wins, the other gives everything up.
package workflow

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/mesh"
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
	// MaxQueued is how many executions of a process wait for a slot; past it, starts are refused with unavailable.
	MaxQueued int `koanf:"max_queued"`
	// MaxQueuedPerUser is how many of them are one user's, and how many of a user's the limits of workflows hold back in one
	// partition; past it, that user's starts are refused with rate_limited.
	MaxQueuedPerUser int `koanf:"max_queued_per_user"`
	// CutAfter is after how many messages that SQL holds a partition's log is cut.
	CutAfter uint64 `koanf:"cut_after"`
}

// DefaultConfig is what a process runs with unless told otherwise.
func DefaultConfig() Config {
	return Config{
		MaxConcurrent: 100, MaxSteps: 20, StepTimeout: time.Minute, StepRetries: 3, StepRetryDelay: 5 * time.Second,
		ShortWait: 2 * time.Second, MaxInput: 256 << 10, MaxResult: 256 << 10, MaxQueued: 10_000, MaxQueuedPerUser: 1000,
		CutAfter: 1000,
	}
}

// Check returns a mesh.SettingError for each invalid setting.
func (c Config) Check() error {
	return errors.Join(
		mesh.SettingBetween("workflow.max_concurrent", c.MaxConcurrent, 1, 10_000),
		mesh.SettingBetween("workflow.max_steps", c.MaxSteps, 1, 10_000),
		mesh.SettingAtLeast("workflow.step_timeout", c.StepTimeout, time.Millisecond),
		mesh.SettingAtLeast("workflow.step_retries", c.StepRetries, 0),
		mesh.SettingAtLeast("workflow.step_retry_delay", c.StepRetryDelay, 0),
		mesh.SettingAtLeast("workflow.short_wait", c.ShortWait, 0),
		mesh.SettingBetween("workflow.max_input", c.MaxInput, 1, maxValue),
		mesh.SettingBetween("workflow.max_result", c.MaxResult, 1, maxValue),
		mesh.SettingAtLeast("workflow.max_queued", c.MaxQueued, 0),
		mesh.SettingAtLeast("workflow.max_queued_per_user", c.MaxQueuedPerUser, 1),
		mesh.SettingAtLeast("workflow.cut_after", c.CutAfter, 1),
	)
}

// maxValue is the largest value that a message of the history has room for.
const maxValue = 512 << 10

// Actor runs workflows.
type Actor struct {
	actors.Deps
	config    Config
	egress    *egress.Client
	parsed    *definitions
	workflows *currentWorkflows
	secrets   *knownSecrets
	engine    *Engine
	// flows is what stands above the engine.
	flows *flows
}

// New makes the actor.
func New(d actors.Deps, c Config) (*Actor, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	client, err := egress.New(egress.Options{
		Allow: d.EgressAllow, AllowHTTP: d.EgressAllowHTTP, MaxBody: int64(c.MaxResult), Timeout: c.StepTimeout,
		UserAgent: "weft/" + d.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("making the client of outbound calls: %w", err)
	}
	a := &Actor{
		Deps: d, config: c, egress: client, parsed: newDefinitions(), workflows: newCurrentWorkflows(), secrets: newKnownSecrets(),
		flows: newFlows(d.Metrics),
	}
	ctx, cancel := context.WithTimeout(context.Background(), startupTimeout)
	defer cancel()
	a.engine, err = NewEngine(ctx, Options{
		Config: c, Conn: d.Conn, DB: d.DB, Outbox: d.Outbox, Log: d.Log, Metrics: d.Metrics, Now: d.Now, NewID: d.NewID,
		Definition: a.definition, Environment: a.environment, Dispatch: a.dispatch,
		WithdrawApprovals: func(ctx context.Context, tx database.Tx, executionID string, calls []string) error {
			return withdrawApprovals(ctx, tx, executionID, calls, d.Now())
		},
		PendingCalls: func(ctx context.Context, executions []string) (map[string][]string, error) {
			return pendingCalls(ctx, d.DB.DB, executions)
		},
		ScheduleAllows: func(ctx context.Context, scheduleID, executionID string) (bool, error) {
			return allowsStart(ctx, d.DB.DB, scheduleID, executionID)
		},
	})
	return a, err
}

// Service is the actor as the runtime runs it.
func (a *Actor) Service() actors.Service {
	return actors.Service{
		Name: "workflow",
		Bindings: append([]actors.Binding{
			actors.Bind(subjects.CreateWorkflow, a.create),
			actors.Bind(subjects.UpdateWorkflow, a.update),
			actors.Bind(subjects.GetWorkflow, a.get),
			actors.Bind(subjects.GetWorkflowDiagram, a.drawWorkflow),
			actors.Bind(subjects.ListWorkflows, a.list),
			actors.Bind(subjects.DeleteWorkflow, a.delete),
			actors.Bind(subjects.ListWorkflowVersions, a.versions),
			actors.Bind(subjects.ValidateWorkflow, a.validate),
			actors.Bind(subjects.PutWorkflowSecret, a.putSecret),
			actors.Bind(subjects.ListWorkflowSecrets, a.listSecrets),
			actors.Bind(subjects.DeleteWorkflowSecret, a.deleteSecret),
			actors.Bind(subjects.ExecuteWorkflow, a.execute),
			actors.Bind(subjects.StartExecution, a.start),
			actors.Bind(subjects.GetExecutionStatus, a.status),
			actors.Bind(subjects.GetExecutionHistory, a.historyOf),
			actors.Bind(subjects.GetExecutionDiagram, a.drawExecution),
			actors.Bind(subjects.WatchExecution, a.watch),
			actors.Bind(subjects.ListExecutions, a.listExecutions),
			actors.Bind(subjects.CancelExecution, a.cancel),
			actors.Bind(subjects.SuspendExecution, a.suspend),
			actors.Bind(subjects.ResumeExecution, a.resume),
		}, a.flowBindings()...),
		Workers: []actors.Worker{
			actors.Listen(subjects.TriggerByWebhook, a.webhookReceived),
			actors.OnErasure(a.Deps, subjects.WorkflowForgets, subjects.WorkflowErased, a.forget),
		},
		Background: a.loops(),
	}
}

// loops are the engine's and the actor's own background work.
func (a *Actor) loops() map[string]func(context.Context) error {
	loops := a.engine.Loops()
	loops["schedules"], loops["approvals"] = a.runSchedules, a.runApprovals
	return loops
}
