// Package diagram draws workflows as Mermaid flowcharts: a definition, or a definition with what an execution of it has
// done. It owns how constructs look. It is pure, and writes nothing of a definition or an execution but short, escaped
// texts, so that no name or expression can change what is drawn or bring in markup.
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

// detailed is up to how many tasks a drawing says more of a task than its name and kind.
const detailed = 500

// Definition draws a definition.
func Definition(w *language.Workflow) string {
	return newDrawing(w).whole()
}

// Execution draws a definition with what an execution of it has done: its status, and its events from the first one on.
func Execution(w *language.Workflow, status machine.Status, events []machine.Event) string {
	d := newDrawing(w)
	d.status, d.fates = status, fatesOf(events)
	if len(events) > 0 {
		d.ending = events[len(events)-1]
	}
	return d.whole()
}

// drawing is one flowchart in the making. Nodes are written in the order of the definition, edges after all of them: a
// node belongs to the subgraph that names it first.
type drawing struct {
	w       *language.Workflow
	nodes   strings.Builder
	edges   strings.Builder
	depth   int
	count   int
	brief   bool
	classes map[string][]string
	// functions are the subgraphs of use.functions.
	functions map[string]string

	// status is empty where a definition alone is drawn.
	status machine.Status
	fates  map[part]*fate
	ending machine.Event
}

// The nodes that every drawing has.
const (
	startNode = "start"
	doneNode  = "done"
)

func newDrawing(w *language.Workflow) *drawing {
	return &drawing{w: w, depth: 1, brief: w.Tasks() > detailed, classes: map[string][]string{}, functions: map[string]string{}}
}

func (d *drawing) whole() string {
	for name := range d.w.Use.Functions {
		d.functions[name] = ""
	}
	for _, name := range slices.Sorted(maps.Keys(d.functions)) {
		d.functions[name] = d.id()
	}
	d.node(startNode, stadium, d.title()...)
	first := d.list(d.w.Do, place{next: doneNode, exit: func() string { return doneNode }})
	if first == "" {
		first = doneNode
	}
	d.edge(startNode, first, "")
	for _, name := range slices.Sorted(maps.Keys(d.functions)) {
		d.function(name, d.w.Use.Functions[name])
	}
	d.node(doneNode, stadium, d.outcome()...)
	var out strings.Builder
	out.WriteString("flowchart TD\n")
	out.WriteString(d.nodes.String())
	out.WriteString(d.edges.String())
	for _, class := range slices.Sorted(maps.Keys(d.classes)) {
		fmt.Fprintf(&out, "  classDef %s %s\n", class, looks[class])
		fmt.Fprintf(&out, "  class %s %s\n", strings.Join(d.classes[class], ","), class)
	}
	return out.String()
}

// title is what the start says: which workflow it is, what starts it, and how an execution of it stands.
func (d *drawing) title() []string {
	document := d.w.Document
	lines := []string{document.Namespace + "." + document.Name + " " + document.Version}
	if when := scheduled(d.w.Schedule); when != "" {
		lines = append(lines, when)
	}
	if d.status != "" {
		lines = append(lines, string(d.status))
	}
	if len(d.fates) > 0 {
		d.classify(startNode, classDone)
	}
	return lines
}

// outcome is what the end says.
func (d *drawing) outcome() []string {
	switch d.status {
	case machine.Completed:
		d.classify(doneNode, classDone)
	case machine.Faulted:
		d.classify(doneNode, classFaulted)
		if d.ending.Error != nil {
			return []string{"end", "faulted: " + problem(d.ending.Error)}
		}
	case machine.Cancelled:
		d.classify(doneNode, classCancelled)
		return []string{"end", strings.TrimSuffix("cancelled: "+d.ending.Reason, ": ")}
	}
	return []string{"end"}
}

func scheduled(s *language.Schedule) string {
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
		return "on " + consumed(s.On)
	}
	return ""
}

func (d *drawing) id() string {
	d.count++
	return "n" + strconv.Itoa(d.count)
}

func (d *drawing) classify(id, class string) {
	if class != "" {
		d.classes[class] = append(d.classes[class], id)
	}
}

// shape is how a node looks: what stands before and after its label.
type shape struct{ left, right string }

// The shapes of nodes.
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
func (d *drawing) node(id string, look shape, lines ...string) {
	fmt.Fprintf(&d.nodes, "%s%s%s%s%s\n", d.indent(), id, look.left, label(lines...), look.right)
}

// group writes a subgraph with what write writes in it.
func (d *drawing) group(id string, lines []string, write func()) {
	fmt.Fprintf(&d.nodes, "%ssubgraph %s[%s]\n", d.indent(), id, label(lines...))
	d.depth++
	write()
	d.depth--
	fmt.Fprintf(&d.nodes, "%send\n", d.indent())
}

func (d *drawing) indent() string { return strings.Repeat("  ", min(d.depth, 12)) }

func (d *drawing) edge(from, to, text string) {
	if text == "" {
		fmt.Fprintf(&d.edges, "  %s --> %s\n", from, to)
		return
	}
	fmt.Fprintf(&d.edges, "  %s -->|%s| %s\n", from, label(text), to)
}

// aside is an edge to what is done only if something else happens.
func (d *drawing) aside(from, to, text string) {
	if text == "" {
		fmt.Fprintf(&d.edges, "  %s -.-> %s\n", from, to)
		return
	}
	fmt.Fprintf(&d.edges, "  %s -.->|%s| %s\n", from, label(text), to)
}
