package language

import (
	"bytes"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Reference is an external part of a definition: a schema, or a function of an external catalog. It is fetched when the
// definition is created and inlined, so that a version never changes. Until then Unsupported lists it.
type Reference struct {
	// Pointer is the JSON pointer of the schema or of the call.
	Pointer string
	// URI is the location of the text, absolute and without expressions.
	URI string
	// Function is the name by which a function is called; empty for a schema.
	Function string
}

// References are the external parts, in the order of the source.
func (w *Workflow) References() []Reference { return w.references }

// addReference records a reference, and that the definition is unsupported without it. References that are not absolute
// HTTP URLs cannot be fetched.
func (r *reader) addReference(f field, what string, reference Reference) {
	r.markUnsupported(f, what)
	parsed, err := url.Parse(reference.URI)
	if err == nil && (parsed.Scheme == "https" || parsed.Scheme == "http") && parsed.Host != "" && !strings.ContainsAny(reference.URI, "{}$") {
		r.workflow.references = append(r.workflow.references, reference)
	}
}

// functionURI is the location of a function in a catalog: functions/{name}/{version}/function.yaml relative to its
// endpoint. The web page of a GitHub repository is mapped to its raw files.
func functionURI(endpoint, function string) string {
	name, version, _ := strings.Cut(function, ":")
	endpoint = strings.TrimSuffix(endpoint, "/")
	if path, ok := strings.CutPrefix(endpoint, "https://github.com/"); ok {
		parts := strings.Split(path, "/")
		if len(parts) >= 4 && parts[2] == "tree" {
			parts = slices.Delete(parts, 2, 3)
		} else if len(parts) == 2 {
			parts = append(parts, "main")
		}
		endpoint = "https://raw.githubusercontent.com/" + strings.Join(parts, "/")
	}
	return endpoint + "/functions/" + url.PathEscape(name) + "/" + url.PathEscape(version) + "/function.yaml"
}

// Inline inserts the fetched texts, by their URI, into a definition, and returns the new source. The texts may contain
// further references, up to MaxReferences in all.
func Inline(w *Workflow, fetched map[string][]byte) ([]byte, Faults) {
	definition, _ := deepCopy(w.Definition).(map[string]any)
	for _, reference := range w.references {
		text, known := fetched[reference.URI]
		if !known {
			continue
		}
		value, fault := parseInlined(text)
		if fault == "" && reference.Function != "" {
			if _, isObject := value.(map[string]any); !isObject {
				fault = "not a task"
			}
		}
		if fault != "" {
			return nil, Faults{{Line: 1, Column: 1, Pointer: reference.Pointer, Code: CodeReference,
				Message: "the content of " + reference.URI + " is invalid: " + fault}}
		}
		if reference.Function == "" {
			schema, _ := valueAt(definition, reference.Pointer).(map[string]any)
			delete(schema, "resource")
			schema["document"] = value
			continue
		}
		childObject(childObject(definition, "use"), "functions")[reference.Function] = value
	}
	return Canonical(definition), nil
}

// MaxReferences bounds the texts that one definition inlines.
const MaxReferences = 20

func parseInlined(text []byte) (value any, fault string) {
	root, wrong := load(bytes.TrimPrefix(text, []byte("\ufeff")))
	if wrong != nil {
		return nil, wrong.Message
	}
	r := &reader{workflow: &Workflow{}}
	value = r.toJSON(resolveAlias(root), "", 0)
	if len(r.faults) > 0 {
		return nil, r.faults[0].Message
	}
	return value, ""
}

func childObject(parent map[string]any, key string) map[string]any {
	inner, ok := parent[key].(map[string]any)
	if !ok {
		inner = map[string]any{}
		parent[key] = inner
	}
	return inner
}

// valueAt is the value at a JSON pointer.
func valueAt(value any, pointer string) any {
	tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := range tokens {
		tokens[i] = unescapeToken(tokens[i])
	}
	return valueAtTokens(value, tokens)
}

func valueAtTokens(value any, tokens []string) any {
	for _, token := range tokens {
		switch parent := value.(type) {
		case map[string]any:
			value = parent[token]
		case []any:
			position, err := strconv.Atoi(token)
			if err != nil || position < 0 || position >= len(parent) {
				return nil
			}
			value = parent[position]
		default:
			return nil
		}
	}
	return value
}

func deepCopy(value any) any {
	switch value := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(value))
		for key, item := range value {
			out[key] = deepCopy(item)
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i, item := range value {
			out[i] = deepCopy(item)
		}
		return out
	}
	return value
}
