package subjects

import (
	"encoding/json"
	"time"
)

// SecretMap holds credentials of a request. JSON carries them; formatting masks them.
type SecretMap map[string]any

// String masks the credentials.
func (m SecretMap) String() string {
	if len(m) == 0 {
		return ""
	}
	return "***"
}

// GoString masks the credentials in %#v.
func (m SecretMap) GoString() string { return m.String() }

// SecretText holds a secret of a request. JSON carries it; formatting masks it.
type SecretText string

// String masks the secret.
func (s SecretText) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString masks the secret in %#v.
func (s SecretText) GoString() string { return s.String() }

// Statuses of a connection.
const (
	ConnectionActive      = "active"
	ConnectionNeedsReauth = "needs_reauth"
	ConnectionDisabled    = "disabled"
)

// Connection is a user's link to an account at a provider. It never carries a credential.
type Connection struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
	Label    string `json:"label"`
	Auth     string `json:"auth" doc:"The authentication method; see the provider's auth."`
	Status   string `json:"status" enum:"active,needs_reauth,disabled"`
	Reason   string `json:"reason,omitempty" doc:"Why it needs to be authorized again."`
	// Settings are not secret, such as a base URL or subdomain.
	Settings map[string]any  `json:"settings"`
	Account  json.RawMessage `json:"account,omitempty" doc:"Data about the account from the provider's health probe."`
	// ExpiresAt is when the access token expires, if it does.
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the access token expires; weft renews it before."`
	CheckedAt *time.Time `json:"checked_at,omitempty" doc:"When the health probe last ran."`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
}

// ConnectIntegrationRequest connects an account by its credentials, by existing tokens, or by an authorization code.
type ConnectIntegrationRequest struct {
	Provider    string         `json:"provider" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	Auth        string         `json:"auth,omitempty" maxLength:"64" doc:"The authentication method; default: the provider's first."`
	Credentials SecretMap      `json:"credentials,omitempty" doc:"As the JSON Schema of the authentication method says."`
	Settings    map[string]any `json:"settings,omitempty" doc:"As the provider's JSON Schema of settings says."`
	Code        string         `json:"code,omitempty" maxLength:"8192" doc:"In place of credentials: a provider's authorization code, with its state, as in exchange_code."`
	State       string         `json:"state,omitempty" maxLength:"128" doc:"From get_auth_url."`
	Issuer      string         `json:"iss,omitempty" maxLength:"512" doc:"The provider's issuer, if it was sent."`
	Label       string         `json:"label,omitempty" minLength:"1" maxLength:"64" pattern:"^[^\\s](.*[^\\s])?$" doc:"Distinguishes several connections to one provider; default: \"default\"."`
}

// ConnectIntegration connects an account.
var ConnectIntegration = declare(Endpoint[ConnectIntegrationRequest, Connection]{
	Subject: "weft.v1.integration.connect_integration", Route: "POST /v1/integrations", Status: 201,
	MaxMessage: 256 << 10,
	Access:     Scope(ScopeIntegrationsConnect), Location: "/v1/integrations/{id}", Timeout: time.Minute,
	Summary: "Connect an account",
	Doc: "Connects an account by its credentials, by existing tokens (access_token, refresh_token, expires_at), or by the code and " +
		"state of an authorization that get_auth_url started. They are checked against the provider's schema and by its health probe, " +
		"then stored sealed. Errors: invalid names the field: credentials if the provider rejects them, settings if the address must " +
		"not be called; conflict if a connection with that label exists.",
})

// ListIntegrationsRequest filters the list.
type ListIntegrationsRequest struct {
	PageRequest
	Provider string `json:"provider,omitempty" in:"query" maxLength:"64"`
	Status   string `json:"status,omitempty" in:"query" enum:"active,needs_reauth,disabled"`
}

// GetUserIntegrations lists the caller's connections.
var GetUserIntegrations = declare(Endpoint[ListIntegrationsRequest, Page[Connection]]{
	Subject: "weft.v1.integration.get_user_integrations", Route: "GET /v1/integrations", Access: Scope(ScopeIntegrationsRead),
	Summary: "My connections", Doc: "Lists the caller's connections, newest first.",
})

// IntegrationRequest names a connection.
type IntegrationRequest struct {
	IntegrationID string `json:"integration_id" in:"path" format:"uuid"`
}

// GetIntegration returns one of the caller's connections.
var GetIntegration = declare(Endpoint[IntegrationRequest, Connection]{
	Subject: "weft.v1.integration.get_integration", Route: "GET /v1/integrations/{integration_id}",
	Access:  Scope(ScopeIntegrationsRead),
	Summary: "One connection", Doc: "Returns one of the caller's connections.",
})

// UpdateIntegrationRequest names a connection; fields that are present are changed.
type UpdateIntegrationRequest struct {
	IntegrationID string         `json:"integration_id" in:"path" format:"uuid"`
	Label         string         `json:"label,omitempty" minLength:"1" maxLength:"64" pattern:"^[^\\s](.*[^\\s])?$"`
	Auth          string         `json:"auth,omitempty" maxLength:"64" doc:"Another authentication method; requires credentials."`
	Credentials   SecretMap      `json:"credentials,omitempty" doc:"Replaces the stored credentials."`
	Settings      map[string]any `json:"settings,omitempty" doc:"Replaces the stored settings."`
	Status        string         `json:"status,omitempty" enum:"active,disabled"`
}

// UpdateIntegration changes a connection.
var UpdateIntegration = declare(Endpoint[UpdateIntegrationRequest, Connection]{
	Subject: "weft.v1.integration.update_integration", Route: "PATCH /v1/integrations/{integration_id}",
	MaxMessage: 256 << 10,
	Access:     Scope(ScopeIntegrationsConnect), Timeout: time.Minute,
	Summary: "Change a connection",
	Doc: "Changes a connection's label, settings, credentials or status. New credentials and settings are checked as in " +
		"connect_integration, and so are the stored ones when a connection that needs a new authorization is set to active. Settings that " +
		"change where or how the credentials are sent need the credentials anew: invalid, credentials. Trying the stored ones is a call: " +
		"it needs consent to integrations.execute and, of an API key, that scope.",
})

// DisconnectIntegration deletes a connection.
var DisconnectIntegration = declare(Endpoint[IntegrationRequest, Empty]{
	Subject: "weft.v1.integration.disconnect_integration", Route: "DELETE /v1/integrations/{integration_id}",
	Access:  Scope(ScopeIntegrationsConnect),
	Summary: "Disconnect an account",
	Doc:     "Deletes a connection, its credentials and its call log, and revokes its tokens at the provider if the provider supports that.",
})

// ConnectionChange is the data of a connection's events.
type ConnectionChange struct {
	IntegrationID string `json:"integration_id"`
	Provider      string `json:"provider"`
	Label         string `json:"label"`
	Reason        string `json:"reason,omitempty"`
}

// Events of a connection.
var (
	IntegrationConnected = declareEvent(Event[ConnectionChange]{
		Subject: "weft.event.v1.integration.connected", Doc: "An account was connected.",
	})
	IntegrationDisconnected = declareEvent(Event[ConnectionChange]{
		Subject: "weft.event.v1.integration.disconnected", Doc: "An account was disconnected.",
	})
	IntegrationNeedsReauth = declareEvent(Event[ConnectionChange]{
		Subject: "weft.event.v1.integration.needs_reauth",
		Doc:     "A provider no longer accepts a connection's credentials.",
	})
)
