package engine

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/actors/workflow/extension"
	"github.com/weftmesh/weft/mesh"
)

// Config are the actor's settings.
type Config struct {
	// MaxConcurrent is how many executions a process runs at once; the others are queued.
	MaxConcurrent int `koanf:"max_concurrent"`
	// MaxSteps is how many calls a process makes at once, over all executions.
	MaxSteps int `koanf:"max_steps"`
	// StepTimeout bounds one call, its retries included.
	StepTimeout time.Duration `koanf:"step_timeout"`
	// StepRetries and StepRetryDelay are how often, and after what pause, a call is made again that had no effect.
	StepRetries    int           `koanf:"step_retries"`
	StepRetryDelay time.Duration `koanf:"step_retry_delay"`
	// ShortWait is the longest wait for which an execution stays in memory; for a longer one it is evicted.
	ShortWait time.Duration `koanf:"short_wait"`
	// MaxInput bounds an execution's input, MaxResult the result of one call, in bytes of JSON.
	MaxInput  int `koanf:"max_input"`
	MaxResult int `koanf:"max_result"`
	// MaxQueued is how many executions of a process may be queued; past it, starts are refused with unavailable.
	MaxQueued int `koanf:"max_queued"`
	// MaxQueuedPerUser is how many of them may be one user's, and how many of a user's may wait for their workflows' limits in one
	// partition; past it, that user's starts are refused with rate_limited.
	MaxQueuedPerUser int `koanf:"max_queued_per_user"`
	// MaxConcurrentPerUser and MaxStepsPerUser are how many of MaxConcurrent and MaxSteps may be one user's.
	MaxConcurrentPerUser int `koanf:"max_concurrent_per_user"`
	MaxStepsPerUser      int `koanf:"max_steps_per_user"`
	// MaxSlowPerUser is how many of a user's calls may take long without a step slot, in a process.
	MaxSlowPerUser int `koanf:"max_slow_per_user"`
	// MaxActivePerUser is how many executions of a user may not have ended; past it, that user's starts are refused with rate_limited.
	MaxActivePerUser int `koanf:"max_active_per_user"`
	// MaxHistory bounds the data in the history of one execution, in bytes; past it, the execution faults.
	MaxHistory int `koanf:"max_history"`
	// MaxBytesPerUser bounds the data that the executions of a user in a process's memory hold, MaxBytes that of all users, in bytes.
	MaxBytesPerUser int `koanf:"max_bytes_per_user"`
	MaxBytes        int `koanf:"max_bytes"`
	// MaxWorkflowsPerUser is how many workflows a user may have, MaxVersions how many versions a workflow may have.
	MaxWorkflowsPerUser int `koanf:"max_workflows_per_user"`
	MaxVersions         int `koanf:"max_versions"`
	// MaxDefinitionBytesPerUser bounds the definitions of a user's workflows, in bytes with all versions and the texts that they were
	// made from. Those of deleted workflows count until they are removed, which is within hours.
	MaxDefinitionBytesPerUser int64 `koanf:"max_definition_bytes_per_user"`
	// MaxSecretsPerUser is how many secrets a user may have, MaxSchedulesPerUser how many schedules, on times or on events.
	MaxSecretsPerUser   int `koanf:"max_secrets_per_user"`
	MaxSchedulesPerUser int `koanf:"max_schedules_per_user"`
	// MaxApprovalsPerUser is how many approval requests of a user may be pending. A request past it fails its task.
	MaxApprovalsPerUser int `koanf:"max_approvals_per_user"`
	// MaxCorrelationBytesPerUser bounds the events that a user's schedules have collected and not started an execution with, in bytes.
	// Past it the oldest incomplete collection of the schedule is abandoned.
	MaxCorrelationBytesPerUser int64 `koanf:"max_correlation_bytes_per_user"`
	// MaxRefusedStartsPerUser is how many refused starts of schedules and events are kept for a user, the newest.
	MaxRefusedStartsPerUser int `koanf:"max_refused_starts_per_user"`
	// Retention is for how long an execution is kept after its end, with its history, approval requests and failure; 0: for good.
	Retention time.Duration `koanf:"retention"`
	// CutAfter is how many projected messages a partition's log may have before it is truncated.
	CutAfter uint64 `koanf:"cut_after"`
	// Extensions are the settings of the functions and events of extensions.
	Extensions extension.Config `koanf:"extensions"`
	// EdgeLease is for how long an edge node may act without another contact with the hub.
	EdgeLease time.Duration `koanf:"edge_lease"`
}

// DefaultConfig are the defaults.
func DefaultConfig() Config {
	return Config{
		MaxConcurrent: 100, MaxSteps: 20, StepTimeout: time.Minute, StepRetries: 3, StepRetryDelay: 5 * time.Second,
		ShortWait: 2 * time.Second, MaxInput: 256 << 10, MaxResult: 256 << 10, MaxQueued: 10_000, MaxQueuedPerUser: 1000,
		MaxConcurrentPerUser: 75, MaxStepsPerUser: 15, MaxSlowPerUser: 50, MaxActivePerUser: 10_000, MaxHistory: 32 << 20,
		MaxBytesPerUser: 32 << 20, MaxBytes: 96 << 20, CutAfter: 1000,
		MaxWorkflowsPerUser: 1000, MaxVersions: 1000, MaxDefinitionBytesPerUser: 128 << 20, MaxSecretsPerUser: 100,
		MaxSchedulesPerUser: 500, MaxApprovalsPerUser: 1000, MaxCorrelationBytesPerUser: 2 << 20, MaxRefusedStartsPerUser: 1000, Retention: 90 * 24 * time.Hour,
		Extensions: extension.DefaultConfig(), EdgeLease: time.Hour,
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
		mesh.SettingBetween("workflow.max_concurrent_per_user", c.MaxConcurrentPerUser, 1, 10_000),
		mesh.SettingBetween("workflow.max_steps_per_user", c.MaxStepsPerUser, 1, 10_000),
		mesh.SettingAtLeast("workflow.max_slow_per_user", c.MaxSlowPerUser, 0),
		mesh.SettingAtLeast("workflow.max_active_per_user", c.MaxActivePerUser, 1),
		mesh.SettingBetween("workflow.max_history", c.MaxHistory, 1<<20, 1<<30),
		mesh.SettingAtLeast("workflow.max_bytes_per_user", c.MaxBytesPerUser, 1<<20),
		mesh.SettingAtLeast("workflow.max_bytes", c.MaxBytes, 1<<20),
		mesh.SettingAtLeast("workflow.max_workflows_per_user", c.MaxWorkflowsPerUser, 1),
		mesh.SettingAtLeast("workflow.max_versions", c.MaxVersions, 1),
		mesh.SettingAtLeast("workflow.max_definition_bytes_per_user", c.MaxDefinitionBytesPerUser, 1),
		mesh.SettingAtLeast("workflow.max_secrets_per_user", c.MaxSecretsPerUser, 0),
		mesh.SettingAtLeast("workflow.max_schedules_per_user", c.MaxSchedulesPerUser, 0),
		mesh.SettingAtLeast("workflow.max_approvals_per_user", c.MaxApprovalsPerUser, 0),
		mesh.SettingAtLeast("workflow.max_correlation_bytes_per_user", c.MaxCorrelationBytesPerUser, 1),
		mesh.SettingAtLeast("workflow.max_refused_starts_per_user", c.MaxRefusedStartsPerUser, 1),
		mesh.SettingAtLeast("workflow.cut_after", c.CutAfter, 1),
		mesh.SettingAtLeast("workflow.retention", c.Retention, 0),
		c.Extensions.Check(),
		mesh.SettingBetween("workflow.edge_lease", c.EdgeLease, time.Second, 30*24*time.Hour),
	)
}

// maxValue is the largest value that a message of the history has room for.
const maxValue = 512 << 10
