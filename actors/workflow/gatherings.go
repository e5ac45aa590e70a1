package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxGatherings is how many gatherings of a schedule wait for the rest of their events; past it, the oldest is given up.
	maxGatherings = 1000
	// keepEvents is how long an event that was gathered is known again.
	keepEvents = 30 * 24 * time.Hour
	// gatheredBatch is how many gatherings one look starts.
	gatheredBatch = 50
)

// gather hands an event to what a schedule gathers, and starts what is whole with it. An event that a schedule has is not
// taken again. What is whole is kept until it is started: the loop of schedules does what this call has no time for.
func (a *Actor) gather(ctx context.Context, row scheduleRow, def *language.Workflow, event cloudEvent, depth int) (started []string, err error) {
	if !wanted(def, event, a.Now()) {
		return nil, nil
	}
	var whole []string
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		g := gatherer{a: a, tx: tx, row: row, def: def, event: event, depth: depth}
		whole, err = g.take(ctx)
		return err
	})
	if err != nil || len(whole) == 0 {
		return nil, err
	}
	if _, err := a.startGathered(ctx, row); err != nil {
		return nil, err
	}
	for _, id := range whole {
		execution := gatheredExecution(row.WorkflowID, id)
		if _, err := a.engine.Current(ctx, execution); err == nil {
			started = append(started, execution)
		} else if !engine.IsNotFound(err) {
			return nil, err
		}
	}
	return started, nil
}

// gatheredExecution is the id of the execution that a gathering starts.
func gatheredExecution(workflowID, id string) string { return derived(workflowID, "gathering/"+id) }

// wanted tells whether a gathering could take an event, or be ended by it.
func wanted(def *language.Workflow, event cloudEvent, now time.Time) bool {
	var fresh machine.EventCorrelation
	if taken, _, _ := fresh.Add(def, event, now); taken {
		return true
	}
	some := machine.EventCorrelation{Messages: []machine.Value{{}}, MatchedFilters: []int{-1}}
	taken, _, _ := some.Add(def, event, now)
	return taken
}

// gatherer hands one event to what a schedule gathers, in one transaction.
type gatherer struct {
	a     *Actor
	tx    database.Tx
	row   scheduleRow
	def   *language.Workflow
	event cloudEvent
	depth int
}

// take tells which gatherings the event has made whole.
func (g gatherer) take(ctx context.Context) (whole []string, err error) {
	if err := holdSchedule(ctx, g.tx, g.row.ID); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(g.event.text("source") + "\x00" + g.event.text("id")))
	note := gatheredRow{ScheduleID: g.row.ID, Event: hex.EncodeToString(sum[:]), UserID: g.row.UserID, GatheredAt: g.a.Now().UnixMicro()}
	if before, known, err := gathered(ctx, g.tx, note); err != nil || known {
		return before.whole(), err // what it made whole then may not be started yet
	}
	terms := gatheringTerms(g.def)
	if err := dropStale(ctx, g.tx, g.row.ID, terms); err != nil {
		return nil, err
	}
	open, err := gatheringsOf(ctx, g.tx, g.row.ID, false, maxGatherings)
	if err != nil {
		return nil, err
	}
	taken, whole, err := g.offer(ctx, open)
	if err == nil && !taken {
		fresh := gatheringRow{
			ID: g.a.NewID(), ScheduleID: g.row.ID, UserID: g.row.UserID, Terms: terms, State: "{}", CreatedAt: g.a.Now().UnixMicro(),
		}
		if len(open) == maxGatherings {
			err = g.giveUp(ctx, open[0])
		}
		if err == nil {
			taken, whole, err = g.offer(ctx, []gatheringRow{fresh})
		}
	}
	if err != nil || !taken {
		return nil, err
	}
	if len(whole) > 0 {
		if err := wakeSchedule(ctx, g.tx, g.row.ID, g.a.Now()); err != nil {
			return nil, err
		}
	}
	note.Whole = strings.Join(whole, " ")
	return whole, keepGathered(ctx, g.tx, note, g.a.Now().Add(-keepEvents))
}

// giveUp ends a gathering whose other events do not come: it is among the failures.
func (g gatherer) giveUp(ctx context.Context, row gatheringRow) error {
	row.Whole, row.Problem = true, fmt.Sprintf("more than %d wait for the rest of their events", maxGatherings)
	if err := keepGathering(ctx, g.tx, row); err != nil {
		return err
	}
	return wakeSchedule(ctx, g.tx, g.row.ID, g.a.Now())
}

// offer hands the event to gatherings in turn until one keeps it. All those end that it ends.
func (g gatherer) offer(ctx context.Context, rows []gatheringRow) (taken bool, whole []string, err error) {
	for _, row := range rows {
		var state machine.EventCorrelation
		if err := json.Unmarshal([]byte(row.State), &state); err != nil {
			return false, nil, fmt.Errorf("reading gathering %s: %w", row.ID, err)
		}
		before := len(state.Messages)
		takes, complete, failed := state.Add(g.def, g.event, g.a.Now())
		if !takes {
			continue
		}
		data, err := json.Marshal(state)
		if err != nil {
			return false, nil, fmt.Errorf("writing gathering %s: %w", row.ID, err)
		}
		row.State, row.Depth, row.Whole = string(data), max(row.Depth, g.depth), complete
		switch {
		case failed != nil:
			row.Problem = failed.Error()
		case len(data) > g.a.config.MaxInput || len(state.Messages) >= machine.MaxMessages:
			row.Whole, row.Problem = true, fmt.Sprintf("its events are too many, or larger than %d bytes", g.a.config.MaxInput)
		}
		if err := keepGathering(ctx, g.tx, row); err != nil {
			return false, nil, err
		}
		taken = true
		if row.Whole {
			whole = append(whole, row.ID)
		}
		if len(state.Messages) > before {
			break
		}
	}
	return taken, whole, nil
}

// gatheringTerms are a digest of what a definition's schedule waits for.
func gatheringTerms(def *language.Workflow) string {
	sum := sha256.Sum256(language.Canonical(def.Definition["schedule"]))
	return hex.EncodeToString(sum[:])
}

// startGathered starts what a schedule has gathered. However often it is called, each is started once.
func (a *Actor) startGathered(ctx context.Context, row scheduleRow) (started []string, err error) {
	rows, err := gatheringsOf(ctx, a.DB.DB, row.ID, true, gatheredBatch)
	if err != nil {
		return nil, err
	}
	for _, one := range rows {
		var state machine.EventCorrelation
		if err := json.Unmarshal([]byte(one.State), &state); err != nil {
			return started, fmt.Errorf("reading gathering %s: %w", one.ID, err)
		}
		o := order{
			userID: row.UserID, workflowID: row.WorkflowID, version: row.Version, input: string(language.Canonical(state.Input())),
			origin: engine.Origin{Kind: engine.OriginEvent, ID: row.ID, Depth: one.Depth}, executionID: gatheredExecution(row.WorkflowID, one.ID), schedule: row.ID,
		}
		var cause error
		if one.Problem != "" {
			cause = subjects.Errorf(subjects.CodeInvalid, "nothing was started with what was gathered: %s", one.Problem)
		}
		refused, err := a.startTriggered(ctx, row, o, cause)
		if errors.Is(err, engine.ErrSchedulePaused) { // it is kept for when the schedule goes on
			return started, nil
		}
		if err != nil {
			return started, err
		}
		if err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return dropGathering(ctx, tx, one.ID) }); err != nil {
			return started, err
		}
		if !refused {
			started = append(started, o.executionID)
		}
	}
	return started, nil
}
