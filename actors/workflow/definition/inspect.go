package definition

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/schedule"
	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/subjects"
)

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
// source: what the specification forbids, and what weft requires or does not support. Actions of providers are not checked.
func Inspect(source []byte) (*language.Workflow, language.Faults) {
	return (&inspector{}).inspect(context.Background(), source)
}

// Warnings returns what a definition most probably does not mean as it is written.
func Warnings(source []byte) language.Faults {
	w, _, faults := language.Read(source)
	if w == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(w.Warnings()), func(warning language.Fault) bool {
		return slices.ContainsFunc(faults, func(f language.Fault) bool { return f.Pointer == warning.Pointer })
	})
}

// inspector inspects definitions, and keeps what it has learned of the providers that they name.
type inspector struct {
	providers Providers
	known     map[string]*Provider
	// extensions and pinned are those of Sources.
	extensions Extensions
	pinned     map[string]string
	// knownExtensions are those that were found.
	knownExtensions map[string]*Extension
	// author is whose turn in the process's pool the parsing takes.
	author string
}

// compute runs work on a definition, in the process's pool where the text is large. It returns faults where ctx ends before.
func (i *inspector) compute(ctx context.Context, text []byte, work func()) language.Faults {
	if compute.Default.DoLarge(ctx, i.author, len(text), work) != nil {
		return language.Faults{{Line: 1, Column: 1, Code: language.CodeValue, Message: "the definition was not checked in time"}}
	}
	return nil
}

func (i *inspector) parse(ctx context.Context, text []byte) (w *language.Workflow, faults language.Faults) {
	if late := i.compute(ctx, text, func() { w, faults = language.Parse(text) }); late != nil {
		return nil, late
	}
	return w, faults
}

func (i *inspector) inspect(ctx context.Context, text []byte) (*language.Workflow, language.Faults) {
	var w *language.Workflow
	var source *language.Source
	var faults language.Faults
	if late := i.compute(ctx, text, func() { w, source, faults = language.Read(text) }); late != nil {
		return nil, late
	}
	if w == nil {
		return nil, faults
	}
	reported := make(map[string]bool, len(faults))
	for _, f := range faults {
		reported[f.Pointer] = true
	}
	for _, more := range []language.Faults{
		w.Unsupported(), i.callFaults(ctx, source, w), secretFaults(source, w), headerFaults(source, w), scheduleFaults(source, w),
		attributeFaults(source, w), limitFaults(source, w), openFaults(source, w),
	} {
		for _, f := range more {
			if !reported[f.Pointer] { // else a consequence of a fault that is reported already
				faults = append(faults, f)
			}
		}
	}
	if len(faults) == 0 {
		w.Complete()
		return w, nil
	}
	slices.SortStableFunc(faults, func(a, b language.Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return nil, faults
}

// scheduleFaults checks the definition's schedule.
func scheduleFaults(source *language.Source, w *language.Workflow) (faults language.Faults) {
	_, wrong := schedule.FromWorkflow(w)
	for _, f := range wrong {
		faults = append(faults, faultAt(source, f.Pointer, f.Code, f.Message))
	}
	return faults
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

// WireFaults returns faults or warnings as validate_workflow answers with them; never nil.
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
