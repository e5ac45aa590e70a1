package notification

import "github.com/weftmesh/weft/actors/seal"

// Sealed is the column that holds secrets, for actors.KeyRotation.
var Sealed = []seal.Column{{
	Table: "notifications", Column: "content", Key: []string{"id"}, Base64: true,
	Associated: func(values []string) []byte { return contentContext(values[0]) },
}}
