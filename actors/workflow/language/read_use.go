package language

import (
	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/actors/jq"
)

func (f field) isList() bool { return f.node.Kind == yaml.SequenceNode }

// components reads an object of named components in the order of the source.
func (o *object) components(key string, read func(string, field)) {
	f, ok := o.take(key)
	if !ok {
		return
	}
	components := f.object()
	for _, name := range components.keys {
		read(name, components.fields[name])
	}
}

// readUse reads the reusable components, in an order in which each is read before those that refer to it.
func (r *reader) readUse(o *object) {
	use := &r.workflow.Use
	*use = Use{Authentications: map[string]*Authentication{}, Errors: map[string]*ErrorDefinition{},
		Functions: map[string]*Task{}, Retries: map[string]*RetryPolicy{}, Timeouts: map[string]*Timeout{},
		Catalogs: map[string]Endpoint{}}
	use.Secrets = o.textList("secrets")
	o.components("authentications", func(name string, f field) { use.Authentications[name] = r.readAuthentication(f, false) })
	o.components("errors", func(name string, f field) { use.Errors[name] = r.readError(f) })
	o.components("timeouts", func(name string, f field) { use.Timeouts[name] = f.timeout() })
	o.components("retries", func(name string, f field) { use.Retries[name] = r.readRetry(f) })
	o.components("catalogs", func(name string, f field) {
		catalog := f.object()
		if endpoint, ok := catalog.need("endpoint"); ok {
			use.Catalogs[name] = r.readEndpoint(endpoint)
		}
		catalog.close()
	})
	if f, ok := o.fields["functions"]; ok && f.isObject() {
		r.functions = f.object().keys
	}
	o.components("functions", func(name string, f field) { use.Functions[name] = r.readTask(name, f, nil) })
	if f, ok := o.take("extensions"); ok {
		for _, item := range f.items() {
			if name, body, single := item.namedItem(); single {
				use.Extensions = append(use.Extensions, r.readExtension(name, body))
			}
		}
	}
	o.close()
}

// markUnsupported records a construct that parses and that weft does not implement.
func (r *reader) markUnsupported(f field, what string) {
	r.workflow.unsupported = append(r.workflow.unsupported, Fault{Line: max(f.node.Line, 1), Column: max(f.node.Column, 1),
		Pointer: f.pointer, Code: CodeUnsupported, Message: what + " is not supported yet"})
}

func (r *reader) readExtension(name string, f field) *Extension {
	o := f.object()
	extension := &Extension{Name: name, When: o.expression("when"),
		Extend: o.enum("extend", "", "call", "composite", "emit", "for", "listen", "raise", "run", "set", "switch",
			"try", "wait", "all")}
	o.need("extend")
	if before, ok := o.take("before"); ok {
		extension.Before = r.readTasks(before, nil)
	}
	if after, ok := o.take("after"); ok {
		extension.After = r.readTasks(after, nil)
	}
	o.close()
	return extension
}

func (r *reader) readEndpoint(f field) Endpoint {
	if text, ok := f.text(); ok {
		f.checkURI(text)
		return Endpoint{URI: text}
	}
	o := f.object()
	endpoint := Endpoint{URI: o.needText("uri")}
	if uri, ok := o.fields["uri"]; ok {
		uri.checkURI(endpoint.URI)
	}
	if policy, ok := o.take("authentication"); ok {
		endpoint.Authentication = r.readAuthentication(policy, true)
	}
	o.close()
	return endpoint
}

// checkURI checks a URI template, or an expression for a URI.
func (f field) checkURI(text string) {
	switch {
	case f.isObject() || f.isList():
	case IsExpression(text):
		f.checkExpression(text)
	case text == "":
		f.fault(CodeValue, "a URI is expected")
	default:
		_, err := ParseURITemplate(text)
		if err != nil && f.reader.workflow.Loose {
			_, err = jq.Parse(text)
		}
		if err != nil {
			f.fault(CodeValue, err.Error())
		}
	}
}

// checkURIs checks those of the fields that are given.
func (o *object) checkURIs(keys ...string) {
	for _, key := range keys {
		f, ok := o.fields[key]
		if !ok {
			continue
		}
		if f.isList() {
			for _, item := range f.items() {
				if text, isText := item.text(); isText {
					item.checkURI(text)
				}
			}
			continue
		}
		if text, isText := f.text(); isText {
			f.checkURI(text)
		}
	}
}

func (r *reader) readError(f field) *ErrorDefinition {
	o := f.object()
	definition := &ErrorDefinition{Type: o.needText("type"), Title: o.text("title"), Detail: o.text("detail"),
		Instance: o.text("instance")}
	if status, ok := o.need("status"); ok {
		definition.Status = o.data("status")
		text, isText := definition.Status.(string)
		_, isWhole := definition.Status.(int)
		if !isWhole && (!isText || !IsExpression(text)) {
			status.fault(CodeType, "a whole number is expected")
		}
	}
	for _, key := range []string{"type", "title", "detail", "instance"} {
		if o.has(key) {
			o.fields[key].checkTemplate()
		}
	}
	o.checkURIs("type")
	o.close()
	return definition
}
