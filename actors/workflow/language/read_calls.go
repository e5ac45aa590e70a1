package language

import (
	"maps"
	"slices"
	"strings"
)

func (r *reader) readCall(task *Task, o *object) {
	task.Call = &Call{Function: o.needText("call")}
	call := task.Call
	if slices.Contains(r.functions, call.Function) {
		// The arguments are the input of the function's task, which is written to the log, so $secrets is not allowed.
		call.With, _ = o.data("with").(map[string]any)
		return
	}
	r.secretsAllowed++
	defer func() { r.secretsAllowed-- }()
	arguments, given := o.take("with")
	if _, protocol := unsupportedProtocols[call.Function]; given && protocol {
		call.With = o.objectValue("with")
	} else if given {
		call.With, _ = o.data("with").(map[string]any)
	}
	if given {
		if !arguments.isObject() {
			arguments.fault(CodeType, "an object is expected")
			return
		}
	}
	switch call.Function {
	case CallHTTP, CallOpenAPI, CallGRPC, CallAsyncAPI, CallA2A, CallMCP:
		if !given {
			o.fault(CodeMissing, "the field \"with\" is required")
			return
		}
	}
	switch call.Function {
	case CallHTTP:
		call.HTTP = r.readHTTP(arguments.object())
	case CallOpenAPI:
		call.OpenAPI = r.readOpenAPI(arguments.object())
	case CallGRPC, CallAsyncAPI, CallA2A, CallMCP:
		r.readUnsupportedCall(call.Function, arguments.object())
		r.markUnsupported(o.field, "call: "+call.Function)
	default:
		call.Function = r.catalogFunction(o)
	}
}

// DefaultCatalog is the name of the catalog that contains weft's own functions.
const DefaultCatalog = "default"

// catalogFunction returns the name of a function of the default catalog, which may be written with its version and
// catalog, as name:1.0.0@default. Functions of other catalogs are unsupported until they are inlined.
func (r *reader) catalogFunction(o *object) string {
	f := o.fields["call"]
	text, _ := f.text()
	if strings.Contains(text, "://") {
		r.addReference(f, "a function referenced by URI", Reference{Pointer: o.pointer, URI: text, Function: text})
		return text
	}
	name, catalog, named := strings.Cut(text, "@")
	if named && catalog == DefaultCatalog {
		name, version, versioned := strings.Cut(name, ":")
		if versioned && !semanticVersion.MatchString(version) {
			f.fault(CodeValue, "a function is written name:version@catalog, with a semantic version")
		}
		return name
	}
	if !named {
		return text
	}
	endpoint, known := r.workflow.Use.Catalogs[catalog]
	if !known {
		f.reference("use.catalogs", catalog, append(slices.Collect(maps.Keys(r.workflow.Use.Catalogs)), DefaultCatalog))
		return text
	}
	reference := Reference{Pointer: o.pointer, Function: text}
	if endpoint.Authentication == nil {
		reference.URI = functionURI(endpoint.URI, name)
	}
	r.addReference(f, "a function of an external catalog", reference)
	return text
}

func (r *reader) readHTTP(o *object) *HTTPCall {
	call := &HTTPCall{Method: o.needText("method"), Body: o.data("body"), HasBody: o.has("body"),
		Output:   o.enum("output", "content", "content", "response", "raw"),
		Redirect: o.boolean("redirect", false), Headers: o.textMap("headers"), Query: o.textMap("query")}
	if f, ok := o.need("endpoint"); ok {
		call.Endpoint = r.readEndpoint(f)
	}
	o.close()
	return call
}

// textMap reads a map of names to values, or an expression for one.
func (o *object) textMap(key string) any {
	f, ok := o.take(key)
	if !ok {
		return nil
	}
	text, isText := f.text()
	if !f.isObject() && (!isText || !IsExpression(text)) {
		f.fault(CodeType, "an object or an expression is expected")
	}
	return o.data(key)
}

func (r *reader) readOpenAPI(o *object) *OpenAPICall {
	call := &OpenAPICall{OperationID: o.needText("operationId"), Redirect: o.boolean("redirect", false),
		Output: o.enum("output", "content", "content", "response", "raw")}
	if o.has("parameters") {
		o.objectValue("parameters")
		call.Parameters, _ = o.data("parameters").(map[string]any)
	}
	if f, ok := o.need("document"); ok {
		document := f.object()
		document.text("name")
		if endpoint, ok := document.need("endpoint"); ok {
			call.Document = r.readEndpoint(endpoint)
		}
		document.close()
	}
	if f, ok := o.take("authentication"); ok {
		call.Authentication = r.readAuthentication(f, true)
	}
	o.close()
	return call
}

var unsupportedProtocols = map[string]struct{ required, optional []string }{
	CallGRPC: {[]string{"proto", "service", "method"}, []string{"arguments"}},
	CallAsyncAPI: {[]string{"document"}, []string{"channel", "operation", "server", "protocol", "message",
		"subscription", "authentication"}},
	CallA2A: {[]string{"method"}, []string{"agentCard", "server", "parameters"}},
	CallMCP: {[]string{"method", "transport"}, []string{"protocolVersion", "parameters", "timeout", "client"}},
}

// readUnsupportedCall checks the arguments of a protocol that weft does not implement: their names only.
func (r *reader) readUnsupportedCall(protocol string, o *object) {
	for _, key := range unsupportedProtocols[protocol].required {
		o.need(key)
	}
	for _, key := range unsupportedProtocols[protocol].optional {
		o.take(key)
	}
	o.close()
}

func readEmit(o *object) map[string]any {
	f, ok := o.need("emit")
	if !ok {
		return nil
	}
	config := f.object()
	var attributes map[string]any
	if event, ok := config.need("event"); ok {
		definition := event.object()
		if properties, ok := definition.need("with"); ok {
			properties.object().needText("type")
			attributes, _ = definition.data("with").(map[string]any)
			properties.object().checkURIs("source", "dataschema")
		}
		definition.close()
	}
	config.close()
	return attributes
}

func (r *reader) readRun(o *object) *Run {
	run := &Run{}
	f, ok := o.need("run")
	if !ok {
		return run
	}
	config := f.object()
	run.Await = config.boolean("await", true)
	run.Return = config.enum("return", "stdout", "stdout", "stderr", "code", "all", "none")
	for _, kind := range []string{"container", "script", "shell", "workflow"} {
		body, ok := config.take(kind)
		if !ok {
			continue
		}
		if run.Kind != "" {
			body.fault(CodeValue, "only one process may be given")
		}
		run.Kind = kind
		if kind == "workflow" {
			run.Workflow = readRunWorkflow(body.object())
		} else {
			run.Process = r.readProcess(kind, config)
			r.markUnsupported(body, "run: "+kind)
		}
	}
	if run.Kind == "" && !config.broken {
		f.fault(CodeMissing, "one of container, script, shell, workflow is required")
	}
	config.close()
	return run
}

func readRunWorkflow(o *object) *RunWorkflow {
	run := &RunWorkflow{Namespace: o.needText("namespace"), Name: o.needText("name"), Version: o.needText("version"),
		Input: o.data("input")}
	o.close()
	return run
}

var unsupportedProcesses = map[string]struct{ required, optional []string }{
	"container": {[]string{"image"}, []string{"name", "command", "ports", "volumes", "environment", "stdin", "arguments",
		"lifetime", "pullPolicy"}},
	"script": {[]string{"language"}, []string{"code", "source", "stdin", "arguments", "environment"}},
	"shell":  {[]string{"command"}, []string{"stdin", "arguments", "environment"}},
}

func (r *reader) readProcess(kind string, config *object) map[string]any {
	body := config.fields[kind].object()
	for _, key := range unsupportedProcesses[kind].required {
		body.need(key)
	}
	for _, key := range unsupportedProcesses[kind].optional {
		body.take(key)
	}
	body.close()
	process, _ := config.fields[kind].value().(map[string]any)
	return process
}
