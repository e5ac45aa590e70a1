package language

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Source finds the positions of values in the text of a definition.
type Source struct{ root *yaml.Node }

// ReadSource reads the text of a definition. A text that is not one document has no positions.
func ReadSource(text []byte) *Source {
	root, fault := load(text)
	if fault != nil {
		return &Source{}
	}
	return &Source{resolveAlias(root)}
}

// Position returns the position, from 1, of the value at an RFC 6901 pointer, or of its nearest ancestor that the source
// contains; 1, 1 if it contains nothing.
func (s *Source) Position(pointer string) (line, column int) {
	node := s.node(pointer)
	if node == nil {
		return 1, 1
	}
	return max(node.Line, 1), max(node.Column, 1)
}

// node is the value at a pointer, or its nearest ancestor.
func (s *Source) node(pointer string) *yaml.Node {
	node := s.root
	if node == nil || pointer == "" {
		return node
	}
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		child := childOf(node, unescapeToken(token))
		if child == nil {
			break
		}
		node = child
	}
	return node
}

// keyOf is the key of a field of a mapping; nil if it has none of that name.
func keyOf(node *yaml.Node, name string) *yaml.Node {
	node = resolveAlias(node)
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i]
		}
	}
	return nil
}

// Fault returns a fault with the position of its pointer; that of the name of an unknown field.
func (s *Source) Fault(pointer, code, message string) Fault {
	line, column := s.Position(pointer)
	if at := strings.LastIndexByte(pointer, '/'); code == CodeUnknownField && s.root != nil && at >= 0 {
		if key := keyOf(s.node(pointer[:at]), unescapeToken(pointer[at+1:])); key != nil {
			line, column = max(key.Line, 1), max(key.Column, 1)
		}
	}
	return Fault{Line: line, Column: column, Pointer: pointer, Code: code, Message: message}
}

// unescapeToken is the inverse of escapeToken (RFC 6901 §4).
func unescapeToken(token string) string {
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
}

// childOf returns the element of a sequence or the value of a mapping that token names; nil if there is none.
func childOf(node *yaml.Node, token string) *yaml.Node {
	switch node = resolveAlias(node); node.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i]
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == token {
				return node.Content[i+1]
			}
		}
	}
	return nil
}
