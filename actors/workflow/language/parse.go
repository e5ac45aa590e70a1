package language

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
)

var (
	dnsLabel        = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)
	semanticVersion = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	variableName    = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`)
)

// Parse reads a definition from YAML 1.2 or JSON. It returns all the faults it finds, in the order of the source; the
// workflow is nil if there are any.
func Parse(source []byte) (*Workflow, Faults) {
	w, _, faults := Read(source)
	if len(faults) > 0 {
		return nil, faults
	}
	w.Complete()
	return w, nil
}

// Complete makes a workflow without faults that Read has returned one of Parse. It is called once.
func (w *Workflow) Complete() {
	w.applyExtensions()
	w.markSecrets()
	w.Canonical = Canonical(w.Definition)
	w.weight += byteWeight * len(w.Canonical)
	sum := sha256.Sum256(w.Canonical)
	w.Digest = "sha256:" + hex.EncodeToString(sum[:])
}

// Read is Parse for further checks of a definition: it returns the workflow also if it has faults, and the positions of its values. What is
// faulty is then missing in the workflow or has its zero value, extensions are not applied, and there is no digest. The workflow is nil
// only if the source is not one document that holds an object.
func Read(source []byte) (*Workflow, *Source, Faults) {
	root, fault := load(source)
	if fault != nil {
		return nil, nil, Faults{*fault}
	}
	r := &reader{workflow: &Workflow{tasks: map[string]*Task{}}}
	root = resolveAlias(root)
	definition, isObject := r.toJSON(root, "", 0).(map[string]any)
	if r.exhausted {
		return nil, nil, r.faults.sorted()
	}
	r.source = Source{root}
	top := field{r, root, ""}
	if !isObject {
		top.fault(CodeType, "a definition is an object")
		return nil, nil, r.faults.sorted()
	}
	r.readWorkflow(top.object())
	r.check()
	w := r.workflow
	w.count = len(w.tasks)
	w.Definition = definition
	w.weight = expressionWeight*len(r.expressions) + schemaWeight*r.schemaObjects
	w.unsupported, w.warnings = w.unsupported.sorted(), w.warnings.sorted().first()
	return w, &r.source, r.faults.sorted().unique().first()
}

func (r *reader) readWorkflow(o *object) {
	w := r.workflow
	if f, ok := o.need("document"); ok {
		w.Document = r.readDocument(f.object())
	}
	if f, ok := o.take("evaluate"); ok {
		evaluate := f.object()
		evaluate.enum("language", "jq", "jq")
		w.Loose = evaluate.enum("mode", "strict", "strict", "loose") == "loose"
		evaluate.close()
	}
	w.Input = r.readInput(o)
	w.Output = r.readOutput(o)
	if f, ok := o.take("use"); ok {
		r.readUse(f.object())
	}
	w.Timeout = r.readTimeout(o)
	if f, ok := o.take("schedule"); ok {
		w.Schedule = r.readSchedule(f.object())
	}
	if f, ok := o.need("do"); ok {
		w.Do = r.readTasks(f, nil)
		if f.isList() && len(f.node.Content) == 0 {
			f.fault(CodeValue, "a workflow needs at least one task")
		}
	}
	o.closeOpen()
}

func (r *reader) readDocument(o *object) Document {
	document := Document{
		DSL: o.matchingText("dsl", semanticVersion, "a semantic version"), Namespace: o.matchingText("namespace", dnsLabel, "a DNS label"),
		Name: o.matchingText("name", dnsLabel, "a DNS label"), Version: o.matchingText("version", semanticVersion, "a semantic version"),
		Title: o.text("title"), Summary: o.text("summary"), Tags: o.objectValue("tags"), Metadata: o.objectValue("metadata"),
	}
	if document.DSL != "" && document.DSL[:2] != "1." {
		o.fields["dsl"].fault(CodeValue, "only version 1.x.y of the specification is supported")
	}
	o.close()
	return document
}

func (o *object) matchingText(key string, pattern *regexp.Regexp, what string) string {
	f, ok := o.need(key)
	if !ok {
		return ""
	}
	text, isText := f.text()
	if !isText || !pattern.MatchString(text) {
		f.fault(CodeValue, what+" is expected")
		return ""
	}
	return text
}

func (o *object) objectValue(key string) map[string]any {
	f, ok := o.take(key)
	if !ok {
		return nil
	}
	value, isObject := f.value().(map[string]any)
	if !isObject {
		f.fault(CodeType, "an object is expected")
	}
	return value
}

func (r *reader) readSchedule(o *object) *Schedule {
	s := &Schedule{Every: o.duration("every"), After: o.duration("after"), Cron: o.text("cron"),
		Read: o.enum("read", "data", "data", "envelope", "raw")}
	if f, ok := o.take("on"); ok {
		s.On = r.readConsumption(f)
	}
	if s.On == nil && o.has("read") {
		o.fields["read"].fault(CodeValue, "read is allowed only with on")
	}
	for _, key := range []string{"every", "after"} {
		length := s.Every
		if key == "after" {
			length = s.After
		}
		if length == nil {
			continue
		}
		if _, err := DurationOf(o.fields[key].value()); length.Expression != "" || err == nil && length.Value <= 0 {
			o.fields[key].fault(CodeValue, "the duration of a schedule must be positive and constant")
		}
	}
	o.close()
	return s
}

func (r *reader) readTimeout(o *object) *Timeout {
	f, ok := o.take("timeout")
	if !ok {
		return nil
	}
	if name, isText := f.text(); isText {
		timeout, known := r.workflow.Use.Timeouts[name]
		if !known {
			f.reference("use.timeouts", name, slices.Collect(maps.Keys(r.workflow.Use.Timeouts)))
		}
		return timeout
	}
	return f.timeout()
}

func (f field) timeout() *Timeout {
	o := f.object()
	timeout := &Timeout{}
	if _, ok := o.need("after"); ok {
		timeout.After = *o.duration("after")
	}
	o.close()
	return timeout
}
