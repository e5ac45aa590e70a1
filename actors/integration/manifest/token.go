package manifest

import (
	"errors"
	"fmt"
	"net/http"
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

// TokenError is a token request that failed. It contains nothing of the response but its status and an error code that is known,
// because a response may contain a token whatever its status and its form.
type TokenError struct {
	// Status is the HTTP status of the response; 0 if there was none.
	Status int
	// Code is the provider's error code if it is one of OAuth's or of the manifest's, such as invalid_grant; otherwise "".
	Code string
	// Reason says in weft's words what else is wrong; it may be "".
	Reason string
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
	for _, part := range []string{e.Code, e.Reason} {
		if part != "" {
			text += ": " + part
		}
	}
	return text
}

// The reasons of a TokenError with a response.
const (
	reasonUnreadable = "the answer is neither JSON nor a form"
	reasonNoToken    = "the answer has no access token"
	reasonCapture    = "the answer lacks a setting that the manifest captures, or has an invalid one"
)

// tokenFields is a compiled TokenAnswerSpec.
type tokenFields struct{ access, refresh, expires, scope, err *tree }

func (c *compiler) tokenFields(spec TokenAnswerSpec, pointer string) tokenFields {
	return tokenFields{
		access: c.optional(spec.AccessToken, pointerTo(pointer, "access_token")), refresh: c.optional(spec.RefreshToken, pointerTo(pointer, "refresh_token")),
		expires: c.optional(spec.ExpiresIn, pointerTo(pointer, "expires_in")), scope: c.optional(spec.Scope, pointerTo(pointer, "scope")),
		err: c.optional(spec.Error, pointerTo(pointer, "error")),
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

// Tokens reads a token response by what it is; see egress.TokenAnswer. The error is a *TokenError; a response without an access
// token is an error whatever its status.
func (m *AuthMethod) Tokens(answer Answer) (Tokens, error) {
	fields, readable := egress.TokenAnswer(answer.Body)
	headers := make(map[string]any, len(answer.Header))
	for name, values := range answer.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	root := map[string]any{"body": nil, "headers": headers, "credentials": nil}
	if readable {
		root["body"] = fields
	}
	// credentials is set so that errors of expressions, which may quote a token, are replaced; see expression.eval.
	s := newScope(root, maxResponseValue)
	f := m.oauth.fields
	access := f.access.text(s, "access_token")
	if access == "" || answer.Status < 200 || answer.Status > 299 {
		return Tokens{}, m.tokenError(s, answer, readable)
	}
	t := Tokens{Access: access, Refresh: f.refresh.text(s, "refresh_token"), Scope: f.scope.text(s, "scope")}
	if in := egress.TokenLifetime(f.expires.text(s, "expires_in")); in > 0 {
		t.ExpiresAt = answer.At.Add(in)
	} else if m.oauth.lifetime > 0 {
		t.ExpiresAt = answer.At.Add(m.oauth.lifetime)
	}
	var err error
	t.Settings, err = m.captureSettings(s, t)
	if err != nil {
		return Tokens{}, &TokenError{Status: answer.Status, Reason: reasonCapture}
	}
	return t, nil
}

var errCapture = errors.New("invalid captured settings")

// captureSettings evaluates the settings that the manifest captures. Settings are shown and not sealed, so that each must be valid by
// the provider's schema and must not contain a token.
func (m *AuthMethod) captureSettings(s *scope, t Tokens) (map[string]any, error) {
	captured, present, err := m.oauth.capture.eval(s)
	if err != nil || !present {
		return nil, err
	}
	settings, ok := captured.(map[string]any)
	if !ok {
		return nil, errCapture
	}
	plain, err := normalize(settings)
	if err != nil {
		return nil, errCapture
	}
	var failed *InputError
	if errors.As(m.provider.settings.validate(plain, ""), &failed) {
		for _, field := range failed.Fields {
			// A setting that is required and not captured is the user's to give.
			if name, _, _ := strings.Cut(strings.TrimPrefix(field.Pointer, "/"), "/"); settings[name] != nil {
				return nil, errCapture
			}
		}
	}
	for _, value := range gather(settings, nil) {
		if strings.Contains(value, t.Access) || t.Refresh != "" && strings.Contains(value, t.Refresh) {
			return nil, errCapture
		}
	}
	return settings, nil
}

// tokenError returns the *TokenError of an error response (RFC 6749 §5.2).
//
// Only a code that says so makes it Final: invalid_grant, one that the manifest documents as such, or, where the connection's own
// credentials are the grant (RFC 6749 §4.4), invalid_client. Every other response may come from something between weft and the
// provider, or pass: a page of a proxy or a bot filter, a limit, an error of the client's registration that the operator can correct.
func (m *AuthMethod) tokenError(s *scope, answer Answer, readable bool) error {
	e := &TokenError{Status: answer.Status, RetryAfter: egress.RetryAfter(answer.Header, answer.At)}
	e.Code = egress.TokenErrorCode(m.oauth.fields.err.text(s, "error"), m.oauth.invalidGrant...)
	switch {
	case !readable:
		e.Reason = reasonUnreadable
	case answer.Status >= 200 && answer.Status <= 299 && e.Code == "":
		e.Reason = reasonNoToken
	}
	final := e.Code == "invalid_grant" || slices.Contains(m.oauth.invalidGrant, e.Code) || m.Fetches() && e.Code == "invalid_client"
	e.Final = final && answer.Status != http.StatusTooManyRequests && answer.Status < 500 && (answer.Status < 300 || answer.Status >= 400)
	return e
}
