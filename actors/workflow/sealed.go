package workflow

import "github.com/weftmesh/weft/actors/seal"

// Sealed lists the columns that hold sealed secrets, for key rotation.
var Sealed = []seal.Column{{
	Table: "workflow_secrets", Column: "sealed", Key: []string{"user_id", "name"}, Base64: true,
	Associated: func(values []string) []byte { return secretAssociated(values[0], values[1]) },
}}
