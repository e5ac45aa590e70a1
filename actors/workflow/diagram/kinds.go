package diagram

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// describe is how a task looks and what is said of it.
func (d *drawing) describe(task *language.Task) (shape, []string) {
	look, detail := kind(task)
	lines := []string{task.Name}
	if task.Extension != nil {
		lines = []string{task.Name + ": extension " + task.Extension.Name}
	}
	if d.brief {
		return look, lines
	}
	lines = append(lines, detail)
	if task.If != "" && task.Extended == nil {
		lines = append(lines, "if "+bare(task.If))
	}
	if task.Timeout != nil {
		lines = append(lines, "within "+cmp.Or(bare(task.Timeout.After.Expression), task.Timeout.After.Value.String()))
	}
	return look, lines
}

// kind is how a task of its kind looks, and what it does in a few words.
func kind(task *language.Task) (look shape, detail string) {
	switch task.Kind {
	case language.KindCall:
		return called(task.Call)
	case language.KindDo, language.KindTry, language.KindExtension:
		return subgraph, ""
	case language.KindFor:
		detail = "for each " + task.For.Each + " in " + short(task.For.In)
		if task.For.While != "" {
			detail += ", while " + bare(task.For.While)
		}
		return subgraph, detail
	case language.KindFork:
		if task.Fork.Compete {
			return subgraph, "fork: the first one wins"
		}
		return subgraph, "fork: all of them"
	case language.KindListen:
		if task.Listen.Foreach != nil && len(task.Listen.Foreach.Do) > 0 {
			return subgraph, "for each event: " + consumed(&task.Listen.To)
		}
		return flag, "listen: " + consumed(&task.Listen.To)
	case language.KindEmit:
		return flag, "emit " + language.Text(task.Emit["type"])
	case language.KindRaise:
		if task.Raise.Error == nil {
			return hexagon, "raise"
		}
		return hexagon, "raise " + cmp.Or(task.Raise.Error.Title, lastPart(task.Raise.Error.Type))
	case language.KindRun:
		return double, ran(task.Run)
	case language.KindSet:
		if object, ok := task.Set.(map[string]any); ok {
			return box, "set " + strings.Join(slices.Sorted(maps.Keys(object)), ", ")
		}
		return box, "set " + short(task.Set)
	case language.KindSwitch:
		return diamond, ""
	case language.KindWait:
		text, _ := task.Definition["wait"].(string)
		return rounded, "wait " + cmp.Or(bare(text), task.Wait.Value.String())
	}
	return box, string(task.Kind)
}

func called(call *language.Call) (shape, string) {
	switch {
	case call.HTTP != nil:
		return box, strings.ToUpper(call.HTTP.Method) + " " + bare(call.HTTP.Endpoint.URI)
	case call.OpenAPI != nil:
		return box, "openapi " + call.OpenAPI.OperationID
	case call.Function == machine.FunctionApproval:
		return slanted, call.Function
	}
	return box, call.Function
}

func ran(run *language.Run) string {
	if run.Workflow == nil {
		return "run " + run.Kind
	}
	text := "run " + run.Workflow.Namespace + "." + run.Workflow.Name + " " + run.Workflow.Version
	if !run.Await {
		text += ", not waited for"
	}
	return text
}

// consumed names the events of a consumption by their types.
func consumed(c *language.Consumption) string {
	types := make([]string, 0, len(c.Filters))
	for _, filter := range c.Filters {
		types = append(types, cmp.Or(language.Text(filter.With["type"]), "event"))
	}
	text := cmp.Or(strings.Join(types, ", "), "event")
	if c.Mode != "one" {
		text = c.Mode + " of " + text
	}
	switch {
	case c.UntilCondition != "":
		text += " until " + bare(c.UntilCondition)
	case c.Until != nil:
		text += " until " + consumed(c.Until)
	}
	return text
}

// short is a value of a definition on one line.
func short(value any) string {
	if text, ok := value.(string); ok {
		return bare(text)
	}
	return string(language.Canonical(value))
}
