package manifest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/itchyny/gojq"

	"github.com/weftmesh/weft/actors/egress"
)

// Class is what kind of failure a call met. The set is closed.
type Class string

// The classes.
const (
	ClassAuth        Class = "auth"
	ClassLimited     Class = "limited"
	ClassInvalid     Class = "invalid"
	ClassNotFound    Class = "not_found"
	ClassConflict    Class = "conflict"
	ClassUnavailable Class = "unavailable"
	ClassUnknown     Class = "unknown"
)

// CallError is a call that the provider answered with an error, or did not answer.
type CallError struct {
	Class Class
	// Status is the answer's; 0 where there was none.
	Status int
	// Code is the provider's own word for the error, "" where it has none, or egress's kind.
	Code string
	// Message is the provider's, on one line, at most 500 characters, without the connection's credentials.
	Message string
	// RetryAfter is what the provider asked for; 0 is nothing.
	RetryAfter time.Duration
	// Expired says that the credentials themselves were refused: refresh them, or ask the user again.
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

// Unanswered is the CallError of what egress returned.
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

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// Object is what the body was kept as, for the output's expressions; nil where it was not. Body is then empty.
	Object map[string]any
	// At is when it came; `now` of the expressions, and what a Retry-After date is measured from.
	At time.Time
}

// Interpret says what an answer means: the action's output, or why there is none. The output holds none of
// the connection's credentials of eight characters or more, even where the provider sent them back.
//
// Without a success expression an answer is good when its status is 2xx; with one, the expression alone
// decides. Of the error rules the action's come first, then the provider's, then the status alone. A good
// answer that the output's expressions cannot take is ClassUnknown with code "output": the call was made.
func (a *Action) Interpret(conn Connection, input map[string]any, answer Answer) (output any, failed *CallError) {
	hidden := a.provider.secretsOf(conn)
	s, end := a.answerScope(hidden, input, answer)
	defer end()
	good, err := a.succeeded(s, answer.Status)
	if err == nil && !good {
		return nil, a.failure(s, hidden, answer)
	}
	if err == nil {
		output, err = a.outputOf(s)
	}
	if err != nil {
		return nil, &CallError{Class: ClassUnknown, Status: answer.Status, Code: "output", Message: hidden.forPeople(err.Error())}
	}
	return output, nil
}

// Delivers tells, from status and header alone, whether an answer whose body is still to come is good: one to be kept.
func (a *Action) Delivers(conn Connection, input map[string]any, answer Answer) bool {
	s, end := a.answerScope(a.provider.secretsOf(conn), input, answer)
	defer end()
	good, err := a.succeeded(s, answer.Status)
	return err == nil && good
}

// NextPage is the input for the page after the one that answered, or false at the end.
func (a *Action) NextPage(conn Connection, input map[string]any, answer Answer) (next map[string]any, more bool, err error) {
	if a.next == nil {
		return nil, false, nil
	}
	s, end := a.answerScope(a.provider.secretsOf(conn), input, answer)
	defer end()
	value, present, err := a.next.eval(s)
	if err != nil || !present {
		return nil, false, err
	}
	changes, ok := value.(map[string]any)
	if !ok {
		return nil, false, fmt.Errorf("reading next page of %s: not an object", a.ID)
	}
	next = make(map[string]any, len(input)+len(changes))
	for _, fields := range []map[string]any{input, changes} {
		for name, field := range fields {
			next[name] = field
		}
	}
	return next, true, nil
}

// Items is the list within an output that has pages; nil where the manifest does not say.
func (a *Action) Items(output any) []any {
	if a.items == nil {
		return nil
	}
	s, end := newScope(map[string]any{"output": output}, maxResponseValue)
	defer end()
	value, _, _ := a.items.eval(s)
	items, _ := value.([]any)
	return items
}

func (a *Action) answerScope(hidden secrets, input map[string]any, answer Answer) (*scope, func()) {
	replacer := hidden.replacer(minInOutput)
	headers := make(map[string]any, len(answer.Header))
	for name, values := range answer.Header {
		headers[strings.ToLower(name)] = replacer.Replace(strings.Join(values, ", "))
	}
	plain, err := normal(orEmpty(input))
	if err != nil {
		plain = map[string]any{}
	}
	var object any
	if answer.Object != nil {
		object = answer.Object
	}
	s, end := newScope(map[string]any{
		"object": object, "status": answer.Status, "headers": headers, "body": clean(a.decode(answer), replacer), "input": plain,
		"now": float64(answer.At.UnixMilli()) / 1000,
	}, maxResponseValue)
	return s, end
}

// decode is an answer's body as the action's expressions see it.
func (a *Action) decode(answer Answer) any {
	if a.xml {
		if value, err := decodeXML(answer.Body); err == nil {
			return value
		}
	}
	return decodeBody(answer)
}

// decodeBody is an answer's body: a JSON value, a text, or base64 of what is neither; nil when it is empty.
func decodeBody(answer Answer) any {
	trimmed := bytes.TrimSpace(answer.Body)
	if len(trimmed) == 0 {
		return nil
	}
	if strings.Contains(answer.Header.Get("Content-Type"), "json") || trimmed[0] == '{' || trimmed[0] == '[' {
		if value, err := decodeJSON(trimmed); err == nil {
			return value
		}
	}
	if utf8.Valid(answer.Body) {
		return string(answer.Body)
	}
	return base64.StdEncoding.EncodeToString(answer.Body)
}

func (a *Action) succeeded(s *scope, status int) (bool, error) {
	for _, rule := range []*tree{a.success, a.provider.success} {
		if rule != nil {
			return rule.holds(s)
		}
	}
	if a.body != nil && a.body.graphql != nil && failedGraphQL(s.root["body"]) {
		return false, nil
	}
	return status >= 200 && status <= 299, nil
}

// failedGraphQL reports whether a GraphQL answer tells errors, which come with status 200.
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

// errorRules are a compiled ErrorsSpec.
type errorRules struct {
	code, message, retryAfter *tree
	rules                     []errorRule
}

type errorRule struct {
	class   Class
	status  []int
	when    *tree
	expired bool
}

func (r errorRule) matches(s *scope, status int) bool {
	if len(r.status) > 0 && !slices.Contains(r.status, status) {
		return false
	}
	if r.when == nil {
		return true
	}
	held, err := r.when.holds(s)
	return err == nil && held
}

func (a *Action) failure(s *scope, hidden secrets, answer Answer) *CallError {
	failed := &CallError{Status: answer.Status, RetryAfter: egress.RetryAfter(answer.Header, answer.At)}
	failed.Class, failed.Expired = classOf(answer.Status)
	for _, rule := range append(slices.Clone(a.errors.rules), a.provider.errors.rules...) {
		if rule.matches(s, answer.Status) {
			failed.Class, failed.Expired = rule.class, rule.expired
			break
		}
	}
	failed.Code = hidden.forPeople(firstText(s, a.errors.code, a.provider.errors.code))
	failed.Message = firstText(s, a.errors.message, a.provider.errors.message)
	if failed.Message == "" {
		failed.Message = usualMessage(s.root["body"])
	}
	failed.Message = hidden.forPeople(failed.Message)
	if failed.RetryAfter == 0 {
		failed.RetryAfter = seconds(firstText(s, a.errors.retryAfter, a.provider.errors.retryAfter))
	}
	return failed
}

// firstText is the first expression's value that is a text and not empty.
func firstText(s *scope, trees ...*tree) string {
	for _, t := range trees {
		if text, err := t.evalString(s); err == nil && text != "" {
			return text
		}
	}
	return ""
}

func seconds(text string) time.Duration {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 || n > 1e7 {
		return 0
	}
	return time.Duration(n * float64(time.Second))
}

var usualMessages = func() *gojq.Code {
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

// usualMessage is where most APIs put their words.
func usualMessage(body any) string {
	value, _ := usualMessages.Run(body).Next()
	text, _ := value.(string)
	return text
}

// classOf is the class that a status alone suggests, and whether it means that the credentials are refused.
func classOf(status int) (class Class, expired bool) {
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
	case 400, 402, 405, 406, 411, 413, 414, 415, 416, 422, 428, 431, 451, 501:
		return ClassInvalid, false
	case 408, 425, 500, 502, 503, 504:
		return ClassUnavailable, false
	}
	return ClassUnknown, false
}
