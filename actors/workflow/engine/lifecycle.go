package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// LifecycleDepth is what a start by a lifecycle event adds to the depth of an execution's origin, and the depth from which an
// execution publishes no lifecycle events: what lifecycle events start cannot start more by its own.
const LifecycleDepth = 10

// publishProgress publishes, with the transaction, what the histories of executions have got, for users who receive lifecycle
// events. The events themselves are made from the stored history.
func (s sqlStore) publishProgress(ctx context.Context, tx database.Tx, executions []*projectedExecution) error {
	var users []string
	for _, x := range executions {
		if x.progressed() && !slices.Contains(users, x.row.UserID) {
			users = append(users, x.row.UserID)
		}
	}
	if len(users) == 0 {
		return nil
	}
	listening, err := s.LifecycleListeners(ctx, tx, users)
	if err != nil || len(listening) == 0 {
		return err
	}
	for _, x := range executions {
		if !x.progressed() || !slices.Contains(listening, x.row.UserID) {
			continue
		}
		first := x.row.Events - int64(len(x.events)) + 1
		id := fmt.Sprintf("progress.%s.%d.%d", x.row.ID, first, x.row.Events)
		event := subjects.ExecutionProgressed.New(id, x.row.UserID, s.Now(), subjects.ExecutionProgress{ExecutionID: x.row.ID, First: first, Last: x.row.Events})
		if err := s.publish(ctx, tx, id, subjects.ExecutionProgressed.Subject, x.row.ID, event); err != nil {
			return err
		}
	}
	return nil
}

// progressed reports whether a projection brings events of which lifecycle events are made.
func (x *projectedExecution) progressed() bool {
	return len(x.events) > 0 && x.row.Origin.Depth < LifecycleDepth
}

// Stored returns an execution as SQL has it; ErrNoExecution where there is none.
func (e *Engine) Stored(ctx context.Context, id string) (Row, error) {
	row, err := e.store.execution(ctx, id)
	if err != nil && !IsNotFound(err) {
		return row, database.Classify(err)
	}
	return row, err
}
