package language

import (
	"slices"
	"strings"
)

// IsLiteral tells whether the text of a filter means itself and is no regular expression. A dot alone makes none.
func IsLiteral(text string) bool { return !strings.ContainsAny(text, `\*+?()[]{}|^$`) }

// Types are the event types that a consumption names literally; nil when it may consume events of any type.
func (c *Consumption) Types() []string {
	if len(c.Filters) == 0 {
		return nil
	}
	filters := c.Filters
	if c.Until != nil {
		filters = append(slices.Clone(filters), c.Until.Filters...)
		if len(c.Until.Filters) == 0 {
			return nil
		}
	}
	var types []string
	for _, filter := range filters {
		kind, isText := filter.With["type"].(string)
		if !isText || IsExpression(kind) || !IsLiteral(kind) {
			return nil
		}
		if !slices.Contains(types, kind) {
			types = append(types, kind)
		}
	}
	return types
}

// Forever tells whether the consumption never ends by itself: its condition is the constant false.
func (c *Consumption) Forever() bool { return strings.TrimSpace(body(c.UntilCondition)) == "false" }

// Read is what a consumer gets of a CloudEvent: its data, its data as text (raw), or the whole of it (envelope). Data
// that is binary is base64 text.
func Read(event map[string]any, read string) any {
	if read == "envelope" {
		return event
	}
	data, given := event["data"]
	if !given {
		data = event["data_base64"]
	}
	if read == "raw" && data != nil {
		return Text(data)
	}
	return data
}

func (r *reader) readListen(task *Task, o *object) {
	listen := &Listen{}
	task.Listen = listen
	if f, ok := o.need("listen"); ok {
		config := f.object()
		if to, ok := config.need("to"); ok {
			listen.To = *r.readConsumption(to)
		}
		listen.Read = config.enum("read", "data", "data", "envelope", "raw")
		config.close()
	}
	f, ok := o.take("foreach")
	if !ok {
		return
	}
	each := f.object()
	listen.Foreach = &Foreach{Item: each.variable("item", "item"), At: each.variable("at", "index"),
		Output: r.readOutput(each), Export: r.readExport(each)}
	if do, ok := each.take("do"); ok {
		listen.Foreach.Do = r.readTasks(do, with(task.Scope, listen.Foreach.Item, listen.Foreach.At))
	}
	each.close()
}

func (r *reader) readConsumption(f field) *Consumption {
	o, consumption := f.object(), &Consumption{}
	for _, mode := range []string{"one", "any", "all"} {
		body, ok := o.take(mode)
		if !ok {
			continue
		}
		if consumption.Mode != "" {
			body.fault(CodeValue, "only one of one, any, all may be given")
		}
		consumption.Mode = mode
		if mode == "one" {
			consumption.Filters = []EventFilter{readEventFilter(body)}
			continue
		}
		for _, item := range body.items() {
			consumption.Filters = append(consumption.Filters, readEventFilter(item))
		}
	}
	if consumption.Mode == "" && !o.broken {
		f.fault(CodeMissing, "one of one, any, all is required")
	}
	if until, ok := o.take("until"); ok {
		if consumption.Mode != "any" {
			until.fault(CodeValue, "until goes with any only")
		}
		if text, isText := until.text(); isText {
			until.checkExpression(text)
			consumption.UntilCondition = text
		} else {
			consumption.Until = r.readConsumption(until)
		}
	}
	o.close()
	return consumption
}

func readEventFilter(f field) EventFilter {
	o, filter := f.object(), EventFilter{}
	if with, ok := o.need("with"); ok {
		filter.With, _ = o.data("with").(map[string]any)
		if len(filter.With) == 0 {
			with.fault(CodeValue, "a filter needs at least one attribute")
		}
	}
	o.named("correlate", func(name string, f field) {
		if filter.Correlate == nil {
			filter.Correlate = map[string]Correlation{}
		}
		correlation := f.object()
		filter.Correlate[name] = Correlation{From: correlation.expression("from"), Expect: correlation.text("expect")}
		correlation.need("from")
		correlation.close()
	})
	o.close()
	return filter
}
