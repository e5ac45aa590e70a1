package language

import (
	"bytes"
	"errors"
	"io"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	yamlErrorLine = regexp.MustCompile(`line (\d+)`)
)

// load parses one YAML 1.2 or JSON document into its node tree.
func load(source []byte) (*yaml.Node, *Fault) {
	if len(source) > MaxSource {
		return nil, &Fault{Line: 1, Column: 1, Code: CodeTooLarge,
			Message: "the definition is larger than " + strconv.Itoa(MaxSource) + " bytes"}
	}
	return parseYAML(source)
}

// parseYAML is load without the bound on the source.
func parseYAML(source []byte) (*yaml.Node, *Fault) {
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, syntaxFault(err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, &Fault{Line: 1, Column: 1, Code: CodeSyntax, Message: "the source contains more than one document"}
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		return nil, &Fault{Line: 1, Column: 1, Code: CodeSyntax, Message: "the source contains no document"}
	}
	if !mergeKeys(&document) {
		return nil, &Fault{Line: 1, Column: 1, Code: CodeTooLarge,
			Message: "the merge keys of the definition add more than " + strconv.Itoa(MaxNodes) + " values"}
	}
	return document.Content[0], nil
}

func syntaxFault(err error) *Fault {
	fault := &Fault{Line: 1, Column: 1, Code: CodeSyntax, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	if errors.Is(err, io.EOF) {
		fault.Message = "the source is empty"
	}
	if match := yamlErrorLine.FindStringSubmatch(err.Error()); match != nil {
		if line, err := strconv.Atoi(match[1]); err == nil && line > 0 {
			fault.Line = line
		}
	}
	return fault
}

// toJSON converts a node to a JSON value, and reports what has no JSON form. Numbers are int, *big.Int or float64.
func (r *reader) toJSON(node *yaml.Node, pointer string, depth int) any {
	if r.exhausted {
		return nil
	}
	r.nodes++
	if depth > MaxDepth || r.nodes > MaxNodes || len(pointer) > MaxPointer {
		r.fault(node, Cut(pointer, MaxPointer), CodeTooLarge, "the definition is nested too deeply, has too many values, or names that are too long")
		r.exhausted = true
		return nil
	}
	switch node = resolveAlias(node); node.Kind {
	case yaml.MappingNode:
		return r.objectToJSON(node, pointer, depth)
	case yaml.SequenceNode:
		list := make([]any, 0, len(node.Content))
		for i, item := range node.Content {
			list = append(list, r.toJSON(item, pointer+"/"+strconv.Itoa(i), depth+1))
		}
		return list
	case yaml.ScalarNode:
		return r.scalarToJSON(node, pointer)
	}
	r.fault(node, pointer, CodeSyntax, "unsupported YAML node")
	return nil
}

func (r *reader) objectToJSON(node *yaml.Node, pointer string, depth int) any {
	object := make(map[string]any, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := resolveAlias(node.Content[i])
		if key.Kind != yaml.ScalarNode {
			r.fault(key, pointer, CodeType, "a key must be a string")
			continue
		}
		at := pointer + "/" + escapeToken(key.Value)
		if _, twice := object[key.Value]; twice {
			r.fault(key, at, CodeDuplicate, "duplicate key "+strconv.Quote(key.Value))
			continue
		}
		object[key.Value] = r.toJSON(node.Content[i+1], at, depth+1)
	}
	return object
}

// scalarToJSON resolves a scalar by the core schema of YAML 1.2, in which `on` and `yes` are strings.
func (r *reader) scalarToJSON(node *yaml.Node, pointer string) any {
	text := node.Value
	if node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return text
	}
	if node.Style&yaml.TaggedStyle != 0 {
		if node.ShortTag() != "!!str" {
			r.fault(node, pointer, CodeType, "tags are not accepted")
		}
		return text
	}
	switch text {
	case "", "~", "null", "Null", "NULL":
		return nil
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	case ".inf", ".Inf", ".INF", "+.inf", "-.inf", ".nan", ".NaN", ".NAN":
		r.fault(node, pointer, CodeType, "infinity and not-a-number have no JSON form")
		return nil
	}
	if !isNumber(text) {
		return text
	}
	number, err := Number(text)
	if err != nil {
		r.fault(node, pointer, CodeValue, err.Error())
	}
	return number
}

// Integer converts an integer to int if it fits, and to *big.Int otherwise: the forms that expressions use.
func Integer(value *big.Int) any {
	if value.IsInt64() {
		return int(value.Int64())
	}
	return value
}

// resolveAlias follows an alias to its anchor.
func resolveAlias(node *yaml.Node) *yaml.Node {
	for range 8 {
		if node.Kind != yaml.AliasNode {
			break
		}
		node = node.Alias
	}
	return node
}
