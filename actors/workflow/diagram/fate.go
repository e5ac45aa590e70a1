package diagram

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// The classes of nodes by what became of them. A node without one was not reached.
const (
	classDone      = "completed"
	classRunning   = "running"
	classFaulted   = "faulted"
	classSkipped   = "skipped"
	classCancelled = "cancelled"
)

// looks are the classes' styles: readable on a light and on a dark page.
var looks = map[string]string{
	classDone:      "fill:#d3f2dc,stroke:#1a7f37,color:#0b3d1a",
	classRunning:   "fill:#d8e8fd,stroke:#0969da,color:#0a2f5c",
	classFaulted:   "fill:#ffdcd7,stroke:#cf222e,color:#5c0d12",
	classSkipped:   "fill:#eceff1,stroke:#8c959f,color:#57606a,stroke-dasharray:4 3",
	classCancelled: "fill:#eceff1,stroke:#57606a,color:#32383f",
}

// part is what is drawn of a task: the task, or what compensates it.
type part struct {
	pointer      string
	compensation bool
}

// fate is what became of all runs of a task.
type fate struct {
	runs, retries, iterations, open int
	// last is the latest run.
	last machine.TaskRun
}

func fatesOf(events []machine.Event) map[part]*fate {
	fates := map[part]*fate{}
	for _, run := range machine.Tasks(events) {
		at := part{run.Task, run.Compensation}
		if fates[at] == nil {
			fates[at] = &fate{}
		}
		f := fates[at]
		f.runs++
		f.retries += run.Retries
		f.iterations += run.Iterations
		if run.Status == machine.TaskStatusRunning {
			f.open++
		}
		f.last = run
	}
	return fates
}

// fateOf classifies a node by what became of its task, and tells it in words.
func (d *drawing) fateOf(id string, at part) string {
	f := d.fates[at]
	if f == nil {
		return ""
	}
	var words []string
	switch {
	case f.open > 0 || f.last.Status == machine.TaskStatusRunning:
		d.classify(id, classRunning)
		words = append(words, "running")
	case f.last.Status == machine.TaskStatusCompleted:
		d.classify(id, classDone)
		words = append(words, "completed")
	case f.last.Status == machine.TaskStatusFaulted:
		d.classify(id, classFaulted)
		words = append(words, "faulted")
	case f.last.Status == machine.TaskStatusSkipped:
		d.classify(id, classSkipped)
		words = append(words, "skipped")
	default:
		d.classify(id, classCancelled)
		words = append(words, "cancelled")
	}
	for _, counted := range []struct {
		n    int
		word string
	}{{f.runs, "runs"}, {f.iterations, "iterations"}} {
		if counted.n > 1 {
			words = append(words, strconv.Itoa(counted.n)+" "+counted.word)
		}
	}
	switch f.retries {
	case 0:
	case 1:
		words = append(words, "1 retry")
	default:
		words = append(words, strconv.Itoa(f.retries)+" retries")
	}
	if f.last.Error != nil {
		words = append(words, problem(f.last.Error))
	}
	return strings.Join(words, ", ")
}

// problem is an error in a few words, without what it tells of data.
func problem(e *machine.Error) string {
	title := e.Title
	if title == "" {
		title = e.Type[strings.LastIndexAny(e.Type, "/:")+1:]
	}
	return fmt.Sprintf("%s %d", title, e.Status)
}
