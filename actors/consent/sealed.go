package consent

import (
	"github.com/weftmesh/weft/actors/consent/ledger"
	"github.com/weftmesh/weft/actors/seal"
)

// Sealed lists the columns that key rotation re-encrypts.
var Sealed = []seal.Column{{
	Table: "consent_keys", Column: "sealed_key", Key: []string{"id"},
	Associated: func(values []string) []byte { return keyContext(values[0]) },
}, {
	Table: "consent_subjects", Column: "sealed_key", Key: []string{"id"},
	Associated: func(values []string) []byte { return subjectContext(values[0]) },
}, {
	Table: "privacy_requests", Column: "file_key", Key: []string{"id"},
	Associated: func(values []string) []byte { return exportContext(values[0]) },
}, {
	Table: "receipt_keys", Column: "sealed_key", Key: []string{"id"},
	Associated: func(values []string) []byte { return receiptKeyContext(values[0]) },
}, ledger.Sealed}
