package auth

import "github.com/weftmesh/weft/actors/seal"

// Sealed are the columns that hold secrets, for actors.KeyRotation. What is sealed elsewhere, a session's last successor
// and a sign-in that waits for its second factor, lives for minutes.
var Sealed = []seal.Column{
	sealedIn("secrets", "name", secretContext), sealedIn("signing_keys", "kid", keyContext), sealedIn("letters", "id", letterContext),
	sealedIn("totp", "user_id", totpContext), sealedIn("identities", "id", identityContext),
}

func sealedIn(table, key string, context func(string) []byte) seal.Column {
	return seal.Column{
		Table: table, Column: "sealed", Key: []string{key}, Associated: func(values []string) []byte { return context(values[0]) },
	}
}
