package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/go-openapi/jsonpointer"
	"go.yaml.in/yaml/v3"
)

// read decodes a description in JSON or YAML to OpenAPI 3. It converts Swagger 2.0, and wraps a document that consists of paths
// only.
func read(data []byte) (map[string]any, error) {
	var tree any
	if json.Unmarshal(data, &tree) != nil {
		if err := yaml.Unmarshal(data, &tree); err != nil {
			return nil, err
		}
	}
	doc, ok := textKeys(tree).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("not an object")
	}
	if info := object(doc["info"]); info != nil {
		info["version"] = fmt.Sprint(info["version"])
	}
	if doc["swagger"] != nil {
		return converted(doc)
	}
	if doc["openapi"] == nil {
		doc = map[string]any{"openapi": "3.0.3", "info": map[string]any{"title": "paths", "version": "1"}, "paths": doc}
	}
	return doc, nil
}

// textKeys converts the keys of YAML mappings to strings, and dates to RFC 3339.
func textKeys(node any) any {
	switch n := node.(type) {
	case map[any]any:
		object := make(map[string]any, len(n))
		for key, value := range n {
			object[fmt.Sprint(key)] = textKeys(value)
		}
		return object
	case map[string]any:
		for key, value := range n {
			n[key] = textKeys(value)
		}
	case []any:
		for i, value := range n {
			n[i] = textKeys(value)
		}
	case time.Time:
		return n.Format(time.RFC3339)
	}
	return node
}

// converted converts Swagger 2.0 to OpenAPI 3, without responses.
func converted(doc map[string]any) (map[string]any, error) {
	for _, item := range object(doc["paths"]) {
		for _, operation := range object(item) {
			if o := object(operation); o != nil {
				o["responses"] = map[string]any{"default": map[string]any{"description": ""}}
			}
		}
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	var old openapi2.T
	if err := json.Unmarshal(data, &old); err != nil {
		return nil, err
	}
	current, err := openapi2conv.ToV3(&old)
	if err != nil {
		return nil, err
	}
	if data, err = current.MarshalJSON(); err != nil {
		return nil, err
	}
	var document map[string]any
	return document, json.Unmarshal(data, &document)
}

func object(node any) map[string]any {
	o, _ := node.(map[string]any)
	return o
}

// cut returns a description with only the paths that fit one of the templates, and the components to which they refer.
func cut(doc map[string]any, templates []string) map[string]any {
	paths := map[string]any{}
	for path, item := range object(doc["paths"]) {
		if slices.ContainsFunc(templates, func(template string) bool { return fits(path, template) }) {
			paths[path] = requestsOnly(object(item))
		}
	}
	small := map[string]any{"paths": paths, "components": map[string]any{}}
	for _, name := range []string{"openapi", "info", "servers"} {
		if doc[name] != nil {
			small[name] = doc[name]
		}
	}
	copyReferenced(doc, small, paths)
	return small
}

// requestsOnly removes from a path's operations everything that does not describe requests.
func requestsOnly(item map[string]any) map[string]any {
	for _, operation := range item {
		o := object(operation)
		if o == nil {
			continue
		}
		for _, name := range []string{"callbacks", "security", "tags", "externalDocs"} {
			delete(o, name)
		}
		o["responses"] = map[string]any{"default": map[string]any{}}
	}
	removeNoise(item)
	for _, operation := range item {
		for _, response := range object(object(operation)["responses"]) {
			object(response)["description"] = "An answer."
		}
	}
	return item
}

// removeNoise removes descriptions, examples and extensions, which often do not satisfy the provider's own schemas.
func removeNoise(node any) {
	switch n := node.(type) {
	case map[string]any:
		for name, value := range n {
			_, text := value.(string)
			if strings.HasPrefix(name, "x-") || name == "examples" || name == "example" && !isSchema(value) || name == "description" && text {
				delete(n, name)
				continue
			}
			removeNoise(value)
		}
	case []any:
		for _, value := range n {
			removeNoise(value)
		}
	}
}

// isSchema reports whether a member called example is the schema of a property with that name.
func isSchema(node any) bool {
	o := object(node)
	return o["type"] != nil || o["$ref"] != nil
}

// copyReferenced copies the components of doc to which the node refers into small.
func copyReferenced(doc, small map[string]any, node any) {
	switch n := node.(type) {
	case map[string]any:
		if ref, ok := n["$ref"].(string); ok && strings.HasPrefix(ref, "#/") {
			copyComponent(doc, small, strings.Split(ref[2:], "/"))
		}
		for _, value := range n {
			copyReferenced(doc, small, value)
		}
	case []any:
		for _, value := range n {
			copyReferenced(doc, small, value)
		}
	}
}

// copyComponent copies the component of a reference, and those to which it refers.
func copyComponent(doc, small map[string]any, ref []string) {
	if len(ref) < 3 || ref[0] != "components" {
		return
	}
	kind, name := ref[1], jsonpointer.Unescape(ref[2])
	components := object(small["components"])
	if components[kind] == nil {
		components[kind] = map[string]any{}
	}
	into := object(components[kind])
	if into[name] != nil {
		return
	}
	found := object(object(object(doc["components"])[kind])[name])
	if found == nil {
		return
	}
	removeNoise(found)
	into[name] = found
	copyReferenced(doc, small, found)
}

// fits reports whether a path of a description may be the path of a manifest. The longer path may begin with a part of the
// base URL. A parameter of the description matches any segment.
func fits(path, template string) bool {
	if strings.HasPrefix(template, "${") {
		return false
	}
	described, used := segments(path), segments(template)
	more := described
	if len(used) > len(described) {
		more = used
	}
	shared := min(len(described), len(used))
	if slices.ContainsFunc(more[:len(more)-shared], isParameter) || shared == 0 {
		return false
	}
	described, used = described[len(described)-shared:], used[len(used)-shared:]
	same := len(more) == shared
	for i := range shared {
		if described[i] != used[i] && !isParameter(described[i]) {
			return false
		}
		same = same || described[i] == used[i]
	}
	return same
}

func isParameter(segment string) bool { return strings.Contains(segment, "{") }

func segments(path string) []string {
	path, _, _ = strings.Cut(path, "?")
	all := strings.Split(strings.Trim(path, "/"), "/")
	for i, segment := range all {
		all[i] = strings.TrimPrefix(segment, "microsoft.graph.")
	}
	return all
}
