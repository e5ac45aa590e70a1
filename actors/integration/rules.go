package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-openapi/jsonpointer"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

// The states of a call in the log, and the class of a call that weft refused itself.
const (
	callOK       = "ok"
	callFailed   = "error"
	classRefused = "refused"
)

// defaultLabel is the label of a connection that is created without one.
const defaultLabel = "default"

// decodeObject decodes a JSON object; empty data is an empty object. Numbers keep their digits, as json.Number.
func decodeObject(data []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return map[string]any{}, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, fmt.Errorf("decoding an object: %w", err)
	}
	if object == nil {
		return nil, errors.New("decoding an object: it is null")
	}
	return object, nil
}

// invalidFields converts schema violations to an error that names the fields below base. Its messages contain no values.
func invalidFields(base string, err error) error {
	var failed *manifest.InputError
	if !errors.As(err, &failed) || len(failed.Fields) == 0 {
		return err
	}
	e := &subjects.Error{Code: subjects.CodeInvalid}
	for _, field := range failed.Fields {
		e.Fields = append(e.Fields, subjects.FieldError{Field: fieldPath(base, field.Pointer), Message: field.Message})
	}
	e.Detail = e.Fields[0].Field + ": " + e.Fields[0].Message
	return e
}

// fieldPath converts a JSON pointer to a field name as errors use it: input.blocks[0].text.
func fieldPath(base, pointer string) string {
	path := base
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if token == "" {
			continue
		}
		if _, err := strconv.Atoi(token); err == nil && path != "" {
			path += "[" + token + "]"
			continue
		}
		path = strings.TrimPrefix(path+"."+jsonpointer.Unescape(token), ".")
	}
	return path
}

var uuidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func isID(text string) bool { return uuidPattern.MatchString(text) }

// chooseConnection returns the connection that the reference `<provider>` means: the only active one, or the one labelled
// default. If no connection is active it chooses among all.
func chooseConnection(provider string, rows []connectionRow) (connectionRow, error) {
	candidates := slices.DeleteFunc(slices.Clone(rows), func(c connectionRow) bool { return c.Status != subjects.ConnectionActive })
	if len(candidates) == 0 {
		candidates = rows
	}
	switch len(candidates) {
	case 0:
		return connectionRow{}, subjects.Errorf(subjects.CodeNotFound, "there is no connection to %s", provider)
	case 1:
		return candidates[0], nil
	}
	labels := make([]string, len(candidates))
	for i, c := range candidates {
		if c.Label == defaultLabel {
			return c, nil
		}
		labels[i] = strconv.Quote(c.Label)
	}
	return connectionRow{}, subjects.Errorf(subjects.CodeConflict,
		"there are several connections to %s: name one as %s:<label> with one of %s", provider, provider, strings.Join(labels, ", "))
}

// checkUsable returns an error unless a connection is active.
func checkUsable(c connectionRow) error {
	switch c.Status {
	case subjects.ConnectionDisabled:
		return subjects.Errorf(subjects.CodeConflict, "the connection %q to %s is disabled", c.Label, c.Provider)
	case subjects.ConnectionNeedsReauth:
		return subjects.Errorf(subjects.CodeNeedsReauth, "%s no longer accepts the credentials of the connection %q: %s", c.Provider, c.Label, c.Reason)
	}
	return nil
}

// labelConflict is the error for a second connection of a user to a provider with the same label.
func labelConflict(c *connectionRow) error {
	return &subjects.Error{
		Code: subjects.CodeConflict, Detail: fmt.Sprintf("there is a connection to %s labelled %q", c.Provider, c.Label),
		Fields: []subjects.FieldError{{Field: "label", Message: "is taken"}},
	}
}

// requestIDHeaders are the response headers in which providers identify a request, the most specific first.
var requestIDHeaders = []string{"X-Request-Id", "X-Github-Request-Id", "X-Slack-Req-Id", "Request-Id", "X-Amzn-Requestid", "X-Correlation-Id", "Cf-Ray"}

func requestIDOf(header http.Header) string {
	for _, name := range requestIDHeaders {
		if id := header.Get(name); id != "" {
			return id[:min(len(id), 200)]
		}
	}
	return ""
}

// codedFailure converts a failed call to a coded error. breakerOpen is how long a circuit breaker stays open.
//
// CodeUnavailable and CodeRateLimited mean that the caller may safely retry. A call that must not run twice and that the
// provider may have acted on is CodeProvider instead.
func codedFailure(provider string, o *outcome, breakerOpen time.Duration) error {
	f := o.failed
	e := &subjects.Error{Code: subjects.CodeProvider, Detail: describeFailure(provider, f), RetryAfter: f.RetryAfter, Cause: o.err}
	field := subjects.FieldError{Field: "input", Message: f.Message, Code: f.Code}
	switch f.Class {
	case manifest.ClassAuth:
		if f.Expired {
			e.Code = subjects.CodeNeedsReauth
		}
	case manifest.ClassLimited:
		e.Code = subjects.CodeRateLimited
	case manifest.ClassInvalid:
		e.Code, e.Fields = subjects.CodeInvalid, []subjects.FieldError{field}
		if f.Status == 0 {
			e.Code, e.Fields = subjects.CodeForbidden, nil
		}
	case manifest.ClassNotFound:
		e.Code = subjects.CodeNotFound
	case manifest.ClassConflict:
		e.Code = subjects.CodeConflict
	case manifest.ClassUnavailable:
		e.Code = subjects.CodeUnavailable
		switch {
		case o.uncertain():
			e.Code, e.Detail = subjects.CodeProvider, e.Detail+"; its outcome is unknown, and it is not repeated"
		case errors.Is(o.err, egress.ErrOpen):
			e.RetryAfter = breakerOpen
		case egress.KindOf(o.err) == egress.KindDeadline:
			e.Code = subjects.CodeTimeout
		}
	case manifest.ClassUnknown:
		if kind := egress.KindOf(o.err); kind == egress.KindCanceled && !o.uncertain() {
			e.Code = subjects.CodeTimeout
		}
	}
	return e
}

// uncertain reports whether the provider may have acted on a call that must not run twice.
func (o *outcome) uncertain() bool {
	if o.safety != egress.WriteOnce {
		return false
	}
	var e *egress.Error
	if errors.As(o.err, &e) {
		return e.Sent
	}
	return o.err == nil
}

// describeFailure is a failed call in words.
func describeFailure(provider string, f *manifest.CallError) string {
	text := provider + " answered " + string(f.Class)
	if f.Status == 0 {
		text = provider + " cannot be called"
	}
	if f.Message != "" {
		text += ": " + f.Message
	}
	return text
}
