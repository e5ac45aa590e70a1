// Package extension finds and calls the functions of extensions: NATS micro services of others, in any language, that an operator has
// enrolled. An extension describes its functions in the metadata of its endpoints, which $SRV.INFO returns; a Registry reads them, and a
// Caller makes the calls of executions. Everything that an extension says is untrusted: it is bounded, and its schemas are evaluated within
// a budget.
package extension

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/mesh"
)

// Config are the settings of extensions.
type Config struct {
	// MaxWait is how long a call waits for an extension of which no copy serves the function; after it, the call fails.
	MaxWait time.Duration `koanf:"max_wait"`
	// MaxDuration bounds one call of a function, its retries included. Heartbeats extend an attempt up to it. It is also the longest
	// time-out that a function may declare.
	MaxDuration time.Duration `koanf:"max_duration"`
	// MaxConcurrent is how many calls of one extension a process makes at once; the others wait. Three quarters of them may be one user's.
	MaxConcurrent int `koanf:"max_concurrent"`
	// MaxEvents is how many events a minute a process takes from one extension; past it, they are refused with rate_limited.
	MaxEvents int `koanf:"max_events"`
}

// DefaultConfig are the defaults.
func DefaultConfig() Config {
	return Config{MaxWait: 30 * time.Second, MaxDuration: time.Hour, MaxConcurrent: 100, MaxEvents: 600}
}

// Check returns a mesh.SettingError for each invalid setting.
func (c Config) Check() error {
	return errors.Join(
		mesh.SettingBetween("workflow.extensions.max_wait", c.MaxWait, 0, 24*time.Hour),
		mesh.SettingBetween("workflow.extensions.max_duration", c.MaxDuration, time.Second, 7*24*time.Hour),
		mesh.SettingBetween("workflow.extensions.max_concurrent", c.MaxConcurrent, 1, 10_000),
		mesh.SettingBetween("workflow.extensions.max_events", c.MaxEvents, 1, 1_000_000),
	)
}

// Bounds of what an extension may declare and answer.
const (
	// MaxFunctions bounds the functions of an extension, their versions counted each.
	MaxFunctions = 64
	// MaxSchema bounds the text of a schema, MaxMetadata the metadata of all functions of an extension, in bytes.
	MaxSchema   = 64 << 10
	MaxMetadata = 512 << 10
	// MaxCopies is how many copies of an extension are read.
	MaxCopies = 64
	// MaxHeartbeats is how many heartbeats an attempt may send.
	MaxHeartbeats = 10_000
	// MaxErrorText bounds the text of an error that an extension answers with, and MaxSummary a summary, in bytes.
	MaxErrorText = 500
	MaxSummary   = 500
	// MinTimeout and MinHeartbeat are the shortest time-out and heartbeat interval that a function may declare.
	MinTimeout   = time.Second
	MinHeartbeat = time.Second
)

// defaultTimeout is the time-out of a function that declares none.
const defaultTimeout = time.Minute
