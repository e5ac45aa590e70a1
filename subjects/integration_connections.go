package subjects

import (
	"encoding/json"
	"time"
)

// SecretMap holds credentials on their way in: it travels as JSON in a request alone, and printed it is masked.
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

// SecretText is a secret on its way in: it travels in a request alone, and printed it is masked.
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

// Connection is a user's link to an account at a provider. It never carries a credential.
type Connection struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
	Label    string `json:"label"`
	Auth     string `json:"auth" doc:"The way to authenticate, see the provider's auth."`
	Status   string `json:"status" enum:"active,needs_reauth,disabled"`
	Reason   string `json:"reason,omitempty" doc:"Why it needs a new sign-in."`
	// Settings are not secret: a base URL, a sub-domain.
	Settings map[string]any  `json:"settings"`
	Account  json.RawMessage `json:"account,omitempty" doc:"What the provider's health probe tells of the account."`
	// ExpiresAt is the access token's end, where it has one.
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the access token ends; it is renewed before."`
	CheckedAt *time.Time `json:"checked_at,omitempty" doc:"When the health probe last ran."`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
}

// ConnectIntegrationRequest connects an account by its credentials, by tokens got elsewhere, or by a provider's code.
type ConnectIntegrationRequest struct {
	Provider    string         `json:"provider" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	Auth        string         `json:"auth,omitempty" maxLength:"64" doc:"The way to authenticate; the provider's usual one unless given."`
	Credentials SecretMap      `json:"credentials,omitempty" doc:"After the JSON Schema of the way to authenticate."`
	Settings    map[string]any `json:"settings,omitempty" doc:"After the provider's JSON Schema of settings."`
	Code        string         `json:"code,omitempty" maxLength:"8192" doc:"In the place of credentials: a provider's authorization code, with its state, as in exchange_code."`
	State       string         `json:"state,omitempty" maxLength:"128" doc:"From get_auth_url."`
	Issuer      string         `json:"iss,omitempty" maxLength:"512" doc:"The provider's issuer, where it came along."`
	Label       string         `json:"label,omitempty" minLength:"1" maxLength:"64" pattern:"^[^\\s](.*[^\\s])?$" doc:"Tells several connections to one provider apart; default unless given."`
}

// ConnectIntegration connects an account.
var ConnectIntegration = declare(Endpoint[ConnectIntegrationRequest, Connection]{
	Subject: "weft.v1.integration.connect_integration", Route: "POST /v1/integrations", Status: 201,
	Access: Scope(ScopeIntegrationsConnect), Location: "/v1/integrations/{id}", Timeout: time.Minute,
	Summary: "Connect an account",
	Doc: "Connects an account by its credentials, by tokens got elsewhere (access_token, refresh_token, expires_at), or by the code " +
		"and state of an authorization that get_auth_url began. They are checked against the provider's schema and by its health probe " +
		"before they are kept, sealed. The error invalid names the field at fault: credentials where the provider refuses " +
		"them, settings where the address may not be called; conflict: there is a connection of that label.",
})

// ListIntegrationsRequest narrows the list.
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

// GetIntegration answers with one of the caller's connections.
var GetIntegration = declare(Endpoint[IntegrationRequest, Connection]{
	Subject: "weft.v1.integration.get_integration", Route: "GET /v1/integrations/{integration_id}",
	Access:  Scope(ScopeIntegrationsRead),
	Summary: "One connection", Doc: "Answers with one of the caller's connections.",
})

// UpdateIntegrationRequest changes what it names.
type UpdateIntegrationRequest struct {
	IntegrationID string         `json:"integration_id" in:"path" format:"uuid"`
	Label         string         `json:"label,omitempty" minLength:"1" maxLength:"64" pattern:"^[^\\s](.*[^\\s])?$"`
	Auth          string         `json:"auth,omitempty" maxLength:"64" doc:"Another way to authenticate; credentials must be given with it."`
	Credentials   SecretMap      `json:"credentials,omitempty" doc:"In the place of those that are kept."`
	Settings      map[string]any `json:"settings,omitempty" doc:"In the place of those that are kept."`
	Status        string         `json:"status,omitempty" enum:"active,disabled"`
}

// UpdateIntegration changes a connection.
var UpdateIntegration = declare(Endpoint[UpdateIntegrationRequest, Connection]{
	Subject: "weft.v1.integration.update_integration", Route: "PATCH /v1/integrations/{integration_id}",
	Access: Scope(ScopeIntegrationsConnect), Timeout: time.Minute,
	Summary: "Change a connection",
	Doc: "Changes a connection's label, settings, credentials or status. New credentials and settings, and those of a " +
		"connection that needs a new sign-in and is to be active again, are checked as in connect_integration.",
})

// DisconnectIntegration forgets a connection.
var DisconnectIntegration = declare(Endpoint[IntegrationRequest, Empty]{
	Subject: "weft.v1.integration.disconnect_integration", Route: "DELETE /v1/integrations/{integration_id}",
	Access:  Scope(ScopeIntegrationsConnect),
	Summary: "Disconnect an account",
	Doc:     "Forgets a connection, its credentials and its log of calls, and takes its tokens back at the provider where that can be done.",
})

// ConnectionChange is what the events of a connection tell.
type ConnectionChange struct {
	IntegrationID string `json:"integration_id"`
	Provider      string `json:"provider"`
	Label         string `json:"label"`
	Reason        string `json:"reason,omitempty"`
}

// The events of a connection's life.
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
