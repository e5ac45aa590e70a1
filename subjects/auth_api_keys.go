package subjects

import "time"

// APIKeyPrefix is the prefix of every API key, for the gateway and for scanners of leaked secrets.
const APIKeyPrefix = "weft_"

// APIKey is an API key as shown to its owner, without the key itself.
type APIKey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix" doc:"The first characters of the key, to identify it."`
	Scopes     []string   `json:"scopes"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty" doc:"Accurate to the minute."`
}

// CreateAPIKeyRequest describes the key to create.
type CreateAPIKeyRequest struct {
	Name      string     `json:"name" minLength:"1" maxLength:"100"`
	Scopes    []string   `json:"scopes" minItems:"1" maxItems:"9" uniqueItems:"true" enum:"user.profile.read,user.profile.write,integrations.read,integrations.connect,integrations.execute,workflows.read,workflows.execute,notifications.send,notifications.marketing"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"In the future; without it the key is valid until revoked."`
	// Password is required because a key outlives the session that creates it.
	Password string `json:"password,omitempty" maxLength:"1024" doc:"The account's password; required without a sign-in within the last five minutes."`
	Code     string `json:"code,omitempty" maxLength:"64" doc:"An authenticator or recovery code; required with the password if an authenticator is enabled."`
}

// NewAPIKey is a new key, including the key itself.
type NewAPIKey struct {
	APIKey
	Key string `json:"key" doc:"Shown once. Send it as Authorization: Bearer …."`
}

// CreateAPIKey creates a key.
var CreateAPIKey = declare(Endpoint[CreateAPIKeyRequest, NewAPIKey]{
	Subject: "weft.v1.auth.create_api_key", Route: "POST /v1/auth/api-keys", Access: User, Status: 201, Origin: true,
	Secret:  []string{"key"},
	Summary: "Create an API key",
	Doc: "Creates a key with which a program acts as its owner, restricted to scopes. The key is shown only in this answer. It requires " +
		"a sign-in within the last five minutes (forbidden), or the password; a wrong one is invalid. At most fifty keys per user: conflict.",
})

// ListAPIKeysRequest is the request of ListAPIKeys.
type ListAPIKeysRequest struct{ PageRequest }

// ListAPIKeys lists the caller's keys.
var ListAPIKeys = declare(Endpoint[ListAPIKeysRequest, Page[APIKey]]{
	Subject: "weft.v1.auth.list_api_keys", Route: "GET /v1/auth/api-keys", Access: User,
	Summary: "My API keys", Doc: "Lists the caller's keys, newest first.",
})

// RevokeAPIKeyRequest names a key.
type RevokeAPIKeyRequest struct {
	KeyID string `json:"key_id" in:"path" format:"uuid"`
}

// RevokeAPIKey revokes a key.
var RevokeAPIKey = declare(Endpoint[RevokeAPIKeyRequest, Empty]{
	Subject: "weft.v1.auth.revoke_api_key", Route: "DELETE /v1/auth/api-keys/{key_id}", Access: User, Origin: true,
	Summary: "Revoke an API key",
	Doc:     "Revokes one of the caller's keys. When the call returns, no actor accepts access tokens issued for it.",
})

// APIKeyStateRequest names a key and its owner.
type APIKeyStateRequest struct {
	KeyID  string `json:"key_id" maxLength:"64"`
	UserID string `json:"user_id" maxLength:"64"`
}

// APIKeyState is what a key may do at present.
type APIKeyState struct {
	UserID string   `json:"user_id"`
	Active bool     `json:"active" doc:"False for a key that was revoked, has expired, or whose owner is disabled."`
	Scopes []string `json:"scopes"`
	// ValidUntil is when an access token issued now would expire.
	ValidUntil time.Time `json:"valid_until"`
}

// GetAPIKeyState returns the state of a key, for services that act later for what a key caused.
var GetAPIKeyState = declare(Endpoint[APIKeyStateRequest, APIKeyState]{
	Subject: "weft.v1.auth.get_api_key_state", Concurrency: 256, ReadOnly: true,
	Access:  ServiceWithoutGrant("workflow", "integration", "notification"),
	Summary: "The state of an API key",
	Doc: "Returns whether a user's key is active, and its scopes. A key that does not exist, or is another user's, is not active. Services " +
		"ask before they act for what a key caused earlier.",
})

// ExchangeAPIKeyRequest carries a key.
type ExchangeAPIKeyRequest struct {
	Key string `json:"key" minLength:"1" maxLength:"256"`
}

// KeyToken is an access token issued for a key.
type KeyToken struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in" doc:"Seconds until the access token expires."`
	KeyID       string `json:"key_id"`
	UserID      string `json:"user_id"`
}

// ExchangeAPIKey exchanges a key for a short-lived access token with the key's scopes.
var ExchangeAPIKey = declare(Endpoint[ExchangeAPIKeyRequest, KeyToken]{
	Subject: "weft.v1.auth.exchange_api_key", Access: ServiceWithoutGrant("gateway").Or(EnrolledUsers(KindEdge)), Concurrency: 256,
	Summary: "Exchange an API key",
	Doc: "Returns a short-lived access token for a valid key. Errors: unauthenticated for any other key; forbidden while its owner's " +
		"address must be verified first. The token's session id is the key's id, so that revoking the key invalidates the token.",
})
