package language

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader collects faults while a document is read.
type reader struct {
	faults    Faults
	nodes     int
	tasks     int
	exhausted bool
	workflow  *Workflow
	// expressions are those of the definition, variables the names that its tasks define.
	expressions []written
	variables   []string
	// functions are the names of use.functions; seals counts the places around, in which $secrets may be used.
	functions []string
	seals     int
}

// sealed reads what never gets into an execution's log, so that secrets may be in it.
func (r *reader) sealed(read func()) {
	r.seals++
	read()
	r.seals--
}

func (r *reader) fault(node *yaml.Node, pointer, code, message string) {
	line, column := 1, 1
	if node != nil {
		line, column = max(node.Line, 1), max(node.Column, 1)
	}
	r.faults = append(r.faults, Fault{Line: line, Column: column, Pointer: pointer, Code: code, Message: message})
}

// field is a value with its place.
type field struct {
	reader  *reader
	node    *yaml.Node
	pointer string
}

func (f field) fault(code, message string) { f.reader.fault(f.node, f.pointer, code, message) }

// scalar is the value as the core schema has it; nil for mappings and sequences.
func (f field) scalar() any {
	if f.node.Kind != yaml.ScalarNode {
		return nil
	}
	probe := reader{}
	return probe.plainScalar(f.node, f.pointer)
}

func (f field) text() (string, bool) {
	text, ok := f.scalar().(string)
	return text, ok
}

// value is the whole value as JSON. Its faults were reported when the document was converted.
func (f field) value() any {
	probe := reader{nodes: 0}
	return probe.plain(f.node, f.pointer, 0)
}

func (f field) isObject() bool { return f.node.Kind == yaml.MappingNode }

func (f field) items() []field {
	if f.node.Kind != yaml.SequenceNode {
		f.fault(CodeType, "a list is expected")
		return nil
	}
	items := make([]field, len(f.node.Content))
	for i, node := range f.node.Content {
		items[i] = field{f.reader, resolve(node), f.pointer + "/" + strconv.Itoa(i)}
	}
	return items
}

// object is a mapping whose fields are taken one by one; close reports those that nobody took.
type object struct {
	field
	keys   []string
	fields map[string]field
	keyAt  map[string]*yaml.Node
	taken  map[string]bool
	broken bool
}

func (f field) object() *object {
	o := &object{field: f, fields: map[string]field{}, keyAt: map[string]*yaml.Node{}, taken: map[string]bool{}}
	if !f.isObject() {
		f.fault(CodeType, "an object is expected")
		o.broken = true
		return o
	}
	for i := 0; i+1 < len(f.node.Content); i += 2 {
		key := resolve(f.node.Content[i])
		if _, twice := o.fields[key.Value]; twice || key.Kind != yaml.ScalarNode {
			continue
		}
		o.keys = append(o.keys, key.Value)
		o.keyAt[key.Value] = key
		o.fields[key.Value] = field{f.reader, resolve(f.node.Content[i+1]), f.pointer + "/" + escape(key.Value)}
	}
	return o
}

func (o *object) has(key string) bool { _, ok := o.fields[key]; return ok }

// take returns a field; a field that is null counts as absent.
func (o *object) take(key string) (field, bool) {
	f, ok := o.fields[key]
	o.taken[key] = true
	if ok && f.node.Kind == yaml.ScalarNode && f.scalar() == nil {
		return f, false
	}
	return f, ok
}

func (o *object) need(key string) (field, bool) {
	f, ok := o.take(key)
	if !ok && !o.broken {
		o.fault(CodeMissing, "the field "+strconv.Quote(key)+" is required")
	}
	return f, ok
}

func (o *object) close() {
	for _, key := range o.keys {
		if !o.taken[key] {
			o.reader.fault(o.keyAt[key], o.pointer+"/"+escape(key), CodeUnknownField,
				"the field "+strconv.Quote(key)+" is not known here")
		}
	}
}

func (o *object) needText(key string) string {
	if f, ok := o.need(key); ok {
		return f.needText()
	}
	return ""
}

func (f field) needText() string {
	text, ok := f.text()
	if !ok {
		f.fault(CodeType, "a string is expected")
	}
	return text
}

func (o *object) text(key string) string {
	if f, ok := o.take(key); ok {
		return f.needText()
	}
	return ""
}

func (o *object) enum(key, fallback string, allowed ...string) string {
	f, ok := o.take(key)
	if !ok {
		return fallback
	}
	text := f.needText()
	if text != "" && !slices.Contains(allowed, text) {
		f.fault(CodeValue, "one of "+strings.Join(allowed, ", ")+" is expected")
	}
	return text
}

func (o *object) boolean(key string, fallback bool) bool {
	f, ok := o.take(key)
	if !ok {
		return fallback
	}
	value, ok := f.scalar().(bool)
	if !ok {
		f.fault(CodeType, "true or false is expected")
	}
	return value
}

func (o *object) whole(key string) int {
	f, ok := o.take(key)
	if !ok {
		return 0
	}
	value, ok := f.scalar().(int)
	if !ok {
		f.fault(CodeType, "a whole number is expected")
	}
	return value
}

func (o *object) texts(key string) []string {
	f, ok := o.take(key)
	if !ok {
		return nil
	}
	var texts []string
	for _, item := range f.items() {
		texts = append(texts, item.needText())
	}
	return texts
}

// data takes a free JSON value, whose `${ }` strings must be expressions.
func (o *object) data(key string) any {
	f, ok := o.take(key)
	if !ok {
		return nil
	}
	f.checkTemplate()
	return f.value()
}

// single reads an object of exactly one key: a named item of a list.
func (f field) single() (string, field, bool) {
	if !f.isObject() || len(f.node.Content) != 2 {
		f.fault(CodeType, "an object with exactly one name is expected")
		return "", f, false
	}
	key := resolve(f.node.Content[0])
	return key.Value, field{f.reader, resolve(f.node.Content[1]), f.pointer + "/" + escape(key.Value)}, true
}
