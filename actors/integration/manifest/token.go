package manifest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

// Tokens are the tokens of a token response. Access and Refresh are secret.
type Tokens struct {
	Access, Refresh, Scope string
	// ExpiresAt is when the access token expires; zero if it does not.
	ExpiresAt time.Time
	// Settings are settings of the connection that the manifest captures from the response.
	Settings map[string]any
}

// String masks the tokens.
func (Tokens) String() string { return "***" }

// GoString masks the tokens in %#v.
func (Tokens) GoString() string { return "***" }

// TokenError is an error response to a token request.
type TokenError struct {
	// Status is the HTTP status of the response; 0 if there was none.
	Status int
	// Code is the provider's error code, such as invalid_grant. Message is its error message. Neither contains a secret.
	Code, Message string
	// Final means that the grant is invalid: a retry cannot succeed, and the user must sign in again.
	Final bool
	// RetryAfter is the delay that the provider asked for; 0 if it did not.
	RetryAfter time.Duration
}

func (e *TokenError) Error() string {
	text := "the token request failed"
	if e.Status > 0 {
		text += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	for _, part := range []string{e.Code, e.Message} {
		if part != "" {
			text += ": " + part
		}
	}
	return text
}

// notFinal are OAuth error codes that do not mean that the grant is invalid: transient errors of the server, and errors of
// the client's registration, which the operator can correct.
var notFinal = []string{
	"temporarily_unavailable", "server_error", "slow_down", "rate_limited", "ratelimited", "internal_error", "fatal_error",
	"invalid_client", "unauthorized_client",
}

// tokenFields is a compiled TokenAnswerSpec.
type tokenFields struct{ access, refresh, expires, scope *tree }

func (c *compiler) tokenFields(spec TokenAnswerSpec, pointer string) tokenFields {
	return tokenFields{
		access: c.optional(spec.AccessToken, pointerTo(pointer, "access_token")), refresh: c.optional(spec.RefreshToken, pointerTo(pointer, "refresh_token")),
		expires: c.optional(spec.ExpiresIn, pointerTo(pointer, "expires_in")), scope: c.optional(spec.Scope, pointerTo(pointer, "scope")),
	}
}

// text returns a field of a token response: the value of the expression, or the field of that name if there is none.
func (t *tree) text(s *scope, field string) string {
	if t == nil {
		object, _ := s.root["body"].(map[string]any)
		text, _ := scalarText(object[field])
		return text
	}
	text, _ := t.evalString(s)
	return text
}

// Tokens reads a token response. hidden are the secrets of the request, which errors must not contain. The error is a
// *TokenError; a response without an access token is an error whatever its status.
func (m *AuthMethod) Tokens(answer Answer, hidden ...string) (Tokens, error) {
	body := decodeBody(answer)
	if text, ok := body.(string); ok && strings.Contains(answer.Header.Get("Content-Type"), "urlencoded") {
		body = formBody(text)
	}
	headers := make(map[string]any, len(answer.Header))
	for name, values := range answer.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	// credentials is set so that errors of expressions, which may quote a token, are replaced; see expression.eval.
	s, end := newScope(map[string]any{"body": body, "headers": headers, "credentials": nil}, maxResponseValue)
	defer end()
	f := m.oauth.fields
	access := f.access.text(s, "access_token")
	if access == "" || answer.Status < 200 || answer.Status > 299 {
		return Tokens{}, tokenError(body, answer, secretTexts(hidden))
	}
	t := Tokens{Access: access, Refresh: f.refresh.text(s, "refresh_token"), Scope: f.scope.text(s, "scope")}
	if in := seconds(f.expires.text(s, "expires_in")); in > 0 {
		t.ExpiresAt = answer.At.Add(in)
	} else if m.oauth.lifetime > 0 {
		t.ExpiresAt = answer.At.Add(m.oauth.lifetime)
	}
	captured, present, err := m.oauth.capture.eval(s)
	if err != nil {
		return Tokens{}, &TokenError{Status: answer.Status, Code: "capture", Message: "the token response lacks a value that the manifest captures"}
	}
	if present {
		t.Settings, _ = captured.(map[string]any)
	}
	return t, nil
}

// formBody decodes a form-encoded response to an object; nil if it is invalid.
func formBody(text string) map[string]any {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil
	}
	object := make(map[string]any, len(values))
	for name := range values {
		object[name] = values.Get(name)
	}
	return object
}

// tokenError returns the *TokenError of an error response (RFC 6749, section 5.2).
func tokenError(body any, answer Answer, hidden secrets) error {
	e := &TokenError{Status: answer.Status, RetryAfter: egress.RetryAfter(answer.Header, answer.At)}
	if object, ok := body.(map[string]any); ok {
		e.Code, _ = object["error"].(string)
		e.Message, _ = object["error_description"].(string)
	}
	if e.Message == "" {
		e.Message = commonMessage(body)
	}
	if e.Message == e.Code {
		e.Message = ""
	}
	e.Code, e.Message = hidden.display(e.Code), hidden.display(e.Message)
	switch {
	case answer.Status == http.StatusTooManyRequests || answer.Status >= 500 || slices.Contains(notFinal, e.Code):
	case answer.Status == http.StatusBadRequest || answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden:
		e.Final = true
	default:
		// Some providers answer errors with 200.
		e.Final = answer.Status < 300 && e.Code != ""
	}
	return e
}
