package workflow

import "github.com/weftmesh/weft/actors/seal"

// Sealed are the columns that hold secrets, for actors.KeyRotation.
var Sealed = []seal.Column{{
	Table: "workflow_secrets", Column: "sealed", Key: []string{"user_id", "name"}, Base64: true,
	Associated: func(values []string) []byte { return secretOf(values[0], values[1]) },
}}
