package workflow

import (
	"context"
	"strconv"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/diagram"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// resolved is a definition that was checked.
type resolved struct {
	*language.Workflow

	// source is the text that its author sent; empty if that was JSON.
	source string
	// functions are the versions of extensions' functions that it was checked with, as a version's row has them.
	functions string
}

// resolve returns the workflow that a request defines. Its error has every fault of the definition.
func (a *Actor) resolve(ctx context.Context, r subjects.WorkflowDefinitionRequest) (resolved, error) {
	source, text, err := definition.ReadSource(r.Definition)
	if err != nil {
		return resolved{}, err
	}
	sources := a.sources(ctx)
	w, faults := definition.Resolve(ctx, source, sources)
	if len(faults) > 0 {
		return resolved{}, definition.Error(faults)
	}
	if len(sources.Pinned) == 0 {
		return resolved{w, text, ""}, nil
	}
	functions, err := subjects.Encode(sources.Pinned)
	return resolved{w, text, string(functions)}, err
}

// sources are what definitions are checked against.
func (a *Actor) sources(ctx context.Context) definition.Sources {
	return definition.Sources{
		Fetch: a.definitions.fetch, Providers: a.provider, Extensions: a.extensions.known, Pinned: map[string]string{},
		Author: actors.CallerFrom(ctx).UserID,
	}
}

func (a *Actor) validateWorkflow(ctx context.Context, r subjects.WorkflowDefinitionRequest) (subjects.WorkflowValidation, error) {
	source, _, err := definition.ReadSource(r.Definition)
	if err != nil {
		return subjects.WorkflowValidation{}, err
	}
	w, faults := definition.Resolve(ctx, source, a.sources(ctx))
	v := subjects.WorkflowValidation{
		Valid: w != nil, Faults: definition.WireFaults(faults), Warnings: definition.WireFaults(definition.Warnings(source)),
	}
	if w != nil {
		v.Digest, v.Tasks = w.Digest, w.Tasks()
	}
	return v, nil
}

func (a *Actor) createWorkflow(ctx context.Context, r subjects.WorkflowDefinitionRequest) (subjects.Workflow, error) {
	if err := a.changeable(); err != nil {
		return subjects.Workflow{}, err
	}
	w, err := a.resolve(ctx, r)
	if err != nil {
		return subjects.Workflow{}, err
	}
	row := workflowRow{
		ID: a.NewID(), UserID: actors.CallerFrom(ctx).UserID, Name: w.Document.Name, Version: 1, CreatedAt: a.Now().UnixMicro(),
	}
	version := newVersion(row.ID, 1, w, actors.CallerFrom(ctx).Authority, a.Now())
	row.Bytes = version.size()
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := a.bounds.Reserve(ctx, tx, a.bounds.workflows, row.UserID, 1); err != nil {
			return err
		}
		if err := a.bounds.Reserve(ctx, tx, a.bounds.definitions, row.UserID, row.Bytes); err != nil {
			return err
		}
		if err := engine.Insert(ctx, tx, &row, &version); err != nil {
			return err
		}
		return a.scheduler.apply(ctx, tx, row, w.Workflow)
	})
	if err != nil {
		return subjects.Workflow{}, err
	}
	return version.resource(row.CreatedAt), nil
}

// updateWorkflow adds a version and makes it the current one, unless the definition is the same as that of the current one and
// so are the versions of extensions' functions and the API key, if any, whose scopes bind the version's scheduled runs.
func (a *Actor) updateWorkflow(ctx context.Context, r subjects.UpdateWorkflowRequest) (subjects.Workflow, error) {
	if err := a.changeable(); err != nil {
		return subjects.Workflow{}, err
	}
	row, err := findWorkflow(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.WorkflowID)
	if err != nil {
		return subjects.Workflow{}, err
	}
	if err := r.Check(strconv.Itoa(row.Version)); err != nil {
		return subjects.Workflow{}, err
	}
	w, err := a.resolve(ctx, subjects.WorkflowDefinitionRequest{Definition: r.Definition})
	if err != nil {
		return subjects.Workflow{}, err
	}
	current, err := findVersion(ctx, a.DB.DB, row.ID, row.Version)
	author := actors.CallerFrom(ctx).Authority
	if err != nil || current.Digest == w.Digest && current.Author == author && current.Functions == w.functions {
		return current.resource(row.CreatedAt), err
	}
	next := newVersion(row.ID, row.Version+1, w, author, a.Now())
	if int64(next.Version) > a.bounds.versions.Limit {
		return subjects.Workflow{}, a.bounds.Refuse(a.bounds.versions)
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := a.bounds.Reserve(ctx, tx, a.bounds.definitions, row.UserID, next.size()); err != nil {
			return err
		}
		updated, err := setCurrentVersion(ctx, tx, row.ID, next)
		if err != nil {
			return err
		}
		if !updated && r.Conditional() {
			return subjects.ErrPreconditionFailed
		}
		if !updated {
			return subjects.Errorf(subjects.CodeConflict, "the workflow was updated or deleted concurrently")
		}
		if err := engine.Insert(ctx, tx, &next); err != nil {
			return err
		}
		row.Version = next.Version
		return a.scheduler.apply(ctx, tx, row, w.Workflow)
	})
	if err != nil {
		return subjects.Workflow{}, err
	}
	return next.resource(row.CreatedAt), nil
}

func (a *Actor) getWorkflow(ctx context.Context, r subjects.WorkflowVersionRequest) (subjects.Workflow, error) {
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

func (a *Actor) getWorkflowDiagram(ctx context.Context, r subjects.WorkflowVersionRequest) (subjects.Document, error) {
	row, err := findWorkflow(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.WorkflowID)
	if err != nil {
		return subjects.Document{}, err
	}
	if r.Version == 0 {
		r.Version = row.Version
	}
	def, err := a.definitions.version(ctx, row.ID, r.Version)
	if err != nil {
		return subjects.Document{}, err
	}
	return textDocument(diagram.Definition(def)), nil
}

func (a *Actor) getExecutionDiagram(ctx context.Context, r subjects.ExecutionRequest) (subjects.Document, error) {
	row, events, err := a.executions.read(ctx, actors.CallerFrom(ctx).UserID, r.ExecutionID)
	if err != nil {
		return subjects.Document{}, err
	}
	def, err := a.definitions.version(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return subjects.Document{}, err
	}
	var document subjects.Document
	err = computeOn(ctx, row.UserID, events, func() { document = textDocument(diagram.Execution(def, machine.Status(row.Status), events)) })
	return document, err
}

func textDocument(text string) subjects.Document {
	return subjects.Document{ContentType: "text/plain; charset=utf-8", Body: []byte(text)}
}

func (a *Actor) listWorkflows(ctx context.Context, r subjects.ListWorkflowsRequest) (subjects.Page[subjects.Workflow], error) {
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

func (a *Actor) listVersions(ctx context.Context, r subjects.ListWorkflowVersionsRequest) (subjects.Page[subjects.Workflow], error) {
	var page subjects.Page[subjects.Workflow]
	below, err := numberCursor(r.Cursor)
	if err != nil {
		return page, err
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

func (a *Actor) deleteWorkflow(ctx context.Context, r subjects.DeleteWorkflowRequest) (subjects.Empty, error) {
	if err := a.changeable(); err != nil {
		return subjects.Empty{}, err
	}
	row, err := findWorkflow(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.WorkflowID)
	if err != nil {
		return subjects.Empty{}, err
	}
	if err := r.Check(strconv.Itoa(row.Version)); err != nil {
		return subjects.Empty{}, err
	}
	version := 0
	if r.Conditional() {
		version = row.Version
	}
	return subjects.Empty{}, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := deleteWorkflow(ctx, tx, row.ID, version, a.Now()); err != nil {
			return err
		}
		return deleteSchedule(ctx, tx, row.ID)
	})
}
