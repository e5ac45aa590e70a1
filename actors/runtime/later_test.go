package runtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/deferred"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// delivery is a job that names a user.
type delivery = subjects.DeliverNotification

func deliver(backoff ...time.Duration) subjects.Job[delivery] {
	job := subjects.Deliver
	job.MaxDeliver, job.Backoff = len(backoff)+1, backoff
	return job
}

// hostDeliveries hosts notification with one worker.
func hostDeliveries(
	t *testing.T, m *actortest.Mesh, db database.Config, worker actors.Worker, options ...actortest.HostOption,
) *actortest.Hosted {
	t.Helper()
	service := actors.Service{Name: "notification", Workers: []actors.Worker{worker}}
	return m.Host(t, service.Name, db, nil, func(actors.Deps) (actors.Service, error) { return service, nil }, options...)
}

// sendDeliveries publishes count jobs of a user.
func sendDeliveries(t *testing.T, m *actortest.Mesh, userID string, count int) {
	t.Helper()
	js := m.Conn(t, "notification").JS
	acks := make([]jetstream.PubAckFuture, count)
	for i := range acks {
		data, err := json.Marshal(delivery{NotificationID: fmt.Sprint(i), UserID: userID})
		if err == nil {
			acks[i], err = js.PublishAsync(subjects.Deliver.Subject, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			t.Fatal(err)
		}
	}
}

func deferredMessages(t *testing.T, h *actortest.Hosted, reason string) float64 {
	t.Helper()
	return h.Metric(t, "weft_messages_deferred_total", "deliver", reason)
}

// unsettled returns the number of jobs in the stream.
func unsettled(t *testing.T, m *actortest.Mesh) uint64 {
	t.Helper()
	stream, err := m.Conn(t, mesh.UserOperator).JS.Stream(t.Context(), subjects.NotificationJobs.Name)
	if err != nil {
		return 1
	}
	return stream.CachedInfo().State.Msgs
}

func TestFailingMessagesOfAUserDelayNobodyElse(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		m := actortest.Start(t, actortest.Quiet())
		var failed atomic.Int64
		handled := make(chan string, 1)
		hosted := hostDeliveries(t, m, kind.Config(t, "notification"), actors.Work(deliver(time.Hour),
			func(_ context.Context, job delivery) error {
				if job.UserID == "other" {
					handled <- job.UserID
					return nil
				}
				failed.Add(1)
				return subjects.Errorf(subjects.CodeUnavailable, "not now")
			}))
		const count = 1500
		sendDeliveries(t, m, "user", count)
		actortest.Eventually(t, "the first failures", func() bool { return failed.Load() > 100 })
		start := time.Now()
		sendDeliveries(t, m, "other", 1)
		receive(t, handled)
		if took := time.Since(start); took > time.Second {
			t.Errorf("another user's job was handled after %s", took)
		}
		actortest.Eventually(t, "every job is deferred", func() bool { return failed.Load() == count && unsettled(t, m) == 0 })
		if got := hosted.Metric(t, "weft_messages_deferred", "notification"); got == 0 {
			t.Error("no message counts as deferred")
		}
	})
}

func TestSlowMessagesOfAUserDelayNobodyElse(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		m := actortest.Start(t, actortest.Quiet())
		release := make(chan struct{})
		var running, most, done atomic.Int64
		handled := make(chan string, 1)
		worker := actors.Work(deliver(time.Hour), func(_ context.Context, job delivery) error {
			if job.UserID == "other" {
				handled <- job.UserID
				return nil
			}
			now := running.Add(1)
			for before := most.Load(); now > before; before = most.Load() {
				if most.CompareAndSwap(before, now) {
					break
				}
			}
			<-release
			running.Add(-1)
			done.Add(1)
			return nil
		})
		hosted := hostDeliveries(t, m, kind.Config(t, "notification"), worker)
		const count = 1500
		sendDeliveries(t, m, "user", count)
		actortest.Eventually(t, "messages wait", func() bool { return deferredMessages(t, hosted, "share") > 0 })
		start := time.Now()
		sendDeliveries(t, m, "other", 1)
		receive(t, handled)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("another user's job was handled after %s", took)
		}
		close(release)
		actortest.Eventually(t, "every job is handled", func() bool { return done.Load() == count && unsettled(t, m) == 0 })
		if got, limit := most.Load(), int64(worker.Concurrency*3/4); got > limit {
			t.Errorf("%d jobs of one user ran at once, want at most %d", got, limit)
		}
	})
}

func TestTriesAndBackoffAreAsDeclared(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		m := actortest.Start(t, actortest.Quiet())
		var mu sync.Mutex
		var tries []time.Time
		job := deliver(200*time.Millisecond, 600*time.Millisecond)
		hostDeliveries(t, m, kind.Config(t, "notification"), actors.Work(job, func(context.Context, delivery) error {
			mu.Lock()
			defer mu.Unlock()
			tries = append(tries, time.Now())
			return subjects.Errorf(subjects.CodeUnavailable, "not now")
		}))
		sendDeliveries(t, m, "user", 1)
		dead := awaitDead(t, m)
		mu.Lock()
		defer mu.Unlock()
		if len(tries) != 3 || dead.Tries != 3 || dead.Sequence != 1 || dead.Stream != subjects.NotificationJobs.Name || dead.Subject != job.Subject {
			t.Fatalf("%d tries, and the dead letter %+v", len(tries), dead)
		}
		for i, want := range job.Backoff {
			if got := tries[i+1].Sub(tries[i]); got < want || got > want+500*time.Millisecond {
				t.Errorf("try %d came after %s, want %s", i+2, got, want)
			}
		}
	})
}

// An error that says when a retry makes sense delays the next try that long.
func TestRetryAfterDelaysTheNextTry(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	tries := make(chan time.Time, 2)
	hostDeliveries(t, m, database.Config{Actor: "notification", DataDir: t.TempDir()}, actors.Work(deliver(time.Millisecond, time.Millisecond),
		func(context.Context, delivery) error {
			tries <- time.Now()
			return &subjects.Error{Code: subjects.CodeRateLimited, RetryAfter: 400 * time.Millisecond}
		}))
	sendDeliveries(t, m, "user", 1)
	first := receive(t, tries)
	if got := receive(t, tries).Sub(first); got < 400*time.Millisecond {
		t.Errorf("the second try came after %s", got)
	}
}

func TestTooManyPutAsideBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var failed atomic.Int64
	limits := deferred.DefaultLimits()
	limits.User.Messages = 5
	hosted := hostDeliveries(t, m, database.Config{Actor: "notification", DataDir: t.TempDir()},
		actors.Work(deliver(time.Hour), func(context.Context, delivery) error {
			failed.Add(1)
			return subjects.Errorf(subjects.CodeUnavailable, "not now")
		}).Concurrent(1), func(c *runtime.HostConfig) { c.Deferred = limits })
	const count = 8
	sendDeliveries(t, m, "user", count)
	dead := awaitDead(t, m)
	if !strings.Contains(dead.Error, "5 messages") || !strings.Contains(dead.Error, "the limits are 5") || !strings.Contains(dead.Error, "not now") {
		t.Errorf("the dead letter says %q", dead.Error)
	}
	actortest.Eventually(t, "the others are deferred", func() bool { return failed.Load() == count && unsettled(t, m) == 0 })
	if got := deferredMessages(t, hosted, "refused"); got != 3 {
		t.Errorf("%v messages were refused, want 3", got)
	}
	before := deferredMessages(t, hosted, "retry")
	sendDeliveries(t, m, "other", 1)
	actortest.Eventually(t, "another user's is deferred", func() bool { return deferredMessages(t, hosted, "retry") > before })
}

// The server stops between the storing of a message and its acknowledgement: it is delivered again, recognised, and handled once.
func TestMessageThatWasNotAcknowledgedIsRecognised(t *testing.T) {
	for name, restart := range map[string]bool{"by the same process": false, "by another process": true} {
		t.Run(name, func(t *testing.T) {
			actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
				m := actortest.Start(t, actortest.Quiet())
				job := deliver(time.Millisecond)
				job.AckWait = 2 * time.Second
				if consumer, err := m.Conn(t, mesh.UserMigrate).JS.Consumer(t.Context(), job.Stream.Name, "deliver"); err != nil {
					t.Fatal(err)
				} else {
					config := consumer.CachedInfo().Config
					config.AckWait = job.AckWait
					if _, err := m.Conn(t, mesh.UserMigrate).JS.UpdateConsumer(t.Context(), job.Stream.Name, config); err != nil {
						t.Fatal(err)
					}
				}
				var runs atomic.Int64
				worker := actors.Work(job, func(context.Context, delivery) error {
					if runs.Add(1) == 1 {
						m.StopServer(t)
						return subjects.Errorf(subjects.CodeUnavailable, "not now")
					}
					return nil
				})
				db := kind.Config(t, "notification")
				hosted := hostDeliveries(t, m, db, worker)
				sendDeliveries(t, m, "user", 1)
				actortest.Eventually(t, "the message is deferred", func() bool { return deferredMessages(t, hosted, "retry") == 1 })
				if restart {
					_ = hosted.Stop(t)
				}
				m.RestartServer(t)
				if restart {
					hostDeliveries(t, m, db, worker)
				}
				actortest.Eventually(t, "the message is settled", func() bool { return runs.Load() > 1 && unsettled(t, m) == 0 })
				if got := runs.Load(); got != 2 {
					t.Errorf("%d runs, want 2", got)
				}
			})
		})
	}
}

func awaitDead(t *testing.T, m *actortest.Mesh) (dead subjects.DeadLetter) {
	t.Helper()
	stream, err := m.Conn(t, mesh.UserOperator).JS.Stream(t.Context(), subjects.Dead.Name)
	if err != nil {
		t.Fatal(err)
	}
	actortest.Eventually(t, "a dead letter", func() bool {
		raw, err := stream.GetLastMsgForSubject(t.Context(), subjects.Deliver.Consumer().DeadSubject())
		return err == nil && json.Unmarshal(raw.Data, &dead) == nil
	})
	return dead
}
