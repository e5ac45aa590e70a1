package runtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// letters is auth's job with short waits and few tries.
func letters() subjects.Job[subjects.SendMailJob] {
	job := subjects.SendMail
	job.MaxDeliver, job.Backoff = 3, []time.Duration{time.Millisecond}
	return job
}

// work hosts auth as a worker of letters and returns how to hand it one.
func work(t *testing.T, m *actortest.Mesh, handle func(context.Context, subjects.SendMailJob) error) (*actortest.Hosted, func(data string)) {
	t.Helper()
	hosted := hostService(t, m, actors.Service{Name: "auth", Workers: []actors.Worker{actors.Work(letters(), handle)}})
	return hosted, func(data string) {
		t.Helper()
		if _, err := m.Conn(t, "auth").JS.Publish(t.Context(), letters().Subject, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
}

// pending counts the jobs that are not settled.
func pending(t *testing.T, m *actortest.Mesh) uint64 {
	t.Helper()
	stream, err := m.Conn(t, mesh.UserOperator).JS.Stream(t.Context(), letters().Stream.Name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// dead waits for the durable's last dead letter.
func dead(t *testing.T, m *actortest.Mesh) subjects.DeadLetter {
	t.Helper()
	stream, err := m.Conn(t, mesh.UserOperator).JS.Stream(t.Context(), subjects.Dead.Name)
	if err != nil {
		t.Fatal(err)
	}
	var raw *jetstream.RawStreamMsg
	actortest.Eventually(t, "a dead letter", func() bool {
		raw, err = stream.GetLastMsgForSubject(t.Context(), letters().Consumer().DeadSubject())
		return err == nil
	})
	var letter subjects.DeadLetter
	if err := json.Unmarshal(raw.Data, &letter); err != nil {
		t.Fatal(err)
	}
	actortest.Eventually(t, "the job is settled", func() bool { return pending(t, m) == 0 })
	return letter
}

func TestAJobIsWorkedOffOnce(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var runs atomic.Int64
	_, send := work(t, m, func(_ context.Context, job subjects.SendMailJob) error { runs.Add(1); return nil })
	const jobs = 200
	for i := range jobs {
		send(fmt.Sprintf(`{"message_id":"%d"}`, i))
	}
	actortest.Eventually(t, "all are settled", func() bool { return pending(t, m) == 0 })
	if got := runs.Load(); got != jobs {
		t.Errorf("%d runs of %d jobs", got, jobs)
	}
}

func TestAFailureThatMayPassIsTriedAgain(t *testing.T) {
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
	actortest.Eventually(t, "it is settled", func() bool { return pending(t, m) == 0 })
	if got := runs.Load(); got != 3 {
		t.Errorf("%d runs", got)
	}
}

func TestAPoisonMessageGoesToTheDeadLetters(t *testing.T) {
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
			letter := dead(t, m)
			if letter.Tries != c.tries || letter.Error == "" || letter.Subject != letters().Subject || letter.Stream != letters().Stream.Name {
				t.Errorf("the letter is %+v", letter)
			}
			if json.Valid([]byte(c.data)) && string(letter.Data) != c.data {
				t.Errorf("it keeps %s", letter.Data)
			}
		})
	}
}

func TestTheOperatorReplaysADeadLetter(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	var mended atomic.Bool
	done := make(chan string, 1)
	_, send := work(t, m, func(_ context.Context, job subjects.SendMailJob) error {
		if !mended.Load() {
			return subjects.Errorf(subjects.CodeConflict, "broken")
		}
		done <- job.MessageID
		return nil
	})
	send(`{"message_id":"l"}`)
	letter := dead(t, m)
	mended.Store(true)
	if _, err := m.Conn(t, mesh.UserOperator).JS.Publish(t.Context(), letter.Subject, letter.Data); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, done); got != "l" {
		t.Errorf("replayed %q", got)
	}
}

func TestAJobUnderWayEndsBeforeTheActor(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	begun, release := make(chan struct{}, 1), make(chan struct{})
	var cancelled atomic.Bool
	hosted, send := work(t, m, func(ctx context.Context, _ subjects.SendMailJob) error {
		begun <- struct{}{}
		<-release
		cancelled.Store(ctx.Err() != nil)
		return nil
	})
	send(`{"message_id":"l"}`)
	receive(t, begun)
	stopped := make(chan error, 1)
	go func() { stopped <- hosted.Stop(t) }()
	operator := m.Conn(t, mesh.UserOperator)
	actortest.Eventually(t, "the actor has left", func() bool {
		_, err := operator.Request("$SRV.PING.auth", nil, 200*time.Millisecond)
		return err != nil
	})
	close(release)
	if err := receive(t, stopped); err != nil {
		t.Error(err)
	}
	if cancelled.Load() || pending(t, m) != 0 {
		t.Errorf("it was cancelled: %t; %d are left", cancelled.Load(), pending(t, m))
	}
}

func TestWorkGoesOnAfterAServerRestart(t *testing.T) {
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
		_, err := auth.JS.Publish(ctx, letters().Subject, []byte(`{"message_id":"after"}`), jetstream.WithMsgID("after"))
		return err == nil
	})
	if got := receive(t, done); got != "after" {
		t.Errorf("worked off %q", got)
	}
}
