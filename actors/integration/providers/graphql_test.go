//go:build conformance || specs

package providers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// graphQL is the GraphQL schema of a provider.
type graphQL struct{ schema *ast.Schema }

// readGraphQL reads a schema; nil if the file does not exist.
func readGraphQL(t *testing.T, file string) *graphQL {
	t.Helper()
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	document, err := parser.ParseSchemas(validator.Prelude, &ast.Source{Name: file, Input: string(text)})
	if err != nil {
		t.Fatalf("reading schema: %v", err)
	}
	// Some schemas repeat the definitions of GraphQL's built-in types.
	builtIn := map[string]bool{}
	document.Definitions = slices.DeleteFunc(document.Definitions, func(d *ast.Definition) bool {
		repeated := builtIn[d.Name]
		builtIn[d.Name] = builtIn[d.Name] || d.BuiltIn || d.Position.Src == validator.Prelude
		return repeated
	})
	schema, err := validator.ValidateSchemaDocument(document)
	if err != nil {
		t.Fatalf("loading schema: %v", err)
	}
	return &graphQL{schema}
}

// graphRequest is the body of a GraphQL request.
type graphRequest struct {
	Query     string         `json:"query"`
	Variables map[string]any `json:"variables"`
}

// read decodes a request and validates its query.
func (g *graphQL) read(r *manifest.Request) (*graphRequest, *ast.OperationDefinition, error) {
	var sent graphRequest
	if err := json.Unmarshal(r.Body, &sent); err != nil {
		return nil, nil, err
	}
	document, errs := gqlparser.LoadQueryWithRules(g.schema, sent.Query, rules.NewDefaultRules())
	if len(errs) > 0 {
		return nil, nil, errs
	}
	if len(document.Operations) != 1 {
		return nil, nil, fmt.Errorf("%d operations", len(document.Operations))
	}
	return &sent, document.Operations[0], nil
}

// validate validates a request: its query, and its variables, which the query must declare.
func (g *graphQL) validate(r *manifest.Request) error {
	if r.Method != "POST" {
		return fmt.Errorf("the method of a GraphQL request is %s", r.Method)
	}
	sent, operation, err := g.read(r)
	if err != nil {
		return err
	}
	for name := range sent.Variables {
		if operation.VariableDefinitions.ForName(name) == nil {
			return fmt.Errorf("the query does not declare $%s", name)
		}
	}
	_, err = validator.VariableValues(g.schema, operation, sent.Variables)
	return err
}

var rootField = regexp.MustCompile(`^([^{]*\{\s*(?:\w+\s*:\s*)?\w+)`)

// changes returns changes of an action that the schema must reject: another method, another root field, and unknown, missing
// and wrongly typed variables and fields.
func (g *graphQL) changes(t *testing.T, r *manifest.Request) []change {
	t.Helper()
	sent, operation, err := g.read(r)
	if err != nil {
		t.Fatal(err)
	}
	graph := func(spec map[string]any) map[string]any {
		body, _ := spec["body"].(map[string]any)
		query, _ := body["graphql"].(map[string]any)
		return query
	}
	all := []change{
		{"method", func(spec map[string]any) { spec["method"] = "PUT" }},
		{"root field", func(spec map[string]any) {
			text, _ := graph(spec)["query"].(string)
			graph(spec)["query"] = rootField.ReplaceAllString(text, "${1}x")
		}},
		{"unknown variable", func(spec map[string]any) {
			graph(spec)["variables"] = with(graph(spec)["variables"], 1, "weft_unknown")
		}},
	}
	for _, v := range operation.VariableDefinitions {
		if _, used := sent.Variables[v.Variable]; !used {
			continue
		}
		if v.Type.NonNull && v.DefaultValue == nil {
			all = append(all, change{"missing variable " + v.Variable, func(spec map[string]any) {
				graph(spec)["variables"] = without(graph(spec)["variables"], v.Variable)
			}})
		}
		if other, found := g.otherValue(v.Type); found {
			all = append(all, change{"type of variable " + v.Variable, func(spec map[string]any) {
				graph(spec)["variables"] = with(graph(spec)["variables"], other, v.Variable)
			}})
		}
		if definition := g.schema.Types[v.Type.Name()]; definition != nil && definition.Kind == ast.InputObject && v.Type.Elem == nil {
			all = append(all, change{"unknown field of " + v.Variable, func(spec map[string]any) {
				graph(spec)["variables"] = with(graph(spec)["variables"], 1, v.Variable, "weft_unknown")
			}})
		}
	}
	return all
}

// otherValue returns a value that a type does not accept; ok is false for custom scalars, which may accept any.
func (g *graphQL) otherValue(of *ast.Type) (any, bool) {
	definition := g.schema.Types[of.Name()]
	if definition == nil || of.Elem != nil {
		return nil, false
	}
	switch {
	case definition.Kind == ast.InputObject, definition.Kind == ast.Enum:
		return "perhaps", true
	case definition.Kind == ast.Scalar && (definition.Name == "Int" || definition.Name == "Float" || definition.Name == "Boolean"):
		return "perhaps", true
	case definition.Kind == ast.Scalar && (definition.Name == "String" || definition.Name == "ID"):
		return map[string]any{"not": "a text"}, true
	}
	return nil, false
}
