package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// failures lists and replays what failed: executions that faulted, and starts that schedules and events asked for and that
// were refused.
type failures struct {
	actors.Deps

	engine     *engine.Engine
	executions *executions
	metrics    *metrics
	// keep is how many refused starts of a user are kept.
	keep int
}

var errNoFailure = subjects.Errorf(subjects.CodeNotFound, "there is no such failure")

// list returns the failures of both kinds that a query selects, in its order.
func (f *failures) list(ctx context.Context, q failureQuery) ([]subjects.Failure, error) {
	if err := f.engine.FlushAll(ctx); err != nil {
		return nil, err
	}
	failed, err := failedExecutions(ctx, f.DB.DB, q)
	if err != nil {
		return nil, err
	}
	refused, err := refusedStarts(ctx, f.DB.DB, q)
	if err != nil {
		return nil, err
	}
	items := make([]subjects.Failure, 0, len(failed)+len(refused))
	for _, row := range failed {
		items = append(items, subjects.Failure{
			ID: row.ID, WorkflowID: row.WorkflowID, Version: row.Version, Name: row.Name, Kind: "execution", Trigger: row.Origin.Trigger(),
			Error: row.Resource().Error, At: machine.Moment(row.CreatedAt),
		})
	}
	for _, row := range refused {
		items = append(items, row.resource())
	}
	slices.SortFunc(items, func(x, y subjects.Failure) int {
		order := cmp.Or(x.At.Compare(y.At), strings.Compare(x.ID, y.ID))
		if q.oldestFirst {
			return order
		}
		return -order
	})
	items = items[:min(len(items), q.limit)]
	return items, f.addMarks(ctx, items)
}

// addMarks sets the statuses of failures.
func (f *failures) addMarks(ctx context.Context, items []subjects.Failure) error {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = item.ID
	}
	marks, err := failureMarks(ctx, f.DB.DB, ids)
	if err != nil {
		return err
	}
	for i := range items {
		mark := marks[items[i].ID]
		items[i].Status, items[i].ReplayedAs = cmp.Or(mark.Status, subjects.FailureOpen), mark.ReplayedAs
	}
	return nil
}

// replay replays a user's failure and returns the id of the execution. That is derived from the failure's id: a failure is
// replayed once, and a repetition returns the same execution.
func (f *failures) replay(ctx context.Context, userID, id, task string, restart bool) (string, error) {
	marks, err := failureMarks(ctx, f.DB.DB, []string{id})
	if err != nil {
		return "", err
	}
	if mark := marks[id]; mark.UserID == userID && mark.Status == subjects.FailureReplayed {
		return mark.ReplayedAs, nil
	}
	refused, err := findRefusedStart(ctx, f.DB.DB, userID, id)
	if err == nil {
		return id, f.replayStart(ctx, refused)
	}
	if !engine.IsNotFound(err) {
		return "", err
	}
	failed, err := f.findExecution(ctx, userID, id)
	if err != nil {
		return "", err
	}
	row, err := f.executions.retry(ctx, failed, engine.DerivedID("replay:"+failed.ID), "", task, restart, 0)
	if err != nil {
		return "", err
	}
	return row.ID, f.mark(ctx, failureMarkRow{ID: id, UserID: userID, Status: subjects.FailureReplayed, ReplayedAs: row.ID})
}

// replayStart starts the execution of a refused start.
func (f *failures) replayStart(ctx context.Context, refused refusedStartRow) error {
	if !json.Valid([]byte(refused.Input)) || refused.Input == "null" {
		return subjects.Errorf(subjects.CodeConflict, "the start cannot be replayed, because its input was not stored")
	}
	err := f.executions.startOnce(ctx, startRequest{
		userID: refused.UserID, workflowID: refused.WorkflowID, version: refused.Version, executionID: refused.ID, input: refused.Input,
		origin:    engine.Origin{Kind: engine.OriginKind(refused.Cause), ID: scheduleID(refused.WorkflowID)},
		authority: actors.CallerFrom(ctx).Authority, authored: true,
	})
	if err != nil {
		return err
	}
	err = f.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return markRunStarted(ctx, tx, refused.WorkflowID, refused.ID, f.Now())
	})
	if err != nil {
		return err
	}
	return f.mark(ctx, failureMarkRow{ID: refused.ID, UserID: refused.UserID, Status: subjects.FailureReplayed, ReplayedAs: refused.ID})
}

// dismiss removes a user's failure from the open ones. It is a conflict if the failure was replayed.
func (f *failures) dismiss(ctx context.Context, userID, id string) error {
	_, err := findRefusedStart(ctx, f.DB.DB, userID, id)
	if engine.IsNotFound(err) {
		_, err = f.findExecution(ctx, userID, id)
	}
	if err != nil {
		return err
	}
	marks, err := failureMarks(ctx, f.DB.DB, []string{id})
	if err != nil {
		return err
	}
	if marks[id].Status == subjects.FailureReplayed {
		return subjects.Errorf(subjects.CodeConflict, "the failure was replayed")
	}
	return f.mark(ctx, failureMarkRow{ID: id, UserID: userID, Status: subjects.FailureDismissed})
}

// mark records the result of a failure.
func (f *failures) mark(ctx context.Context, row failureMarkRow) error {
	row.CreatedAt = f.Now().UnixMicro()
	err := f.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return putFailureMark(ctx, tx, row) })
	if err == nil {
		f.metrics.failures.WithLabelValues(row.Status).Inc()
	}
	return err
}

// findExecution returns a user's execution that faulted.
func (f *failures) findExecution(ctx context.Context, userID, id string) (engine.Row, error) {
	row, err := f.executions.find(ctx, userID, id)
	if engine.IsNotFound(err) || err == nil && machine.Status(row.Status) != machine.Faulted {
		return row, errNoFailure
	}
	return row, err
}

// recordRefusedStart stores a start that was refused, and with notify publishes the event that notifies the user.
func (f *failures) recordRefusedStart(ctx context.Context, tx database.Tx, row refusedStartRow, cause error, notify bool) error {
	row.Error, row.ErrorType = engine.ErrorText(cause), engine.FaultOf(cause).Type
	if err := putRefusedStart(ctx, tx, row); err != nil {
		return err
	}
	if err := pruneRefusedStarts(ctx, tx, row.UserID, f.keep); err != nil || !notify {
		return err
	}
	var coded *subjects.Error
	code := subjects.CodeInternal
	if errors.As(cause, &coded) {
		code = coded.Code
	}
	event, err := subjects.Encode(subjects.RunRefused.New("refused."+row.ID, row.UserID, f.Now(), subjects.RunRefusal{
		WorkflowID: row.WorkflowID, Name: row.Name, Trigger: row.Cause, Code: code, Reason: engine.FaultOf(cause).Detail,
	}))
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return f.Outbox.Add(ctx, tx, outbox.Message{
		ID: "refused." + row.ID, Subject: subjects.RunRefused.Subject, Key: row.WorkflowID, Data: event,
	})
}
