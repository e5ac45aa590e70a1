package language

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader reads a document and collects its faults.
type reader struct {
	faults    Faults
	nodes     int
	tasks     int
	exhausted bool
	workflow  *Workflow
	source    Source
	// expressions are the expressions of the definition, variables the names that its tasks define.
	expressions []locatedExpression
	variables   []string
	// expressionText is the length of their texts together, schemaObjects how many objects the schemas have.
	expressionText, schemaObjects int
	// functions are the names of use.functions. secretsAllowed counts the enclosing parts in which $secrets may be used.
	functions      []string
	secretsAllowed int
}

// allowSecrets reads a part whose values are never written to an execution's log, so it may use $secrets.
func (r *reader) allowSecrets(read func()) {
	r.secretsAllowed++
	read()
	r.secretsAllowed--
}

// maxFaultMessage bounds the message of a fault, in bytes: it can repeat an expression or a name.
const maxFaultMessage = 2_000

func (r *reader) fault(node *yaml.Node, pointer, code, message string) {
	line, column := 1, 1
	if node != nil {
		line, column = max(node.Line, 1), max(node.Column, 1)
	}
	r.faults = append(r.faults, Fault{Line: line, Column: column, Pointer: pointer, Code: code, Message: Cut(message, maxFaultMessage)})
}

func (r *reader) warn(f field, message string) {
	r.workflow.warnings = append(r.workflow.warnings, Fault{Line: max(f.node.Line, 1), Column: max(f.node.Column, 1),
		Pointer: f.pointer, Code: CodeWarning, Message: message})
}

// field is a value with its position.
type field struct {
	reader  *reader
	node    *yaml.Node
	pointer string
}

func (f field) fault(code, message string) { f.reader.fault(f.node, f.pointer, code, message) }

// scalar is the value by the core schema; nil for mappings and sequences.
func (f field) scalar() any {
	if f.node.Kind != yaml.ScalarNode {
		return nil
	}
	probe := reader{}
	return probe.scalarToJSON(f.node, f.pointer)
}

func (f field) text() (string, bool) {
	text, ok := f.scalar().(string)
	return text, ok
}

// value is the whole value as JSON. Its faults were reported when the document was converted.
func (f field) value() any {
	probe := reader{nodes: 0}
	return probe.toJSON(f.node, f.pointer, 0)
}

func (f field) isObject() bool { return f.node.Kind == yaml.MappingNode }

func (f field) items() []field {
	if f.node.Kind != yaml.SequenceNode {
		f.fault(CodeType, "a list is expected")
		return nil
	}
	items := make([]field, len(f.node.Content))
	for i, node := range f.node.Content {
		items[i] = field{f.reader, resolveAlias(node), f.pointer + "/" + strconv.Itoa(i)}
	}
	return items
}

// object is a mapping whose fields are taken one by one; close reports those that were not taken.
type object struct {
	field
	keys   []string
	fields map[string]field
	keyAt  map[string]*yaml.Node
	taken  map[string]bool
	broken bool
	// alternatives are fields besides those taken that could have been given.
	alternatives []string
}

func (f field) object() *object {
	o := &object{field: f, fields: map[string]field{}, keyAt: map[string]*yaml.Node{}, taken: map[string]bool{}}
	if !f.isObject() {
		f.fault(CodeType, "an object is expected")
		o.broken = true
		return o
	}
	for i := 0; i+1 < len(f.node.Content); i += 2 {
		key := resolveAlias(f.node.Content[i])
		if _, twice := o.fields[key.Value]; twice || key.Kind != yaml.ScalarNode {
			continue
		}
		o.keys = append(o.keys, key.Value)
		o.keyAt[key.Value] = key
		o.fields[key.Value] = field{f.reader, resolveAlias(f.node.Content[i+1]), f.pointer + "/" + escapeToken(key.Value)}
	}
	return o
}

func (o *object) has(key string) bool { _, ok := o.fields[key]; return ok }

// take returns a field; a null field counts as absent.
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

// close reports the fields that were not taken.
func (o *object) close() {
	for _, key := range o.keys {
		if !o.taken[key] {
			o.unknown(key)
		}
	}
}

// closeOpen is close for an object that the specification's schema leaves open to further fields, which are ignored. A
// field whose name is almost that of a defined one is taken for misspelt.
func (o *object) closeOpen() {
	for _, key := range o.keys {
		switch {
		case o.taken[key] || strings.HasPrefix(key, "x-"):
		case misspelt(key, slices.Collect(maps.Keys(o.taken))) != "":
			o.unknown(key)
		default:
			o.reader.warn(o.fields[key], "the specification does not define the field "+strconv.Quote(key)+": it is ignored")
		}
	}
}

// unknown reports a field that is not defined here, with the one that was probably meant.
func (o *object) unknown(key string) {
	free := slices.Clone(o.alternatives)
	for name := range o.taken {
		if !o.has(name) {
			free = append(free, name)
		}
	}
	hint := DidYouMean(key, free)
	if hint == "" {
		delete(o.taken, key)
		hint = expected(slices.AppendSeq(slices.Clone(o.alternatives), maps.Keys(o.taken)))
	}
	o.reader.fault(o.keyAt[key], o.pointer+"/"+escapeToken(key), CodeUnknownField, "unknown field "+strconv.Quote(key)+hint)
}

// reference reports a name that a section of use does not define, with the one that was probably meant.
func (f field) reference(section, name string, defined []string) {
	hint := DidYouMean(name, defined)
	if hint == "" {
		hint = expected(defined)
	}
	f.fault(CodeReference, section+" has no "+strconv.Quote(name)+hint)
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
		f.fault(CodeValue, "one of "+strings.Join(allowed, ", ")+" is expected"+DidYouMean(text, allowed))
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

func (o *object) integer(key string) int {
	f, ok := o.take(key)
	if !ok {
		return 0
	}
	value, ok := f.scalar().(int)
	if !ok {
		f.fault(CodeType, "an integer is expected")
	}
	return value
}

func (o *object) textList(key string) []string {
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

// data takes an arbitrary JSON value whose `${ }` strings must be valid expressions.
func (o *object) data(key string) any {
	f, ok := o.take(key)
	if !ok {
		return nil
	}
	f.checkTemplate()
	return f.value()
}

// namedItem reads an object with exactly one key: a named item of a list.
func (f field) namedItem() (string, field, bool) {
	if !f.isObject() || len(f.node.Content) != 2 {
		f.fault(CodeType, "an object with exactly one name is expected")
		return "", f, false
	}
	key := resolveAlias(f.node.Content[0])
	return key.Value, field{f.reader, resolveAlias(f.node.Content[1]), f.pointer + "/" + escapeToken(key.Value)}, true
}
