package subjects

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const (
	componentPrefix  = "#/components/schemas/"
	definitionPrefix = "#/$defs/"
)

// RequestSchema returns the request's JSON Schema (draft 2020-12) as a self-contained document.
func (d *Descriptor) RequestSchema() ([]byte, error) { return schemaDocument(d.Request) }

// ResponseSchema returns the reply's JSON Schema (draft 2020-12) as a self-contained document.
func (d *Descriptor) ResponseSchema() ([]byte, error) { return schemaDocument(d.Response) }

// schemaDocument encodes a schema, with all schemas that it refers to under $defs.
func schemaDocument(s *huma.Schema) ([]byte, error) {
	root, err := plain(resolve(s))
	if err != nil {
		return nil, err
	}
	definitions := map[string]any{}
	if err := localise(root, definitions); err != nil {
		return nil, err
	}
	if len(definitions) > 0 {
		root["$defs"] = definitions
	}
	return json.Marshal(root)
}

// localise rewrites the references in v to $defs and collects the schemas that they refer to.
func localise(v any, definitions map[string]any) error {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			name := strings.TrimPrefix(ref, componentPrefix)
			v["$ref"] = definitionPrefix + name
			if err := define(name, definitions); err != nil {
				return err
			}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := localise(v[key], definitions); err != nil {
				return err
			}
		}
	case []any:
		for _, item := range v {
			if err := localise(item, definitions); err != nil {
				return err
			}
		}
	}
	return nil
}

func define(name string, definitions map[string]any) error {
	if _, known := definitions[name]; known {
		return nil
	}
	definition, err := plain(registry.Map()[name])
	if err != nil {
		return err
	}
	definitions[name] = definition
	return localise(definition, definitions)
}

func plain(s *huma.Schema) (map[string]any, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding a schema: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("encoding a schema: %w", err)
	}
	return m, nil
}
