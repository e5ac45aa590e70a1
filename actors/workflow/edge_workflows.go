package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/schedule"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// errEdgeDefinitions refuses changes of workflows at an edge node.
var errEdgeDefinitions = subjects.Errorf(subjects.CodeUnsupported, "an edge node runs the workflows that it is enrolled for; change them at the hub")

// changeable refuses changes of workflows at an edge node.
func (a *Actor) changeable() error {
	if a.Edge != nil {
		return errEdgeDefinitions
	}
	return nil
}

// edgeWorkflows keeps the workflows of an edge node the same as those that it is enrolled for.
type edgeWorkflows struct {
	actors.Deps

	scheduler *scheduler
}

// run installs and removes workflows until ctx ends. Executions of a version that was replaced, or of a workflow that was removed, continue.
func (a *edgeWorkflows) run(ctx context.Context) error {
	for {
		list, known, changed := a.Edge.Workflows()
		if known {
			if err := a.installAll(ctx, list); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func (a *edgeWorkflows) installAll(ctx context.Context, list []subjects.EdgeWorkflow) error {
	kept := make([]string, 0, len(list))
	for _, w := range list {
		kept = append(kept, w.WorkflowID)
		if err := a.install(ctx, w); err != nil {
			a.Log.Error("a workflow of this edge node cannot be installed", zap.String("workflow_id", w.WorkflowID), zap.Int("version", w.Version), zap.Error(err))
			if database.Classify(err) != err || subjects.Transient(err) { //nolint:errorlint // the same error or one made of it
				return err
			}
		}
	}
	removed, err := workflowsExcept(ctx, a.DB.DB, kept)
	if err != nil {
		return err
	}
	for _, id := range removed {
		err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			if err := deleteWorkflow(ctx, tx, id, 0, a.Now()); err != nil {
				return err
			}
			return deleteSchedule(ctx, tx, id)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// install makes a version of a workflow the current one, unless it is.
func (a *edgeWorkflows) install(ctx context.Context, w subjects.EdgeWorkflow) error {
	current, err := anyWorkflow(ctx, a.DB.DB, w.WorkflowID)
	missing := errors.Is(err, errNoWorkflow)
	if err != nil && !missing || !missing && current.Version == w.Version && current.DeletedAt == 0 {
		return err
	}
	parsed, faults := language.Parse(w.Definition)
	if len(faults) > 0 {
		return subjects.Errorf(subjects.CodeInvalid, "the definition is invalid: %v", faults)
	}
	version := newVersion(w.WorkflowID, w.Version, resolved{Workflow: parsed}, mesh.Authority{Keys: w.Keys, Scopes: w.Scopes}, a.Now())
	row := workflowRow{
		ID: w.WorkflowID, UserID: w.UserID, Name: version.Name, Version: w.Version, Bytes: version.size(), CreatedAt: a.Now().UnixMicro(),
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if missing {
			err = engine.Insert(ctx, tx, &row)
		} else {
			err = replaceWorkflow(ctx, tx, row)
		}
		if err == nil {
			err = putVersion(ctx, tx, version)
		}
		if err != nil {
			return err
		}
		if plan, _ := schedule.FromWorkflow(parsed); plan == nil { // the version before it may have had one
			return deleteSchedule(ctx, tx, row.ID)
		}
		return a.scheduler.apply(ctx, tx, row, parsed)
	})
}

// tellHub keeps an event that a user has published at an edge node for the hub.
func (a *Actor) tellHub(ctx context.Context, userID string, event cloudEvent) error {
	data, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return a.Edge.Keep(ctx, derivedID(userID, "event/"+event.text("source")+"\x00"+event.text("id")), subjects.EdgeMessage{
		Kind: subjects.EdgeEvent, UserID: userID, Data: data,
	})
}

// notifyThroughHub keeps a notification of an execution at an edge node for the hub, which sends it.
func (c *calls) notifyThroughHub(ctx context.Context, row engine.Row, request subjects.SendNotificationRequest) (any, error) {
	data, err := subjects.Encode(request)
	if err != nil {
		return nil, fmt.Errorf("encoding a notification: %w", err)
	}
	grant := row.Grant()
	err = c.Edge.Keep(ctx, request.DedupeKey, subjects.EdgeMessage{
		Kind: subjects.EdgeNotification, UserID: row.UserID, ConsentID: grant.ConsentID, Scope: grant.Scope,
		Keys: row.Authority.Keys, Scopes: row.Authority.Scopes, Data: data,
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"notification_id": "", "status": "kept_for_hub"}, nil
}
