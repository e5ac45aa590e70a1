// Package diagram renders workflows as Mermaid flowcharts: a definition, or a definition with the progress of an
// execution. It is pure. Names and expressions appear only as short, escaped texts, so that they cannot change the
// structure of the flowchart or inject markup.
package diagram

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// maxDetailedTasks is the number of tasks up to which a flowchart shows details of tasks besides their names.
const maxDetailedTasks = 500

// Definition renders a definition.
func Definition(w *language.Workflow) string {
	return newFlowchart(w).render()
}

// Execution renders a definition with the progress of an execution: its status, and its events from the first one on.
func Execution(w *language.Workflow, status machine.Status, events []machine.Event) string {
	d := newFlowchart(w)
	d.status, d.summaries = status, summarize(events)
	if len(events) > 0 {
		d.lastEvent = events[len(events)-1]
	}
	return d.render()
}

// flowchart is a flowchart being rendered. Nodes are written in the order of the definition, and all edges after them,
// because Mermaid assigns a node to the subgraph that mentions it first.
type flowchart struct {
	w       *language.Workflow
	nodes   strings.Builder
	edges   strings.Builder
	depth   int
	count   int
	brief   bool
	classes map[string][]string
	// functions are the ids of the subgraphs of use.functions.
	functions map[string]string

	// status is empty if only a definition is rendered.
	status    machine.Status
	summaries map[taskKey]*taskSummary
	lastEvent machine.Event
}

// The nodes of every flowchart.
const (
	startNode = "start"
	doneNode  = "done"
)

func newFlowchart(w *language.Workflow) *flowchart {
	return &flowchart{w: w, depth: 1, brief: w.Tasks() > maxDetailedTasks, classes: map[string][]string{}, functions: map[string]string{}}
}

func (d *flowchart) render() string {
	for name := range d.w.Use.Functions {
		d.functions[name] = ""
	}
	for _, name := range slices.Sorted(maps.Keys(d.functions)) {
		d.functions[name] = d.nextID()
	}
	d.node(startNode, stadium, d.startLabel()...)
	first := d.list(d.w.Do, listContext{next: doneNode, exit: func() string { return doneNode }})
	if first == "" {
		first = doneNode
	}
	d.edge(startNode, first, "")
	for _, name := range slices.Sorted(maps.Keys(d.functions)) {
		d.function(name, d.w.Use.Functions[name])
	}
	d.node(doneNode, stadium, d.endLabel()...)
	var out strings.Builder
	out.WriteString("flowchart TD\n")
	out.WriteString(d.nodes.String())
	out.WriteString(d.edges.String())
	for _, class := range slices.Sorted(maps.Keys(d.classes)) {
		fmt.Fprintf(&out, "  classDef %s %s\n", class, classStyles[class])
		fmt.Fprintf(&out, "  class %s %s\n", strings.Join(d.classes[class], ","), class)
	}
	return out.String()
}

// startLabel is the label of the start node: the workflow, its schedule, and the status of the execution.
func (d *flowchart) startLabel() []string {
	document := d.w.Document
	lines := []string{document.Namespace + "." + document.Name + " " + document.Version}
	if when := scheduleLabel(d.w.Schedule); when != "" {
		lines = append(lines, when)
	}
	if d.status != "" {
		lines = append(lines, string(d.status))
	}
	if len(d.summaries) > 0 {
		d.classify(startNode, classCompleted)
	}
	return lines
}

// endLabel is the label of the end node.
func (d *flowchart) endLabel() []string {
	switch d.status {
	case machine.Completed:
		d.classify(doneNode, classCompleted)
	case machine.Faulted:
		d.classify(doneNode, classFaulted)
		if d.lastEvent.Error != nil {
			return []string{"end", "faulted: " + errorSummary(d.lastEvent.Error)}
		}
	case machine.Cancelled:
		d.classify(doneNode, classCancelled)
		return []string{"end", strings.TrimSuffix("cancelled: "+d.lastEvent.Reason, ": ")}
	}
	return []string{"end"}
}

func scheduleLabel(s *language.Schedule) string {
	switch {
	case s == nil:
		return ""
	case s.Cron != "":
		return "cron " + s.Cron
	case s.Every != nil:
		return "every " + s.Every.Value.String()
	case s.After != nil:
		return s.After.Value.String() + " after each run"
	case s.On != nil:
		return "on " + consumptionLabel(s.On)
	}
	return ""
}

func (d *flowchart) nextID() string {
	d.count++
	return "n" + strconv.Itoa(d.count)
}

func (d *flowchart) classify(id, class string) {
	if class != "" {
		d.classes[class] = append(d.classes[class], id)
	}
}

// shape is the shape of a node: the delimiters of its label.
type shape struct{ left, right string }

// The shapes of nodes. subgraph is not a shape: the task is rendered as a subgraph.
var (
	box      = shape{"[", "]"}
	stadium  = shape{"([", "])"}
	rounded  = shape{"(", ")"}
	double   = shape{"[[", "]]"}
	diamond  = shape{"{", "}"}
	hexagon  = shape{"{{", "}}"}
	flag     = shape{">", "]"}
	circle   = shape{"((", "))"}
	slanted  = shape{"[/", "/]"}
	subgraph = shape{}
)

// node writes a node with the lines of its label.
func (d *flowchart) node(id string, look shape, lines ...string) {
	fmt.Fprintf(&d.nodes, "%s%s%s%s%s\n", d.indent(), id, look.left, label(lines...), look.right)
}

// group writes a subgraph; write writes its content.
func (d *flowchart) group(id string, lines []string, write func()) {
	fmt.Fprintf(&d.nodes, "%ssubgraph %s[%s]\n", d.indent(), id, label(lines...))
	d.depth++
	write()
	d.depth--
	fmt.Fprintf(&d.nodes, "%send\n", d.indent())
}

func (d *flowchart) indent() string { return strings.Repeat("  ", min(d.depth, 12)) }

func (d *flowchart) edge(from, to, text string) {
	if text == "" {
		fmt.Fprintf(&d.edges, "  %s --> %s\n", from, to)
		return
	}
	fmt.Fprintf(&d.edges, "  %s -->|%s| %s\n", from, label(text), to)
}

// dashedEdge is an edge to something that happens only conditionally: a catch, a compensation, a function.
func (d *flowchart) dashedEdge(from, to, text string) {
	if text == "" {
		fmt.Fprintf(&d.edges, "  %s -.-> %s\n", from, to)
		return
	}
	fmt.Fprintf(&d.edges, "  %s -.->|%s| %s\n", from, label(text), to)
}
