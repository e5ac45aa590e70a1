package language

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
)

// Reference is a part of a definition that stands elsewhere: an external schema, or a function of a foreign catalog. It
// is fetched when the definition is created and becomes part of it, so that a version never changes. Until then
// Unsupported names it.
type Reference struct {
	// Pointer is the pointer of the schema or of the call.
	Pointer string
	// URI is where the text is, absolute and without expressions.
	URI string
	// Function is the name by which it is called; empty for a schema.
	Function string
}

// References are the parts that stand elsewhere, in the order of the source.
func (w *Workflow) References() []Reference { return w.references }

// refer notes a reference, and that the definition does not run without it.
func (r *reader) refer(f field, what string, reference Reference) {
	r.refuse(f, what)
	parsed, err := url.Parse(reference.URI)
	if err == nil && (parsed.Scheme == "https" || parsed.Scheme == "http") && parsed.Host != "" && !strings.ContainsAny(reference.URI, "{}$") {
		r.workflow.references = append(r.workflow.references, reference)
	}
}

// functionURI is where a catalog has a function: functions/{name}/{version}/function.yaml below its endpoint. The page of
// a repository on GitHub stands for its files.
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

// Inline puts the texts of references, by their URI, into a definition, and gives the definition's new source. What was
// fetched may refer to more, up to MaxReferences in all.
func Inline(w *Workflow, fetched map[string][]byte) ([]byte, Faults) {
	definition, _ := copied(w.Definition).(map[string]any)
	for _, reference := range w.references {
		text, known := fetched[reference.URI]
		if !known {
			continue
		}
		value, fault := readText(text)
		if fault == "" && reference.Function != "" {
			if _, isObject := value.(map[string]any); !isObject {
				fault = "it is no task"
			}
		}
		if fault != "" {
			return nil, Faults{{Line: 1, Column: 1, Pointer: reference.Pointer, Code: CodeReference,
				Message: "what is at " + reference.URI + " cannot be used: " + fault}}
		}
		if reference.Function == "" {
			schema, _ := at(definition, reference.Pointer).(map[string]any)
			delete(schema, "resource")
			schema["document"] = value
			continue
		}
		child(child(definition, "use"), "functions")[reference.Function] = value
	}
	return Canonical(definition), nil
}

// MaxReferences bounds the texts that one definition takes in.
const MaxReferences = 20

func readText(text []byte) (value any, fault string) {
	root, wrong := load(bytes.TrimPrefix(text, []byte("\ufeff")))
	if wrong != nil {
		return nil, wrong.Message
	}
	r := &reader{workflow: &Workflow{}}
	value = r.plain(resolve(root), "", 0)
	if len(r.faults) > 0 {
		return nil, r.faults[0].Message
	}
	return value, ""
}

func child(parent map[string]any, key string) map[string]any {
	inner, ok := parent[key].(map[string]any)
	if !ok {
		inner = map[string]any{}
		parent[key] = inner
	}
	return inner
}

// at is the value at a pointer.
func at(value any, pointer string) any {
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch parent := value.(type) {
		case map[string]any:
			value = parent[token]
		case []any:
			index, ok := parseNumber(token)
			position, isWhole := index.(int)
			if !ok || !isWhole || position < 0 || position >= len(parent) {
				return nil
			}
			value = parent[position]
		}
	}
	return value
}

func copied(value any) any {
	switch value := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(value))
		for key, item := range value {
			out[key] = copied(item)
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i, item := range value {
			out[i] = copied(item)
		}
		return out
	}
	return value
}
