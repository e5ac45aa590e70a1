package language

import (
	"strings"

	"github.com/weftmesh/weft/actors/jq"
	"github.com/weftmesh/weft/actors/pattern"
)

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
		listen.Foreach.Do = r.readTasks(do, withNames(task.Scope, listen.Foreach.Item, listen.Foreach.At))
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
			until.fault(CodeValue, "until is allowed only with any")
		}
		if text, isText := until.text(); isText {
			until.checkExpression(text)
			consumption.UntilCondition = text
		} else {
			consumption.Until = r.readConsumption(until)
			if consumption.Until.Until != nil || consumption.Until.UntilCondition != "" {
				until.fault(CodeValue, "until has no until of its own")
			}
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
		with.checkPatterns()
	}
	o.components("correlate", func(name string, f field) {
		if filter.Correlate == nil {
			filter.Correlate = map[string]Correlation{}
		}
		correlation := f.object()
		filter.Correlate[name] = Correlation{From: correlation.expression("from"), Expect: correlation.text("expect")}
		correlation.need("from")
		if expect, given := correlation.fields["expect"]; given {
			text, _ := expect.text()
			_, err := jq.Parse(text)
			if !IsExpression(text) && strings.HasPrefix(text, ".") && err == nil {
				f.reader.warn(expect, "the value must equal this text: to compare it with a field of the input, write ${ "+text+" }")
			}
		}
		correlation.close()
	})
	o.close()
	return filter
}

// checkPatterns reports the texts of a filter that are neither literals, nor expressions, nor regular expressions.
func (f field) checkPatterns() {
	if !f.isObject() {
		return
	}
	o := f.object()
	for _, key := range o.keys {
		text, isText := o.fields[key].text()
		if !isText || IsExpression(text) || IsLiteral(text) {
			continue
		}
		if _, err := pattern.Compile(wholePattern(text)); err != nil {
			o.fields[key].fault(CodeValue, "the text has special characters and is not a regular expression (RE2)")
		}
	}
}
