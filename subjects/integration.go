package subjects

import (
	"encoding/json"
	"time"
)

// ExecuteActionRequest names a connection and an action of its provider, and carries the action's input.
type ExecuteActionRequest struct {
	IntegrationID string          `json:"integration_id" in:"path" maxLength:"128" doc:"The connection's id. Services may give the provider's id or <provider>:<label> instead."`
	Action        string          `json:"action" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	Input         json.RawMessage `json:"input,omitempty" doc:"The action's input as its JSON Schema says; default {}."`
	CallKey       string          `json:"call_key,omitempty" maxLength:"200" doc:"The same for all attempts of a call; passed to providers that support idempotency keys."`
	Repeated      bool            `json:"repeated,omitempty" doc:"The caller may have made this call before without learning its outcome. An action that must not run twice is then refused: conflict, with the field code unknown_outcome for call_key."`
	NoWait        bool            `json:"no_wait,omitempty" doc:"Do not wait more than a second for a rate limit: answer rate_limited with retry_after, for callers that wait themselves. Nothing was carried out then."`
	Client        string          `json:"client,omitempty" maxLength:"100" doc:"The program that makes the call, for the log."`
}

// ActionResult is the result of an action.
type ActionResult struct {
	Output            json.RawMessage `json:"output"`
	ProviderRequestID string          `json:"provider_request_id,omitempty"`
	Attempts          int             `json:"attempts"`
	CallID            string          `json:"call_id"`
}

// ExecuteAction runs an action of a provider.
var ExecuteAction = declare(Endpoint[ExecuteActionRequest, ActionResult]{
	Subject: "weft.v1.integration.execute_action", Route: "POST /v1/integrations/{integration_id}/actions/{action}",
	Access:  Scope(ScopeIntegrationsExecute).Or(Service("workflow")),
	Consent: ScopeIntegrationsExecute, Timeout: 2 * time.Minute, Concurrency: 256, Cancellable: true,
	Summary: "Run an action",
	Doc: "Runs an action of a connection's provider. The user's consent to integrations.execute is checked immediately before each " +
		"attempt. Errors: invalid, with the input's fields or the provider's message; needs_reauth, if the provider rejects the " +
		"credentials; rate_limited and unavailable, if the action was not carried out or can safely be repeated; provider_error, if the " +
		"provider refused, or if it is unknown whether an action that must not run twice was carried out.",
})

// ProxyRequest is an HTTP request to a provider, for operations that have no action.
type ProxyRequest struct {
	IntegrationID string            `json:"integration_id" in:"path" maxLength:"128"`
	Method        string            `json:"method" enum:"GET,HEAD,POST,PUT,PATCH,DELETE"`
	Path          string            `json:"path" maxLength:"4096" pattern:"^/" doc:"Path below the provider's base URL. Percent-encoding is kept, what needs it is encoded. It has no query or fragment: ? and # are written %3F and %23."`
	Query         map[string]any    `json:"query,omitempty" doc:"Strings, numbers, booleans, or lists of them."`
	Headers       map[string]string `json:"headers,omitempty"`
	Body          json.RawMessage   `json:"body,omitempty" doc:"Any JSON value, sent as application/json. With another Content-Type in headers a string is sent as it is, and an object as a form, if the type is one."`
	Object        string            `json:"object,omitempty" format:"uuid" doc:"In place of body: the id of an object, which is sent with its content type."`
	ToObject      bool              `json:"to_object,omitempty" doc:"Store the body of a successful response as an object and return that in its place."`
}

// ProxyReply is a provider's response, of any status.
type ProxyReply struct {
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"`
	Body     json.RawMessage   `json:"body,omitempty" doc:"A JSON value, a text, or base64 of anything else, as its content type says."`
	Base64   bool              `json:"base64,omitempty" doc:"Whether body is base64."`
	Object   *ObjectReference  `json:"object,omitempty" doc:"The object that holds the body."`
	Attempts int               `json:"attempts"`
	CallID   string            `json:"call_id"`
}

// ProxyCall sends an HTTP request to a connection's provider.
var ProxyCall = declare(Endpoint[ProxyRequest, ProxyReply]{
	Subject: "weft.v1.integration.proxy_request", Route: "POST /v1/integrations/{integration_id}/proxy",
	Access:  Scope(ScopeIntegrationsExecute),
	Consent: ScopeIntegrationsExecute, Timeout: 2 * time.Minute, Concurrency: 128,
	Summary: "Call the provider's API",
	Doc: "Sends a request to a connection's provider with its credentials, restricted to the provider's hosts, under the same consent, " +
		"limits and call log as an action. The provider's response is returned unchanged, whatever its status.",
})

// CallRecord is an entry of a connection's call log.
type CallRecord struct {
	ID                string    `json:"id"`
	At                time.Time `json:"at"`
	Action            string    `json:"action"`
	Caller            string    `json:"caller" doc:"user, or the service that called on the user's behalf."`
	Client            string    `json:"client,omitempty" doc:"The program that made the call as it names itself; an agent's at /mcp."`
	Status            string    `json:"status" enum:"ok,error"`
	HTTPStatus        int       `json:"http_status,omitempty" doc:"The provider's HTTP status, if it answered."`
	Code              Code      `json:"code,omitempty" doc:"The error's code as returned to the caller."`
	Class             string    `json:"class,omitempty" enum:"auth,limited,invalid,not_found,conflict,unavailable,unknown,refused" doc:"Class of the failure; refused means that weft refused the call."`
	Message           string    `json:"message,omitempty" doc:"The provider's error message, without secrets."`
	DurationMS        float64   `json:"duration_ms"`
	Attempts          int       `json:"attempts"`
	ProviderRequestID string    `json:"provider_request_id,omitempty"`
}

// ListCallsRequest names a connection and filters its call log.
type ListCallsRequest struct {
	IntegrationRequest
	PageRequest
	Status string `json:"status,omitempty" in:"query" enum:"ok,error"`
	Action string `json:"action,omitempty" in:"query" maxLength:"64"`
}

// ListCalls lists a connection's call log.
var ListCalls = declare(Endpoint[ListCallsRequest, Page[CallRecord]]{
	Subject: "weft.v1.integration.list_calls", Route: "GET /v1/integrations/{integration_id}/calls",
	Access:  Scope(ScopeIntegrationsRead),
	Summary: "A connection's calls",
	Doc:     "Lists the calls of a connection, newest first. The latest thousand are kept, for thirty days, unless configured otherwise.",
})
