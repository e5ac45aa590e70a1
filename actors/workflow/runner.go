package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	// longestNap is the longest that a runner waits for a timer without looking at the clock.
	longestNap = time.Second
	// appendWithin is how long a runner tries to append a turn while the stream cannot be reached.
	appendWithin = 20 * time.Second
	appendPause  = 250 * time.Millisecond
)

// runner carries one execution on. It decides in memory, appends, and then acts; what it has not appended, it
// has not decided.
type runner struct {
	a   *Actor
	row executionRow
	def *language.Workflow
	// by tells this run's turns from any other's.
	by string
	x  *machine.Execution
	// last is the sequence of the log's last message; raw and events are all of the log's events.
	last   uint64
	raw    []json.RawMessage
	events []machine.Event

	flying  map[string]context.CancelFunc
	results chan result
	poked   chan struct{}
}

// result is what came of a call.
type result struct {
	id      string
	outcome machine.Outcome
	// abandoned: the process stops or has lost the mesh; nothing is to be recorded.
	abandoned bool
}

func newRunner(a *Actor, row executionRow) *runner {
	return &runner{
		a: a, row: row, by: a.NewID(), flying: map[string]context.CancelFunc{}, results: make(chan result, 16),
		poked: make(chan struct{}, 1),
	}
}

// errHandover brings the job to another process.
var errHandover = &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the process stops", RetryAfter: time.Second}

// run carries the execution on until it ends or waits for long.
func (r *runner) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.def, err = r.a.definition(ctx, r.row.WorkflowID, r.row.Version); err != nil {
		return err
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	for {
		if r.x.Status().Ended() {
			return r.finish(ctx)
		}
		if err := r.makeCalls(ctx); err != nil {
			return err
		}
		if r.x.Status().Ended() {
			continue
		}
		done, err := r.await(ctx)
		if done || err != nil {
			return err
		}
	}
}

// open starts a new execution, or restores one from its log.
func (r *runner) open(ctx context.Context) error {
	if r.row.Status == subjects.ExecutionPending {
		x, events, err := startMachine(r.def, r.row, r.a.Now())
		if err != nil {
			return err
		}
		r.x = x
		err = r.append(ctx, events)
		if err == nil || !errors.Is(err, errConflict) && !passing(err) {
			return err
		}
	}
	if err := r.load(ctx); err != nil {
		return err
	}
	if len(r.events) == 0 {
		return unreadable(fmt.Errorf("the log of %s is empty", r.row.ID))
	}
	return r.take(ctx)
}

// startMachine begins an execution in memory.
func startMachine(def *language.Workflow, row executionRow, now time.Time) (*machine.Execution, []machine.Event, error) {
	input, err := language.Decode([]byte(row.Input))
	if err != nil {
		return nil, nil, fmt.Errorf("decoding the input of %s: %w", row.ID, err)
	}
	x, events := machine.Start(def, row.ID, input, now, environment())
	return x, events, nil
}

func environment() machine.Environment { return machine.Environment{} }

// load makes the execution of its whole log anew.
func (r *runner) load(ctx context.Context) error {
	r.last, r.raw, r.events = 0, nil, nil
	turns, err := r.a.readLog(ctx, r.row.ID, 0)
	if err != nil {
		return err
	}
	return r.rebuild(turns)
}

func (r *runner) rebuild(turns []turn) (err error) {
	raw, events, err := flatten(turns)
	if err != nil {
		return err
	}
	r.raw, r.events = append(r.raw, raw...), append(r.events, events...)
	if len(turns) > 0 {
		r.last = turns[len(turns)-1].sequence
	}
	r.x, err = machine.Restore(r.def, environment(), r.events)
	return err
}

// catchUp takes in what others have appended. A turn of another worker means that this one has lost the execution.
func (r *runner) catchUp(ctx context.Context) error {
	turns, err := r.a.readLog(ctx, r.row.ID, r.last)
	if err != nil {
		return err
	}
	for _, t := range turns {
		if t.By != r.by && t.By != byControl {
			return actors.ErrStepAside
		}
	}
	return r.rebuild(turns)
}

// take hands outcomes to the machine and appends what it decides, with what was left to decide. Where the log has
// grown, it decides anew.
func (r *runner) take(ctx context.Context, outcomes ...machine.Outcome) error {
	began := time.Now()
	for {
		var decided []machine.Event
		for _, outcome := range outcomes {
			decided = append(decided, r.x.Handle(outcome)...)
		}
		if len(outcomes) == 0 || len(decided) >= machine.MaxTurn {
			decided = append(decided, r.x.Continue(r.a.Now())...)
		}
		if len(decided) == 0 {
			return nil
		}
		err := r.append(ctx, decided)
		switch {
		case err == nil && len(decided) < machine.MaxTurn:
			return nil
		case err == nil:
			outcomes = nil
			continue
		case errors.Is(err, errEventSize):
			outcomes = []machine.Outcome{machine.Cancel("an event is larger than a message may be", r.a.Now())}
		case errors.Is(err, errConflict):
		case !passing(err) || time.Since(began) > appendWithin:
			return err
		}
		// Nothing is decided anew before the machine is what the log says.
		for err := r.catchUp(ctx); err != nil; err = r.catchUp(ctx) {
			if !passing(err) || time.Since(began) > appendWithin {
				return err
			}
			if err := nap(ctx, appendPause); err != nil {
				return err
			}
		}
	}
}

// append appends events that the machine has decided.
func (r *runner) append(ctx context.Context, events []machine.Event) error {
	raw, kinds, err := encodeEvents(events)
	if err != nil {
		return err
	}
	last, err := r.a.appendTurn(ctx, r.row.ID, r.last, turn{By: r.by, Status: r.x.Status(), Events: raw}, kinds)
	if err != nil {
		return err
	}
	r.last, r.raw, r.events = last, append(r.raw, raw...), append(r.events, events...)
	return nil
}

// park gives the job up until the next timer or until something comes from outside. Where something has come
// already, it is taken in instead.
func (r *runner) park(ctx context.Context, due time.Time) (done bool, err error) {
	r.row.StartedAt = r.x.StartedAt().UnixMicro()
	var parked bool
	err = r.a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) (err error) {
		parked, err = park(ctx, tx, r.row, r.x.Status(), due)
		return err
	})
	if err != nil {
		return false, err
	}
	if parked {
		select {
		case r.a.timersChanged <- struct{}{}:
		default:
		}
		return true, nil
	}
	row, err := readExecution(ctx, r.a.DB.DB, r.row.ID)
	if err != nil {
		return false, actors.DatabaseError(err)
	}
	if row.ended() || row.JobID != r.row.JobID {
		return true, nil
	}
	r.row = row
	return false, r.catchUp(ctx)
}

// finish records what became of the execution, and tells it.
func (r *runner) finish(ctx context.Context) error {
	recorded, err := r.a.record(ctx, r.row, r.x, r.raw)
	if err != nil {
		return err
	}
	if recorded {
		status := string(r.x.Status())
		r.a.metrics.executions.WithLabelValues(status).Inc()
		r.a.metrics.duration.Observe(r.x.EndedAt().Sub(r.x.StartedAt()).Seconds())
		r.a.Log.Info("execution ended", zap.String("execution_id", r.row.ID), zap.String("status", status))
	}
	r.a.live.ended(r.row.ID)
	return nil
}

// passing tells whether another try makes sense.
func passing(err error) bool {
	switch subjects.CodeOf(err) {
	case subjects.CodeUnavailable, subjects.CodeTimeout:
		return true
	}
	return false
}

func nap(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return errHandover
	}
}
