package webhooks

import "github.com/weftmesh/weft/actors/seal"

// Sealed lists the columns that key rotation re-encrypts.
var Sealed = []seal.Column{
	sealedWebhook("secret", sealedWebhookSecret), sealedWebhook("old_secret", sealedWebhookSecret), sealedWebhook("headers", sealedWebhookHeaders),
}

// sealedWebhook is a column of webhooks with a kind of sealed values.
func sealedWebhook(column, kind string) seal.Column {
	return seal.Column{
		Table: "webhooks", Column: column, Key: []string{"id"}, With: []string{"user_id"},
		Associated: func(values []string) []byte { return webhookContext(values[1], values[0], kind) },
	}
}
