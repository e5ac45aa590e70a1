package definition

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/schedule"
)

// scheduleFaults are the faults of a definition's schedule, with their places in the source.
func scheduleFaults(source []byte, w *language.Workflow) (faults language.Faults) {
	_, wrong := schedule.FromWorkflow(w)
	for _, f := range wrong {
		line, column := locate(source, f.Pointer)
		faults = append(faults, language.Fault{Line: line, Column: column, Pointer: f.Pointer, Code: f.Code, Message: f.Message})
	}
	return faults
}

// locate finds the place of the value at a JSON pointer, or of the nearest one around it that there is.
func locate(source []byte, pointer string) (line, column int) {
	var document yaml.Node
	if yaml.Unmarshal(source, &document) != nil || len(document.Content) == 0 {
		return 1, 1
	}
	node := document.Content[0]
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		child := childOf(node, token)
		if child == nil {
			break
		}
		node = child
	}
	return max(node.Line, 1), max(node.Column, 1)
}

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
