package runtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// testJob is a job of auth with a short backoff and three deliveries.
func testJob() subjects.Job[subjects.SendMailJob] {
	job := subjects.SendMail
	job.MaxDeliver, job.Backoff = 3, []time.Duration{time.Millisecond}
	return job
}

// work hosts auth with handle as the worker of testJob, and returns a function that publishes a job.
func work(t *testing.T, m *actortest.Mesh, handle func(context.Context, subjects.SendMailJob) error) (*actortest.Hosted, func(data string)) {
	t.Helper()
	hosted := hostService(t, m, actors.Service{Name: "auth", Workers: []actors.Worker{actors.Work(testJob(), handle)}})
	return hosted, func(data string) {
		t.Helper()
		if _, err := m.Conn(t, "auth").JS.Publish(t.Context(), testJob().Subject, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
}

// pending returns the number of jobs that are not settled.
func pending(t *testing.T, m *actortest.Mesh) uint64 {
	t.Helper()
	stream, err := m.Conn(t, mesh.UserOperator).JS.Stream(t.Context(), testJob().Stream.Name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// awaitDeadLetter waits until the job is settled by a dead letter, and returns it.
func awaitDeadLetter(t *testing.T, m *actortest.Mesh) subjects.DeadLetter {
	t.Helper()
	stream, err := m.Conn(t, mesh.UserOperator).JS.Stream(t.Context(), subjects.Dead.Name)
	if err != nil {
		t.Fatal(err)
	}
	var raw *jetstream.RawStreamMsg
	actortest.Eventually(t, "a dead letter", func() bool {
		raw, err = stream.GetLastMsgForSubject(t.Context(), testJob().Consumer().DeadSubject())
		return err == nil
	})
	var dead subjects.DeadLetter
	if err := json.Unmarshal(raw.Data, &dead); err != nil {
		t.Fatal(err)
	}
	actortest.Eventually(t, "the job is settled", func() bool { return pending(t, m) == 0 })
	return dead
}

func TestEachJobIsHandledOnce(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var runs atomic.Int64
	_, send := work(t, m, func(_ context.Context, job subjects.SendMailJob) error { runs.Add(1); return nil })
	const jobs = 200
	for i := range jobs {
		send(fmt.Sprintf(`{"message_id":"%d"}`, i))
	}
	actortest.Eventually(t, "all jobs are settled", func() bool { return pending(t, m) == 0 })
	if got := runs.Load(); got != jobs {
		t.Errorf("%d runs of %d jobs", got, jobs)
	}
}

func TestTransientErrorIsRetried(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var runs atomic.Int64
	_, send := work(t, m, func(context.Context, subjects.SendMailJob) error {
		if runs.Add(1) < 3 {
			return subjects.Errorf(subjects.CodeUnavailable, "not now")
		}
		return nil
	})
	send(`{"message_id":"l"}`)
	actortest.Eventually(t, "the job has run three times", func() bool { return runs.Load() == 3 })
	actortest.Eventually(t, "the job is settled", func() bool { return pending(t, m) == 0 })
}

func TestPoisonMessageBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data  string
		fault func() error
		tries uint64
	}{
		"a final error":   {`{"message_id":"l"}`, func() error { return subjects.Errorf(subjects.CodeNotFound, "no such letter") }, 1},
		"a panic":         {`{"message_id":"l"}`, func() error { panic("poison") }, 3},
		"a foreign error": {`{"message_id":"l"}`, func() error { return fmt.Errorf("poison") }, 3},
		"no JSON":         {"\xff\x00no JSON", func() error { return nil }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := actortest.Start(t, actortest.Quiet())
			_, send := work(t, m, func(context.Context, subjects.SendMailJob) error { return c.fault() })
			send(c.data)
			dead := awaitDeadLetter(t, m)
			if dead.Tries != c.tries || dead.Error == "" || dead.Subject != testJob().Subject || dead.Stream != testJob().Stream.Name {
				t.Errorf("the dead letter is %+v, want %d tries", dead, c.tries)
			}
			if json.Valid([]byte(c.data)) && string(dead.Data) != c.data {
				t.Errorf("the dead letter has the data %s", dead.Data)
			}
		})
	}
}

// A dead letter is handled once the author of its job has published it again.
func TestDeadLetterIsReplayedByItsAuthor(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var repaired atomic.Bool
	done := make(chan string, 1)
	_, send := work(t, m, func(_ context.Context, job subjects.SendMailJob) error {
		if !repaired.Load() {
			return subjects.Errorf(subjects.CodeConflict, "broken")
		}
		done <- job.MessageID
		return nil
	})
	send(`{"message_id":"l"}`)
	dead := awaitDeadLetter(t, m)
	repaired.Store(true)
	if _, err := m.Conn(t, mesh.StreamAuthor(dead.Subject)).JS.Publish(t.Context(), dead.Subject, dead.Data); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, done); got != "l" {
		t.Errorf("replayed %q", got)
	}
}

// A delivery that is left to another process is neither acknowledged nor rejected: it comes again after AckWait.
func TestStepAsideDoesNotSettle(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	handled := make(chan struct{}, 1)
	_, send := work(t, m, func(context.Context, subjects.SendMailJob) error {
		handled <- struct{}{}
		return fmt.Errorf("leased: %w", actors.ErrStepAside)
	})
	send(`{"message_id":"l"}`)
	receive(t, handled)
	consumer, err := m.Conn(t, mesh.UserOperator).JS.Consumer(t.Context(), testJob().Stream.Name, testJob().Consumer().Durable)
	if err != nil {
		t.Fatal(err)
	}
	info, err := consumer.Info(t.Context())
	if err != nil || info.NumAckPending != 1 || info.NumRedelivered != 0 || pending(t, m) != 1 {
		t.Errorf("the job is settled: %+v, %v", info, err)
	}
}

func TestRunningJobEndsBeforeTheActor(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	running, release := make(chan struct{}, 1), make(chan struct{})
	var canceled atomic.Bool
	hosted, send := work(t, m, func(ctx context.Context, _ subjects.SendMailJob) error {
		running <- struct{}{}
		<-release
		canceled.Store(ctx.Err() != nil)
		return nil
	})
	send(`{"message_id":"l"}`)
	receive(t, running)
	stopped := make(chan error, 1)
	go func() { stopped <- hosted.Stop(t) }()
	operator := m.Conn(t, mesh.UserOperator)
	actortest.Eventually(t, "the actor has unsubscribed", func() bool {
		_, err := operator.Request("$SRV.PING.auth", nil, 200*time.Millisecond)
		return err != nil
	})
	close(release)
	if err := receive(t, stopped); err != nil {
		t.Error(err)
	}
	if canceled.Load() || pending(t, m) != 0 {
		t.Errorf("canceled: %t, %d jobs pending", canceled.Load(), pending(t, m))
	}
}

func TestWorkersContinueAfterAServerRestart(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	done := make(chan string, 2)
	_, send := work(t, m, func(_ context.Context, job subjects.SendMailJob) error {
		done <- job.MessageID
		return nil
	})
	send(`{"message_id":"before"}`)
	receive(t, done)
	m.RestartServer(t)
	auth := m.Conn(t, "auth")
	actortest.Eventually(t, "a publish after the restart", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := auth.JS.PublishMsg(ctx, &nats.Msg{
			Subject: testJob().Subject, Data: []byte(`{"message_id":"after"}`), Header: nats.Header{jetstream.MsgIDHeader: {"after"}},
		})
		return err == nil
	})
	if got := receive(t, done); got != "after" {
		t.Errorf("handled %q", got)
	}
}
