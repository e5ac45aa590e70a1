package subjects

import "net/http"

// Code is the class of an error. The set is closed, so a caller may switch over it: an error with any other code becomes
// CodeInternal on receipt. For the cause within a class see Reason.
type Code string

// The codes. Code.Status maps each to an HTTP status.
const (
	// CodeInvalid: the request violates its schema or a rule; Error.Fields lists the fields.
	CodeInvalid Code = "invalid"
	// CodeUnauthenticated: credentials are missing, invalid or expired.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeForbidden: the caller is authenticated but not authorized.
	CodeForbidden Code = "forbidden"
	// CodeConsentRequired: the user's consent for Error.Scope is missing, expired or revoked.
	CodeConsentRequired Code = "consent_required"
	// CodeNotFound: the resource does not exist or is not visible to the caller.
	CodeNotFound Code = "not_found"
	// CodeMethodNotAllowed: the path exists, but not with this method (gateway only).
	CodeMethodNotAllowed Code = "method_not_allowed"
	// CodeNotAcceptable: the endpoint cannot answer with an accepted content type (gateway only).
	CodeNotAcceptable Code = "not_acceptable"
	// CodeConflict: the state of the resource does not allow the request.
	CodeConflict Code = "conflict"
	// CodePreconditionFailed: the resource's version is not one that the request's precondition names.
	CodePreconditionFailed Code = "precondition_failed"
	// CodeNeedsReauth: the provider no longer accepts the connection's credentials.
	CodeNeedsReauth Code = "needs_reauth"
	// CodeTooLarge: the message exceeds the payload limit.
	CodeTooLarge Code = "too_large"
	// CodeUnsupportedMediaType: the endpoint does not accept the body's content type (gateway only).
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	// CodeUnsupported: the request is valid but needs a feature that this version does not implement.
	CodeUnsupported Code = "unsupported"
	// CodeIdempotencyMismatch: the idempotency key was used before with another request.
	CodeIdempotencyMismatch Code = "idempotency_mismatch"
	// CodeRateLimited: a rate limit is exceeded; Error.RetryAfter says when to retry.
	CodeRateLimited Code = "rate_limited"
	// CodeInternal: an internal error. The log has its details under the trace id.
	CodeInternal Code = "internal"
	// CodeProvider: the provider returned an error.
	CodeProvider Code = "provider_error"
	// CodeUnavailable: a component cannot be reached or is overloaded; Error.RetryAfter says when to retry.
	CodeUnavailable Code = "unavailable"
	// CodeTimeout: the deadline expired before the answer arrived.
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
	CodePreconditionFailed:   {http.StatusPreconditionFailed, "Changed in the meantime"},
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

// Codes returns all codes.
func Codes() []Code {
	return []Code{
		CodeInvalid, CodeUnauthenticated, CodeForbidden, CodeConsentRequired, CodeNotFound,
		CodeMethodNotAllowed, CodeNotAcceptable, CodeConflict, CodePreconditionFailed, CodeNeedsReauth, CodeTooLarge,
		CodeUnsupportedMediaType, CodeUnsupported, CodeIdempotencyMismatch, CodeRateLimited,
		CodeInternal, CodeProvider, CodeUnavailable, CodeTimeout,
	}
}

// Status returns the HTTP status of the code; 500 for an unknown code.
func (c Code) Status() int {
	if info, ok := codes[c]; ok {
		return info.status
	}
	return http.StatusInternalServerError
}

// Title returns a short text for people that is the same for every occurrence (RFC 9457 §3.1.3).
func (c Code) Title() string { return codes[c].title }

// Type returns the problem type URI of the code (RFC 9457 §3.1.1).
func (c Code) Type() string { return "urn:weft:error:" + string(c) }
