package workflow

import (
	"context"
	"strconv"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// define reads a definition out of a request, or refuses it with every fault.
func (a *Actor) define(ctx context.Context, r subjects.WorkflowDefinitionRequest) (*language.Workflow, string, error) {
	source, text, err := definition.ReadSource(r.Definition)
	if err != nil {
		return nil, "", err
	}
	w, faults := definition.Resolve(ctx, source, a.fetch)
	if len(faults) > 0 {
		return nil, "", definition.Error(faults)
	}
	return w, text, nil
}

func (a *Actor) validate(ctx context.Context, r subjects.WorkflowDefinitionRequest) (subjects.WorkflowValidation, error) {
	source, _, err := definition.ReadSource(r.Definition)
	if err != nil {
		return subjects.WorkflowValidation{}, err
	}
	w, faults := definition.Resolve(ctx, source, a.fetch)
	v := subjects.WorkflowValidation{Valid: w != nil, Faults: definition.WireFaults(faults)}
	if w != nil {
		v.Digest, v.Tasks = w.Digest, w.Tasks()
	}
	return v, nil
}

func (a *Actor) create(ctx context.Context, r subjects.WorkflowDefinitionRequest) (subjects.Workflow, error) {
	w, text, err := a.define(ctx, r)
	if err != nil {
		return subjects.Workflow{}, err
	}
	row := workflowRow{
		ID: a.NewID(), UserID: actors.CallerFrom(ctx).UserID, Name: w.Document.Name, Version: 1, CreatedAt: a.Now().UnixMicro(),
	}
	version := newVersion(row.ID, 1, w, text, a.Now())
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := engine.Insert(ctx, tx, &row, &version); err != nil {
			return err
		}
		return a.scheduleFor(ctx, tx, row, w)
	})
	if err != nil {
		return subjects.Workflow{}, err
	}
	return version.resource(row.CreatedAt), nil
}

func (a *Actor) update(ctx context.Context, r subjects.UpdateWorkflowRequest) (subjects.Workflow, error) {
	row, err := findWorkflow(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.WorkflowID)
	if err != nil {
		return subjects.Workflow{}, err
	}
	w, text, err := a.define(ctx, subjects.WorkflowDefinitionRequest{Definition: r.Definition})
	if err != nil {
		return subjects.Workflow{}, err
	}
	current, err := findVersion(ctx, a.DB.DB, row.ID, row.Version)
	if err != nil || current.Digest == w.Digest {
		return current.resource(row.CreatedAt), err
	}
	next := newVersion(row.ID, row.Version+1, w, text, a.Now())
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		succeeded, err := succeed(ctx, tx, row.ID, next)
		if err != nil {
			return err
		}
		if !succeeded {
			return subjects.Errorf(subjects.CodeConflict, "the workflow was updated or deleted meanwhile")
		}
		a.DB.AfterCommit(ctx, func() { a.workflows.changed(row.ID) })
		if err := engine.Insert(ctx, tx, &next); err != nil {
			return err
		}
		row.Version = next.Version
		return a.scheduleFor(ctx, tx, row, w)
	})
	if err != nil {
		return subjects.Workflow{}, err
	}
	return next.resource(row.CreatedAt), nil
}

func (a *Actor) get(ctx context.Context, r subjects.WorkflowVersionRequest) (subjects.Workflow, error) {
	row, err := findWorkflow(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.WorkflowID)
	if err != nil {
		return subjects.Workflow{}, err
	}
	if r.Version == 0 {
		r.Version = row.Version
	}
	version, err := findVersion(ctx, a.DB.DB, row.ID, r.Version)
	if err != nil {
		return subjects.Workflow{}, err
	}
	return version.resource(row.CreatedAt), nil
}

func (a *Actor) list(ctx context.Context, r subjects.ListWorkflowsRequest) (subjects.Page[subjects.Workflow], error) {
	var page subjects.Page[subjects.Workflow]
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return page, err
	}
	rows, err := pageOfWorkflows(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, after[0])
	if err != nil {
		return page, err
	}
	items := make([]subjects.Workflow, 0, len(rows))
	for _, row := range rows {
		items = append(items, row.resource(row.Created))
	}
	return actors.PageOf(items, r.PageLimit(), func(w subjects.Workflow) []string { return []string{w.ID} }), nil
}

func (a *Actor) delete(ctx context.Context, r subjects.WorkflowRequest) (subjects.Empty, error) {
	row, err := findWorkflow(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.WorkflowID)
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		a.DB.AfterCommit(ctx, func() { a.workflows.changed(row.ID) })
		if err := remove(ctx, tx, row.ID, a.Now()); err != nil {
			return err
		}
		return dropSchedule(ctx, tx, row.ID)
	})
}

func (a *Actor) versions(ctx context.Context, r subjects.ListWorkflowVersionsRequest) (subjects.Page[subjects.Workflow], error) {
	var page subjects.Page[subjects.Workflow]
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return page, err
	}
	below := 0
	if after[0] != "" {
		if below, err = strconv.Atoi(after[0]); err != nil {
			return page, subjects.InvalidField("cursor", "is not one that a list answered with")
		}
	}
	row, err := findWorkflow(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.WorkflowID)
	if err != nil {
		return page, err
	}
	rows, err := pageOfVersions(ctx, a.DB.DB, row.ID, r.PageLimit()+1, below)
	if err != nil {
		return page, err
	}
	items := make([]subjects.Workflow, 0, len(rows))
	for _, v := range rows {
		items = append(items, v.resource(row.CreatedAt))
	}
	return actors.PageOf(items, r.PageLimit(), func(w subjects.Workflow) []string { return []string{strconv.Itoa(w.Version)} }), nil
}
