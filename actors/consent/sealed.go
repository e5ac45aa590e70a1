package consent

import "github.com/weftmesh/weft/actors/seal"

// Sealed is the column that holds secrets, for actors.KeyRotation.
var Sealed = []seal.Column{{
	Table: "consent_subjects", Column: "sealed_key", Key: []string{"id"},
	Associated: func(values []string) []byte { return subjectContext(values[0]) },
}}
