package definition

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// actionName matches <provider>.<action>, the function that runs a provider's action.
var actionName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}\.[a-z][a-z0-9_]{0,63}$`)

// Provider is what is known of a provider: the JSON Schemas of the inputs of its actions, by name. Actions are nil if there
// is no such provider; Known are then the providers that there are.
type Provider struct {
	Actions map[string]map[string]any
	Known   []string
}

// Providers finds a provider by its id. It returns nil if that cannot be found out now.
type Providers func(ctx context.Context, id string) *Provider

func (i *inspector) provider(ctx context.Context, id string) *Provider {
	if i.providers == nil {
		return nil
	}
	found, known := i.known[id]
	if !known {
		if i.known == nil {
			i.known = map[string]*Provider{}
		}
		found = i.providers(ctx, id)
		i.known[id] = found
	}
	return found
}

// callFaults reports calls of functions that do not exist, and arguments that do not match the schema of the function's
// input as far as they are constants.
func (i *inspector) callFaults(ctx context.Context, source *language.Source, w *language.Workflow) (faults language.Faults) {
	builtIn := map[string]map[string]any{}
	for _, f := range BuiltInFunctions() {
		builtIn[f.Name] = f.Input
	}
	w.Each(func(t *language.Task) {
		if t.Kind != language.KindCall || t.Call == nil || t.Call.Function == "" {
			return
		}
		name := t.Call.Function
		switch own := w.Use.Functions[name]; {
		case isProtocol(name), strings.Contains(name, "://"), strings.Contains(name, "@"):
			return // as the language reports
		case own != nil:
			if own.Input != nil {
				faults = append(faults, argumentFaults(source, w, t, own.Input.Schema)...)
			}
			return
		case builtIn[name] != nil:
			faults = append(faults, i.inputFaults(source, w, t, builtIn[name])...)
			return
		}
		if input, problem, found := i.extensionFunction(ctx, name); found {
			if problem != "" {
				faults = append(faults, faultAt(source, t.Pointer+"/call", language.CodeReference, problem))
			} else {
				faults = append(faults, i.inputFaults(source, w, t, input)...)
			}
			return
		}
		input, problem := i.action(ctx, w, name, slices.Collect(maps.Keys(builtIn)))
		if problem != "" {
			faults = append(faults, faultAt(source, t.Pointer+"/call", language.CodeReference, problem))
		}
		if input != nil {
			faults = append(faults, i.inputFaults(source, w, t, WithConnection(input))...)
		}
	})
	return faults
}

// protocols are the functions that the specification defines.
var protocols = []string{language.CallHTTP, language.CallOpenAPI, language.CallGRPC, language.CallAsyncAPI, language.CallA2A, language.CallMCP}

func isProtocol(name string) bool { return slices.Contains(protocols, name) }

// action finds the action of a provider that a call names: the schema of its input, or what is wrong with the name. Both
// are empty if the provider's actions are not known.
func (i *inspector) action(ctx context.Context, w *language.Workflow, name string, builtIn []string) (input map[string]any, problem string) {
	functions := slices.Concat(builtIn, []string{language.CallHTTP, language.CallOpenAPI}, slices.Collect(maps.Keys(w.Use.Functions)))
	none := fmt.Sprintf("there is no function %.80q", name)
	id, action, dotted := strings.Cut(name, ".")
	if !dotted || !actionName.MatchString(name) {
		hint := language.DidYouMean(name, functions)
		if hint == "" {
			slices.Sort(functions)
			hint = ": expected one of " + strings.Join(functions, ", ") + ", or <provider>.<action>"
		}
		return nil, none + hint
	}
	provider := i.provider(ctx, id)
	switch {
	case provider == nil:
		if suggestion := language.Suggest(name, builtIn); suggestion != "" && i.providers == nil {
			return nil, fmt.Sprintf("%s: did you mean %q?", none, suggestion)
		}
		return nil, ""
	case provider.Actions != nil:
		input, known := provider.Actions[action]
		if known {
			return input, ""
		}
		actions := slices.Sorted(maps.Keys(provider.Actions))
		if suggestion := language.Suggest(action, actions); suggestion != "" {
			return nil, fmt.Sprintf("%s: did you mean %q?", none, id+"."+suggestion)
		}
		return nil, fmt.Sprintf("the provider %q has no action %.80q: it has %s", id, action, language.Cut(strings.Join(actions, ", "), 400))
	}
	if isProtocol(id) {
		return nil, fmt.Sprintf("%s: did you mean %q? Its arguments, such as the method, are fields of with", none, id)
	}
	if suggestion := language.Suggest(name, builtIn); suggestion != "" {
		return nil, fmt.Sprintf("%s: did you mean %q?", none, suggestion)
	}
	if suggestion := language.Suggest(id, provider.Known); suggestion != "" {
		var actions []string
		if meant := i.provider(ctx, suggestion); meant != nil {
			actions = slices.Sorted(maps.Keys(meant.Actions))
		}
		if !slices.Contains(actions, action) {
			action = language.Suggest(action, actions)
		}
		if action == "" {
			return nil, fmt.Sprintf("%s: did you mean the provider %q? It has %s", none, suggestion, language.Cut(strings.Join(actions, ", "), 400))
		}
		return nil, fmt.Sprintf("%s: did you mean %q?", none, suggestion+"."+action)
	}
	return nil, fmt.Sprintf("%s: there is no provider %.64q", none, id)
}

// inputFaults compares the constants among a call's arguments with the schema of a function's input.
func (i *inspector) inputFaults(source *language.Source, w *language.Workflow, t *language.Task, input map[string]any) language.Faults {
	// A schema that does not compile is the provider's fault and not the author's: it then accepts everything.
	schema, _ := language.NewSchema(input)
	return argumentFaults(source, w, t, schema)
}

func argumentFaults(source *language.Source, w *language.Workflow, t *language.Task, schema *language.Schema) (faults language.Faults) {
	arguments := t.Call.With
	if arguments == nil {
		arguments = map[string]any{}
	}
	for _, violation := range schema.Violations(arguments, w.Loose) {
		faults = append(faults, faultAt(source, t.Pointer+"/with"+violation.Pointer, violation.Code, t.Call.Function+": "+violation.Message))
	}
	return faults
}

// Extension is what is known of an extension: the newest version of each of its functions, by name. Seen: it has run since it was enrolled.
type Extension struct {
	Seen      bool
	Functions map[string]ExtensionFunction
}

// ExtensionFunction is a version of a function of an extension. One with a fault cannot be called.
type ExtensionFunction struct {
	Version, Fault string
	Input          map[string]any
}

// Extensions finds an extension by its name. It returns nil if there is none, or if that cannot be found out now.
type Extensions func(ctx context.Context, name string) *Extension

// extensionFunction finds the function of an extension that a call names, and records its version. found: the name is that of an extension,
// and of no provider. problem is then what is wrong with the call.
func (i *inspector) extensionFunction(ctx context.Context, name string) (input map[string]any, problem string, found bool) {
	namespace, function, dotted := strings.Cut(name, ".")
	if i.extensions == nil || !dotted || !actionName.MatchString(name) {
		return nil, "", false
	}
	if provider := i.provider(ctx, namespace); provider != nil && provider.Actions != nil {
		return nil, "", false
	}
	extension, known := i.knownExtensions[namespace]
	if !known {
		if i.knownExtensions == nil {
			i.knownExtensions = map[string]*Extension{}
		}
		extension = i.extensions(ctx, namespace)
		i.knownExtensions[namespace] = extension
	}
	if extension == nil {
		return nil, "", false
	}
	f, serves := extension.Functions[function]
	switch {
	case !extension.Seen:
		return nil, fmt.Sprintf("the extension %q is enrolled and has never run, so that its functions are not known", namespace), true
	case !serves:
		names := slices.Sorted(maps.Keys(extension.Functions))
		if suggestion := language.Suggest(function, names); suggestion != "" {
			return nil, fmt.Sprintf("there is no function %.80q: did you mean %q?", name, namespace+"."+suggestion), true
		}
		return nil, fmt.Sprintf("the extension %q has no function %.80q: it has %s", namespace, function, language.Cut(strings.Join(names, ", "), 400)), true
	case f.Fault != "":
		return nil, fmt.Sprintf("%s cannot be called: %s", name, f.Fault), true
	}
	i.pinned[name] = f.Version
	return f.Input, "", true
}
