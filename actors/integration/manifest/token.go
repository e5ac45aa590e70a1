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

// Tokens are what a token endpoint gave. They are secrets, but for Scope and Settings.
type Tokens struct {
	Access, Refresh, Scope string
	// ExpiresAt is zero where the access token does not expire.
	ExpiresAt time.Time
	// Settings of the connection that the answer told.
	Settings map[string]any
}

// String masks the tokens.
func (Tokens) String() string { return "***" }

// GoString masks the tokens in %#v.
func (Tokens) GoString() string { return "***" }

// TokenError is a token request that the provider refused.
type TokenError struct {
	// Status is the answer's; 0 where there was none.
	Status int
	// Code is the provider's word for it, such as invalid_grant; Message is for people. Neither holds a secret.
	Code, Message string
	// Final says that the grant is gone for good: asking again does not help, the user must sign in again.
	Final bool
	// RetryAfter is what the provider asked for; 0 is nothing.
	RetryAfter time.Duration
}

func (e *TokenError) Error() string {
	text := "the token request was refused"
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

// passing are OAuth errors that say nothing about the grant: the server's own trouble, or the client's registration,
// which is the operator's.
var passing = []string{
	"temporarily_unavailable", "server_error", "slow_down", "rate_limited", "ratelimited", "internal_error", "fatal_error",
	"invalid_client", "unauthorized_client",
}

// tokenFields are where a token answer has its fields.
type tokenFields struct{ access, refresh, expires, scope *tree }

func (c *compiler) tokenFields(spec TokenAnswerSpec, pointer string) tokenFields {
	return tokenFields{
		access: c.optional(spec.AccessToken, pointerTo(pointer, "access_token")), refresh: c.optional(spec.RefreshToken, pointerTo(pointer, "refresh_token")),
		expires: c.optional(spec.ExpiresIn, pointerTo(pointer, "expires_in")), scope: c.optional(spec.Scope, pointerTo(pointer, "scope")),
	}
}

// text is a field of a token answer: at the place that the manifest names, or at its usual one.
func (t *tree) text(s *scope, usual string) string {
	if t == nil {
		object, _ := s.root["body"].(map[string]any)
		text, _ := scalarText(object[usual])
		return text
	}
	text, _ := t.evalString(s)
	return text
}

// Tokens reads a token endpoint's answer. hidden are the secrets of the request, which no error repeats. A refusal is a
// *TokenError, also where its status is 200.
func (m *AuthMethod) Tokens(answer Answer, hidden ...string) (Tokens, error) {
	body := decodeBody(answer)
	if text, ok := body.(string); ok && strings.Contains(answer.Header.Get("Content-Type"), "urlencoded") {
		body = formBody(text)
	}
	headers := make(map[string]any, len(answer.Header))
	for name, values := range answer.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	// What an expression says of its failure might quote a token.
	s, end := newScope(map[string]any{"body": body, "headers": headers, "credentials": nil}, maxResponseValue)
	defer end()
	f := m.oauth.fields
	access := f.access.text(s, "access_token")
	if access == "" || answer.Status < 200 || answer.Status > 299 {
		return Tokens{}, refusal(body, answer, secretTexts(hidden))
	}
	t := Tokens{Access: access, Refresh: f.refresh.text(s, "refresh_token"), Scope: f.scope.text(s, "scope")}
	if in := seconds(f.expires.text(s, "expires_in")); in > 0 {
		t.ExpiresAt = answer.At.Add(in)
	} else if m.oauth.lifetime > 0 {
		t.ExpiresAt = answer.At.Add(m.oauth.lifetime)
	}
	captured, present, err := m.oauth.capture.eval(s)
	if err != nil {
		return Tokens{}, &TokenError{Status: answer.Status, Code: "capture", Message: "the token answer lacks what the manifest captures of it"}
	}
	if present {
		t.Settings, _ = captured.(map[string]any)
	}
	return t, nil
}

// formBody is an answer in the form encoding as an object.
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

func refusal(body any, answer Answer, hidden secrets) error {
	e := &TokenError{Status: answer.Status, RetryAfter: egress.RetryAfter(answer.Header, answer.At)}
	if object, ok := body.(map[string]any); ok {
		e.Code, _ = object["error"].(string)
		e.Message, _ = object["error_description"].(string)
	}
	if e.Message == "" {
		e.Message = usualMessage(body)
	}
	if e.Message == e.Code {
		e.Message = ""
	}
	e.Code, e.Message = hidden.forPeople(e.Code), hidden.forPeople(e.Message)
	switch {
	case answer.Status == http.StatusTooManyRequests || answer.Status >= 500 || slices.Contains(passing, e.Code):
	case answer.Status == http.StatusBadRequest || answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden:
		e.Final = true
	default:
		// Some refuse with 200.
		e.Final = answer.Status < 300 && e.Code != ""
	}
	return e
}
