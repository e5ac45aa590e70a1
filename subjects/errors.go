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

// RetrySoon is the RetryAfter of errors whose cause usually passes within a second, such as a lost connection.
const RetrySoon = time.Second

// Error is what an endpoint answers instead of its reply. Detail is text for the caller; it must contain neither secrets nor
// raw messages of other systems.
type Error struct {
	Code Code
	// Reason identifies the cause within Code; empty if callers need not distinguish causes.
	Reason Reason
	Detail string
	// Fields lists the invalid fields, for CodeInvalid.
	Fields []FieldError
	// RetryAfter is when a retry makes sense; 0 if unknown. It travels in whole seconds, rounded up.
	RetryAfter time.Duration
	// Scope is the missing scope of a consent or an API key.
	Scope string
	// Cause is logged, but never sent.
	Cause error
}

// FieldError is one error in one field of a request.
type FieldError struct {
	Field   string `json:"field" doc:"The field's path, such as channels[0]; empty for the whole body."`
	Message string `json:"message"`
	Line    int    `json:"line,omitempty" doc:"Line in a document, from 1."`
	Column  int    `json:"column,omitempty" doc:"Column in a document, from 1."`
	Pointer string `json:"pointer,omitempty" doc:"JSON pointer into a document (RFC 6901)."`
	Code    string `json:"code,omitempty" doc:"Kind of the error, if the endpoint classifies them."`
}

// Errorf returns an Error with a formatted detail.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// InvalidField returns a CodeInvalid error for one field.
func InvalidField(field, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return &Error{Code: CodeInvalid, Detail: field + ": " + message, Fields: []FieldError{{Field: field, Message: message}}}
}

// Error returns code, reason, detail and cause, for logs.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	if e.Reason != "" {
		b.WriteString(" (" + string(e.Reason) + ")")
	}
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

// Is reports whether target is an *Error with the same code and, if target has a reason, the same reason. So an error with a
// reason matches itself after it has travelled to another process, and a target without a reason matches every error of its
// code, as does comparing CodeOf.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Reason == "" || t.Reason == e.Reason)
}

// CodeOf returns the code of the first *Error in err's chain: empty for nil, CodeInternal if there is none.
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

// Transient reports whether the same request may succeed later without a change by the caller: the code is CodeUnavailable,
// CodeTimeout, CodeRateLimited or CodeInternal. CodeInternal counts because it stands for unclassified errors, such as those
// of a database; retries must therefore be bounded. Transient says nothing about whether a retry is safe: after CodeTimeout,
// CodeInternal and some CodeUnavailable the request may have taken effect. It is false for nil.
func Transient(err error) bool {
	switch CodeOf(err) {
	case CodeUnavailable, CodeTimeout, CodeRateLimited, CodeInternal:
		return true
	}
	return false
}

// Problem is the body of an error over NATS and HTTP: problem details (RFC 9457).
type Problem struct {
	Type       string       `json:"type" example:"urn:weft:error:not_found"`
	Title      string       `json:"title"`
	Status     int          `json:"status" example:"404"`
	Detail     string       `json:"detail,omitempty"`
	Code       Code         `json:"code" example:"not_found"`
	Reason     Reason       `json:"reason,omitempty" example:"already_exists" doc:"Stable identifier of the cause within the code, where callers may need to distinguish causes. New ones can be added."`
	Fields     []FieldError `json:"errors,omitempty" doc:"The invalid fields."`
	Scope      string       `json:"scope,omitempty" doc:"The missing scope of the consent or API key."`
	RetryAfter int          `json:"retry_after,omitempty" doc:"Seconds until a retry makes sense."`
	RequestID  string       `json:"request_id,omitempty"`
	TraceID    string       `json:"trace_id,omitempty"`
}

// ProblemOf converts err to a Problem. An error without an *Error in its chain becomes CodeInternal and discloses nothing.
func ProblemOf(err error, requestID, traceID string) Problem {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Code: CodeInternal, Detail: "An internal error occurred. The log has it under the trace id."}
	}
	return Problem{
		Type: e.Code.Type(), Title: e.Code.Title(), Status: e.Code.Status(), Code: e.Code, Reason: e.Reason,
		Detail: e.Detail, Fields: e.Fields, Scope: e.Scope, RequestID: requestID, TraceID: traceID,
		RetryAfter: int(math.Ceil(e.RetryAfter.Seconds())),
	}
}

// AsError converts a received Problem back to an *Error.
func (p Problem) AsError() *Error {
	return &Error{
		Code: p.Code, Reason: p.Reason, Detail: p.Detail, Fields: p.Fields, Scope: p.Scope,
		RetryAfter: time.Duration(p.RetryAfter) * time.Second,
	}
}

// ParseProblem decodes a received Problem. Malformed data and unknown codes become CodeInternal.
func ParseProblem(data []byte) *Error {
	var p Problem
	if err := json.Unmarshal(data, &p); err != nil || codes[p.Code].status == 0 {
		return &Error{Code: CodeInternal, Cause: fmt.Errorf("not a problem document: %.200q", data)}
	}
	return p.AsError()
}

// FieldUnknownOutcome is the code of the field error for a call that must not run twice and may have run already.
const FieldUnknownOutcome = "unknown_outcome"

// HasFieldCode reports whether err has a field error with the code.
func HasFieldCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && slices.ContainsFunc(e.Fields, func(f FieldError) bool { return f.Code == code })
}
