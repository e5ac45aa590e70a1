package workflow

import "github.com/weftmesh/weft/actors/workflow/engine"

// Config holds the actor's settings, all of which the engine defines.
type Config = engine.Config

// DefaultConfig returns the settings of a process that sets none.
func DefaultConfig() Config { return engine.DefaultConfig() }
