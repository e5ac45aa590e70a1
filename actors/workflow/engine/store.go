package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// endedPerEvent bounds the executions in one event.
const endedPerEvent = 200

// store is what the engine reads of executions, and where it projects them: SQL, or memory in simulations.
type store interface {
	// detached returns ctx outside any transaction that it belongs to.
	detached(ctx context.Context) context.Context
	// execution reads one; ErrNoExecution where there is none.
	execution(ctx context.Context, id string) (Row, error)
	exists(ctx context.Context, id string) (bool, error)
	// history reads all events of an execution, as JSON.
	history(ctx context.Context, id string) ([]json.RawMessage, error)
	// claim makes owner the one that projects a partition, and returns the sequence up to which its log is projected.
	claim(ctx context.Context, number int, owner string) (projected uint64, err error)
	// project writes batches in one transaction; errFenced where another owner projects one of their partitions.
	project(ctx context.Context, batches ...projectionBatch) error
	// try is project without an effect: it returns the error that project would.
	try(ctx context.Context, batch projectionBatch) error
	// live, due, listening and open read executions of a partition that have not ended: those that are not evicted; those evicted with
	// a timer up to a time; a user's evicted ones that listen for events; all of a user's.
	live(ctx context.Context, number int) ([]Row, error)
	due(ctx context.Context, number int, until time.Time) ([]dueRow, error)
	listening(ctx context.Context, number int, userID string) ([]string, error)
	open(ctx context.Context, number int, userID string) ([]string, error)
	// openCount counts a user's executions that have not ended, in all partitions.
	openCount(ctx context.Context, userID string) (int, error)
	// orphans reads running executions whose parents, in a partition, have ended; liveChildren those whose parents are among some;
	// uncompletedParents the ended executions of a partition whose parents are running.
	orphans(ctx context.Context, number int) ([]string, error)
	liveChildren(ctx context.Context, parents []string) ([]Row, error)
	uncompletedParents(ctx context.Context, number int) ([]Row, error)
	// limits reads what counts against limits in a partition.
	limits(ctx context.Context, number int) ([]LimitRow, error)
}

// sqlStore is the store in the actor's database.
type sqlStore struct{ *Options }

func (s sqlStore) detached(ctx context.Context) context.Context { return s.DB.Detached(ctx) }

func (s sqlStore) execution(ctx context.Context, id string) (Row, error) {
	return readExecution(ctx, s.DB.DB, id)
}

func (s sqlStore) exists(ctx context.Context, id string) (bool, error) {
	return executionExists(ctx, s.DB.DB, id)
}

func (s sqlStore) history(ctx context.Context, id string) ([]json.RawMessage, error) {
	return ReadHistory(ctx, s.DB.DB, id, 0, 0, 0)
}

func (s sqlStore) claim(ctx context.Context, number int, owner string) (projected uint64, err error) {
	err = s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		projected, err = claimPartition(ctx, tx, number, owner)
		return err
	})
	return projected, err
}

func (s sqlStore) live(ctx context.Context, number int) ([]Row, error) {
	return liveExecutions(ctx, s.DB.DB, number)
}

func (s sqlStore) due(ctx context.Context, number int, until time.Time) ([]dueRow, error) {
	return dueExecutions(ctx, s.DB.DB, number, until)
}

func (s sqlStore) listening(ctx context.Context, number int, userID string) ([]string, error) {
	return listeningExecutions(ctx, s.DB.DB, number, userID)
}

func (s sqlStore) open(ctx context.Context, number int, userID string) ([]string, error) {
	return openExecutions(ctx, s.DB.DB, number, userID)
}

func (s sqlStore) openCount(ctx context.Context, userID string) (int, error) {
	return countOpen(ctx, s.DB.DB, userID)
}

func (s sqlStore) orphans(ctx context.Context, number int) ([]string, error) {
	return orphanedChildren(ctx, s.DB.DB, number)
}

func (s sqlStore) liveChildren(ctx context.Context, parents []string) ([]Row, error) {
	return liveChildren(ctx, s.DB.DB, parents)
}

func (s sqlStore) uncompletedParents(ctx context.Context, number int) ([]Row, error) {
	return uncompletedParents(ctx, s.DB.DB, number)
}

func (s sqlStore) limits(ctx context.Context, number int) ([]LimitRow, error) {
	return limitRows(ctx, s.DB.DB, number, s.Now())
}

// errRolledBack rolls back a transaction that was a trial.
var errRolledBack = errors.New("rolled back")

func (s sqlStore) try(ctx context.Context, batch projectionBatch) error {
	err := s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := s.projectIn(ctx, tx, []projectionBatch{batch}); err != nil {
			return err
		}
		return errRolledBack
	})
	if errors.Is(err, errRolledBack) {
		return nil
	}
	return err
}

func (s sqlStore) project(ctx context.Context, batches ...projectionBatch) error {
	return s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return s.projectIn(ctx, tx, batches) })
}

// projectIn writes the batches with as few statements as for one.
func (s sqlStore) projectIn(ctx context.Context, tx database.Tx, batches []projectionBatch) error {
	mine, err := advancePartitions(ctx, tx, batches)
	if err != nil {
		return err
	}
	if !mine {
		return errFenced
	}
	var fresh, known []*Row
	var histories []HistoryRow
	var executions []*projectedExecution
	for _, batch := range batches {
		f, k, h, limits := batch.rows()
		fresh, known, histories = append(fresh, f...), append(known, k...), append(histories, h...)
		for i := range batch.executions {
			executions = append(executions, &batch.executions[i])
		}
		if len(limits) > 0 {
			if err := storeLimitRows(ctx, tx, batch.number, limits, s.Now()); err != nil {
				return err
			}
		}
	}
	if err := storeExecutions(ctx, tx, fresh, known, histories); err != nil {
		return err
	}
	for _, x := range executions {
		if err := s.WithdrawApprovals(ctx, tx, x.row.ID, x.expired); err != nil {
			return err
		}
	}
	reach(crashProjecting)
	if err := s.publishProgress(ctx, tx, executions); err != nil {
		return err
	}
	return s.publishEnded(ctx, tx, executions)
}

// rows are a batch's rows by table. The first run of an execution's events is in its own row.
func (b projectionBatch) rows() (fresh, known []*Row, histories []HistoryRow, limits []LimitRow) {
	for i := range b.executions {
		x := &b.executions[i]
		if x.limits != nil {
			limits = append(limits, *x.limits)
		}
		events := x.events
		if x.unstorable != nil {
			events = nil
		}
		runs := splitRuns(x.row.ID, x.row.Events-int64(len(events))+1, events)
		if len(runs) > 0 && runs[0].First == 1 {
			x.row.History, runs = runs[0].Events, runs[1:]
		}
		histories = append(histories, runs...)
		if x.known {
			known = append(known, &x.row)
		} else {
			fresh = append(fresh, &x.row)
		}
	}
	return fresh, known, histories, limits
}

// publishEnded publishes the executions that have ended, by user, with the transaction.
func (s sqlStore) publishEnded(ctx context.Context, tx database.Tx, executions []*projectedExecution) error {
	byUser := map[string][]subjects.ExecutionEnded{}
	for _, x := range executions {
		if x.ended {
			if event := x.row.unattendedFailure(s.Now()); event != nil {
				if err := s.publish(ctx, tx, "failed."+x.row.ID, subjects.ExecutionsFailed.Subject, x.row.UserID, event); err != nil {
					return err
				}
			}
			byUser[x.row.UserID] = append(byUser[x.row.UserID], subjects.ExecutionEnded{
				ExecutionID: x.row.ID, WorkflowID: x.row.WorkflowID, Version: x.row.Version, Name: x.row.Name, Status: x.row.Status,
				Origin: x.row.Origin.String(), EndedAt: machine.Moment(x.row.EndedAt),
			})
		}
	}
	for user, all := range byUser {
		for part := range slices.Chunk(all, endedPerEvent) {
			id := part[0].ExecutionID
			event := subjects.ExecutionsFinished.New(id, user, s.Now(), subjects.ExecutionsEnded{Executions: part})
			if err := s.publish(ctx, tx, "finished."+id, subjects.ExecutionsFinished.Subject, user, event); err != nil {
				return err
			}
		}
	}
	return nil
}

// publish adds an event to the transaction.
func (s sqlStore) publish(ctx context.Context, tx database.Tx, id, subject, key string, event any) error {
	data, err := subjects.Encode(event)
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return s.Outbox.Add(ctx, tx, outbox.Message{ID: id, Subject: subject, Key: key, Data: data})
}
