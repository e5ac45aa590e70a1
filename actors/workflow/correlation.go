package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxCorrelations bounds the incomplete correlations of a schedule; beyond it the oldest one is abandoned.
	maxCorrelations = 1000
	// eventRetention is how long a correlated event is remembered, so that a repetition is recognised.
	eventRetention = 30 * 24 * time.Hour
	// correlationBatch is how many complete correlations are started at a time.
	correlationBatch = 50
)

// correlator collects events for schedules that start one execution for several events, and starts it when the events that
// belong together are complete. What is complete is stored until it is started: if that fails, a scheduler pass does it.
type correlator struct {
	actors.Deps

	config Config
	engine *engine.Engine
	starts *eventStarter
	bounds *bounds
}

// correlate adds an event to the correlations of a schedule and starts those that it completes, returning the executions'
// ids. An event that the schedule consumed before is not added again.
func (c *correlator) correlate(
	ctx context.Context, row scheduleRow, def *language.Workflow, event cloudEvent, cause engine.Origin,
) (started []string, err error) {
	if !mayConsume(def, event, c.Now()) {
		return nil, nil
	}
	var complete []string
	err = c.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		u := correlationUpdate{correlator: c, tx: tx, row: row, def: def, event: event, cause: cause}
		complete, err = u.consume(ctx)
		return err
	})
	if err != nil || len(complete) == 0 {
		return nil, err
	}
	if _, err := c.startComplete(ctx, row); err != nil {
		return nil, err
	}
	for _, id := range complete {
		execution := correlationExecution(row.WorkflowID, id)
		if _, err := c.engine.Current(ctx, execution); err == nil {
			started = append(started, execution)
		} else if !engine.IsNotFound(err) {
			return nil, err
		}
	}
	return started, nil
}

// correlationExecution returns the id of the execution that a correlation starts.
func correlationExecution(workflowID, id string) string {
	return derivedID(workflowID, "correlation/"+id)
}

// mayConsume reports whether some correlation of the definition could take an event or be completed by it. It saves a
// transaction for events that none does.
func mayConsume(def *language.Workflow, event cloudEvent, now time.Time) bool {
	var empty machine.EventCorrelation
	if taken, _, _ := empty.Add(def, event, now, machine.MatchingBudget()); taken {
		return true
	}
	started := machine.EventCorrelation{Messages: []machine.Value{{}}, MatchedFilters: []int{-1}}
	taken, _, _ := started.Add(def, event, now, machine.MatchingBudget())
	return taken
}

// correlationUpdate adds one event to the correlations of a schedule, in one transaction.
type correlationUpdate struct {
	*correlator

	tx    database.Tx
	row   scheduleRow
	def   *language.Workflow
	event cloudEvent
	cause engine.Origin
}

// consume adds the event to one correlation, a new one if no other takes it. It returns the ids of the correlations that the
// event completes.
func (u correlationUpdate) consume(ctx context.Context) (complete []string, err error) {
	if err := lockSchedule(ctx, u.tx, u.row.ID); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(u.event.text("source") + "\x00" + u.event.text("id")))
	record := correlatedEventRow{
		ScheduleID: u.row.ID, Event: hex.EncodeToString(sum[:]), UserID: u.row.UserID, CorrelatedAt: u.Now().UnixMicro(),
	}
	if before, known, err := findCorrelatedEvent(ctx, u.tx, record); err != nil || known {
		return before.complete(), err // what it completed may not have started yet
	}
	terms := correlationTerms(u.def)
	if err := deleteStaleCorrelations(ctx, u.tx, u.row.ID, terms); err != nil {
		return nil, err
	}
	open, err := correlationsOf(ctx, u.tx, u.row.ID, false, maxCorrelations)
	if err != nil {
		return nil, err
	}
	taken, complete, err := u.offer(ctx, open)
	if err == nil && !taken {
		if len(open) == maxCorrelations {
			err = u.abandon(ctx, open[0])
		}
		if err == nil {
			taken, complete, err = u.offer(ctx, []correlationRow{{
				ID: u.NewID(), ScheduleID: u.row.ID, UserID: u.row.UserID, Terms: terms, State: "{}", CreatedAt: u.Now().UnixMicro(),
			}})
		}
	}
	if err != nil || !taken {
		return nil, err
	}
	if err := u.fit(ctx); err != nil {
		return nil, err
	}
	if len(complete) > 0 {
		if err := wakeSchedule(ctx, u.tx, u.row.ID, u.Now()); err != nil {
			return nil, err
		}
	}
	record.Complete = strings.Join(complete, " ")
	return complete, insertCorrelatedEvent(ctx, u.tx, record, u.Now().Add(-eventRetention))
}

// fit abandons incomplete correlations of the schedule, the oldest first, until what the user's schedules have collected is within
// workflow.max_correlation_bytes_per_user. Its error refuses the event: other schedules have collected as much as that.
func (u correlationUpdate) fit(ctx context.Context) error {
	for {
		refusal := u.bounds.Reserve(ctx, u.tx, u.bounds.correlations, u.row.UserID, 0)
		if !errors.Is(refusal, errLimitReached) {
			return refusal
		}
		oldest, err := correlationsOf(ctx, u.tx, u.row.ID, false, 1)
		if err != nil {
			return err
		}
		if len(oldest) == 0 {
			return refusal
		}
		row := oldest[0]
		row.State = "{}"
		row.Complete, row.Problem = true, "the events collected for the user's schedules are larger than workflow.max_correlation_bytes_per_user"
		if err := putCorrelation(ctx, u.tx, row); err != nil {
			return err
		}
		if err := wakeSchedule(ctx, u.tx, u.row.ID, u.Now()); err != nil {
			return err
		}
	}
}

// abandon ends a correlation whose other events have not come. The user finds it among the failures.
func (u correlationUpdate) abandon(ctx context.Context, row correlationRow) error {
	row.Complete, row.Problem = true, fmt.Sprintf("more than %d correlations are incomplete", maxCorrelations)
	if err := putCorrelation(ctx, u.tx, row); err != nil {
		return err
	}
	return wakeSchedule(ctx, u.tx, u.row.ID, u.Now())
}

// offer gives the event to correlations in turn until one stores it. Each of them that it completes without being stored is
// completed.
func (u correlationUpdate) offer(ctx context.Context, rows []correlationRow) (taken bool, complete []string, err error) {
	matching := machine.MatchingBudget()
	for _, row := range rows {
		state, err := row.state()
		if err != nil {
			return false, nil, err
		}
		before := len(state.Messages)
		takes, completes, failed := state.Add(u.def, u.event, u.Now(), matching)
		if !takes {
			continue
		}
		data, err := subjects.Encode(state)
		if err != nil {
			return false, nil, fmt.Errorf("encoding correlation %s: %w", row.ID, err)
		}
		row.State, row.Complete = string(data), completes
		if u.cause.Depth >= row.Depth {
			row.Depth, row.Root, row.Ancestors = u.cause.Depth, u.cause.Root, u.cause.Ancestors
		}
		switch {
		case failed != nil:
			row.Problem = failed.Error()
		case len(data) > u.config.MaxInput || len(state.Messages) >= machine.MaxMessages:
			row.Complete, row.Problem = true, fmt.Sprintf("the events are too many, or larger than %d bytes", u.config.MaxInput)
		}
		if err := putCorrelation(ctx, u.tx, row); err != nil {
			return false, nil, err
		}
		taken = true
		if row.Complete {
			complete = append(complete, row.ID)
		}
		if len(state.Messages) > before || matching.Err() != nil {
			break
		}
	}
	return taken, complete, nil //nolint:nilerr // matching that ended early is a refused start
}

// correlationTerms returns a digest of a definition's schedule. Correlations under other terms are stale.
func correlationTerms(def *language.Workflow) string {
	sum := sha256.Sum256(language.Canonical(def.Definition["schedule"]))
	return hex.EncodeToString(sum[:])
}

// startComplete starts a batch of a schedule's complete correlations, each once however often it is called. It starts none
// while the schedule is paused, and keeps them.
func (c *correlator) startComplete(ctx context.Context, row scheduleRow) (started []string, err error) {
	rows, err := correlationsOf(ctx, c.DB.DB, row.ID, true, correlationBatch)
	if err != nil {
		return nil, err
	}
	for _, correlation := range rows {
		state, err := correlation.state()
		if err != nil {
			return started, err
		}
		var refusal error
		if correlation.Problem != "" {
			refusal = subjects.Errorf(subjects.CodeInvalid, "the correlated events started nothing: %s", correlation.Problem)
		}
		id := correlationExecution(row.WorkflowID, correlation.ID)
		refused, err := c.starts.start(ctx, row, id, string(language.Canonical(state.Input())), correlation.cause(), refusal)
		if errors.Is(err, engine.ErrSchedulePaused) {
			return started, nil
		}
		if err != nil {
			return started, err
		}
		err = c.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return deleteCorrelation(ctx, tx, correlation.ID) })
		if err != nil {
			return started, err
		}
		if !refused {
			started = append(started, id)
		}
	}
	return started, nil
}
