package notification

import (
	"github.com/weftmesh/weft/actors/seal"
)

// Sealed lists the columns that key rotation re-encrypts.
var Sealed = []seal.Column{{
	Table: "notifications", Column: "content", Key: []string{"id"}, Base64: true,
	Associated: func(values []string) []byte { return contentContext(values[0]) },
}}
