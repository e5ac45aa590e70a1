package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits of a file: its size in bytes, and the nesting of its values.
const (
	maxFile    = 1 << 20
	maxDepth   = 64
	maxPointer = 4 << 10 // in bytes: each value has one
)

// Parse parses a manifest and validates it against the JSON Schema. A non-nil error is Faults.
//
// The file must be one YAML document of at most 1 MiB and 64 levels. Anchors, aliases, merge keys, custom tags and duplicate
// keys are errors.
func Parse(source []byte) (*Manifest, error) {
	return parse(source, false)
}

// parse implements Parse; trusted skips the validation against the JSON Schema.
func parse(source []byte, trusted bool) (*Manifest, error) {
	if len(source) > maxFile {
		return nil, Faults{{Message: "the file is larger than 1 MiB"}}
	}
	root, fault := document(source)
	if fault != nil {
		return nil, Faults{*fault}
	}
	r := reader{positions: positions{}}
	value := r.value(root, "", 0)
	if err := r.faults.asError(); err != nil {
		return nil, err
	}
	if !trusted {
		if err := manifestSchema().faults(value, r.positions).asError(); err != nil {
			return nil, err
		}
	}
	m := &Manifest{positions: r.positions}
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, Faults{{Message: err.Error()}}
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	if err := decoder.Decode(m); err != nil {
		return nil, Faults{{Message: err.Error()}}
	}
	return m, nil
}

var (
	yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	// yamlParser matches errors of yaml's parser, which counts lines from 0; yaml's scanner counts them from 1.
	yamlParser = regexp.MustCompile(`^did not find expected (',' or|key|node content|'-' indicator|<)`)
)

// document decodes the single document of a file.
func document(source []byte) (*yaml.Node, *Fault) {
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	var doc, more yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		return nil, syntax(err)
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, syntax(err)
		}
		return nil, &Fault{Line: more.Line, Column: more.Column, Message: "the file has more than one document"}
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, &Fault{Line: 1, Column: 1, Message: "the file is empty"}
	}
	return doc.Content[0], nil
}

// syntax converts an error of yaml to a Fault.
func syntax(err error) *Fault {
	if errors.Is(err, io.EOF) {
		return &Fault{Line: 1, Column: 1, Message: "the file is empty"}
	}
	text, line := err.Error(), 1
	if found := yamlLine.FindStringSubmatch(text); found != nil {
		text = strings.TrimPrefix(text, found[0])
		if n, err := strconv.Atoi(found[1]); err == nil {
			line = n
			if yamlParser.MatchString(text) {
				line++
			}
		}
	}
	return &Fault{Line: line, Column: 1, Message: text}
}

// reader converts YAML nodes to JSON values and records their positions.
type reader struct {
	positions positions
	faults    Faults
}

func (r *reader) fault(n *yaml.Node, pointer, message string) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, Fault{Line: n.Line, Column: n.Column, Pointer: pointer, Message: message})
	}
}

func (r *reader) value(n *yaml.Node, pointer string, depth int) any {
	if len(pointer) > maxPointer {
		r.fault(n, pointer[:maxPointer], "the names above it are too long")
		return nil
	}
	place := r.positions[pointer]
	place.line, place.column = n.Line, n.Column
	r.positions[pointer] = place
	switch {
	case depth > maxDepth:
		r.fault(n, pointer, "nested more than 64 levels deep")
		return nil
	case n.Anchor != "" || n.Kind == yaml.AliasNode:
		r.fault(n, pointer, "anchors and aliases are not supported")
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return r.object(n, pointer, depth)
	case yaml.SequenceNode:
		items := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			items = append(items, r.value(item, pointerTo(pointer, strconv.Itoa(i)), depth+1))
		}
		return items
	}
	return r.scalar(n, pointer)
}

func (r *reader) object(n *yaml.Node, pointer string, depth int) any {
	object := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, item := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.ShortTag() == "!!merge" {
			r.fault(key, pointer, "a key must be a plain scalar")
			continue
		}
		below := pointerTo(pointer, key.Value)
		if _, twice := object[key.Value]; twice {
			r.fault(key, below, "duplicate key")
			continue
		}
		r.positions[below] = position{keyLine: key.Line, keyColumn: key.Column}
		object[key.Value] = r.value(item, below, depth+1)
	}
	return object
}

func (r *reader) scalar(n *yaml.Node, pointer string) any {
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value
	case "!!null":
		return nil
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case "!!int":
		var i int64
		if n.Decode(&i) == nil {
			return r.number(n, pointer, strconv.FormatInt(i, 10))
		}
	case "!!float":
		var f float64
		if n.Decode(&f) == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return r.number(n, pointer, strconv.FormatFloat(f, 'g', -1, 64))
		}
	}
	r.fault(n, pointer, "has no JSON equivalent")
	return nil
}

// number returns a number as it is read. What is written in another way is a fault, since it may be meant as text: a version such as 1.10,
// an id such as 0123, which YAML takes for octal, or a date such as 2022_06.
func (r *reader) number(n *yaml.Node, pointer, text string) any {
	if n.Value != text {
		r.fault(n, pointer, fmt.Sprintf("is read as the number %s: write that, or %q in quotation marks if it is text", text, n.Value))
	}
	return json.Number(text)
}
