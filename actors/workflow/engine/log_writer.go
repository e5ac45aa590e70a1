package engine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// appendRetryDelay is the pause between two attempts to append to a log that cannot be reached.
const appendRetryDelay = 100 * time.Millisecond

// errNotHeld gives a partition up whose owner was paused, or cut off, for longer than its lease while it was about to append a start:
// the consent to the start may have been revoked meanwhile.
var errNotHeld = errors.New("the process's lease expired before a start was appended")

// pendingTransition is a transition, or a part of one, that is not in the log yet.
type pendingTransition struct {
	// execution is nil for a barrier.
	execution *execution
	// head is the encoded transition without its events, raw those as JSON.
	head   []byte
	raw    []json.RawMessage
	events []machine.Event
	// live, if set, must be true right before the append.
	live func() bool
	// logged gets nil once the transition is in the log, or the error that keeps it out; nil where no caller waits.
	logged chan error
}

// settle passes the outcome to the waiter, if there is one.
func (t *pendingTransition) settle(err error) {
	if t.logged != nil {
		t.logged <- err
	}
}

// logWriter appends the transitions of one partition to its log, those of many executions as one message. Only its goroutine
// appends; add and barrier may be called by any.
type logWriter struct {
	log partitionLog
	// limit bounds the events of a message, in bytes.
	limit int
	// appended is called after each message that the log has, with its sequence; lost when none will be appended any more.
	appended func(batch []pendingTransition, sequence uint64)
	lost     func(error)
	logger   *zap.Logger

	mu      sync.Mutex
	pending []pendingTransition
	closed  bool
	// unwritten is the size of the transitions that the log does not have, in bytes. drained, if it is not nil, is closed when that shrinks.
	unwritten int
	drained   chan struct{}
	// stalledSince is when appending began to fail; zero while it works.
	stalledSince time.Time
	wake         wait.Signal
}

// owner identifies the owner in the log.
func (w *logWriter) owner() string { return w.log.owner }

// add queues a transition for the next message. After close it is settled with errPartitionMoving at once.
func (w *logWriter) add(t pendingTransition) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		t.settle(errPartitionMoving)
		return
	}
	w.pending = append(w.pending, t)
	w.unwritten += t.size()
	w.mu.Unlock()
	w.wake.Notify()
}

// maxUnwritten is the size of unwritten transitions past which large decisions wait, in bytes: the next small one waits for not much more
// than a message.
const maxUnwritten = 512 << 10

// awaitRoom returns when the log has most of what was added, or the writer is closed, or ctx ends.
func (w *logWriter) awaitRoom(ctx context.Context) {
	for {
		w.mu.Lock()
		if w.closed || w.unwritten <= maxUnwritten {
			w.mu.Unlock()
			return
		}
		if w.drained == nil {
			w.drained = make(chan struct{})
		}
		drained := w.drained
		w.mu.Unlock()
		select {
		case <-drained:
		case <-ctx.Done():
			return
		}
	}
}

// hasRoom reports whether awaitRoom would return at once.
func (w *logWriter) hasRoom() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed || w.unwritten <= maxUnwritten
}

// written records that the log has transitions.
func (w *logWriter) written(batch []pendingTransition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range batch {
		w.unwritten -= batch[i].size()
	}
	w.wakeWaiters()
}

func (w *logWriter) wakeWaiters() {
	if w.drained != nil {
		close(w.drained)
		w.drained = nil
	}
}

// barrier returns once everything that was added before is in the log.
func (w *logWriter) barrier(ctx context.Context) error {
	head, err := transition{}.head()
	if err != nil {
		return err
	}
	logged := make(chan error, 1)
	w.add(pendingTransition{head: head, logged: logged})
	return awaitLogged(ctx, logged)
}

// backlog is how many transitions are pending, and since when the log cannot be written (zero: it can).
func (w *logWriter) backlog() (pending int, stalledSince time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending), w.stalledSince
}

// run appends what is added, message after message, until ctx ends or another owner has fenced this one off.
func (w *logWriter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake.C():
		}
		for batch := w.nextBatch(); len(batch) > 0; batch = w.nextBatch() {
			if err := w.appendBatch(ctx, batch); err != nil {
				w.lost(err)
				for i := range batch {
					batch[i].settle(errPartitionMoving)
				}
				return
			}
			w.written(batch)
			w.appended(batch, w.log.last)
		}
	}
}

// nextBatch takes the transitions of the next message from the queue.
func (w *logWriter) nextBatch() []pendingTransition {
	w.mu.Lock()
	defer w.mu.Unlock()
	size, count := 0, 0
	for count < len(w.pending) {
		size += w.pending[count].size()
		if size > w.limit+startOverhead && count > 0 {
			break
		}
		count++
	}
	batch := w.pending[:count:count]
	w.pending = w.pending[count:]
	if len(w.pending) == 0 {
		w.pending = nil
	}
	return batch
}

// appendBatch appends one message and retries until the log has it. After an error it never will.
func (w *logWriter) appendBatch(ctx context.Context, batch []pendingTransition) error {
	reach(crashTransitionDecided)
	for {
		// The starts in the batch are decided and cannot be taken out of it: the next owner, or a retry, checks them again.
		if slices.ContainsFunc(batch, func(t pendingTransition) bool { return t.live != nil && !t.live() }) {
			return errNotHeld
		}
		err := w.log.append(ctx, batch)
		if err == nil {
			w.setStalled(nil)
			reach(crashTransitionAppended)
			return nil
		}
		if errors.Is(err, errFenced) || ctx.Err() != nil {
			return err
		}
		w.setStalled(err)
		if err := wait.Until(ctx, nil, appendRetryDelay); err != nil {
			return err
		}
	}
}

// setStalled records whether the log can be written, and logs the first failure.
func (w *logWriter) setStalled(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.stalledSince = time.Time{}
	case w.stalledSince.IsZero():
		w.stalledSince = time.Now()
		w.logger.Warn("the log cannot be written", zap.Int("partition", w.log.number), zap.Error(err))
	}
}

// close settles what is pending with errPartitionMoving and refuses more.
func (w *logWriter) close() {
	w.mu.Lock()
	pending := w.pending
	w.pending, w.closed = nil, true
	w.wakeWaiters()
	w.mu.Unlock()
	for i := range pending {
		pending[i].settle(errPartitionMoving)
	}
}

// fittingEvents is how many of the events fit into limit bytes.
func fittingEvents(raw []json.RawMessage, limit int) int {
	size := 0
	for i, event := range raw {
		if size += len(event) + 1; size > limit {
			return i
		}
	}
	return len(raw)
}
