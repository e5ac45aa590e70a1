package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// controlTries bounds how often a request tries to append between a worker's turns.
	controlTries = 20
	// followAfter is how long a wait for an end relies on this process; then it follows the log.
	followAfter = 300 * time.Millisecond
	// stopWithin is how long a stopping process goes on waiting for an execution's end.
	stopWithin = 2 * time.Second
)

func (a *Actor) cancel(ctx context.Context, r subjects.ExecutionControlRequest) (subjects.Execution, error) {
	return a.control(ctx, r.ExecutionID, machine.Cancelled, func(now time.Time) machine.Outcome { return machine.Cancel(r.Reason, now) })
}

func (a *Actor) suspend(ctx context.Context, r subjects.ExecutionControlRequest) (subjects.Execution, error) {
	return a.control(ctx, r.ExecutionID, "", func(now time.Time) machine.Outcome { return machine.Suspend(r.Reason, now) })
}

func (a *Actor) resume(ctx context.Context, r subjects.ExecutionRequest) (subjects.Execution, error) {
	row, err := findExecution(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ExecutionID)
	if err != nil {
		return subjects.Execution{}, err
	}
	if err := a.Guard.CheckGrant(ctx, row.grant()); err != nil {
		return subjects.Execution{}, err
	}
	return a.control(ctx, r.ExecutionID, "", machine.Resume)
}

// control appends an outcome that the user asked for to an execution's log, between the turns of whoever works on
// it, and wakes that one. harmless is the end at which asking again is no conflict.
func (a *Actor) control(
	ctx context.Context, id string, harmless machine.Status, outcome func(time.Time) machine.Outcome,
) (subjects.Execution, error) {
	row, err := findExecution(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, id)
	if err != nil {
		return subjects.Execution{}, err
	}
	def, err := a.definition(ctx, row.WorkflowID, row.Version)
	if err != nil {
		return subjects.Execution{}, err
	}
	for range controlTries {
		status, err := a.inject(ctx, row, def, outcome)
		if errors.Is(err, errConflict) {
			continue
		}
		if err != nil {
			return subjects.Execution{}, err
		}
		if err := a.wake(ctx, id); err != nil {
			return subjects.Execution{}, err
		}
		a.live.poke(id)
		if status.Ended() && status != harmless {
			return subjects.Execution{}, subjects.Errorf(subjects.CodeConflict, "the execution has ended: it is %s", status)
		}
		return a.describe(ctx, id, row.UserID)
	}
	return subjects.Execution{}, &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: "the execution is too busy right now", RetryAfter: time.Second,
	}
}

// inject appends one outcome to a log and tells the status after it.
func (a *Actor) inject(
	ctx context.Context, row executionRow, def *language.Workflow, outcome func(time.Time) machine.Outcome,
) (machine.Status, error) {
	if row.ended() {
		return machine.Status(row.Status), nil
	}
	turns, err := a.readLog(ctx, row.ID, 0)
	if err != nil {
		return "", err
	}
	_, events, err := flatten(turns)
	if err != nil {
		return "", err
	}
	var x *machine.Execution
	var decided []machine.Event
	var last uint64
	if len(turns) == 0 {
		x, decided, err = startMachine(def, row, a.Now())
	} else {
		last = turns[len(turns)-1].sequence
		x, err = machine.Restore(def, environment(), events)
	}
	if err != nil {
		return "", err
	}
	injected := x.Handle(outcome(a.Now()))
	if len(injected) == 0 {
		return x.Status(), nil
	}
	raw, kinds, err := encodeEvents(append(decided, injected...))
	if err != nil {
		return "", err
	}
	_, err = a.appendTurn(ctx, row.ID, last, turn{By: byControl, Status: x.Status(), Events: raw}, kinds)
	return x.Status(), err
}

// wake gives a parked execution a job, and keeps one that is being worked on from being parked unseen.
func (a *Actor) wake(ctx context.Context, id string) error {
	jobID := a.NewID()
	message, err := jobMessage(id, jobID)
	if err != nil {
		return err
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		taken, err := wake(ctx, tx, id, jobID)
		if err != nil || !taken {
			return err
		}
		return a.Outbox.Add(ctx, tx, message)
	})
}

// record writes what became of an execution to SQL, with the event that tells it; it tells whether that was news.
func (a *Actor) record(ctx context.Context, row executionRow, x *machine.Execution, raw []json.RawMessage) (recorded bool, err error) {
	row.Status, row.JobID = string(x.Status()), ""
	row.StartedAt, row.EndedAt = x.StartedAt().UnixMicro(), x.EndedAt().UnixMicro()
	if x.Status() == machine.Completed {
		row.Output = string(language.Canonical(x.Output()))
	}
	if x.Fault() != nil {
		data, err := json.Marshal(x.Fault())
		if err != nil {
			return false, fmt.Errorf("encoding an execution's error: %w", err)
		}
		row.Error = string(data)
	}
	events, err := json.Marshal(raw)
	if err != nil {
		return false, fmt.Errorf("encoding a history: %w", err)
	}
	told, err := json.Marshal(subjects.ExecutionFinished.New(row.ID, row.UserID, a.Now(), subjects.ExecutionEnded{
		ExecutionID: row.ID, WorkflowID: row.WorkflowID, Version: row.Version, Name: row.Name, Status: row.Status,
		EndedAt: x.EndedAt().UTC(),
	}))
	if err != nil {
		return false, fmt.Errorf("encoding an event: %w", err)
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) (err error) {
		if recorded, err = end(ctx, tx, row, events); err != nil || !recorded {
			return err
		}
		return a.Outbox.Add(ctx, tx, actors.Message{
			ID: "finished." + row.ID, Subject: subjects.ExecutionFinished.Subject, Key: row.ID, Data: told,
		})
	})
	return recorded, err
}

// awaitEnd returns when an execution has ended, at the latest after wait. Its end in this process closes ended; its
// end in another one is read from the log.
func (a *Actor) awaitEnd(ctx context.Context, id string, ended <-chan struct{}, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	look := time.NewTicker(followAfter)
	defer look.Stop()
	stopping := a.live.stopping
	var elsewhere chan struct{}
	for {
		select {
		case <-ended:
			return
		case <-elsewhere:
			return
		case <-ctx.Done():
			return
		case <-stopping:
			stopping = nil
			time.AfterFunc(stopWithin, cancel)
		case <-look.C:
			if elsewhere != nil || a.live.has(id) {
				continue
			}
			elsewhere = make(chan struct{})
			go a.follow(ctx, id, elsewhere)
		}
	}
}

// follow closes ended once the log says that the execution has ended; it stops with ctx.
func (a *Actor) follow(ctx context.Context, id string, ended chan struct{}) {
	consumer, err := a.history.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjects.HistorySubject(id)}, DeliverPolicy: jetstream.DeliverLastPolicy, HeadersOnly: true,
	})
	if err != nil {
		return
	}
	messages, err := consumer.Messages()
	if err != nil {
		return
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		message, err := messages.Next()
		if err != nil {
			return
		}
		kind := message.Headers().Get(mesh.HeaderEvent)
		for _, last := range lastEvents {
			if kind == last {
				close(ended)
				return
			}
		}
	}
}
