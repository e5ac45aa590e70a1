package subjects

import "time"

// Provider is a SaaS API that weft can talk to, as a list shows it.
type Provider struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Category    string `json:"category"`
	Docs        string `json:"docs,omitempty" doc:"The vendor's own documentation."`
	AuthType    string `json:"auth_type" enum:"oauth2,client_credentials,jwt_bearer,api_key,basic,sigv4,none" doc:"How it usually authenticates."`
	ActionCount int    `json:"action_count"`
	Status      string `json:"status" enum:"available,failing" doc:"failing: its breaker is not closed."`
}

// ProviderAuth is one way to authenticate with a provider.
type ProviderAuth struct {
	ID          string         `json:"id"`
	Kind        string         `json:"kind" enum:"oauth2,client_credentials,jwt_bearer,api_key,basic,sigv4,none"`
	Title       string         `json:"title,omitempty"`
	Help        string         `json:"help,omitempty" doc:"How to get the credentials, step by step."`
	Credentials map[string]any `json:"credentials" doc:"The credentials' JSON Schema."`
}

// ProviderLimit is one limit that the provider sets.
type ProviderLimit struct {
	ID       string   `json:"id"`
	Requests int      `json:"requests"`
	Seconds  float64  `json:"seconds" doc:"The period."`
	Scope    string   `json:"scope" enum:"connection,provider" doc:"What it counts for."`
	Actions  []string `json:"actions,omitempty" doc:"The actions it counts; all of them where there are none."`
}

// ProviderAction is one operation of a provider.
type ProviderAction struct {
	ID           string         `json:"id"`
	Title        string         `json:"title,omitempty"`
	Description  string         `json:"description,omitempty"`
	Docs         string         `json:"docs,omitempty"`
	Scopes       []string       `json:"scopes,omitempty" doc:"The provider's own scopes that it needs."`
	Safety       string         `json:"safety,omitempty" enum:"read,idempotent,write_once" doc:"What repeating it may do; absent where the input decides."`
	Input        map[string]any `json:"input" doc:"The input's JSON Schema."`
	OutputSchema any            `json:"output_schema,omitempty" doc:"The output's JSON Schema, where the manifest promises one."`
	Example      map[string]any `json:"example,omitempty"`
	Paginated    bool           `json:"paginated,omitempty"`
}

// ProviderDetail is a provider with all it can do.
type ProviderDetail struct {
	Provider
	Auth     []ProviderAuth    `json:"auth" doc:"The ways to authenticate, the usual one first."`
	Settings map[string]any    `json:"settings" doc:"The JSON Schema of a connection's settings."`
	Scopes   map[string]string `json:"scopes,omitempty" doc:"The provider's scopes, explained."`
	Limits   []ProviderLimit   `json:"limits,omitempty"`
	Actions  []ProviderAction  `json:"actions"`
}

// ListProvidersRequest narrows the list.
type ListProvidersRequest struct {
	PageRequest
	Category string `json:"category,omitempty" in:"query" maxLength:"64"`
	Query    string `json:"q,omitempty" in:"query" maxLength:"128" doc:"Text that id, name or description contain, whatever the case."`
}

// ListProviders lists the providers.
var ListProviders = declare(Endpoint[ListProvidersRequest, Page[Provider]]{
	Subject: "weft.v1.integration.list_providers", Route: "GET /v1/providers", Access: Scope(ScopeIntegrationsRead),
	Summary: "What weft can talk to", Doc: "Lists the providers by id.",
})

// ProviderRequest names a provider.
type ProviderRequest struct {
	Provider string `json:"provider" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
}

// GetProvider answers with a provider's actions and their schemas.
var GetProvider = declare(Endpoint[ProviderRequest, ProviderDetail]{
	Subject: "weft.v1.integration.get_provider", Route: "GET /v1/providers/{provider}",
	Access:  Scope(ScopeIntegrationsRead).Or(ServiceWithoutGrant("workflow")),
	Summary: "One provider",
	Doc:     "Answers with how to connect a provider and with its actions: the JSON Schemas of their inputs and outputs.",
})

// ProviderFailure is a call of the caller's that failed.
type ProviderFailure struct {
	At      time.Time `json:"at"`
	Action  string    `json:"action"`
	Class   string    `json:"class"`
	Message string    `json:"message,omitempty"`
}

// ProviderProbe is what a health probe found.
type ProviderProbe struct {
	At            time.Time `json:"at"`
	IntegrationID string    `json:"integration_id"`
	OK            bool      `json:"ok"`
	Class         string    `json:"class,omitempty" doc:"Why not."`
	LatencyMS     float64   `json:"latency_ms,omitempty" doc:"How long it took, where it was one of the schedule."`
}

// LimitHeadroom is what is left of one limit of a provider's.
type LimitHeadroom struct {
	Limit         string  `json:"limit"`
	IntegrationID string  `json:"integration_id,omitempty" doc:"Whose; absent where all connections share the limit."`
	Requests      int     `json:"requests" doc:"How many calls it allows in its period."`
	Seconds       float64 `json:"seconds" doc:"The period."`
	Remaining     int     `json:"remaining" doc:"How many more may be made now."`
	ResetSeconds  float64 `json:"reset_seconds,omitempty" doc:"Where none may: until when."`
}

// ProviderStatus tells how a provider does, as far as the caller's connections are concerned.
type ProviderStatus struct {
	Provider string            `json:"provider"`
	Fault    string            `json:"fault,omitempty" doc:"Why the provider is disabled: what is wrong with its manifest, each fault on a line with line and column."`
	Breaker  string            `json:"breaker" enum:"closed,half_open,open" doc:"The worst of the hosts', in the answering process."`
	Hosts    map[string]string `json:"hosts" doc:"Each host's breaker. Of a provider whose host the user names, the caller's own hosts alone."`
	Probe    *ProviderProbe    `json:"probe,omitempty" doc:"The newest probe of the caller's connections."`
	Limits   []LimitHeadroom   `json:"limits" doc:"Head room over all processes, of the caller's first five connections."`
	Failures []ProviderFailure `json:"failures" doc:"The caller's last failed calls, newest first, at most ten."`
}

// GetProviderStatus tells how a provider does.
var GetProviderStatus = declare(Endpoint[ProviderRequest, ProviderStatus]{
	Subject: "weft.v1.integration.get_provider_status", Route: "GET /v1/providers/{provider}/status",
	Access:  Scope(ScopeIntegrationsRead),
	Summary: "How a provider does",
	Doc:     "Tells the state of a provider's breaker, the last health probe and the last errors of the caller's connections.",
})
