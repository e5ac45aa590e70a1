package workflow

import (
	"context"
	"fmt"
	"sync"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// maxDefinitions bounds how many parsed definitions a process keeps.
const maxDefinitions = 1000

// definitions keeps parsed versions; they never change.
type definitions struct {
	mu    sync.Mutex
	known map[versionKey]*language.Workflow
}

type versionKey struct {
	workflow string
	version  int
}

func newDefinitions() *definitions { return &definitions{known: map[versionKey]*language.Workflow{}} }

// definition is a workflow's version, parsed.
func (a *Actor) definition(ctx context.Context, workflowID string, version int) (*language.Workflow, error) {
	key := versionKey{workflowID, version}
	d := a.parsed
	d.mu.Lock()
	w := d.known[key]
	d.mu.Unlock()
	if w != nil {
		return w, nil
	}
	row, err := findVersion(ctx, a.DB.DB, workflowID, version)
	if err != nil {
		return nil, err
	}
	w, faults := language.Parse([]byte(row.Definition))
	if len(faults) > 0 {
		return nil, fmt.Errorf("parsing version %d of workflow %s: %w", version, workflowID, faults)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxDefinitions {
		clear(d.known)
	}
	d.known[key] = w
	return w, nil
}

// currentWorkflows keeps which version of a workflow is the current one, where no other process can change it.
type currentWorkflows struct {
	mu    sync.Mutex
	known map[string]workflowRow
	// changes counts what was changed: what was read before a change is not kept.
	changes uint64
}

func newCurrentWorkflows() *currentWorkflows {
	return &currentWorkflows{known: map[string]workflowRow{}}
}

// currentWorkflow is one of a user's workflows.
func (a *Actor) currentWorkflow(ctx context.Context, userID, id string) (workflowRow, error) {
	c := a.workflows
	c.mu.Lock()
	row, ok := c.known[id]
	changes := c.changes
	c.mu.Unlock()
	if ok && row.UserID == userID {
		return row, nil
	}
	row, err := findWorkflow(ctx, a.DB.DB, userID, id)
	if err != nil || !a.engine.Alone() {
		return row, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes == changes {
		if len(c.known) >= maxDefinitions {
			clear(c.known)
		}
		c.known[id] = row
	}
	return row, nil
}

// changed forgets what is known of a workflow. It is called once the change is committed, before it is answered.
func (c *currentWorkflows) changed(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	delete(c.known, id)
}

// forgetAll forgets every workflow: a user's were deleted.
func (c *currentWorkflows) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	clear(c.known)
}
