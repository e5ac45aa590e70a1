package definition

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// The escapes of RFC 6901 §3. Both replacers try their patterns in one pass, so "~01" becomes "~1" and not "/".
var (
	escapePointer   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")
)

// faultAt returns a fault with the position of pointer in source.
func faultAt(source []byte, pointer, code, message string) language.Fault {
	line, column := locate(source, pointer)
	return language.Fault{Line: line, Column: column, Pointer: pointer, Code: code, Message: message}
}

// locate returns the position, from 1, of the value at an RFC 6901 pointer, or of its nearest ancestor that source contains.
// It returns 1, 1 if source is not YAML or is empty.
func locate(source []byte, pointer string) (line, column int) {
	var document yaml.Node
	if yaml.Unmarshal(source, &document) != nil || len(document.Content) == 0 {
		return 1, 1
	}
	node := document.Content[0]
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		child := childOf(node, unescapePointer.Replace(token))
		if child == nil {
			break
		}
		node = child
	}
	return max(node.Line, 1), max(node.Column, 1)
}

// childOf returns the element of a sequence or the value of a mapping that token names; nil if there is none.
func childOf(node *yaml.Node, token string) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
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
