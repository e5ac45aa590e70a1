package subjects

import "net/http"

// Code names a class of failure. The set is closed: a caller may switch over it, and what is not one
// of these reaches nobody.
type Code string

// The codes. Each maps to one HTTP status, see Code.Status.
const (
	// CodeInvalid: the request does not satisfy its schema or a rule; Error.Fields says where.
	CodeInvalid Code = "invalid"
	// CodeUnauthenticated: no identity, or one that has ended.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeForbidden: the identity is known and may not do this.
	CodeForbidden Code = "forbidden"
	// CodeConsentRequired: the user's consent for Error.Scope is missing, expired or revoked.
	CodeConsentRequired Code = "consent_required"
	// CodeNotFound: no such resource, or none that the caller may see.
	CodeNotFound Code = "not_found"
	// CodeMethodNotAllowed: the path exists, not with this method (gateway only).
	CodeMethodNotAllowed Code = "method_not_allowed"
	// CodeNotAcceptable: the endpoint cannot answer in the asked-for content type (gateway only).
	CodeNotAcceptable Code = "not_acceptable"
	// CodeConflict: the resource is in a state that does not allow this.
	CodeConflict Code = "conflict"
	// CodeNeedsReauth: the provider no longer accepts the connection's credentials.
	CodeNeedsReauth Code = "needs_reauth"
	// CodeTooLarge: the message is past the payload limit.
	CodeTooLarge Code = "too_large"
	// CodeUnsupportedMediaType: the body's content type is not one the endpoint takes (gateway only).
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	// CodeUnsupported: the request is well formed and asks for what this version does not do.
	CodeUnsupported Code = "unsupported"
	// CodeIdempotencyMismatch: the idempotency key was used with another body.
	CodeIdempotencyMismatch Code = "idempotency_mismatch"
	// CodeRateLimited: past a limit; Error.RetryAfter says when to try again.
	CodeRateLimited Code = "rate_limited"
	// CodeInternal: a fault of weft's. The details are in its log under the trace id.
	CodeInternal Code = "internal"
	// CodeProvider: the provider answered with an error.
	CodeProvider Code = "provider_error"
	// CodeUnavailable: a part of weft cannot be reached now; Error.RetryAfter says when to try again.
	CodeUnavailable Code = "unavailable"
	// CodeTimeout: the caller's deadline ended before the answer.
	CodeTimeout Code = "timeout"
)

type codeInfo struct {
	status int
	title  string
}

var codes = map[Code]codeInfo{
	CodeInvalid:              {http.StatusBadRequest, "The request is invalid"},
	CodeUnauthenticated:      {http.StatusUnauthorized, "Sign in first"},
	CodeForbidden:            {http.StatusForbidden, "Not allowed"},
	CodeConsentRequired:      {http.StatusForbidden, "Consent is missing"},
	CodeNotFound:             {http.StatusNotFound, "Not found"},
	CodeMethodNotAllowed:     {http.StatusMethodNotAllowed, "Method not allowed"},
	CodeNotAcceptable:        {http.StatusNotAcceptable, "Not acceptable"},
	CodeConflict:             {http.StatusConflict, "Conflict"},
	CodeNeedsReauth:          {http.StatusConflict, "The connection needs a new sign-in"},
	CodeTooLarge:             {http.StatusRequestEntityTooLarge, "Too large"},
	CodeUnsupportedMediaType: {http.StatusUnsupportedMediaType, "Unsupported media type"},
	CodeUnsupported:          {http.StatusUnprocessableEntity, "Not supported"},
	CodeIdempotencyMismatch:  {http.StatusUnprocessableEntity, "Idempotency key reused"},
	CodeRateLimited:          {http.StatusTooManyRequests, "Too many requests"},
	CodeInternal:             {http.StatusInternalServerError, "Internal error"},
	CodeProvider:             {http.StatusBadGateway, "The provider answered with an error"},
	CodeUnavailable:          {http.StatusServiceUnavailable, "Unavailable"},
	CodeTimeout:              {http.StatusGatewayTimeout, "Timed out"},
}

// Codes lists the closed set.
func Codes() []Code {
	return []Code{
		CodeInvalid, CodeUnauthenticated, CodeForbidden, CodeConsentRequired, CodeNotFound,
		CodeMethodNotAllowed, CodeNotAcceptable, CodeConflict, CodeNeedsReauth, CodeTooLarge,
		CodeUnsupportedMediaType, CodeUnsupported, CodeIdempotencyMismatch, CodeRateLimited,
		CodeInternal, CodeProvider, CodeUnavailable, CodeTimeout,
	}
}

// Status is the HTTP status of the code; 500 for what is not one of ours.
func (c Code) Status() int {
	if info, ok := codes[c]; ok {
		return info.status
	}
	return http.StatusInternalServerError
}

// Title is the code's short human text, the same for every occurrence (RFC 9457 §3.1.3).
func (c Code) Title() string { return codes[c].title }

// Type is the code's problem type (RFC 9457 §3.1.1).
func (c Code) Type() string { return "urn:weft:error:" + string(c) }
