package workflow

import "github.com/weftmesh/weft/actors/workflow/engine"

// Config are the actor's settings. All are the engine's, which enforces them.
type Config = engine.Config

// DefaultConfig is what a process runs with unless told otherwise.
func DefaultConfig() Config { return engine.DefaultConfig() }
