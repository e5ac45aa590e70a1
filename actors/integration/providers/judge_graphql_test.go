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

// graphQL is a vendor's description in GraphQL.
type graphQL struct{ schema *ast.Schema }

// describeGraph reads a schema; nil where there is none.
func describeGraph(t *testing.T, file string) *graphQL {
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
	// Some schemas bring GraphQL's own types along.
	own := map[string]bool{}
	document.Definitions = slices.DeleteFunc(document.Definitions, func(d *ast.Definition) bool {
		again := own[d.Name]
		own[d.Name] = own[d.Name] || d.BuiltIn || d.Position.Src == validator.Prelude
		return again
	})
	schema, err := validator.ValidateSchemaDocument(document)
	if err != nil {
		t.Fatalf("loading schema: %v", err)
	}
	return &graphQL{schema}
}

// graphRequest is what a GraphQL server reads.
type graphRequest struct {
	Query     string         `json:"query"`
	Variables map[string]any `json:"variables"`
}

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

// judge returns what the schema has against a request. A variable that the query does not declare is nobody's.
func (g *graphQL) judge(r *manifest.Request) error {
	if r.Method != "POST" {
		return fmt.Errorf("GraphQL by %s", r.Method)
	}
	sent, operation, err := g.read(r)
	if err != nil {
		return err
	}
	for name := range sent.Variables {
		if operation.VariableDefinitions.ForName(name) == nil {
			return fmt.Errorf("the query declares no $%s", name)
		}
	}
	_, err = validator.VariableValues(g.schema, operation, sent.Variables)
	return err
}

var rootField = regexp.MustCompile(`^([^{]*\{\s*(?:\w+\s*:\s*)?\w+)`)

// wrongs are the changes that the schema must refuse: another verb, another root field, a variable of another type, left out, or
// with a field that nobody knows.
func (g *graphQL) wrongs(t *testing.T, r *manifest.Request) []wrong {
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
	all := []wrong{
		{"verb", func(spec map[string]any) { spec["method"] = "PUT" }},
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
			all = append(all, wrong{"missing variable " + v.Variable, func(spec map[string]any) {
				graph(spec)["variables"] = without(graph(spec)["variables"], v.Variable)
			}})
		}
		if other, found := g.otherValue(v.Type); found {
			all = append(all, wrong{"type of variable " + v.Variable, func(spec map[string]any) {
				graph(spec)["variables"] = with(graph(spec)["variables"], other, v.Variable)
			}})
		}
		if definition := g.schema.Types[v.Type.Name()]; definition != nil && definition.Kind == ast.InputObject && v.Type.Elem == nil {
			all = append(all, wrong{"unknown field of " + v.Variable, func(spec map[string]any) {
				graph(spec)["variables"] = with(graph(spec)["variables"], 1, v.Variable, "weft_unknown")
			}})
		}
	}
	return all
}

// otherValue is a value that a type does not take; vendors' own scalars take any.
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
