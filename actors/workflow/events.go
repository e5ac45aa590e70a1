package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

const (
	// timerPoll is how often timers are looked at that another process may have set.
	timerPoll = 500 * time.Millisecond
	// timerBatch and purgeBatch bound one look.
	timerBatch = 100
	purgeBatch = 100
)

// advance carries an execution on until it ends or waits for long. A job that is not the execution's own any more
// is done with.
func (a *Actor) advance(ctx context.Context, job subjects.AdvanceExecution) error {
	row, err := readExecution(ctx, a.DB.DB, job.ExecutionID)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return nil
	}
	if err != nil {
		return actors.DatabaseError(err)
	}
	if row.ended() || row.JobID != job.JobID {
		return nil
	}
	r := newRunner(a, row)
	if !a.live.enter(r) {
		return actors.ErrStepAside
	}
	defer a.live.leave(r)
	a.metrics.active.Inc()
	defer a.metrics.active.Dec()
	return r.run(ctx)
}

// jobMessage is the message of an execution's job.
func jobMessage(executionID, jobID string) (actors.Message, error) {
	data, err := json.Marshal(subjects.AdvanceExecution{ExecutionID: executionID, JobID: jobID})
	if err != nil {
		return actors.Message{}, fmt.Errorf("encoding a job: %w", err)
	}
	return actors.Message{ID: "advance." + jobID, Subject: subjects.Advance.Subject, Key: executionID, Data: data}, nil
}

// awaitStop tells the runners when the process begins to stop: they end their calls and begin no new ones.
func (a *Actor) awaitStop(ctx context.Context) error {
	<-ctx.Done()
	a.live.stop()
	return nil
}

// runTimers gives parked executions a job when their time has come.
func (a *Actor) runTimers(ctx context.Context) error {
	for {
		due, next, err := dueTimers(ctx, a.DB.DB, a.Now(), timerBatch)
		if err != nil {
			return err
		}
		for _, t := range due {
			if err := a.fire(ctx, t.ExecutionID); err != nil {
				return err
			}
		}
		nap := timerPoll
		if !next.IsZero() {
			nap = min(nap, max(time.Millisecond, next.Sub(a.Now())))
		}
		if len(due) == timerBatch {
			nap = time.Millisecond
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(nap):
		case <-a.timersChanged:
		}
	}
}

func (a *Actor) fire(ctx context.Context, id string) error {
	jobID := a.NewID()
	message, err := jobMessage(id, jobID)
	if err != nil {
		return err
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		taken, err := takeJob(ctx, tx, id, jobID)
		if err != nil || !taken {
			return err
		}
		return a.Outbox.Add(ctx, tx, message)
	})
}

// runPurge drops the logs of executions from the stream some time after their end: SQL has them.
func (a *Actor) runPurge(ctx context.Context) error {
	every := min(time.Minute, max(100*time.Millisecond, a.config.KeepLog/60))
	for {
		count, err := a.purge(ctx)
		if err != nil {
			return err
		}
		if count == purgeBatch {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func (a *Actor) purge(ctx context.Context) (int, error) {
	ids, err := endedBefore(ctx, a.DB.DB, a.Now().Add(-a.config.KeepLog), purgeBatch)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	for _, id := range ids {
		if err := a.history.Purge(ctx, jetstream.WithPurgeSubject(subjects.HistorySubject(id))); err != nil {
			return 0, fmt.Errorf("purging the log of %s: %w", id, err)
		}
	}
	return len(ids), a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		return purged(ctx, tx, ids, a.Now())
	})
}
