package engine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"go.uber.org/zap"
)

var errSimulated = errors.New("simulated")

// scriptedLog is the log of one partition. Each append takes the next outcome: nil is success, and the others are below.
type scriptedLog struct {
	mu       sync.Mutex
	outcomes []error
	entries  []entry
	attempts int
	unread   error
}

var (
	// errStored: the message is stored, and the append fails. errOvertaken: another owner's message is stored first.
	errStored    = errors.New("stored, without an acknowledgement")
	errOvertaken = errors.New("another owner was first")
)

func (l *scriptedLog) append(_ context.Context, _ int, data []byte, after uint64) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts++
	var outcome error
	if len(l.outcomes) > 0 {
		outcome, l.outcomes = l.outcomes[0], l.outcomes[1:]
	}
	switch {
	case errors.Is(outcome, errOvertaken):
		l.entries = append(l.entries, entry{Owner: "other"})
	case outcome != nil && !errors.Is(outcome, errStored):
		return 0, outcome
	}
	if uint64(len(l.entries)) != after {
		return 0, errSequence
	}
	var m entry
	if err := json.Unmarshal(data, &m); err != nil {
		return 0, err
	}
	l.entries = append(l.entries, m)
	return uint64(len(l.entries)), outcome
}

func (l *scriptedLog) last(context.Context, int) ([]byte, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unread != nil || len(l.entries) == 0 {
		return nil, 0, l.unread
	}
	data, err := json.Marshal(l.entries[len(l.entries)-1])
	return data, uint64(len(l.entries)), err
}

func (l *scriptedLog) next(context.Context, int, uint64) ([]byte, uint64, error) { return nil, 0, nil }
func (l *scriptedLog) truncate(context.Context, int, uint64) error               { return nil }

// batches are the ids of the transitions of each message.
func (l *scriptedLog) batches() (all [][]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.entries {
		var ids []string
		for _, t := range m.Transitions {
			ids = append(ids, t.ID)
		}
		all = append(all, ids)
	}
	return all
}

func TestAppendOutcomes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		outcomes []error
		unread   error
		want     error
		// last and batch are the owner's afterwards.
		last, batch uint64
	}{
		"acknowledged":                    {last: 1, batch: 1},
		"refused for another reason":      {outcomes: []error{errSimulated}, want: errSimulated},
		"stored without acknowledgement":  {outcomes: []error{errStored}, want: errStored},
		"after another owner":             {outcomes: []error{errOvertaken}, want: errFenced},
		"after another owner, unreadable": {outcomes: []error{errOvertaken}, unread: errSimulated, want: errSimulated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := partitionLog{store: &scriptedLog{outcomes: test.outcomes, unread: test.unread}, owner: "me"}
			if err := l.append(t.Context(), nil); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("appending: %v, want %v", err, test.want)
			}
			if l.last != test.last || l.batch != test.batch {
				t.Errorf("the owner is at message %d and batch %d, want %d and %d", l.last, l.batch, test.last, test.batch)
			}
		})
	}
}

// TestAppendOfUnknownOutcome repeats an append that was stored: the second attempt finds its own message.
func TestAppendOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	log := &scriptedLog{outcomes: []error{errStored}}
	l := partitionLog{store: log, owner: "me"}
	if err := l.append(t.Context(), nil); !errors.Is(err, errStored) {
		t.Fatal(err)
	}
	if err := l.append(t.Context(), nil); err != nil {
		t.Fatalf("the repetition: %v", err)
	}
	if len(log.entries) != 1 || l.last != 1 || l.batch != 1 {
		t.Errorf("%d messages, the owner is at %d and batch %d", len(log.entries), l.last, l.batch)
	}
	if err := l.append(t.Context(), nil); err != nil || len(log.entries) != 2 || log.entries[1].Batch != 1 {
		t.Errorf("the next batch: %v, %+v", err, log.entries)
	}
}

// writerTest is a log writer with what it reports.
type writerTest struct {
	logWriter
	store *scriptedLog
	stop  context.CancelFunc
	mu    sync.Mutex
	sizes []int
	cause error
}

// onWriter runs a test with a running writer.
func onWriter(t *testing.T, limit int, outcomes []error, test func(t *testing.T, w *writerTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &writerTest{store: &scriptedLog{outcomes: outcomes}}
		w.logWriter = logWriter{
			log: partitionLog{store: w.store, owner: "me"}, limit: limit, wake: wait.NewSignal(), logger: zap.NewNop(),
			appended: func(batch []pendingTransition, _ uint64) {
				w.mu.Lock()
				w.sizes = append(w.sizes, len(batch))
				w.mu.Unlock()
				for i := range batch {
					batch[i].settle(nil)
				}
			},
			lost: func(err error) {
				w.mu.Lock()
				w.cause = err
				w.mu.Unlock()
				w.close()
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		w.stop = cancel
		var done sync.WaitGroup
		done.Go(func() { w.run(ctx) })
		test(t, w)
		cancel()
		done.Wait()
	})
}

// pending is a transition with so many bytes of events.
func pending(t *testing.T, id string, size int) (pendingTransition, chan error) {
	t.Helper()
	head, err := transition{ID: id}.head()
	if err != nil {
		t.Fatal(err)
	}
	logged := make(chan error, 1)
	event, err := json.Marshal(text(size))
	if err != nil {
		t.Fatal(err)
	}
	return pendingTransition{head: head, raw: []json.RawMessage{event}, logged: logged}, logged
}

func text(size int) string { return string(slices.Repeat([]byte("x"), size)) }

// TestBatches: transitions that are added together share messages, each within the limit, in order. One that alone exceeds the limit
// is a message by itself.
func TestBatches(t *testing.T) {
	t.Parallel()
	// The first append fails: all are added before it is repeated.
	onWriter(t, 1000, []error{errSimulated}, func(t *testing.T, w *writerTest) {
		var all []chan error
		for _, one := range []struct {
			id   string
			size int
		}{{"a", 400}, {"b", 400}, {"c", 400}, {"d", 400}, {"e", 5000}, {"f", 1}} {
			transition, logged := pending(t, one.id, one.size)
			w.add(transition)
			all = append(all, logged)
		}
		for _, logged := range all {
			if err := <-logged; err != nil {
				t.Error(err)
			}
		}
		got := w.store.batches()
		if ids := slices.Concat(got...); !slices.Equal(ids, []string{"a", "b", "c", "d", "e", "f"}) {
			t.Errorf("the order is %q", ids)
		}
		for _, ids := range got {
			if slices.Contains(ids, "e") && len(ids) > 1 || len(ids) > 3 {
				t.Errorf("a message has %q", ids)
			}
		}
		if len(got) > 5 {
			t.Errorf("%d messages, want at most 5: %q", len(got), got)
		}
	})
}

// TestUnknownOutcomeIsRepeated: a message is appended until it is in the log, once, and the writer says since when it fails.
func TestUnknownOutcomeIsRepeated(t *testing.T) {
	t.Parallel()
	onWriter(t, 1000, []error{errSimulated, errSimulated, errStored}, func(t *testing.T, w *writerTest) {
		start := time.Now()
		transition, logged := pending(t, "a", 10)
		w.add(transition)
		time.Sleep(appendRetryDelay / 2)
		if _, since := w.backlog(); since.Before(start) || since.IsZero() {
			t.Errorf("stalled since %s", since)
		}
		if err := <-logged; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 3*appendRetryDelay {
			t.Errorf("it took %s, want three pauses of %s", took, appendRetryDelay)
		}
		if pending, since := w.backlog(); pending != 0 || !since.IsZero() {
			t.Errorf("%d are pending, stalled since %s", pending, since)
		}
		if w.store.attempts != 4 || len(w.store.entries) != 1 {
			t.Errorf("%d attempts, %d messages", w.store.attempts, len(w.store.entries))
		}
	})
}

// TestFencedWriter: another owner's message ends the writer, and everything that waits is settled, also what is added later.
func TestFencedWriter(t *testing.T) {
	t.Parallel()
	onWriter(t, 1000, []error{errSimulated, errOvertaken}, func(t *testing.T, w *writerTest) {
		first, one := pending(t, "a", 10)
		second, two := pending(t, "b", 3000)
		w.add(first)
		w.add(second)
		for _, logged := range []chan error{one, two} {
			if err := <-logged; !errors.Is(err, errPartitionMoving) {
				t.Errorf("settled with %v", err)
			}
		}
		w.mu.Lock()
		cause := w.cause
		w.mu.Unlock()
		if !errors.Is(cause, errFenced) {
			t.Errorf("lost because of %v", cause)
		}
		third, three := pending(t, "c", 1)
		w.add(third)
		if err := <-three; !errors.Is(err, errPartitionMoving) {
			t.Errorf("after the end: %v", err)
		}
		if err := w.barrier(t.Context()); !errors.Is(err, errPartitionMoving) {
			t.Errorf("a barrier after the end: %v", err)
		}
		if len(w.sizes) != 0 {
			t.Errorf("acted on %v", w.sizes)
		}
	})
}

// TestStoppedWriter: a writer whose context ends while it repeats an append settles it.
func TestStoppedWriter(t *testing.T) {
	t.Parallel()
	onWriter(t, 1000, slices.Repeat([]error{errSimulated}, 1000), func(t *testing.T, w *writerTest) {
		transition, logged := pending(t, "a", 10)
		w.add(transition)
		time.Sleep(appendRetryDelay * 5)
		w.stop()
		if err := <-logged; !errors.Is(err, errPartitionMoving) {
			t.Errorf("settled with %v", err)
		}
	})
}

// TestBarrier: a barrier is a message of its own kind, and returns after what was added before it.
func TestBarrier(t *testing.T) {
	t.Parallel()
	onWriter(t, 1000, []error{errSimulated}, func(t *testing.T, w *writerTest) {
		transition, logged := pending(t, "a", 10)
		w.add(transition)
		if err := w.barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(logged) != 1 {
			t.Error("the barrier returns before what was added before it is in the log")
		}
		if got := slices.Concat(w.store.batches()...); !slices.Equal(got, []string{"a", ""}) {
			t.Errorf("the log has %q", got)
		}
		w.store.mu.Lock()
		w.store.outcomes = slices.Repeat([]error{errSimulated}, 100)
		w.store.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.barrier(ctx); !errors.Is(err, errStalled) {
			t.Errorf("a barrier that cannot be written: %v", err)
		}
	})
}

func TestFittingEvents(t *testing.T) {
	t.Parallel()
	raw := []json.RawMessage{json.RawMessage("1234"), json.RawMessage("1234"), json.RawMessage("1234")}
	for limit, want := range map[int]int{0: 0, 4: 0, 5: 1, 9: 1, 10: 2, 15: 3, 100: 3} {
		if got := fittingEvents(raw, limit); got != want {
			t.Errorf("%d bytes have room for %d events, want %d", limit, got, want)
		}
	}
}

// TestAnExpiredLeaseGivesThePartitionUp: a start whose process's lease has expired before the append is not appended, nor anything
// after it.
func TestAnExpiredLeaseGivesThePartitionUp(t *testing.T) {
	t.Parallel()
	onWriter(t, 1000, nil, func(t *testing.T, w *writerTest) {
		for _, live := range []bool{true, false} {
			transition, logged := pending(t, "a", 10)
			transition.live = func() bool { return live }
			w.add(transition)
			if err := <-logged; (err == nil) != live || !live && !isMoving(err) {
				t.Errorf("live %t: %v", live, err)
			}
		}
		transition, logged := pending(t, "b", 10)
		w.add(transition)
		if err := <-logged; !isMoving(err) {
			t.Errorf("after that: %v", err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if !errors.Is(w.cause, errNotHeld) || len(w.store.batches()) != 1 {
			t.Errorf("the partition was lost by %v, the log has %q", w.cause, w.store.batches())
		}
	})
}
