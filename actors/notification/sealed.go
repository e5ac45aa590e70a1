package notification

import (
	"slices"

	"github.com/weftmesh/weft/actors/notification/dispatch"
	"github.com/weftmesh/weft/actors/notification/webhooks"
	"github.com/weftmesh/weft/actors/seal"
)

// Sealed lists the columns that key rotation re-encrypts.
var Sealed = slices.Concat([]seal.Column{
	{
		Table: "notifications", Column: "content", Key: []string{"id"}, Base64: true,
		Associated: func(values []string) []byte { return contentContext(values[0]) },
	}, {
		Table: "devices", Column: "address", Key: []string{"id"}, With: []string{"user_id"}, Base64: true,
		Associated: func(values []string) []byte { return deviceContext(values[0], values[1]) },
	}, {
		Table: "phones", Column: "number", Key: []string{"user_id", "state"}, Base64: true,
		Associated: func(values []string) []byte { return phoneContext(values[0]) },
	}, {
		Table: "channel_keys", Column: "sealed", Key: []string{"name"}, Base64: true,
		Associated: func(values []string) []byte { return channelKeyContext(values[0]) },
	}, {
		Table: "mail_suppressions", Column: "address", Key: []string{"id"}, Base64: true,
		Associated: func(values []string) []byte { return suppressionContext(values[0]) },
	},
}, webhooks.Sealed, dispatch.Sealed)
