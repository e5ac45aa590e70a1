package language

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// merger replaces merge keys (`<<: *base`, https://yaml.org/type/merge.html) by the fields that they stand for. YAML 1.2
// has none, but the common tools read them. A field of the mapping itself wins over a merged one, and an earlier source
// over a later one.
type merger struct {
	// seen are the nodes that are merged or being merged. left bounds the fields that merging adds to the document.
	seen map[*yaml.Node]bool
	left int
}

// mergeKeys merges in place. It returns false if the document would have more than MaxNodes merged fields.
func mergeKeys(root *yaml.Node) bool {
	m := merger{seen: map[*yaml.Node]bool{}, left: MaxNodes}
	m.walk(root)
	return m.left >= 0
}

func (m *merger) walk(node *yaml.Node) {
	if node == nil || m.seen[node] || m.left < 0 {
		return
	}
	m.seen[node] = true
	m.walk(node.Alias)
	for _, child := range node.Content {
		m.walk(child)
	}
	if node.Kind == yaml.MappingNode {
		m.merge(node)
	}
}

func isMergeKey(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && key.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0
}

func (m *merger) merge(node *yaml.Node) {
	var own, merged []*yaml.Node
	known := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], resolveAlias(node.Content[i+1])
		if !isMergeKey(key) || !mergeable(value) {
			own = append(own, key, node.Content[i+1])
			known[key.Value] = true
		}
	}
	if len(own) == len(node.Content) {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		value := resolveAlias(node.Content[i+1])
		if !isMergeKey(node.Content[i]) || !mergeable(value) {
			continue
		}
		sources := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			sources = value.Content
		}
		for _, source := range sources {
			merged = m.add(merged, resolveAlias(source), known)
		}
	}
	node.Content = slices.Concat(own, merged)
}

func (m *merger) add(merged []*yaml.Node, source *yaml.Node, known map[string]bool) []*yaml.Node {
	for i := 0; i+1 < len(source.Content) && m.left >= 0; i += 2 {
		m.left--
		if key := source.Content[i]; !known[key.Value] {
			known[key.Value] = true
			merged = append(merged, key, source.Content[i+1])
		}
	}
	return merged
}

// mergeable reports whether a merge key can have this value: a mapping, or a list of mappings.
func mergeable(value *yaml.Node) bool {
	if value.Kind != yaml.SequenceNode {
		return value.Kind == yaml.MappingNode
	}
	for _, item := range value.Content {
		if resolveAlias(item).Kind != yaml.MappingNode {
			return false
		}
	}
	return true
}
