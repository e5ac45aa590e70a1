package workflow

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/extension"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/subjects"
)

// versionFreshness is how old what is known of an extension may be when a definition is checked or its functions are listed.
const versionFreshness = 250 * time.Millisecond

// known returns what a definition's calls of an extension are checked against; nil if there is no such extension, or if that cannot
// be found out.
func (x *extensions) known(ctx context.Context, name string) *definition.Extension {
	state, err := x.Find(ctx, name, versionFreshness)
	if err != nil || state == nil {
		return nil
	}
	found := &definition.Extension{Seen: !state.SeenAt.IsZero(), Functions: map[string]definition.ExtensionFunction{}}
	for _, f := range state.Functions {
		if _, newer := found.Functions[f.Name]; !newer {
			found.Functions[f.Name] = definition.ExtensionFunction{Version: f.Version, Input: f.Input, Fault: f.Fault}
		}
	}
	return found
}

// pinned returns the version of an extension's function that the definition of an execution was checked with; empty if the call is none of
// an extension.
func (c *calls) pinned(ctx context.Context, row engine.Row, call *machine.Call) (string, error) {
	if call.Kind != machine.CallFunction || definition.IsBuiltIn(call.Function) || !strings.Contains(call.Function, ".") {
		return "", nil
	}
	stored, err := c.definitions.stored(ctx, row.WorkflowID, row.Version)
	return stored.functions[call.Function], err
}

// timeout is how long a call may take, its retries included.
func (c *calls) timeout(ctx context.Context, row engine.Row, call *machine.Call) time.Duration {
	if version, err := c.pinned(ctx, row, call); err == nil && version != "" {
		return max(c.config.StepTimeout, c.config.Extensions.MaxDuration)
	}
	return c.config.StepTimeout
}

// callExtension calls a function of an extension in the version that the definition was checked with.
func (c *calls) callExtension(ctx context.Context, row engine.Row, call *machine.Call, repeated bool, version string) (any, error) {
	namespace, name, _ := strings.Cut(call.Function, ".")
	arguments := engine.ArgumentsOf(call)
	payload := language.Canonical(arguments)
	answer, f, err := c.extensions.Do(ctx, extension.Call{
		Namespace: namespace, Name: name, Version: version, Arguments: payload, Key: callKey(call), ExecutionID: row.PublicID(),
		WorkflowID: row.WorkflowID, UserID: row.UserID, Priority: row.Priority, Repeated: repeated,
		Check: func(f *extension.Function) (refused error) {
			if err := c.Keys.Check(ctx, row.UserID, row.Authority, f.Scope); err != nil {
				return err
			}
			return c.validate(ctx, row, len(payload), func() error { return f.CheckInput(arguments) })
		},
		Begin: func(ctx context.Context, scope string, start func(context.Context, mesh.Grant, func()) error) error {
			return c.Guard.Do(ctx, row.Grant(), scope, func(ctx context.Context, started func()) error {
				grant := row.Grant()
				if scope != grant.Scope || grant.ConsentID == "" {
					var err error
					if grant, err = c.Guard.Check(ctx, row.UserID, scope); err != nil {
						return err
					}
				}
				return start(ctx, grant, started)
			})
		},
		Sent: func() { engine.CallSent(ctx) }, NotSent: func() { engine.CallNotSent(ctx) },
	})
	switch {
	case extension.IsStopping(err):
		return nil, errors.Join(engine.ErrAbandoned, err)
	case err != nil:
		return nil, err
	}
	output, err := c.engine.Output(answer)
	if err != nil {
		return nil, err
	}
	return output, c.validate(ctx, row, len(answer), func() error { return f.CheckOutput(output) })
}

// validate runs a validation of data of a size, in the process's pool if it is large.
func (c *calls) validate(ctx context.Context, row engine.Row, size int, validation func() error) (refused error) {
	if err := compute.Default.DoLarge(ctx, row.UserID, size, func() { refused = validation() }); err != nil {
		return err
	}
	return refused
}

// listFunctions lists the functions of extensions: of one with their schemas, of all without the schemas that do not fit.
func (x *extensions) listFunctions(ctx context.Context, name string) ([]subjects.WorkflowFunction, error) {
	var states []*extension.State
	if name == "" {
		all, err := x.All(ctx, 10*versionFreshness)
		if err != nil {
			return nil, err
		}
		states = all
	} else {
		state, err := x.Find(ctx, name, versionFreshness)
		if err != nil {
			return nil, err
		}
		if state == nil {
			return nil, subjects.Errorf(subjects.CodeNotFound, "there is no extension %q", name)
		}
		states = []*extension.State{state}
	}
	var list []subjects.WorkflowFunction
	size := 0
	for _, state := range states {
		for _, f := range state.Functions {
			if len(list) == maxListedFunctions {
				return list, nil
			}
			item := subjects.WorkflowFunction{
				Name: f.FullName(), Doc: f.Summary, Safety: string(f.Safety), Extension: f.Namespace, Version: f.Version, Scope: f.Scope, Fault: f.Fault,
				Input: f.Input, Output: f.Output,
			}
			if size += f.Size(); size > maxListedSchemas {
				item.Input, item.Output = nil, nil
			}
			if item.Input == nil {
				item.Input = map[string]any{}
			}
			list = append(list, item)
		}
	}
	return list, nil
}

// maxListedFunctions bounds the functions of extensions in one list, and maxListedSchemas the schemas, in bytes.
const (
	maxListedFunctions = 500
	maxListedSchemas   = 400 << 10
)
