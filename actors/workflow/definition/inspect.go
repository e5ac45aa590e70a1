package definition

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/actors/workflow/schedule"
	"github.com/weftmesh/weft/subjects"
)

// actionName matches <provider>.<action>, the function that runs a provider's action.
var actionName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}\.[a-z][a-z0-9_]{0,63}$`)

// ReadSource returns the source of a definition in a request. A JSON object is the source itself; a JSON string holds the
// source as YAML or JSON text, which text returns as well, to be stored as the author wrote it.
func ReadSource(definition json.RawMessage) (source []byte, text string, err error) {
	trimmed := bytes.TrimSpace(definition)
	if len(trimmed) == 0 || trimmed[0] != '"' {
		return definition, "", nil
	}
	if err := json.Unmarshal(trimmed, &text); err != nil {
		return nil, "", subjects.InvalidField("definition", "is not a JSON string")
	}
	return []byte(text), text, nil
}

// Inspect parses a definition. It returns the workflow, or every fault that keeps it from being run, in the order of the
// source: violations of the specification alone if there are any, else what weft requires or does not support.
func Inspect(source []byte) (*language.Workflow, language.Faults) {
	w, faults := language.Parse(source)
	if len(faults) > 0 {
		return nil, faults
	}
	faults = slices.Concat(w.Unsupported(), functionFaults(w), secretFaults(w), scheduleFaults(source, w), attributeFaults(source, w),
		limitFaults(source, w))
	if len(faults) == 0 {
		return w, nil
	}
	slices.SortStableFunc(faults, func(a, b language.Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return nil, faults
}

// scheduleFaults checks the definition's schedule.
func scheduleFaults(source []byte, w *language.Workflow) (faults language.Faults) {
	_, wrong := schedule.FromWorkflow(w)
	for _, f := range wrong {
		faults = append(faults, faultAt(source, f.Pointer, f.Code, f.Message))
	}
	return faults
}

// functionFaults reports calls of functions that do not exist.
func functionFaults(w *language.Workflow) language.Faults {
	var faults language.Faults
	check := func(t *language.Task) {
		if t.Kind == language.KindCall && !knownFunction(w, t.Call.Function) {
			faults = append(faults, taskFault(t, language.CodeReference, fmt.Sprintf(
				"there is no function %.80q: http, openapi, echo, notification.send, consent.require, approval.request, "+
					"workflow.start, one of use.functions, or <provider>.<action>", t.Call.Function)))
		}
	}
	eachTask(w.Do, check)
	for _, function := range w.Use.Functions {
		eachTask(language.TaskList{function}, check)
	}
	return faults
}

// knownFunction reports whether a call may name a function. It is true too for calls on which the language reports.
func knownFunction(w *language.Workflow, name string) bool {
	switch name {
	case language.CallHTTP, language.CallOpenAPI, machine.FunctionEcho:
		return true
	case language.CallGRPC, language.CallAsyncAPI, language.CallA2A, language.CallMCP:
		return true // unsupported, as the language reports
	}
	if strings.Contains(name, "://") || strings.Contains(name, "@") {
		return true // a reference to another document, as the language reports
	}
	return w.Use.Functions[name] != nil || actionName.MatchString(name)
}

// taskFault returns a fault of a task, with its position.
func taskFault(t *language.Task, code, message string) language.Fault {
	return language.Fault{Line: max(t.Line, 1), Column: max(t.Column, 1), Pointer: t.Pointer, Code: code, Message: message}
}

// eachTask visits every task of a list and those nested in it.
func eachTask(list language.TaskList, visit func(*language.Task)) {
	for _, t := range list {
		visit(t)
		eachTask(t.Do, visit)
		switch {
		case t.For != nil:
			eachTask(t.For.Do, visit)
		case t.Fork != nil:
			eachTask(t.Fork.Branches, visit)
		case t.Try != nil:
			eachTask(t.Try.Do, visit)
			eachTask(t.Try.Catch.Do, visit)
		case t.Listen != nil && t.Listen.Foreach != nil:
			eachTask(t.Listen.Foreach.Do, visit)
		}
	}
}

// Error returns the error of a definition with faults, one field each. Its code is unsupported if every fault is, and
// invalid otherwise.
func Error(faults language.Faults) error {
	e := &subjects.Error{Code: subjects.CodeUnsupported, Detail: "the definition uses features that this version does not support"}
	for _, f := range faults {
		if f.Code != language.CodeUnsupported {
			e.Code = subjects.CodeInvalid
			e.Detail = "the definition has faults"
		}
		e.Fields = append(e.Fields, subjects.FieldError{
			Field: "definition", Message: f.Message, Line: f.Line, Column: f.Column, Pointer: f.Pointer, Code: f.Code,
		})
	}
	e.Detail += ": " + faults[0].Error()
	return e
}

// WireFaults returns faults as validate_workflow answers with them; never nil.
func WireFaults(faults language.Faults) []subjects.WorkflowFault {
	out := make([]subjects.WorkflowFault, 0, len(faults))
	for _, f := range faults {
		out = append(out, subjects.WorkflowFault(f))
	}
	return out
}

// InputOf returns an execution's input as canonical JSON, {} if none is given. An input longer than limit bytes is
// too_large.
func InputOf(input json.RawMessage, limit int) (string, error) {
	if len(bytes.TrimSpace(input)) == 0 {
		return "{}", nil
	}
	if len(input) > limit {
		return "", subjects.Errorf(subjects.CodeTooLarge, "the input has %d bytes, the limit is %d", len(input), limit)
	}
	value, err := language.DecodeStrict(input)
	if err != nil {
		return "", subjects.InvalidField("input", "cannot be read: %v", err)
	}
	return string(language.Canonical(value)), nil
}
