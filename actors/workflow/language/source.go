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
	node := s.root
	if node == nil {
		return 1, 1
	}
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		child := childOf(node, unescapeToken(token))
		if child == nil {
			break
		}
		node = child
	}
	return max(node.Line, 1), max(node.Column, 1)
}

// Fault returns a fault with the position of its pointer.
func (s *Source) Fault(pointer, code, message string) Fault {
	line, column := s.Position(pointer)
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
