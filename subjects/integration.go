package subjects

import (
	"encoding/json"
	"time"
)

// ExecuteActionRequest names a connection, an action of its provider and the action's input.
type ExecuteActionRequest struct {
	IntegrationID string          `json:"integration_id" in:"path" maxLength:"128" doc:"The connection's id. Services may give the provider's id or <provider>:<label> instead."`
	Action        string          `json:"action" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	Input         json.RawMessage `json:"input,omitempty" doc:"The action's input, after its JSON Schema; {} unless given."`
	CallKey       string          `json:"call_key,omitempty" maxLength:"200" doc:"Stable over attempts: handed to a provider that takes an idempotency key."`
	Repeated      bool            `json:"repeated,omitempty" doc:"The caller may have made this very call before and does not know what came of it. One that must not run twice is then not made: conflict, with the code unknown_outcome for call_key."`
}

// ActionResult is the outcome of an action.
type ActionResult struct {
	Output            json.RawMessage `json:"output"`
	ProviderRequestID string          `json:"provider_request_id,omitempty"`
	Attempts          int             `json:"attempts"`
	CallID            string          `json:"call_id"`
}

// ExecuteAction runs one action of a provider.
var ExecuteAction = declare(Endpoint[ExecuteActionRequest, ActionResult]{
	Subject: "weft.v1.integration.execute_action", Route: "POST /v1/integrations/{integration_id}/actions/{action}",
	Access:  Scope(ScopeIntegrationsExecute).Or(Service("workflow")),
	Consent: ScopeIntegrationsExecute, Timeout: 2 * time.Minute, Concurrency: 256,
	Summary: "Run an action",
	Doc: "Runs one action of a connection's provider. The user's consent to integrations.execute is checked at " +
		"the moment each attempt starts. Errors: invalid names the input's fields, or repeats what the provider says of them; " +
		"needs_reauth: the provider refuses the credentials; rate_limited and unavailable: nothing was done, or repeating does " +
		"no harm; provider_error: the provider refused, or whether it carried out an action that must not run twice is unknown.",
})

// ProxyRequest is a request to a provider that no action covers.
type ProxyRequest struct {
	IntegrationID string            `json:"integration_id" in:"path" maxLength:"128"`
	Method        string            `json:"method" enum:"GET,HEAD,POST,PUT,PATCH,DELETE"`
	Path          string            `json:"path" maxLength:"4096" pattern:"^/" doc:"Below the provider's base URL, percent-encoded where it must be."`
	Query         map[string]any    `json:"query,omitempty" doc:"Strings, numbers, booleans, or lists of them."`
	Headers       map[string]string `json:"headers,omitempty"`
	Body          json.RawMessage   `json:"body,omitempty" doc:"Any JSON value, sent as application/json."`
	Object        string            `json:"object,omitempty" format:"uuid" doc:"In the place of body: the id of an object, whose bytes are sent as its content type."`
	ToObject      bool              `json:"to_object,omitempty" doc:"Keep a good answer's body as an object, and answer with that in its place."`
}

// ProxyReply is a provider's answer, whatever its status.
type ProxyReply struct {
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"`
	Body     json.RawMessage   `json:"body,omitempty" doc:"A JSON value, a text, or base64 of what is neither."`
	Object   *ObjectReference  `json:"object,omitempty" doc:"What the body was kept as."`
	Attempts int               `json:"attempts"`
	CallID   string            `json:"call_id"`
}

// ProxyCall sends a request to a connection's provider.
var ProxyCall = declare(Endpoint[ProxyRequest, ProxyReply]{
	Subject: "weft.v1.integration.proxy_request", Route: "POST /v1/integrations/{integration_id}/proxy",
	Access:  Scope(ScopeIntegrationsExecute),
	Consent: ScopeIntegrationsExecute, Timeout: 2 * time.Minute, Concurrency: 128,
	Summary: "Call the provider's API",
	Doc: "Sends a request to a connection's provider with its credentials, confined to the provider's hosts, under the same " +
		"consent, limits and log as an action. The provider's answer comes back as it is, whatever its status.",
})

// CallRecord is one line of a connection's log of calls.
type CallRecord struct {
	ID                string    `json:"id"`
	At                time.Time `json:"at"`
	Action            string    `json:"action"`
	Caller            string    `json:"caller" doc:"user, or the service that called on the user's behalf."`
	Status            string    `json:"status" enum:"ok,error"`
	HTTPStatus        int       `json:"http_status,omitempty" doc:"The provider's, where it answered."`
	Code              Code      `json:"code,omitempty" doc:"The error's code, as the caller got it."`
	Class             string    `json:"class,omitempty" enum:"auth,limited,invalid,not_found,conflict,unavailable,unknown,refused" doc:"What kind of failure; refused is weft's own refusal."`
	Message           string    `json:"message,omitempty" doc:"The provider's own words, without secrets."`
	DurationMS        float64   `json:"duration_ms"`
	Attempts          int       `json:"attempts"`
	ProviderRequestID string    `json:"provider_request_id,omitempty"`
}

// ListCallsRequest names a connection and narrows its log.
type ListCallsRequest struct {
	IntegrationRequest
	PageRequest
	Status string `json:"status,omitempty" in:"query" enum:"ok,error"`
	Action string `json:"action,omitempty" in:"query" maxLength:"64"`
}

// ListCalls lists the calls of a connection.
var ListCalls = declare(Endpoint[ListCallsRequest, Page[CallRecord]]{
	Subject: "weft.v1.integration.list_calls", Route: "GET /v1/integrations/{integration_id}/calls",
	Access:  Scope(ScopeIntegrationsRead),
	Summary: "A connection's calls",
	Doc:     "Lists the calls of a connection, newest first. The newest thousand are kept, for thirty days, unless configured otherwise.",
})
