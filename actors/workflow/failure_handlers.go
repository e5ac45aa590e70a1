package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/subjects"
)

// defaultReplays is how many failures replay_failures replays if the request does not say.
const defaultReplays = 50

func (a *Actor) listFailures(ctx context.Context, r subjects.ListFailuresRequest) (subjects.Page[subjects.Failure], error) {
	var page subjects.Page[subjects.Failure]
	after, afterID, err := timeCursor(r.Cursor)
	if err != nil {
		return page, err
	}
	items, err := a.failures.list(ctx, failureQuery{
		userID: actors.CallerFrom(ctx).UserID, FailureFilter: r.FailureFilter, status: cmp.Or(r.Status, subjects.FailureOpen),
		limit: r.PageLimit() + 1, after: after, afterID: afterID,
	})
	if err != nil {
		return page, err
	}
	limit := fit(len(items), r.PageLimit(), func(i int) int { return len(items[i].Input) })
	return actors.PageOf(items, limit, func(f subjects.Failure) []string { return timeKey(f.At, f.ID) }), nil
}

func (a *Actor) replayFailure(ctx context.Context, r subjects.ReplayFailureRequest) (subjects.Execution, error) {
	ctx, userID := a.DB.Detached(ctx), actors.CallerFrom(ctx).UserID // replaying twice is harmless under any key
	id, err := a.failures.replay(ctx, userID, strings.ToLower(r.FailureID), r.FromTask, r.Restart)
	if err != nil {
		return subjects.Execution{}, err
	}
	return a.executions.view(ctx, userID, id)
}

// replayFailures replays the oldest open failures that the request selects. It stops at the first error that the others would
// meet as well; what was replayed until then stays replayed.
func (a *Actor) replayFailures(ctx context.Context, r subjects.ReplayFailuresRequest) (subjects.ReplayedFailures, error) {
	ctx, userID := a.DB.Detached(ctx), actors.CallerFrom(ctx).UserID
	done := subjects.ReplayedFailures{Replayed: map[string]string{}, Refused: map[string]string{}}
	limit := cmp.Or(r.Limit, defaultReplays)
	items, err := a.failures.list(ctx, failureQuery{
		userID: userID, status: subjects.FailureOpen, limit: limit + 1, oldestFirst: true,
		FailureFilter: subjects.FailureFilter{WorkflowID: r.WorkflowID, ErrorType: r.ErrorType, Since: r.Since, Until: r.Until},
	})
	if err != nil {
		return done, err
	}
	done.More = len(items) > limit
	for _, item := range items[:min(len(items), limit)] {
		id, err := a.failures.replay(ctx, userID, item.ID, "", r.Restart)
		switch {
		case err == nil:
			done.Replayed[item.ID] = id
		case subjects.Transient(err) || subjects.CodeOf(err) == subjects.CodeConsentRequired:
			return done, err
		default:
			done.Refused[item.ID] = engine.FaultOf(err).Detail
		}
	}
	return done, nil
}

func (a *Actor) dismissFailure(ctx context.Context, r subjects.FailureRequest) (subjects.Empty, error) {
	return subjects.Empty{}, a.failures.dismiss(ctx, actors.CallerFrom(ctx).UserID, strings.ToLower(r.FailureID))
}

// retryExecution starts a new execution that keeps the results of an ended one, up to where it failed or to a given task.
func (a *Actor) retryExecution(ctx context.Context, r subjects.RetryExecutionRequest) (subjects.Execution, error) {
	userID := actors.CallerFrom(ctx).UserID
	ended, err := a.executions.find(ctx, userID, r.ExecutionID)
	if err != nil {
		return subjects.Execution{}, err
	}
	if r.Restart && r.FromTask != "" {
		return subjects.Execution{}, subjects.InvalidField("from_task", "cannot be combined with restart")
	}
	if !ended.Ended() {
		return subjects.Execution{}, subjects.Errorf(subjects.CodeConflict, "the execution has not ended: it is %s", ended.Status)
	}
	request, err := a.startRequestOf(ctx, ended.WorkflowID, r.NewID, r.Version, json.RawMessage(ended.Input))
	if err != nil {
		return subjects.Execution{}, err
	}
	row, err := a.executions.retry(ctx, ended, request.executionID, request.chosenID, r.FromTask, r.Restart, r.Version)
	if err != nil {
		return subjects.Execution{}, err
	}
	return a.executions.view(ctx, userID, row.ID)
}
