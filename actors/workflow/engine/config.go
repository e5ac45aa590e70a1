package engine

import (
	"errors"
	"time"

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
	// CutAfter is how many projected messages a partition's log may have before it is truncated.
	CutAfter uint64 `koanf:"cut_after"`
}

// DefaultConfig are the defaults.
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
