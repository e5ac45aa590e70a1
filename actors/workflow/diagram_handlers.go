package workflow

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/diagram"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) drawWorkflow(ctx context.Context, r subjects.WorkflowVersionRequest) (subjects.Document, error) {
	row, err := findWorkflow(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.WorkflowID)
	if err != nil {
		return subjects.Document{}, err
	}
	if r.Version == 0 {
		r.Version = row.Version
	}
	def, err := a.definition(ctx, row.ID, r.Version)
	if err != nil {
		return subjects.Document{}, err
	}
	return drawn(diagram.Definition(def)), nil
}

func (a *Actor) drawExecution(ctx context.Context, r subjects.ExecutionRequest) (subjects.Document, error) {
	row, events, err := a.recorded(ctx, r.ExecutionID, actors.CallerFrom(ctx).UserID)
	if err != nil {
		return subjects.Document{}, err
	}
	def, err := a.definition(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return subjects.Document{}, err
	}
	return drawn(diagram.Execution(def, machine.Status(row.Status), events)), nil
}

func drawn(text string) subjects.Document {
	return subjects.Document{ContentType: "text/plain; charset=utf-8", Body: []byte(text)}
}
