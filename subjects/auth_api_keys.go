package subjects

import "time"

// APIKeyPrefix begins every API key, for the gateway, for people and for scanners of leaked secrets.
const APIKeyPrefix = "weft_"

// APIKey is an API key as its owner sees it: never the key itself.
type APIKey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix" doc:"How the key begins, to tell it from others."`
	Scopes     []string   `json:"scopes"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty" doc:"To the minute."`
}

// CreateAPIKeyRequest says what a key is for.
type CreateAPIKeyRequest struct {
	Name      string     `json:"name" minLength:"1" maxLength:"100"`
	Scopes    []string   `json:"scopes" minItems:"1" maxItems:"9" uniqueItems:"true" enum:"user.profile.read,user.profile.write,integrations.read,integrations.connect,integrations.execute,workflows.read,workflows.execute,notifications.send,notifications.marketing"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"In the future; a key without it is good until it is revoked."`
	// A key outlives the session that made it.
	Password string `json:"password,omitempty" maxLength:"1024" doc:"The account's; needed unless the sign-in is of the last five minutes."`
	Code     string `json:"code,omitempty" maxLength:"64" doc:"Of the authenticator, or a recovery code; beside the password, where an authenticator is on."`
}

// NewAPIKey is a key at the one moment it is shown.
type NewAPIKey struct {
	APIKey
	Key string `json:"key" doc:"Shown once. Send it as Authorization: Bearer …"`
}

// CreateAPIKey makes a key.
var CreateAPIKey = declare(Endpoint[CreateAPIKeyRequest, NewAPIKey]{
	Subject: "weft.v1.auth.create_api_key", Route: "POST /v1/auth/api-keys", Access: User, Status: 201, Origin: true,
	Secret:  []string{"key"},
	Summary: "Make an API key",
	Doc: "Makes a key with which a program acts as its owner, confined to scopes. The key is shown in this answer alone; " +
		"at most fifty a user: conflict. It needs a sign-in of the last five minutes (forbidden), or the password; a wrong one is invalid.",
})

// ListAPIKeysRequest asks for a page.
type ListAPIKeysRequest struct{ PageRequest }

// ListAPIKeys lists the caller's keys.
var ListAPIKeys = declare(Endpoint[ListAPIKeysRequest, Page[APIKey]]{
	Subject: "weft.v1.auth.list_api_keys", Route: "GET /v1/auth/api-keys", Access: User,
	Summary: "My API keys", Doc: "Lists the caller's keys, the newest first.",
})

// RevokeAPIKeyRequest names a key.
type RevokeAPIKeyRequest struct {
	KeyID string `json:"key_id" in:"path" format:"uuid"`
}

// RevokeAPIKey ends a key.
var RevokeAPIKey = declare(Endpoint[RevokeAPIKeyRequest, Empty]{
	Subject: "weft.v1.auth.revoke_api_key", Route: "DELETE /v1/auth/api-keys/{key_id}", Access: User, Origin: true,
	Summary: "Revoke an API key",
	Doc:     "Ends a key of the caller's. Once it has answered, no actor takes what the key was exchanged for.",
})

// ExchangeAPIKeyRequest carries a key.
type ExchangeAPIKeyRequest struct {
	Key string `json:"key" minLength:"1" maxLength:"256"`
}

// KeyToken is what a key is exchanged for.
type KeyToken struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in" doc:"Seconds until the access token ends."`
	KeyID       string `json:"key_id"`
	UserID      string `json:"user_id"`
}

// ExchangeAPIKey exchanges a key for a short access token that carries the key's scopes.
var ExchangeAPIKey = declare(Endpoint[ExchangeAPIKeyRequest, KeyToken]{
	Subject: "weft.v1.auth.exchange_api_key", Access: ServiceWithoutGrant("gateway"), Concurrency: 256,
	Summary: "Exchange an API key",
	Doc: "Answers with a short access token for a key that is good now, unauthenticated for any other, and forbidden while its " +
		"owner's address must be verified first. Its session is the key, so that revoking the key ends it.",
})
