package language

import (
	"maps"
	"slices"
	"strconv"
)

func (r *reader) retryPolicy(f field) *RetryPolicy {
	name, isText := f.text()
	if !isText {
		return r.readRetry(f)
	}
	policy, known := r.workflow.Use.Retries[name]
	if !known {
		f.reference("use.retries", name, slices.Collect(maps.Keys(r.workflow.Use.Retries)))
	}
	return policy
}

func (r *reader) readRetry(f field) *RetryPolicy {
	o := f.object()
	policy := &RetryPolicy{When: o.expression("when"), ExceptWhen: o.expression("exceptWhen"),
		Delay: o.duration("delay"), Backoff: Backoff{Kind: "constant", Factor: 2}}
	o.warnOfErrorFields("error")
	if backoff, ok := o.take("backoff"); ok {
		policy.Backoff = readBackoff(backoff.object())
	}
	if limit, ok := o.take("limit"); ok {
		readLimit(policy, limit.object())
	}
	if jitter, ok := o.take("jitter"); ok {
		config := jitter.object()
		config.need("from")
		config.need("to")
		policy.JitterFrom, policy.JitterTo = config.duration("from"), config.duration("to")
		config.close()
	}
	o.close()
	return policy
}

func readBackoff(o *object) Backoff {
	backoff := Backoff{Factor: 2}
	for _, kind := range []string{"constant", "linear", "exponential"} {
		f, ok := o.fields[kind]
		o.taken[kind] = true
		if !ok {
			continue
		}
		if backoff.Kind != "" {
			f.fault(CodeValue, "only one of constant, linear, exponential may be given")
		}
		backoff.Kind = kind
		if !f.isObject() {
			if f.scalar() != nil || f.isList() {
				f.fault(CodeType, "an object is expected")
			}
			continue
		}
		readBackoffOf(&backoff, f.object())
	}
	if backoff.Kind == "" && !o.broken {
		o.fault(CodeMissing, "one of constant, linear, exponential is required")
	}
	o.close()
	return backoff
}

func readBackoffOf(backoff *Backoff, o *object) {
	if backoff.Kind == "linear" {
		backoff.Increment = o.duration("increment")
	}
	if backoff.Kind == "exponential" && o.has("factor") {
		factor, ok := asFloat(o.data("factor"))
		if !ok || factor < 1 || factor > 100 {
			o.fields["factor"].fault(CodeValue, "a number from 1 to 100 is expected")
		}
		backoff.Factor = factor
	}
	if backoff.Kind != "constant" {
		backoff.MaxDelay = o.duration("maxDelay")
	}
	o.close()
}

func readLimit(policy *RetryPolicy, o *object) {
	if f, ok := o.take("attempt"); ok {
		attempt := f.object()
		policy.Attempts = attempt.integer("count")
		if attempt.has("count") && policy.Attempts < 1 {
			attempt.fields["count"].fault(CodeValue, "a count from 1 is expected")
		}
		policy.AttemptDuration = attempt.duration("duration")
		attempt.close()
	}
	policy.Duration = o.duration("duration")
	o.close()
}

func (r *reader) readInput(o *object) *Input {
	f, ok := o.take("input")
	if !ok {
		return nil
	}
	config := f.object()
	input := &Input{Schema: r.readSchema(config), From: config.transformation("from")}
	config.close()
	return input
}

func (r *reader) readOutput(o *object) *Output {
	f, ok := o.take("output")
	if !ok {
		return nil
	}
	config := f.object()
	output := &Output{Schema: r.readSchema(config), As: config.transformation("as")}
	config.close()
	return output
}

func (r *reader) readExport(o *object) *Export {
	f, ok := o.take("export")
	if !ok {
		return nil
	}
	config := f.object()
	export := &Export{Schema: r.readSchema(config), As: config.transformation("as")}
	config.close()
	return export
}

// transformation takes a string, which is an expression with or without `${ }`, or an object that contains expressions.
func (o *object) transformation(key string) any {
	f, ok := o.take(key)
	if !ok {
		return nil
	}
	if text, isText := f.text(); isText {
		f.checkExpression(text)
		return text
	}
	if !f.isObject() {
		f.fault(CodeType, "an expression or an object is expected")
	}
	return o.data(key)
}

func (r *reader) readSchema(o *object) *Schema {
	f, ok := o.take("schema")
	if !ok {
		return nil
	}
	config := f.object()
	schema := &Schema{Format: config.text("format"), Pointer: f.pointer}
	if schema.Format != "" && schema.Format != "json" && schema.Format != "json:2020-12" && schema.Format != "json:draft-07" {
		r.markUnsupported(config.fields["format"], "schemas of the format "+strconv.Quote(schema.Format))
	}
	document, inline := config.take("document")
	resource, external := config.take("resource")
	switch {
	case inline == external:
		f.fault(CodeMissing, "one of document and resource is required")
	case inline:
		schema.Document = document.value()
		r.compileSchema(document, schema)
	default:
		body := resource.object()
		body.text("name")
		if endpoint, ok := body.need("endpoint"); ok {
			location := r.readEndpoint(endpoint)
			schema.Resource = &location
		}
		body.close()
		location := Reference{Pointer: f.pointer}
		if schema.Resource != nil && schema.Resource.Authentication == nil {
			location.URI = schema.Resource.URI
		}
		r.addReference(resource, "a schema from an external resource", location)
	}
	config.close()
	return schema
}
