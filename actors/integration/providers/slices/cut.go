package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"go.yaml.in/yaml/v3"
)

// read reads a description in JSON or YAML. One of version 2 is converted; a mere list of paths becomes a description.
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

// textKeys makes every key a text, as in JSON.
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
	var fresh map[string]any
	return fresh, json.Unmarshal(data, &fresh)
}

func object(node any) map[string]any {
	o, _ := node.(map[string]any)
	return o
}

// cut is a description with the paths that fit a template, and what these refer to.
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
	reach(doc, small, paths)
	return small
}

// requestsOnly takes from a path's operations what is not of requests.
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
	plain(item)
	for _, operation := range item {
		for _, response := range object(object(operation)["responses"]) {
			object(response)["description"] = "An answer."
		}
	}
	return item
}

// plain drops examples and extensions, which vendors fill with what does not fit their own schemas.
func plain(node any) {
	switch n := node.(type) {
	case map[string]any:
		for name, value := range n {
			_, text := value.(string)
			if strings.HasPrefix(name, "x-") || name == "examples" || name == "example" && !isSchema(value) || name == "description" && text {
				delete(n, name)
				continue
			}
			plain(value)
		}
	case []any:
		for _, value := range n {
			plain(value)
		}
	}
}

// isSchema tells a property that is called example from an example.
func isSchema(node any) bool {
	o := object(node)
	return o["type"] != nil || o["$ref"] != nil
}

// reach copies into small whatever of doc the node refers to.
func reach(doc, small map[string]any, node any) {
	switch n := node.(type) {
	case map[string]any:
		if ref, ok := n["$ref"].(string); ok && strings.HasPrefix(ref, "#/") {
			follow(doc, small, strings.Split(ref[2:], "/"))
		}
		for _, value := range n {
			reach(doc, small, value)
		}
	case []any:
		for _, value := range n {
			reach(doc, small, value)
		}
	}
}

// follow copies the component that a reference is in.
func follow(doc, small map[string]any, ref []string) {
	if len(ref) < 3 || ref[0] != "components" {
		return
	}
	kind, name := ref[1], strings.NewReplacer("~1", "/", "~0", "~").Replace(ref[2])
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
	plain(found)
	into[name] = found
	reach(doc, small, found)
}

// fits reports whether a description's path and a manifest's may be the same. What stands before the shorter of the two is
// part of a base URL. A parameter of the description may be anything in the manifest.
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
