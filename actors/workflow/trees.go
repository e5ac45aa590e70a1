package workflow

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// treeBatch is how many descendants are read at once, treeCancels how many are cancelled at once.
	treeBatch   = 200
	treeCancels = 8
	// treePoll is the time between two looks for trees of which a pass is due.
	treePoll = time.Second
	// headWait is the pause between two passes for an execution that has ended, whose descendants may just be starting one another.
	headWait = 50 * time.Millisecond
	// headPasses is how many passes look for descendants of an execution that has ended.
	headPasses = 3
)

// treePasses are the pauses between the passes over a cancelled tree, after the one that the cancellation makes. A start that was
// allowed before the cancellation takes at most workflow.step_timeout to be in the log.
var treePasses = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// errTreeCancelled refuses the start of what a cancelled execution has led to.
var errTreeCancelled = &subjects.Error{Code: subjects.CodeConflict, Reason: subjects.ReasonAncestorCancelled,
	Detail: "an execution that led to this start was cancelled"}

// trees cancels executions together with their descendants: the executions that they have started, in whatever way, and those that
// these have started in turn.
//
// A cancellation is first recorded, which refuses every later start of a descendant, and then cancels those that run. What had passed
// the check before is in the log soon after: further passes find it.
type trees struct {
	actors.Deps

	engine *engine.Engine
}

// check returns errTreeCancelled if one of the executions that led to a start was cancelled.
func (t *trees) check(ctx context.Context, origin engine.Origin) error {
	if origin.Ancestors == "" {
		return nil
	}
	cancelled, err := anyTreeCancelled(t.DB.Detached(ctx), t.DB.DB, strings.Fields(origin.Ancestors))
	if err != nil {
		return database.Classify(err)
	}
	if cancelled {
		return errTreeCancelled
	}
	return nil
}

// record records that an execution is cancelled with its descendants. It commits independently of the request's transaction, because
// starts must see it at once.
func (t *trees) record(ctx context.Context, row engine.Row) (cancelledTreeRow, error) {
	tree := cancelledTreeRow{ExecutionID: row.ID, UserID: row.UserID, Root: row.Origin.Root, NextAt: t.Now().Add(treePasses[0]).UnixMicro()}
	if tree.Root == "" {
		tree.Root = row.ID
	}
	err := t.DB.RunDetached(ctx, func(ctx context.Context, tx database.Tx) error { return putCancelledTree(ctx, tx, tree) })
	return tree, database.Classify(err)
}

// forget withdraws the record of a cancellation that did not take place.
func (t *trees) forget(ctx context.Context, tree cancelledTreeRow) error {
	return database.Classify(t.DB.RunDetached(ctx, func(ctx context.Context, tx database.Tx) error {
		return deleteCancelledTree(ctx, tx, tree.ExecutionID)
	}))
}

// pass cancels the descendants of a tree that run now, and returns how many there are.
func (t *trees) pass(ctx context.Context, tree cancelledTreeRow) (count int, err error) {
	if err := t.engine.FlushAll(ctx); err != nil {
		return 0, err
	}
	for last := ""; ; {
		rows, err := liveDescendants(t.DB.Detached(ctx), t.DB.DB, tree, last, treeBatch)
		if err != nil {
			return count, database.Classify(err)
		}
		count += len(rows)
		var group errgroup.Group
		group.SetLimit(treeCancels)
		for _, row := range rows {
			group.Go(func() error {
				err := mesh.Recovered(func() error {
					_, err := t.engine.Cancel(ctx, row, "the execution that led to it was cancelled")
					return err
				})
				if engine.IsNotFound(err) { // it has ended
					return nil
				}
				return err
			})
		}
		if err := group.Wait(); err != nil || len(rows) < treeBatch {
			return count, err
		}
		last = rows[len(rows)-1].ID
	}
}

// run makes the passes that are due, until ctx ends.
func (t *trees) run(ctx context.Context) error {
	for ctx.Err() == nil {
		due, err := dueTrees(ctx, t.DB.DB, t.Now(), treeBatch)
		if err != nil {
			return err
		}
		for _, tree := range due {
			if _, err := t.pass(ctx, tree); err != nil {
				if ctx.Err() == nil {
					t.Log.Warn("cancelling descendants", zap.String("execution_id", tree.ExecutionID), zap.Error(err))
				}
				continue
			}
			if err := t.advance(ctx, tree); err != nil {
				return err
			}
		}
		_ = wait.Until(ctx, nil, treePoll)
	}
	return nil
}

// advance has the next pass made later, or drops the record after the last one.
func (t *trees) advance(ctx context.Context, tree cancelledTreeRow) error {
	return t.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if tree.Passes++; tree.Passes >= len(treePasses) {
			return deleteCancelledTree(ctx, tx, tree.ExecutionID)
		}
		tree.NextAt = t.Now().Add(treePasses[tree.Passes]).UnixMicro()
		return putCancelledTree(ctx, tx, tree)
	})
}

// mayStartOthers reports whether executions of a definition can start other executions.
func mayStartOthers(def *language.Workflow) (may bool) {
	def.Each(func(task *language.Task) {
		may = may || task.Kind == language.KindRun || task.Kind == language.KindEmit || task.Call != nil && task.Call.Function == machine.FunctionStart
	})
	return may
}

// cancel cancels one of a user's executions with its descendants, also where it has ended and they have not.
func (x *executions) cancel(ctx context.Context, userID, id, reason string) error {
	cancel := func() error {
		return x.control(ctx, userID, id, machine.Cancelled, func(row engine.Row) (engine.ControlReply, error) {
			return x.engine.Cancel(ctx, row, reason)
		})
	}
	row, err := x.find(ctx, userID, id)
	if err != nil {
		return err
	}
	def, err := x.definitions.version(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return err
	}
	if !mayStartOthers(def) {
		return cancel()
	}
	tree, err := x.trees.record(ctx, row)
	if err != nil {
		return err
	}
	ended := cancel()
	if ended != nil && subjects.CodeOf(ended) != subjects.CodeConflict {
		return errors.Join(ended, x.trees.forget(ctx, tree)) // it may be repeated
	}
	for range headPasses {
		count, err := x.trees.pass(ctx, tree)
		if err != nil || count > 0 || ended == nil {
			return err
		}
		if err := wait.Sleep(ctx, headWait); err != nil {
			return err
		}
	}
	if err := x.trees.forget(ctx, tree); err != nil {
		return err
	}
	return ended
}
