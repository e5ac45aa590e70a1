package workflow

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

// bounds are what one user may have of what the actor stores.
type bounds struct {
	*quota.Quotas

	workflows, versions, definitions, secrets, schedules, approvals, correlations *quota.Bound
}

func newBounds(d actors.Deps, c Config) *bounds {
	count := func(setting, what string, limit int, used quota.Counter) *quota.Bound {
		return &quota.Bound{Name: "workflow." + setting, What: what, Unit: quota.Count, Limit: int64(limit), Used: used}
	}
	b := &bounds{
		workflows: count("max_workflows_per_user", "workflows", c.MaxWorkflowsPerUser, countWorkflows),
		versions:  count("max_versions", "versions of a workflow", c.MaxVersions, nil),
		secrets:   count("max_secrets_per_user", "secrets", c.MaxSecretsPerUser, countSecrets),
		schedules: count("max_schedules_per_user", "schedules", c.MaxSchedulesPerUser, countSchedules),
		approvals: count("max_approvals_per_user", "pending approval requests", c.MaxApprovalsPerUser, countPendingApprovals),
		definitions: &quota.Bound{
			Name: "workflow.max_definition_bytes_per_user", What: "bytes of definitions", Unit: quota.Bytes,
			Limit: c.MaxDefinitionBytesPerUser, Used: definitionBytes,
		},
		correlations: &quota.Bound{
			Name: "workflow.max_correlation_bytes_per_user", What: "bytes of events that schedules collect", Unit: quota.Bytes,
			Limit: c.MaxCorrelationBytesPerUser, Used: correlationBytes,
		},
	}
	b.Quotas = quota.New(d.DB, d.Metrics,
		b.workflows, b.versions, b.definitions, b.secrets, b.schedules, b.approvals, b.correlations,
		count("max_refused_starts_per_user", "refused starts that are kept", c.MaxRefusedStartsPerUser, countRefusedStarts),
		count("max_active_per_user", "executions under way", c.MaxActivePerUser, countActive),
		count("max_concurrent_per_user", "executions that run at once in a process", c.MaxConcurrentPerUser, nil),
		count("max_steps_per_user", "calls at once in a process", c.MaxStepsPerUser, nil),
		count("max_queued_per_user", "queued executions in a process", c.MaxQueuedPerUser, nil),
	)
	return b
}

// errLimitReached matches the refusal of a bound.
var errLimitReached = &subjects.Error{Code: subjects.CodeRateLimited, Reason: subjects.ReasonLimitReached}

// getLimits answers with the bounds of the caller.
func (a *Actor) getLimits(ctx context.Context, _ subjects.Empty) (subjects.UserLimits, error) {
	return a.bounds.List(ctx, actors.CallerFrom(ctx).UserID)
}
