package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// faultKinds are the specification's error types by the codes of calls; status 0 is the type's own.
var faultKinds = map[subjects.Code]struct {
	kind   string
	status int
}{
	subjects.CodeInvalid:         {machine.TypeValidation, 0},
	subjects.CodeUnsupported:     {machine.TypeValidation, 422},
	subjects.CodeTooLarge:        {machine.TypeValidation, 413},
	subjects.CodeUnauthenticated: {machine.TypeAuthentication, 0},
	subjects.CodeNeedsReauth:     {machine.TypeAuthentication, 0},
	subjects.CodeForbidden:       {machine.TypeAuthorization, 0},
	subjects.CodeConsentRequired: {machine.TypeAuthorization, 0},
	subjects.CodeNotFound:        {machine.TypeCommunication, 404},
	subjects.CodeConflict:        {machine.TypeCommunication, 409},
	subjects.CodeRateLimited:     {machine.TypeCommunication, 429},
	subjects.CodeProvider:        {machine.TypeCommunication, 502},
	subjects.CodeUnavailable:     {machine.TypeCommunication, 503},
	subjects.CodeTimeout:         {machine.TypeTimeout, 0},
}

// FaultOf is a call's error as a workflow can catch it. An error without a code becomes a runtime error without detail.
func FaultOf(err error) *machine.Error {
	var fault *machine.Error
	if errors.As(err, &fault) {
		return fault
	}
	var outbound *egress.Error
	if errors.As(err, &outbound) {
		return outboundFault(outbound)
	}
	var coded *subjects.Error
	if !errors.As(err, &coded) {
		return machine.NewError(machine.TypeRuntime, "an internal error occurred")
	}
	kind, known := faultKinds[coded.Code]
	if !known {
		return machine.NewError(machine.TypeRuntime, "an internal error occurred")
	}
	detail := coded.Detail
	if detail == "" {
		detail = coded.Code.Title()
	}
	if coded.Scope != "" && !strings.Contains(detail, coded.Scope) {
		detail += fmt.Sprintf(" (scope %s)", coded.Scope)
	}
	fault = machine.NewError(kind.kind, detail)
	if kind.status != 0 {
		fault.Status = kind.status
	}
	return fault
}

func outboundFault(e *egress.Error) *machine.Error {
	switch e.Kind {
	case egress.KindTimeout, egress.KindDeadline, egress.KindCanceled:
		return machine.NewError(machine.TypeTimeout, e.Error())
	case egress.KindInvalid, egress.KindScheme, egress.KindHost, egress.KindBlocked:
		return machine.NewError(machine.TypeConfiguration, e.Error())
	}
	fault := machine.NewError(machine.TypeCommunication, e.Error())
	fault.Status = http.StatusBadGateway
	if e.Kind == egress.KindConnect {
		fault.Status = http.StatusServiceUnavailable
	}
	return fault
}

// ErrorText is FaultOf as JSON.
func ErrorText(err error) string {
	data, e := json.Marshal(FaultOf(err))
	if e != nil {
		return "{}"
	}
	return string(data)
}

// IsNotFound reports whether err says that something does not exist.
func IsNotFound(err error) bool { return subjects.CodeOf(err) == subjects.CodeNotFound }
