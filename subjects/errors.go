package subjects

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Error is what an endpoint answers with instead of its reply. Its Detail is for the caller to read: it
// never carries a secret or another system's raw message.
type Error struct {
	Code   Code
	Detail string
	// Fields says which fields are at fault, for CodeInvalid.
	Fields []FieldError
	// RetryAfter tells when another try makes sense; zero says nothing.
	RetryAfter time.Duration
	// Scope is the consent or key scope that is missing.
	Scope string
	// Cause is logged and never sent.
	Cause error
}

// FieldError is one fault of one field.
type FieldError struct {
	Field   string `json:"field" doc:"The field's path, such as channels[0]; empty for the whole body."`
	Message string `json:"message"`
	Line    int    `json:"line,omitempty" doc:"Line in a document, from 1."`
	Column  int    `json:"column,omitempty" doc:"Column in a document, from 1."`
	Pointer string `json:"pointer,omitempty" doc:"JSON pointer into a document (RFC 6901)."`
	Code    string `json:"code,omitempty" doc:"What kind of fault, where the field's owner classifies them."`
}

// Errorf makes an Error with a formatted detail.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// InvalidField makes a CodeInvalid error that names one field.
func InvalidField(field, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return &Error{Code: CodeInvalid, Detail: field + ": " + message, Fields: []FieldError{{Field: field, Message: message}}}
}

// Error implements error with code, detail and cause; it is for logs, not for callers.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is match on the code: errors.Is(err, &Error{Code: CodeNotFound}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// CodeOf returns the code of err: empty for nil, CodeInternal for what is not ours.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// Problem is the body of an error, over NATS and HTTP alike (RFC 9457).
type Problem struct {
	Type       string       `json:"type" example:"urn:weft:error:not_found"`
	Title      string       `json:"title"`
	Status     int          `json:"status" example:"404"`
	Detail     string       `json:"detail,omitempty"`
	Code       Code         `json:"code" example:"not_found"`
	Fields     []FieldError `json:"errors,omitempty" doc:"The fields at fault."`
	Scope      string       `json:"scope,omitempty" doc:"The consent or key scope that is missing."`
	RetryAfter int          `json:"retry_after,omitempty" doc:"Seconds until another try makes sense."`
	RequestID  string       `json:"request_id,omitempty"`
	TraceID    string       `json:"trace_id,omitempty"`
}

// ProblemOf renders err as a Problem. What is not an *Error becomes CodeInternal and tells nothing.
func ProblemOf(err error, requestID, traceID string) Problem {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Code: CodeInternal, Detail: "An internal error occurred. The log has it under the trace id."}
	}
	return Problem{
		Type: e.Code.Type(), Title: e.Code.Title(), Status: e.Code.Status(), Code: e.Code,
		Detail: e.Detail, Fields: e.Fields, Scope: e.Scope, RequestID: requestID, TraceID: traceID,
		RetryAfter: int(math.Ceil(e.RetryAfter.Seconds())),
	}
}

// AsError turns a received Problem back into an *Error.
func (p Problem) AsError() *Error {
	return &Error{
		Code: p.Code, Detail: p.Detail, Fields: p.Fields, Scope: p.Scope,
		RetryAfter: time.Duration(p.RetryAfter) * time.Second,
	}
}

// ParseProblem reads a Problem; a body that is none becomes CodeInternal.
func ParseProblem(data []byte) *Error {
	var p Problem
	if err := json.Unmarshal(data, &p); err != nil || codes[p.Code].status == 0 {
		return &Error{Code: CodeInternal, Cause: fmt.Errorf("not a problem document: %.200q", data)}
	}
	return p.AsError()
}

// FieldUnknownOutcome is the field's code where a call that must not run twice may have run already.
const FieldUnknownOutcome = "unknown_outcome"

// HasFieldCode tells whether an error names a field with a code.
func HasFieldCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && slices.ContainsFunc(e.Fields, func(f FieldError) bool { return f.Code == code })
}
