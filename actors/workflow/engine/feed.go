package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/weftmesh/weft/actors/wait"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// feedMessage is one message of the feed: events that were written together, and the status after them.
type feedMessage struct {
	Status machine.Status    `json:"status"`
	Events []json.RawMessage `json:"events"`
}

// feedEvents is how many events the feed reads at a time.
const feedEvents = 1000

// endEvents are the types of events that end an execution.
var endEvents = []string{
	string(machine.ExecutionCompleted), string(machine.ExecutionFaulted), string(machine.ExecutionCancelled),
}

// Watch publishes an execution's history to the feed, from now on as it grows, and returns where to read it.
func (e *Engine) Watch(ctx context.Context, row Row) (subjects.StreamPointer, error) {
	var err error
	if !row.Ended() {
		_, err = send(ctx, e, row.Partition, watchCommand{Execution: row.ID})
	}
	if row.Ended() || IsNotFound(err) {
		err = e.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return markWatched(ctx, tx, row.ID) })
		if err == nil {
			err = e.feed(ctx, row.ID)
		}
	}
	if err != nil {
		return subjects.StreamPointer{}, err
	}
	subject := subjects.WorkflowFeedSubject(row.ID)
	first, err := getMessage(ctx, e.Conn, subjects.WorkflowFeed.GetSubject(), map[string]any{"seq": 1, "next_by_subj": subject})
	if err != nil {
		return subjects.StreamPointer{}, err
	}
	return subjects.StreamPointer{Stream: subjects.WorkflowFeed.Name, Filter: subject, Sequence: max(first.sequence, 1), Until: endEvents}, nil
}

// PurgeFeeds deletes what the feed has of executions.
func (e *Engine) PurgeFeeds(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if err := e.Conn.JS.Purge(ctx, subjects.WorkflowFeed.Name, subjects.WorkflowFeedSubject(id), 0); err != nil {
			return fmt.Errorf("purging a feed: %w", err)
		}
	}
	return nil
}

// watch records in the log that an execution is watched, so that later owners publish it too.
func (p controller) watch(ctx context.Context, id string) error {
	var logged chan error
	err := p.withExecution(ctx, id, func(h *execution) {
		if !h.row.Watched && !h.finished {
			h.row.Watched = true
			logged = make(chan error, 1)
			p.enqueue(h, transition{Watch: true}, nil, logged)
		}
	})
	if err == nil && logged != nil {
		err = awaitLogged(ctx, logged)
	}
	if err != nil {
		return err
	}
	return p.e.feed(ctx, id)
}

// runFeed publishes the events of this process's watched executions.
func (e *Engine) runFeed(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.feedQueue.wake.C():
		}
		for _, id := range e.feedQueue.take() {
			if err := e.feed(ctx, id); err != nil && ctx.Err() == nil {
				e.Log.Warn("publishing to the feed", zap.String("execution_id", id), zap.Error(err))
			}
		}
	}
}

// feed publishes the events of an execution that the feed does not have yet.
func (e *Engine) feed(ctx context.Context, id string) error {
	row, err := e.Current(ctx, id)
	if err != nil {
		return err
	}
	subject := subjects.WorkflowFeedSubject(id)
	for {
		last, after, err := e.fed(ctx, subject)
		if err != nil {
			return err
		}
		raw, err := ReadHistory(ctx, e.DB.DB, id, after, feedEvents, e.transitionLimit)
		if err != nil || len(raw) == 0 {
			return err
		}
		raw = raw[:fittingEvents(raw, e.transitionLimit)]
		message := feedMessage{Status: machine.Running, Events: raw}
		if after+int64(len(raw)) >= row.Events {
			message.Status = machine.Status(row.Status)
		}
		err = e.publishFeed(ctx, subject, last, message)
		if err != nil && !errors.Is(err, errFenced) {
			return err
		}
	}
}

// fed returns the sequence of the last message of a feed, and the number of the last event that the engine has published to it. Messages that
// it did not publish do not count, and no reader takes them from it.
func (e *Engine) fed(ctx context.Context, subject string) (last uint64, after int64, err error) {
	m, err := getMessage(ctx, e.Conn, subjects.WorkflowFeed.GetSubject(), map[string]any{"last_by_subj": subject})
	if err != nil || m.sequence == 0 {
		return 0, 0, err
	}
	last = m.sequence
	if m.verify(e.Conn) == nil {
		after, err = lastFedEvent(m.data)
		return last, after, err
	}
	for next := uint64(1); next < last; next = m.sequence + 1 {
		m, err = getMessage(ctx, e.Conn, subjects.WorkflowFeed.GetSubject(), map[string]any{"seq": next, "next_by_subj": subject})
		if err == nil && m.sequence > 0 && m.verify(e.Conn) == nil {
			after, err = lastFedEvent(m.data)
		}
		if err != nil || m.sequence == 0 {
			break
		}
	}
	return last, after, err
}

// lastFedEvent is the number of the last event in a message of the feed.
func lastFedEvent(data []byte) (int64, error) {
	if len(data) == 0 {
		return 0, nil
	}
	var message feedMessage
	if err := json.Unmarshal(data, &message); err != nil || len(message.Events) == 0 {
		return 0, fmt.Errorf("decoding a message of the feed: %w", err)
	}
	events, err := DecodeEvents(message.Events[len(message.Events)-1:])
	if err != nil {
		return 0, err
	}
	return int64(events[0].Sequence), nil
}

// publishFeed publishes a message after the one with a sequence; errFenced where another was published after that.
func (e *Engine) publishFeed(ctx context.Context, subject string, last uint64, message feedMessage) error {
	events, err := DecodeEvents(message.Events[len(message.Events)-1:])
	if err != nil {
		return err
	}
	data, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encoding a message of the feed: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	_, err = e.Conn.JS.PublishMsg(ctx, &nats.Msg{
		Subject: subject, Data: data, Header: nats.Header{
			mesh.HeaderEvent: {string(events[0].Type)}, jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(last, 10)},
		},
	})
	if isWrongSequence(err) {
		return errFenced
	}
	if err != nil {
		return fmt.Errorf("publishing to the feed: %w", err)
	}
	return nil
}

// feedQueue are the watched executions with new events.
type feedQueue struct {
	wake wait.Signal
	mu   sync.Mutex
	ids  map[string]struct{}
}

func newFeedQueue() *feedQueue {
	return &feedQueue{wake: wait.NewSignal(), ids: map[string]struct{}{}}
}

func (f *feedQueue) add(id string) {
	f.mu.Lock()
	f.ids[id] = struct{}{}
	f.mu.Unlock()
	f.wake.Notify()
}

func (f *feedQueue) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := slices.Collect(maps.Keys(f.ids))
	clear(f.ids)
	return ids
}
