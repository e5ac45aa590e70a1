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
