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
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/workflow/migrations"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/subjects"
)

// Migrations are the actor's tables.
var Migrations = migrations.Files

// startupTimeout bounds what New asks of the mesh.
const startupTimeout = 10 * time.Second

// Actor runs workflows.
type Actor struct {
	actors.Deps
	config    Config
	egress    *egress.Client
	parsed    *definitions
	workflows *currentWorkflows
	secrets   *knownSecrets
	engine    *engine.Engine
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
	a.engine, err = engine.New(ctx, engine.Options{
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
			actors.OnErasure(a.Deps, subjects.WorkflowErasure, subjects.WorkflowErased, a.forget),
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
