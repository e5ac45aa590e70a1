package subjects

import "time"

// Provider is a third-party API that weft can call, as shown in a list.
type Provider struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Category    string `json:"category"`
	Docs        string `json:"docs,omitempty" doc:"URL of the provider's documentation."`
	AuthType    string `json:"auth_type" enum:"oauth2,client_credentials,jwt_bearer,api_key,basic,sigv4,none" doc:"Kind of its default authentication method."`
	ActionCount int    `json:"action_count"`
	Status      string `json:"status" enum:"available,failing" doc:"failing: its circuit breaker is not closed."`
}

// ProviderAuth is an authentication method of a provider.
type ProviderAuth struct {
	ID          string         `json:"id"`
	Kind        string         `json:"kind" enum:"oauth2,client_credentials,jwt_bearer,api_key,basic,sigv4,none"`
	Title       string         `json:"title,omitempty"`
	Help        string         `json:"help,omitempty" doc:"How to obtain the credentials, step by step."`
	Credentials map[string]any `json:"credentials" doc:"JSON Schema of the credentials."`
}

// ProviderLimit is a rate limit that the provider enforces.
type ProviderLimit struct {
	ID       string   `json:"id"`
	Requests int      `json:"requests"`
	Seconds  float64  `json:"seconds" doc:"Length of the period."`
	Scope    string   `json:"scope" enum:"connection,provider" doc:"What shares the limit."`
	Actions  []string `json:"actions,omitempty" doc:"The actions that count; all if absent."`
}

// ProviderAction is an operation of a provider.
type ProviderAction struct {
	ID           string         `json:"id"`
	Title        string         `json:"title,omitempty"`
	Description  string         `json:"description,omitempty"`
	Docs         string         `json:"docs,omitempty"`
	Scopes       []string       `json:"scopes,omitempty" doc:"The provider's scopes that it requires."`
	Safety       string         `json:"safety,omitempty" enum:"read,idempotent,write_once" doc:"Whether it can be repeated safely; absent if that depends on the input."`
	Input        map[string]any `json:"input" doc:"JSON Schema of the input."`
	OutputSchema any            `json:"output_schema,omitempty" doc:"JSON Schema of the output, if the manifest declares one."`
	Example      map[string]any `json:"example,omitempty"`
	Paginated    bool           `json:"paginated,omitempty"`
}

// ProviderDetail is a provider with its actions.
type ProviderDetail struct {
	Provider
	Auth     []ProviderAuth    `json:"auth" doc:"Authentication methods, the default first."`
	Settings map[string]any    `json:"settings" doc:"JSON Schema of a connection's settings."`
	Scopes   map[string]string `json:"scopes,omitempty" doc:"The provider's scopes with descriptions."`
	Limits   []ProviderLimit   `json:"limits,omitempty"`
	Actions  []ProviderAction  `json:"actions"`
}

// ListProvidersRequest filters the list.
type ListProvidersRequest struct {
	PageRequest
	Category string `json:"category,omitempty" in:"query" maxLength:"64"`
	Query    string `json:"q,omitempty" in:"query" maxLength:"128" doc:"Text contained in id, name or description, ignoring case."`
}

// ListProviders lists the providers.
var ListProviders = declare(Endpoint[ListProvidersRequest, Page[Provider]]{
	Subject: "weft.v1.integration.list_providers", Route: "GET /v1/providers", Access: Scope(ScopeIntegrationsRead),
	Summary: "Providers", Doc: "Lists the providers by id.",
})

// ProviderRequest names a provider.
type ProviderRequest struct {
	Provider string `json:"provider" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
}

// GetProvider returns a provider with its actions.
var GetProvider = declare(Endpoint[ProviderRequest, ProviderDetail]{
	Subject: "weft.v1.integration.get_provider", Route: "GET /v1/providers/{provider}",
	Access:  Scope(ScopeIntegrationsRead).Or(ServiceWithoutGrant("workflow")),
	Summary: "One provider",
	Doc:     "Returns how to connect to a provider, and its actions with the JSON Schemas of their inputs and outputs.",
})

// ProviderFailure is a failed call of the caller's.
type ProviderFailure struct {
	At      time.Time `json:"at"`
	Action  string    `json:"action"`
	Class   string    `json:"class"`
	Message string    `json:"message,omitempty"`
}

// ProviderProbe is the result of a health probe.
type ProviderProbe struct {
	At            time.Time `json:"at"`
	IntegrationID string    `json:"integration_id"`
	OK            bool      `json:"ok"`
	Class         string    `json:"class,omitempty" doc:"Class of the failure."`
	LatencyMS     float64   `json:"latency_ms,omitempty" doc:"Latency, if it was a scheduled probe."`
}

// LimitHeadroom is the remainder of one of a provider's limits.
type LimitHeadroom struct {
	Limit         string  `json:"limit"`
	IntegrationID string  `json:"integration_id,omitempty" doc:"The connection; absent if all connections share the limit."`
	Requests      int     `json:"requests" doc:"Number of calls allowed per period."`
	Seconds       float64 `json:"seconds" doc:"Length of the period."`
	Remaining     int     `json:"remaining" doc:"Number of calls that are still allowed now."`
	ResetSeconds  float64 `json:"reset_seconds,omitempty" doc:"Seconds until a call is allowed again, if none is now."`
}

// ProviderHealth is the health of a provider as seen by the caller's connections.
type ProviderHealth struct {
	Provider string            `json:"provider"`
	Fault    string            `json:"fault,omitempty" doc:"Why the provider is disabled: the errors in its manifest, one per line with line and column."`
	Breaker  string            `json:"breaker" enum:"closed,half_open,open" doc:"The worst state of the hosts' circuit breakers, in the answering process."`
	Hosts    map[string]string `json:"hosts" doc:"State of each host's circuit breaker. If users configure the host, only the caller's hosts."`
	Probe    *ProviderProbe    `json:"probe,omitempty" doc:"The latest probe of the caller's connections."`
	Limits   []LimitHeadroom   `json:"limits" doc:"Remaining limits over all processes, for the caller's first five connections."`
	Failures []ProviderFailure `json:"failures" doc:"The caller's latest failed calls, newest first, at most ten."`
}

// GetProviderStatus returns the health of a provider.
var GetProviderStatus = declare(Endpoint[ProviderRequest, ProviderHealth]{
	Subject: "weft.v1.integration.get_provider_status", Route: "GET /v1/providers/{provider}/status",
	Access:  Scope(ScopeIntegrationsRead),
	Summary: "A provider's health",
	Doc:     "Returns the state of a provider's circuit breakers, the latest health probe and the latest errors of the caller's connections.",
})
