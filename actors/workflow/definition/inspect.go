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
	"github.com/weftmesh/weft/subjects"
)

// action is the name of a provider's action.
var action = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}\.[a-z][a-z0-9_]{0,63}$`)

// readSource takes a definition out of a request: an object is JSON, a string is YAML (or JSON) text.
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

// inspect parses a definition and tells everything that keeps it from being run: faults, and what this version
// does not run. The workflow is nil when there is any.
func Inspect(source []byte) (*language.Workflow, language.Faults) {
	w, faults := language.Parse(source)
	if len(faults) > 0 {
		return nil, faults
	}
	faults = slices.Concat(w.Unsupported(), unsupportedFunctions(w), secretFaults(w), scheduleFaults(source, w), attributeFaults(source, w),
		limitFaults(source, w))
	if len(faults) == 0 {
		return w, nil
	}
	slices.SortStableFunc(faults, func(a, b language.Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return nil, faults
}

// unserved names what the language knows and this actor does not do yet, and functions that nobody has.
func unsupportedFunctions(w *language.Workflow) language.Faults {
	var faults language.Faults
	check := func(t *language.Task) {
		code, message := faultOfCall(w, t)
		if message != "" {
			faults = append(faults, language.Fault{
				Line: max(t.Line, 1), Column: max(t.Column, 1), Pointer: t.Pointer, Code: code, Message: message,
			})
		}
	}
	eachTask(w.Do, check)
	for _, function := range w.Use.Functions {
		eachTask(language.TaskList{function}, check)
	}
	return faults
}

// judge tells what is wrong with one task; an empty message is nothing.
func faultOfCall(w *language.Workflow, t *language.Task) (code, message string) {
	if t.Kind == language.KindCall {
		name := t.Call.Function
		if name == language.CallHTTP || name == language.CallOpenAPI || name == machine.FunctionEcho || w.Use.Functions[name] != nil {
			return "", ""
		}
		if slices.Contains([]string{language.CallGRPC, language.CallAsyncAPI, language.CallA2A, language.CallMCP}, name) {
			return "", "" // the language has refused it
		}
		if strings.Contains(name, "://") || strings.Contains(name, "@") {
			return "", "" // it stands elsewhere: the language has told of it
		}
		if !action.MatchString(name) {
			return language.CodeReference, fmt.Sprintf(
				"there is no function %.80q: http, openapi, echo, notification.send, consent.require, approval.request, "+
					"workflow.start, one of use.functions, or <provider>.<action>", name)
		}
	}
	return "", ""
}

// eachTask visits every task of a list and those inside.
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

// refusal is the error of a definition with faults: unsupported where nothing else is wrong with it.
func Error(faults language.Faults) error {
	e := &subjects.Error{Code: subjects.CodeUnsupported, Detail: "the definition asks for what this version does not run"}
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

func WireFaults(faults language.Faults) []subjects.WorkflowFault {
	out := make([]subjects.WorkflowFault, 0, len(faults))
	for _, f := range faults {
		out = append(out, subjects.WorkflowFault(f))
	}
	return out
}

// inputOf is an execution's input as it is kept: {} unless given, at most limit bytes.
func InputOf(input json.RawMessage, limit int) (string, error) {
	if len(bytes.TrimSpace(input)) == 0 {
		return "{}", nil
	}
	if len(input) > limit {
		return "", subjects.Errorf(subjects.CodeTooLarge, "the input has %d bytes, the limit is %d", len(input), limit)
	}
	value, err := language.Decode(input)
	if err != nil {
		return "", subjects.InvalidField("input", "is not JSON")
	}
	return string(language.Canonical(value)), nil
}
