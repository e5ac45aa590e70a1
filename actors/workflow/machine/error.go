package machine

import (
	"errors"
	"strings"
)

// The specification's error types. SameType also accepts the other base URIs in use.
const (
	ErrorBase          = "https://open-workflow-specification.org/spec/1.0.0/errors/"
	TypeConfiguration  = ErrorBase + "configuration"
	TypeValidation     = ErrorBase + "validation"
	TypeExpression     = ErrorBase + "expression"
	TypeAuthentication = ErrorBase + "authentication"
	TypeAuthorization  = ErrorBase + "authorization"
	TypeTimeout        = ErrorBase + "timeout"
	TypeCommunication  = ErrorBase + "communication"
	TypeRuntime        = ErrorBase + "runtime"
)

// Error is an error of a workflow: RFC 9457 problem details. Instance is the JSON pointer of the faulty task. Outcome is an
// extension member (RFC 9457 §3.2): OutcomeUnknown where a call was interrupted that may have had its effect.
type Error struct {
	Type     string `json:"type"`
	Status   int    `json:"status"`
	Title    string `json:"title,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`
	Outcome  string `json:"outcome,omitempty"`
}

// Error formats the error for a log.
func (e *Error) Error() string { return e.Type + ": " + e.Title + ": " + e.Detail }

// Value is the error as expressions read it.
func (e *Error) Value() map[string]any {
	value := map[string]any{"type": e.Type, "status": e.Status}
	for key, text := range map[string]string{"title": e.Title, "detail": e.Detail, "instance": e.Instance, "outcome": e.Outcome} {
		if text != "" {
			value[key] = text
		}
	}
	return value
}

// NewError returns an error of one of the specification's types with its default status and title. The machine sets the
// instance.
func NewError(kind, detail string) *Error {
	known := map[string]Error{
		TypeConfiguration: {Status: 400, Title: "Configuration Error"}, TypeValidation: {Status: 400, Title: "Validation Error"},
		TypeExpression: {Status: 400, Title: "Expression Error"}, TypeAuthentication: {Status: 401, Title: "Authentication Error"},
		TypeAuthorization: {Status: 403, Title: "Authorization Error"}, TypeTimeout: {Status: 408, Title: "Timeout Error"},
		TypeCommunication: {Status: 500, Title: "Communication Error"}, TypeRuntime: {Status: 500, Title: "Runtime Error"},
	}
	err, ok := known[kind]
	if !ok {
		err = Error{Status: 500, Title: "Error"}
	}
	err.Type, err.Detail = kind, detail
	return &err
}

// asError is an error of the workflow as such; an error of any other type was returned by an expression.
func asError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return NewError(TypeExpression, err.Error())
}

// SameType reports whether two error types are the same. The specification and its conformance test kit (CTK)
// use different base URIs for the standard types; they are compared by what follows the base.
func SameType(a, b string) bool {
	return a == b || standardName(a) != "" && standardName(a) == standardName(b)
}

var typeBases = []string{
	"open-workflow-specification.org/spec/1.0.0/errors/", "open-workflow-specification.org/dsl/errors/types/",
	"open-workflow-specification.org/errors/types/", "serverlessworkflow.io/spec/1.0.0/errors/",
	"serverlessworkflow.io/dsl/errors/types/", "serverlessworkflow.io/errors/types/",
}

func standardName(kind string) string {
	trimmed := strings.TrimPrefix(strings.TrimPrefix(kind, "https://"), "http://")
	for _, base := range typeBases {
		if name, ok := strings.CutPrefix(trimmed, base); ok {
			return name
		}
	}
	return ""
}

// matches reports whether an error matches the errors.with filter of a catch.
func (e *Error) matches(filter map[string]any) bool {
	for key, want := range filter {
		text, _ := want.(string)
		var same bool
		switch key {
		case "type":
			same = SameType(text, e.Type)
		case "status":
			same = want == e.Status
		case "instance":
			same = text == e.Instance
		case "title":
			same = text == e.Title
		case "detail":
			same = text == e.Detail
		}
		if !same {
			return false
		}
	}
	return true
}
