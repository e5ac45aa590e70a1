package notification

import "github.com/weftmesh/weft/actors"

// Sealed is the column that holds secrets, for actors.KeyRotation.
var Sealed = []actors.Sealed{{
	Table: "notifications", Column: "content", Key: []string{"id"}, Base64: true,
	Associated: func(values []string) []byte { return contentContext(values[0]) },
}}
