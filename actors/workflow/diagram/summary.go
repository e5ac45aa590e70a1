package diagram

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// The classes of nodes by the status of their tasks. A node without a class was not reached.
const (
	classCompleted = "completed"
	classRunning   = "running"
	classFaulted   = "faulted"
	classSkipped   = "skipped"
	classCancelled = "cancelled"
)

// classStyles are the styles of the classes, readable in light and dark themes.
var classStyles = map[string]string{
	classCompleted: "fill:#d3f2dc,stroke:#1a7f37,color:#0b3d1a",
	classRunning:   "fill:#d8e8fd,stroke:#0969da,color:#0a2f5c",
	classFaulted:   "fill:#ffdcd7,stroke:#cf222e,color:#5c0d12",
	classSkipped:   "fill:#eceff1,stroke:#8c959f,color:#57606a,stroke-dasharray:4 3",
	classCancelled: "fill:#eceff1,stroke:#57606a,color:#32383f",
}

// taskKey identifies what a node represents: a task or its compensation.
type taskKey struct {
	pointer      string
	compensation bool
}

// taskSummary summarises all runs of a task.
type taskSummary struct {
	runs, retries, iterations, open int
	// last is the latest run.
	last machine.TaskRun
}

func summarize(events []machine.Event) map[taskKey]*taskSummary {
	summaries := map[taskKey]*taskSummary{}
	for _, run := range machine.Tasks(events) {
		at := taskKey{run.Task, run.Compensation}
		if summaries[at] == nil {
			summaries[at] = &taskSummary{}
		}
		summary := summaries[at]
		summary.runs++
		summary.retries += run.Retries
		summary.iterations += run.Iterations
		if run.Status == machine.TaskStatusRunning {
			summary.open++
		}
		summary.last = run
	}
	return summaries
}

// annotate assigns a class to a node by the status of its task, and returns the status as text.
func (d *flowchart) annotate(id string, at taskKey) string {
	summary := d.summaries[at]
	if summary == nil {
		return ""
	}
	var words []string
	switch {
	case summary.open > 0 || summary.last.Status == machine.TaskStatusRunning:
		d.classify(id, classRunning)
		words = append(words, "running")
	case summary.last.Status == machine.TaskStatusCompleted:
		d.classify(id, classCompleted)
		words = append(words, "completed")
	case summary.last.Status == machine.TaskStatusFaulted:
		d.classify(id, classFaulted)
		words = append(words, "faulted")
	case summary.last.Status == machine.TaskStatusSkipped:
		d.classify(id, classSkipped)
		words = append(words, "skipped")
	default:
		d.classify(id, classCancelled)
		words = append(words, "cancelled")
	}
	for _, counted := range []struct {
		n    int
		word string
	}{{summary.runs, "runs"}, {summary.iterations, "iterations"}} {
		if counted.n > 1 {
			words = append(words, strconv.Itoa(counted.n)+" "+counted.word)
		}
	}
	switch summary.retries {
	case 0:
	case 1:
		words = append(words, "1 retry")
	default:
		words = append(words, strconv.Itoa(summary.retries)+" retries")
	}
	if summary.last.Error != nil {
		words = append(words, errorSummary(summary.last.Error))
	}
	return strings.Join(words, ", ")
}

// errorSummary is an error's title and status. The detail is omitted because it may contain data.
func errorSummary(e *machine.Error) string {
	title := e.Title
	if title == "" {
		title = e.Type[strings.LastIndexAny(e.Type, "/:")+1:]
	}
	return fmt.Sprintf("%s %d", title, e.Status)
}
