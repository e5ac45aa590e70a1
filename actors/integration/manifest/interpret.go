package manifest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/itchyny/gojq"

	"github.com/weftmesh/weft/actors/egress"
)

// Class is the class of a failed call. The set is closed.
type Class string

// The classes of failed calls.
const (
	ClassAuth        Class = "auth"
	ClassLimited     Class = "limited"
	ClassInvalid     Class = "invalid"
	ClassNotFound    Class = "not_found"
	ClassConflict    Class = "conflict"
	ClassUnavailable Class = "unavailable"
	ClassUnknown     Class = "unknown"
)

// CallError is the error of a call that the provider answered with an error, or did not answer.
type CallError struct {
	Class Class
	// Status is the HTTP status of the response; 0 if there was none.
	Status int
	// Code is the provider's error code ("" if it has none). Without a response it is the egress.Kind, or breaker_open.
	Code string
	// Message is the provider's error message on one line, of at most 500 characters, without the connection's credentials.
	Message string
	// RetryAfter is the delay that the provider asked for; 0 if it did not.
	RetryAfter time.Duration
	// Expired means that the provider rejected the credentials: they must be refreshed, or the user must sign in again.
	Expired bool
}

func (e *CallError) Error() string {
	text := string(e.Class)
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

// Unanswered returns the CallError for an error of egress.Client.Do.
func Unanswered(err error) *CallError {
	failed := &CallError{Class: ClassUnknown, Message: "the call failed"}
	if errors.Is(err, egress.ErrOpen) {
		return &CallError{Class: ClassUnavailable, Code: "breaker_open", Message: err.Error()}
	}
	var e *egress.Error
	if !errors.As(err, &e) {
		return failed
	}
	failed.Code, failed.Message = string(e.Kind), strings.TrimPrefix(e.Error(), "egress: ")
	switch e.Kind {
	case egress.KindConnect, egress.KindTimeout, egress.KindTransport, egress.KindDeadline:
		failed.Class = ClassUnavailable
	case egress.KindBlocked, egress.KindHost, egress.KindScheme, egress.KindInvalid:
		failed.Class = ClassInvalid
	}
	return failed
}

// Answer is the HTTP response of a provider.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// Object describes the object in which the body was stored, for the output's expressions. Body is empty then. It is nil
	// if the body was not stored.
	Object map[string]any
	// At is the time of the response: the value of now in expressions, and the base of a Retry-After date.
	At time.Time
}

// Interpret returns the action's output for a response, or the error that the response means. Credentials of eight
// characters or more are redacted from the output, in case the provider echoes them.
//
// The success expression decides whether a response is a success; without one, a 2xx status is. The class of an error is
// that of the first rule that matches, of the action's and then the provider's, or follows from the status. A success for
// which the output cannot be evaluated is a ClassUnknown with the code "output", since the call took effect.
func (a *Action) Interpret(conn Connection, input map[string]any, answer Answer) (output any, failed *CallError) {
	hidden := a.provider.secretsOf(conn)
	s := a.answerScope(hidden, input, answer)
	good, err := a.succeeded(s, answer.Status)
	if err == nil && !good {
		return nil, a.failure(s, hidden, answer)
	}
	if err == nil {
		err = s.unreadable
	}
	if err == nil {
		output, err = a.outputOf(s)
	}
	if err == nil {
		output, err = a.paged(s, output)
	}
	if err != nil {
		return nil, &CallError{Class: ClassUnknown, Status: answer.Status, Code: "output", Message: hidden.display(err.Error())}
	}
	return output, nil
}

// Delivers reports, from status and header alone, whether a response whose body has not been read is a success, so that its
// body is to be stored as an object.
func (a *Action) Delivers(conn Connection, input map[string]any, answer Answer) bool {
	s := a.answerScope(a.provider.secretsOf(conn), input, answer)
	good, err := a.succeeded(s, answer.Status)
	return err == nil && good
}

// answerScope returns the scope of a response's expressions, with the secrets redacted.
func (a *Action) answerScope(hidden secrets, input map[string]any, answer Answer) *scope {
	replacer := hidden.replacer(minInOutput)
	headers := make(map[string]any, len(answer.Header))
	for name, values := range answer.Header {
		headers[strings.ToLower(name)] = replacer.Replace(strings.Join(values, ", "))
	}
	plain, err := normalize(orEmpty(input))
	if err != nil {
		plain = map[string]any{}
	}
	var object any
	if answer.Object != nil {
		object = answer.Object
	}
	body := a.decode(answer)
	s := newScope(map[string]any{
		"object": object, "status": answer.Status, "headers": headers, "body": redactValue(body.value, replacer), "base64": body.base64,
		"input": plain, "now": float64(answer.At.UnixMilli()) / 1000,
	}, maxResponseValue)
	s.unreadable = body.err
	return s
}

// succeeded reports whether a response is a success, by the action's expression, the provider's, or the status.
func (a *Action) succeeded(s *scope, status int) (bool, error) {
	for _, rule := range []*tree{a.success, a.provider.success} {
		if rule != nil {
			return rule.isTrue(s)
		}
	}
	if a.body != nil && a.body.graphql != nil && failedGraphQL(s.root["body"]) {
		return false, nil
	}
	return status >= 200 && status <= 299, nil
}

// failedGraphQL reports whether a GraphQL response has errors, which GraphQL servers return with status 200.
func failedGraphQL(body any) bool {
	object, _ := body.(map[string]any)
	errors, _ := object["errors"].([]any)
	return len(errors) > 0
}

func (a *Action) outputOf(s *scope) (any, error) {
	if a.output == nil {
		return s.root["body"], nil
	}
	value, _, err := a.output.eval(s)
	return value, err
}

// errorRules is a compiled ErrorsSpec.
type errorRules struct {
	code, message, retryAfter *tree
	rules                     []errorRule
}

// errorRule is a compiled RuleSpec.
type errorRule struct {
	class   Class
	status  []int
	when    *tree
	expired bool
}

// matches reports whether the rule matches. An expression that fails does not match.
func (r errorRule) matches(s *scope, status int) bool {
	if len(r.status) > 0 && !slices.Contains(r.status, status) {
		return false
	}
	if r.when == nil {
		return true
	}
	isTrue, err := r.when.isTrue(s)
	return err == nil && isTrue
}

func (a *Action) failure(s *scope, hidden secrets, answer Answer) *CallError {
	failed := &CallError{Status: answer.Status, RetryAfter: egress.RetryAfter(answer.Header, answer.At)}
	failed.Class, failed.Expired = classOfStatus(answer.Status)
	for _, rule := range append(slices.Clone(a.errors.rules), a.provider.errors.rules...) {
		if rule.matches(s, answer.Status) {
			failed.Class, failed.Expired = rule.class, rule.expired
			break
		}
	}
	failed.Code = hidden.display(firstText(s, a.errors.code, a.provider.errors.code))
	failed.Message = firstText(s, a.errors.message, a.provider.errors.message)
	if failed.Message == "" {
		failed.Message = commonMessage(s.root["body"])
	}
	failed.Message = hidden.display(failed.Message)
	if err := s.budget.Err(); err != nil { // the rules that have been tried are not all
		failed.Code, failed.Message = "budget", fmt.Sprintf("%v: %v", ErrBudget, err)
		return failed
	}
	if failed.RetryAfter == 0 {
		failed.RetryAfter = egress.Delay(firstText(s, a.errors.retryAfter, a.provider.errors.retryAfter), answer.At)
	}
	return failed
}

// firstText returns the first value that is a non-empty scalar, as text.
func firstText(s *scope, trees ...*tree) string {
	for _, t := range trees {
		if text, err := t.evalString(s); err == nil && text != "" {
			return text
		}
	}
	return ""
}

// commonMessages yields the error message of a body from the fields in which most APIs have one.
var commonMessages = func() *gojq.Code {
	query, err := gojq.Parse(`[(., (objects | .message, (.error | objects | .message), .error_description, .detail, .title, .error,
		(.errors | arrays | .[0] | objects | .message))) | strings] | .[0]`)
	if err != nil {
		panic(err)
	}
	code, err := gojq.Compile(query)
	if err != nil {
		panic(err)
	}
	return code
}()

func commonMessage(body any) string {
	value, _ := commonMessages.Run(body).Next()
	text, _ := value.(string)
	return text
}

// classOfStatus returns the default class of a status, and whether it means that the credentials were rejected. A status that is not
// known is treated as x00 of its class (RFC 9110 §15).
func classOfStatus(status int) (class Class, expired bool) {
	switch status {
	case 401:
		return ClassAuth, true
	case 403, 407:
		return ClassAuth, false
	case 404, 410:
		return ClassNotFound, false
	case 409, 412, 423:
		return ClassConflict, false
	case 429:
		return ClassLimited, false
	case 501:
		return ClassInvalid, false
	case 408, 425:
		return ClassUnavailable, false
	}
	switch {
	case egress.ServerFailed(status):
		return ClassUnavailable, false
	case status >= 400 && status <= 499:
		return ClassInvalid, false
	}
	return ClassUnknown, false
}
