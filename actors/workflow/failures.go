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

// defaultReplays is how many failures replay_failures takes on unless told otherwise.
const defaultReplays = 50

func (a *Actor) listFailures(ctx context.Context, r subjects.ListFailuresRequest) (subjects.Page[subjects.Failure], error) {
	var page subjects.Page[subjects.Failure]
	after, afterID, err := timeCursor(r.Cursor)
	if err != nil {
		return page, err
	}
	items, err := a.failures(ctx, failureQuery{
		userID: actors.CallerFrom(ctx).UserID, FailureFilter: r.FailureFilter, status: cmp.Or(r.Status, subjects.FailureOpen),
		limit: r.PageLimit() + 1, after: after, afterID: afterID,
	})
	if err != nil {
		return page, err
	}
	return actors.PageOf(items, fittingFailures(items, r.PageLimit()), func(f subjects.Failure) []string { return timeKey(f.At, f.ID) }), nil
}

// fittingFailures is how many failures an answer has room for, with their inputs: at least one, at most limit.
func fittingFailures(items []subjects.Failure, limit int) int {
	size := 0
	for i, item := range items[:min(len(items), limit)] {
		if size += len(item.Input); size > answerBytes && i > 0 {
			return i
		}
	}
	return limit
}

// failures are those that a query selects, of both kinds, in its order.
func (a *Actor) failures(ctx context.Context, f failureQuery) ([]subjects.Failure, error) {
	if err := a.engine.FlushAll(ctx); err != nil {
		return nil, err
	}
	failed, err := failedExecutions(ctx, a.DB.DB, f)
	if err != nil {
		return nil, err
	}
	refused, err := refusedStarts(ctx, a.DB.DB, f)
	if err != nil {
		return nil, err
	}
	items := make([]subjects.Failure, 0, len(failed)+len(refused))
	for _, row := range failed {
		items = append(items, subjects.Failure{
			ID: row.ID, WorkflowID: row.WorkflowID, Version: row.Version, Name: row.Name, Kind: "execution", Trigger: string(row.Origin.Kind),
			Error: row.Resource().Error, At: machine.Moment(row.CreatedAt),
		})
	}
	for _, row := range refused {
		item := subjects.Failure{
			ID: row.ID, WorkflowID: row.WorkflowID, Version: row.Version, Name: row.Name, Kind: "start", Trigger: row.Cause,
			Error: engine.Row{Error: row.Error}.Resource().Error, At: machine.Moment(row.CreatedAt), Input: json.RawMessage(row.Input),
		}
		items = append(items, item)
	}
	slices.SortFunc(items, func(x, y subjects.Failure) int {
		order := cmp.Or(x.At.Compare(y.At), strings.Compare(x.ID, y.ID))
		if f.oldest {
			return order
		}
		return -order
	})
	items = items[:min(len(items), f.limit)]
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = item.ID
	}
	marks, err := marksOf(ctx, a.DB.DB, ids)
	if err != nil {
		return nil, err
	}
	for i := range items {
		m := marks[items[i].ID]
		items[i].Status, items[i].ReplayedAs = cmp.Or(m.Status, subjects.FailureOpen), m.ReplayedAs
	}
	return items, nil
}

func (a *Actor) replayFailure(ctx context.Context, r subjects.ReplayFailureRequest) (subjects.Execution, error) {
	ctx, userID := a.DB.Detached(ctx), actors.CallerFrom(ctx).UserID // a failure is replayed once under any key
	id, err := a.replay(ctx, userID, lower(r.FailureID), r.FromTask, r.Restart)
	if err != nil {
		return subjects.Execution{}, err
	}
	return a.describe(ctx, id, userID)
}

func (a *Actor) replayFailures(ctx context.Context, r subjects.ReplayFailuresRequest) (subjects.ReplayedFailures, error) {
	ctx, userID := a.DB.Detached(ctx), actors.CallerFrom(ctx).UserID
	done := subjects.ReplayedFailures{Replayed: map[string]string{}, Refused: map[string]string{}}
	limit := cmp.Or(r.Limit, defaultReplays)
	items, err := a.failures(ctx, failureQuery{
		userID: userID, status: subjects.FailureOpen, limit: limit + 1, oldest: true,
		FailureFilter: subjects.FailureFilter{WorkflowID: r.WorkflowID, ErrorType: r.ErrorType, Since: r.Since, Until: r.Until},
	})
	if err != nil {
		return done, err
	}
	done.More = len(items) > limit
	for _, item := range items[:min(len(items), limit)] {
		id, err := a.replay(ctx, userID, item.ID, "", r.Restart)
		switch {
		case err == nil:
			done.Replayed[item.ID] = id
		case subjects.Transient(err) || subjects.CodeOf(err) == subjects.CodeConsentRequired:
			return done, err // the others would fare no better; what was replayed is replayed
		default:
			done.Refused[item.ID] = engine.FaultOf(err).Detail
		}
	}
	return done, nil
}

// replay tries a failure again and tells the execution that it is replayed as. Its id is derived from the failure's: a
// failure is replayed once.
func (a *Actor) replay(ctx context.Context, userID, id, task string, restart bool) (string, error) {
	marks, err := marksOf(ctx, a.DB.DB, []string{id})
	if err != nil {
		return "", err
	}
	if m := marks[id]; m.UserID == userID && m.Status == subjects.FailureReplayed {
		return m.ReplayedAs, nil
	}
	refused, err := readRefused(ctx, a.DB.DB, userID, id)
	if err != nil {
		return "", err
	}
	if len(refused) == 1 {
		return id, a.replayStart(ctx, refused[0])
	}
	failed, err := a.failed(ctx, userID, id)
	if err != nil {
		return "", err
	}
	row, err := a.retryAs(ctx, failed, engine.DerivedID("replay:"+id), task, restart, 0)
	if err != nil {
		return "", err
	}
	return row.ID, a.mark(ctx, markRow{ID: id, UserID: userID, Status: subjects.FailureReplayed, ReplayedAs: row.ID})
}

// replayStart starts what could not be started.
func (a *Actor) replayStart(ctx context.Context, refused refusedRow) error {
	if !json.Valid([]byte(refused.Input)) || refused.Input == "null" {
		return subjects.Errorf(subjects.CodeConflict, "the input of the run could not be made: there is nothing to start it with")
	}
	err := a.startExecution(ctx, order{
		userID: refused.UserID, workflowID: refused.WorkflowID, version: refused.Version, executionID: refused.ID, input: refused.Input,
		origin: engine.Origin{Kind: engine.OriginKind(refused.Cause), ID: derived(refused.WorkflowID, "schedule")},
	})
	if err != nil {
		return err
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return startedLate(ctx, tx, refused.WorkflowID, refused.ID, a.Now())
	})
	if err != nil {
		return err
	}
	return a.mark(ctx, markRow{ID: refused.ID, UserID: refused.UserID, Status: subjects.FailureReplayed, ReplayedAs: refused.ID})
}

func (a *Actor) mark(ctx context.Context, row markRow) error {
	row.CreatedAt = a.Now().UnixMicro()
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return mark(ctx, tx, row) })
	if err == nil {
		a.flows.failures.WithLabelValues(row.Status).Inc()
	}
	return err
}

var errNoFailure = subjects.Errorf(subjects.CodeNotFound, "there is no such failure")

// failed is a user's execution that ended with an error.
func (a *Actor) failed(ctx context.Context, userID, id string) (engine.Row, error) {
	row, err := a.findExecution(ctx, userID, id)
	if engine.IsNotFound(err) || err == nil && machine.Status(row.Status) != machine.Faulted {
		return row, errNoFailure
	}
	return row, err
}

func (a *Actor) dismissFailure(ctx context.Context, r subjects.FailureRequest) (subjects.Empty, error) {
	userID, id := actors.CallerFrom(ctx).UserID, lower(r.FailureID)
	refused, err := readRefused(ctx, a.DB.DB, userID, id)
	if err == nil && len(refused) == 0 {
		_, err = a.failed(ctx, userID, id)
	}
	if err != nil {
		return subjects.Empty{}, err
	}
	marks, err := marksOf(ctx, a.DB.DB, []string{id})
	if err != nil {
		return subjects.Empty{}, err
	}
	if marks[id].Status == subjects.FailureReplayed {
		return subjects.Empty{}, subjects.Errorf(subjects.CodeConflict, "the failure was replayed")
	}
	return subjects.Empty{}, a.mark(ctx, markRow{ID: id, UserID: userID, Status: subjects.FailureDismissed})
}

// retry goes on with what an ended execution had done, as a new one.
func (a *Actor) retry(ctx context.Context, r subjects.RetryExecutionRequest) (subjects.Execution, error) {
	userID := actors.CallerFrom(ctx).UserID
	old, err := a.findExecution(ctx, userID, r.ExecutionID)
	if err != nil {
		return subjects.Execution{}, err
	}
	if r.Restart && r.FromTask != "" {
		return subjects.Execution{}, subjects.InvalidField("from_task", "does not go with restart")
	}
	if !old.Ended() {
		return subjects.Execution{}, subjects.Errorf(subjects.CodeConflict, "the execution goes on: it is %s", old.Status)
	}
	o, err := a.orderOf(ctx, old.WorkflowID, r.NewID, r.Version, json.RawMessage(old.Input))
	if err != nil {
		return subjects.Execution{}, err
	}
	row, err := a.retryAs(ctx, old, o.executionID, r.FromTask, r.Restart, r.Version)
	if err != nil {
		return subjects.Execution{}, err
	}
	return a.describe(ctx, row.ID, userID)
}

// retryAs begins an execution that goes on with what another one had done. Whether that can be is tried out first.
func (a *Actor) retryAs(ctx context.Context, old engine.Row, id, task string, restart bool, version int) (engine.Row, error) {
	workflow, err := a.currentWorkflow(ctx, old.UserID, old.WorkflowID)
	if err != nil {
		return old, err
	}
	o := order{
		userID: old.UserID, workflowID: old.WorkflowID, executionID: cmp.Or(id, a.engine.NewExecutionID()), input: old.Input,
		version: cmp.Or(version, workflow.Version), origin: engine.Origin{Kind: engine.OriginRestart, ID: old.ID},
	}
	if !restart {
		o.origin = engine.Origin{Kind: engine.OriginRetry, ID: old.ID, Task: task}
		if _, known, err := a.known(ctx, o, engine.PartitionOf(o.executionID)); err == nil && !known {
			if _, _, err := a.engine.RetryFrom(ctx, engine.Row{ID: o.executionID, UserID: o.userID, WorkflowID: o.workflowID, Version: o.version, Origin: o.origin}); err != nil {
				return old, err
			}
		}
	}
	row, _, err := a.begin(ctx, o, nil)
	return row, err
}

// noteRefused keeps a start that did not come about; first has the user told.
func (a *Actor) noteRefused(ctx context.Context, tx database.Tx, row refusedRow, cause error, first bool) error {
	row.Error, row.ErrorType = engine.ErrorText(cause), engine.FaultOf(cause).Type
	if err := noteRefusal(ctx, tx, row); err != nil || !first {
		return err
	}
	var coded *subjects.Error
	code := subjects.CodeInternal
	if errors.As(cause, &coded) {
		code = coded.Code
	}
	told, err := json.Marshal(subjects.RunRefused.New("refused."+row.ID, row.UserID, a.Now(), subjects.RunRefusal{
		WorkflowID: row.WorkflowID, Name: row.Name, Trigger: row.Cause, Code: code, Reason: engine.FaultOf(cause).Detail,
	}))
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return a.Outbox.Add(ctx, tx, outbox.Message{
		ID: "refused." + row.ID, Subject: subjects.RunRefused.Subject, Key: row.WorkflowID, Data: told,
	})
}
