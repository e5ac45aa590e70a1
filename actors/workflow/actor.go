// Package workflow is the actor that stores workflow definitions (Open Workflow Specification) and runs them: it starts
// executions on request, on schedules and on events, performs their calls, and keeps what failed for a retry. Package
// language parses definitions, package definition checks them, package machine decides, package engine runs.
//
// It owns
//   - the subjects weft.v1.workflow.…;
//   - the tables workflows, workflow_versions, workflow_secrets, schedules, schedule_runs, correlations, correlated_events,
//     cancelled_trees, refused_starts, failure_marks, approvals and extensions, through the engine executions, execution_histories,
//     execution_limits and partitions, and through the package edges the tables edges and edge_outboxes;
//   - the streams WORKFLOW_LOG and WORKFLOW_FEED;
//   - the events that tell that executions have progressed or ended and that a run was refused.
//
// Its promise: a step that has finished never runs again, whichever process dies. Executions are spread over partitions.
// Each partition has one owner at a time, a process that holds its executions in memory and appends their transitions to the
// partition's log. The append is the only commit: a transition is decided in memory, appended, and only then acted upon. It
// is fenced by the log's last sequence, so that of two processes that both believe to own a partition one fails and gives
// the partition up. SQL is a projection of the logs, a moment behind them. When an owner dies, another process takes its
// partitions over within two seconds and continues from SQL and the rest of the logs.
//
// Times in the tables are microseconds since the Unix epoch; 0 means never, or not yet.
package workflow

import (
	"context"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/dataexport"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/edges"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/actors/workflow/migrations"
	"github.com/weftmesh/weft/subjects"
)

// Migrations are the actor's tables.
var Migrations = migrations.Files

// startTimeout bounds what New reads from the mesh.
const startTimeout = 10 * time.Second

// Actor serves weft.v1.workflow.
type Actor struct {
	actors.Deps

	config      Config
	definitions *definitions
	workflows   *workflowCache
	secrets     *secrets
	engine      *engine.Engine
	executions  *executions
	trees       *trees
	failures    *failures
	approvals   *approvals
	triggers    *triggers
	scheduler   *scheduler
	calls       *calls
	extensions  *extensions
	bounds      *bounds
	edges       *edges.Hub
}

// New opens the actor. Its error names a setting that is out of bounds.
func New(deps actors.Deps, config Config) (*Actor, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	client, err := egress.New(egress.Options{
		Allow: deps.EgressAllow, AllowHTTP: deps.EgressAllowHTTP, MaxBody: int64(config.MaxResult), Timeout: config.StepTimeout,
		UserAgent: "weft/" + deps.Version, Reserve: actors.ReserveResponse,
	})
	if err != nil {
		return nil, fmt.Errorf("making the client of outbound calls: %w", err)
	}
	a := &Actor{Deps: deps, config: config, definitions: newDefinitions(deps.DB, client), secrets: newSecrets(deps)}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if a.engine, err = engine.New(ctx, a.engineOptions()); err != nil {
		return nil, err
	}
	if a.extensions, err = newExtensions(deps, config, a.engine.Stopped()); err != nil {
		return nil, err
	}
	metrics := newMetrics(deps.Metrics)
	a.bounds = newBounds(deps, config)
	a.workflows = newWorkflowCache(deps.DB)
	a.trees = &trees{Deps: deps, engine: a.engine}
	a.executions = &executions{Deps: deps, config: config, engine: a.engine, definitions: a.definitions, workflows: a.workflows, trees: a.trees}
	a.failures = &failures{Deps: deps, engine: a.engine, executions: a.executions, metrics: metrics, keep: config.MaxRefusedStartsPerUser}
	a.approvals = &approvals{Deps: deps, engine: a.engine, metrics: metrics, bounds: a.bounds}
	starts := &eventStarter{Deps: deps, config: config, executions: a.executions, failures: a.failures}
	correlator := &correlator{Deps: deps, config: config, engine: a.engine, starts: starts, bounds: a.bounds}
	a.edges = edges.New(deps, config.EdgeLease, a.definitions.forEdge)
	edgeOf := a.edges.EdgeOf
	if deps.Edge != nil {
		edgeOf = func(context.Context, string, string) (string, error) { return "", nil }
	}
	a.triggers = &triggers{
		Deps: deps, config: config, engine: a.engine, definitions: a.definitions, correlator: correlator, starts: starts, metrics: metrics, edgeOf: edgeOf,
	}
	a.extensions.triggers = a.triggers
	a.scheduler = &scheduler{
		Deps: deps, engine: a.engine, definitions: a.definitions, executions: a.executions, failures: a.failures, correlator: correlator,
		metrics: metrics, bounds: a.bounds, edgeOf: edgeOf, changed: make(chan struct{}, 1),
	}
	a.calls = &calls{
		Deps: deps, config: config, egress: client, engine: a.engine, executions: a.executions, approvals: a.approvals, triggers: a.triggers,
		safety: newActionSafety(deps.Conn, deps.Now), extensions: a.extensions.Caller, definitions: a.definitions,
	}
	return a, nil
}

// engineOptions are what the engine needs of the actor. It calls the functions only while its loops run, after New.
func (a *Actor) engineOptions() engine.Options {
	return engine.Options{
		Config: a.config, Conn: a.Conn, DB: a.DB, Outbox: a.Outbox, Log: a.Log, Metrics: a.Metrics, Now: a.Now, NewID: a.NewID,
		Definition: a.definitions.version, Environment: a.secrets.environment,
		Dispatch: func(ctx context.Context, row engine.Row, call *machine.Call, repeated bool) (any, error) {
			return a.calls.dispatch(ctx, row, call, repeated)
		},
		CallTimeout: func(ctx context.Context, row engine.Row, call *machine.Call) time.Duration {
			return a.calls.timeout(ctx, row, call)
		},
		WithdrawApprovals: func(ctx context.Context, tx database.Tx, executionID string, calls []string) error {
			return withdrawApprovals(ctx, tx, executionID, calls, a.Now())
		},
		PendingCalls: func(ctx context.Context, executions []string) (map[string][]string, error) {
			return pendingCalls(ctx, a.DB.DB, executions)
		},
		LifecycleListeners: lifecycleListeners,
		ScheduleAllows: func(ctx context.Context, scheduleID, executionID string) (bool, error) {
			return scheduleAllows(ctx, a.DB.DB, scheduleID, executionID)
		},
		Guarded: func(ctx context.Context, row engine.Row, start func(context.Context, func() bool) error) error {
			return a.Guard.DoGranted(ctx, row.Grant(), start)
		},
		AwaitUnblocked: a.awaitUnblocked,
	}
}

// blockedPoll is the time between two looks whether an account is still blocked.
const blockedPoll = time.Second

// awaitUnblocked returns when a user's account is not blocked; false if stop is closed or ctx ends first.
func (a *Actor) awaitUnblocked(ctx context.Context, stop <-chan struct{}, userID string) bool {
	for a.Guard.Blocked(userID) {
		select {
		case <-stop:
			return false
		case <-ctx.Done():
			return false
		case <-time.After(blockedPoll):
		}
	}
	return true
}

// Service returns the actor's endpoints, consumers and background loops.
func (a *Actor) Service() actors.Service {
	loops := a.engine.Loops()
	loops["schedules"], loops["approvals"], loops["trees"] = a.scheduler.run, a.approvals.run, a.trees.run
	loops["deleted_workflows"] = a.removeDeletedWorkflows
	loops["retention"] = a.deleteOldExecutions
	loops["extensions"] = a.extensions.Run
	if a.Edge != nil {
		loops["edge_workflows"] = (&edgeWorkflows{a.Deps, a.scheduler}).run
	}
	return actors.Service{
		Name:     "workflow",
		Bindings: a.bindings(),
		Workers: []actors.Worker{
			actors.Listen(subjects.TriggerByWebhook, a.webhookDelivered),
			actors.Listen(subjects.PublishLifecycle, a.publishLifecycle),
			actors.Listen(subjects.TakeExtensionEvent, a.extensions.takeEvent),
			actors.Listen(subjects.ProcessEdgeDelivery, a.edgeDelivered),
			actors.OnErasure(a.Deps, subjects.WorkflowErasure, subjects.WorkflowErased, a.eraseUser),
		},
		Background: loops,
		Checks:     map[string]func(context.Context) error{"partition": a.engine.Probe},
	}
}

// bindings lists the actor's endpoints.
func (a *Actor) bindings() []actors.Binding {
	return append(a.edges.Bindings(),
		actors.Bind(subjects.CreateWorkflow, a.createWorkflow),
		actors.Bind(subjects.UpdateWorkflow, a.updateWorkflow),
		actors.Bind(subjects.GetWorkflow, a.getWorkflow),
		actors.Bind(subjects.GetWorkflowDiagram, a.getWorkflowDiagram),
		actors.Bind(subjects.ListWorkflows, a.listWorkflows),
		actors.Bind(subjects.DeleteWorkflow, a.deleteWorkflow),
		actors.Bind(subjects.ListWorkflowVersions, a.listVersions),
		actors.Bind(subjects.ValidateWorkflow, a.validateWorkflow),
		actors.Bind(subjects.ListFunctions, a.listFunctions),
		actors.Bind(subjects.PutWorkflowSecret, a.putSecret),
		actors.Bind(subjects.ListWorkflowSecrets, a.listSecrets),
		actors.Bind(subjects.DeleteWorkflowSecret, a.deleteSecret),
		actors.Bind(subjects.ExecuteWorkflow, a.executeWorkflow),
		actors.Bind(subjects.StartExecution, a.startExecution),
		actors.Bind(subjects.GetExecutionStatus, a.getExecution),
		actors.Bind(subjects.GetExecutionHistory, a.getHistory),
		actors.Bind(subjects.GetExecutionDiagram, a.getExecutionDiagram),
		actors.Bind(subjects.WatchExecution, a.watchExecution),
		actors.Bind(subjects.ListExecutions, a.listExecutions),
		actors.Bind(subjects.CancelExecution, a.cancelExecution),
		actors.Bind(subjects.SuspendExecution, a.suspendExecution),
		actors.Bind(subjects.ResumeExecution, a.resumeExecution),
		actors.Bind(subjects.RetryExecution, a.retryExecution),
		actors.Bind(subjects.ListFailures, a.listFailures),
		actors.Bind(subjects.ReplayFailure, a.replayFailure),
		actors.Bind(subjects.ReplayFailures, a.replayFailures),
		actors.Bind(subjects.DismissFailure, a.dismissFailure),
		actors.Bind(subjects.PublishEvent, a.publishEvent),
		actors.Bind(subjects.ListExtensions, a.extensions.list),
		actors.Bind(subjects.GetExtensionKeys, a.extensions.getKeys),
		actors.Bind(subjects.PublishExtensionEvent, a.extensions.publishEvent),
		actors.Bind(subjects.ListSchedules, a.listSchedules),
		actors.Bind(subjects.GetSchedule, a.getSchedule),
		actors.Bind(subjects.PauseSchedule, a.pauseSchedule),
		actors.Bind(subjects.ResumeSchedule, a.resumeSchedule),
		actors.Bind(subjects.BackfillSchedule, a.backfillSchedule),
		actors.Bind(subjects.ListApprovals, a.listApprovals),
		actors.Bind(subjects.GetApproval, a.getApproval),
		actors.Bind(subjects.DecideApproval, a.decideApproval),
		actors.Bind(subjects.GetWorkflowLimits, a.getLimits),
		dataexport.Bind(subjects.ExportWorkflowSubject, a.Deps, ExportSet()),
	)
}
