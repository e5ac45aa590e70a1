package diagram

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// describe returns the shape of a task and the lines of its label.
func (d *flowchart) describe(task *language.Task) (shape, []string) {
	look, detail := appearance(task)
	lines := []string{task.Name}
	if task.Extension != nil {
		lines = []string{task.Name + ": extension " + task.Extension.Name}
	}
	if d.brief {
		return look, lines
	}
	lines = append(lines, detail)
	if task.If != "" && task.Extended == nil {
		lines = append(lines, "if "+stripDelimiters(task.If))
	}
	if task.Timeout != nil {
		lines = append(lines, "within "+cmp.Or(stripDelimiters(task.Timeout.After.Expression), task.Timeout.After.Value.String()))
	}
	return look, lines
}

// appearance returns the shape of a kind of task and a short description of the task.
func appearance(task *language.Task) (look shape, detail string) {
	switch task.Kind {
	case language.KindCall:
		return callLabel(task.Call)
	case language.KindDo, language.KindTry, language.KindExtension:
		return subgraph, ""
	case language.KindFor:
		detail = "for each " + task.For.Each + " in " + inlineText(task.For.In)
		if task.For.While != "" {
			detail += ", while " + stripDelimiters(task.For.While)
		}
		return subgraph, detail
	case language.KindFork:
		if task.Fork.Compete {
			return subgraph, "fork: first branch wins"
		}
		return subgraph, "fork: all branches"
	case language.KindListen:
		if task.Listen.Foreach != nil && len(task.Listen.Foreach.Do) > 0 {
			return subgraph, "for each event: " + consumptionLabel(&task.Listen.To)
		}
		return flag, "listen: " + consumptionLabel(&task.Listen.To)
	case language.KindEmit:
		return flag, "emit " + language.Text(task.Emit["type"])
	case language.KindRaise:
		if task.Raise.Error == nil {
			return hexagon, "raise"
		}
		return hexagon, "raise " + cmp.Or(task.Raise.Error.Title, lastSegment(task.Raise.Error.Type))
	case language.KindRun:
		return double, runLabel(task.Run)
	case language.KindSet:
		if object, ok := task.Set.(map[string]any); ok {
			return box, "set " + strings.Join(slices.Sorted(maps.Keys(object)), ", ")
		}
		return box, "set " + inlineText(task.Set)
	case language.KindSwitch:
		return diamond, ""
	case language.KindWait:
		text, _ := task.Definition["wait"].(string)
		return rounded, "wait " + cmp.Or(stripDelimiters(text), task.Wait.Value.String())
	}
	return box, string(task.Kind)
}

func callLabel(call *language.Call) (shape, string) {
	switch {
	case call.HTTP != nil:
		return box, strings.ToUpper(call.HTTP.Method) + " " + stripDelimiters(call.HTTP.Endpoint.URI)
	case call.OpenAPI != nil:
		return box, "openapi " + call.OpenAPI.OperationID
	case call.Function == machine.FunctionApproval:
		return slanted, call.Function
	}
	return box, call.Function
}

func runLabel(run *language.Run) string {
	if run.Workflow == nil {
		return "run " + run.Kind
	}
	text := "run " + run.Workflow.Namespace + "." + run.Workflow.Name + " " + run.Workflow.Version
	if !run.Await {
		text += ", not awaited"
	}
	return text
}

// consumptionLabel names the events of a consumption by their types.
func consumptionLabel(c *language.Consumption) string {
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
		text += " until " + stripDelimiters(c.UntilCondition)
	case c.Until != nil:
		text += " until " + consumptionLabel(c.Until)
	}
	return text
}

// inlineText is a value of a definition on one line.
func inlineText(value any) string {
	if text, ok := value.(string); ok {
		return stripDelimiters(text)
	}
	return string(language.Canonical(value))
}
