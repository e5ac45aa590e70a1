package auth

import "github.com/weftmesh/weft/actors/seal"

// Sealed lists the columns of sealed secrets, for seal.Rotation. Sealed values elsewhere, such as a session's
// successor token and a pending sign-in, live for minutes.
var Sealed = []seal.Column{
	sealedColumn("secrets", "name", secretContext), sealedColumn("signing_keys", "kid", keyContext), sealedColumn("letters", "id", messageContext),
	sealedColumn("totp", "user_id", totpContext), sealedColumn("identities", "id", identityContext),
}

func sealedColumn(table, key string, context func(string) []byte) seal.Column {
	return seal.Column{
		Table: table, Column: "sealed", Key: []string{key}, Associated: func(values []string) []byte { return context(values[0]) },
	}
}
