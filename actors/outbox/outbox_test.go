package outbox_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/uptrace/bun"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
)

// startNATS runs a server with JetStream until the test ends. Port -1 is a free one.
func startNATS(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server is not ready after 10 seconds")
	}
	return s
}

func connect(t testing.TB, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func makeStream(t testing.TB, nc *nats.Conn, subjects ...string) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: subjects})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// stored returns the stream's messages in order.
func stored(t testing.TB, stream jetstream.Stream) []*jetstream.RawStreamMsg {
	t.Helper()
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list []*jetstream.RawStreamMsg
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq && seq > 0; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, msg)
	}
	return list
}

// drained waits until the outbox is empty.
func drained(t testing.TB, o *outbox.Outbox) {
	t.Helper()
	actortest.Eventually(t, "an empty outbox", func() bool {
		n, _, err := o.Pending(t.Context())
		return err == nil && n == 0
	})
}

func newOutbox(db *database.DB, poll time.Duration) *outbox.Outbox {
	return outbox.New(outbox.Config{DB: db, Log: zap.NewNop(), Poll: poll, AckWait: time.Second, Window: 16})
}

// relay runs o until stop is called or the test ends.
func relay(t testing.TB, o *outbox.Outbox, nc *nats.Conn) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := o.Run(ctx, nc); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// tell commits a thing together with a message.
func tell(ctx context.Context, db *database.DB, o *outbox.Outbox, thing string, m outbox.Message) error {
	return db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := actortest.AddThing(ctx, tx, thing); err != nil {
			return err
		}
		return o.Add(ctx, tx, m)
	})
}

func TestCommittedMessagesArePublishedAtOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		nc := connect(t, startNATS(t, t.TempDir(), -1))
		stream := makeStream(t, nc, "event.>")
		db := kind.Open(t, "auth", actortest.Things)
		o := newOutbox(db, time.Hour) // so that only a notification wakes the relay in time
		relay(t, o, nc)
		no := errors.New("no")
		for n := range 50 {
			name := strconv.Itoa(n)
			m := outbox.Message{Subject: "event.a", Data: []byte(name), Header: nats.Header{"X": {name}}, ID: "id-" + name}
			if err := tell(t.Context(), db, o, name, m); err != nil {
				t.Fatal(err)
			}
			err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
				return errors.Join(o.Add(ctx, tx, outbox.Message{Subject: "event.never"}), no)
			})
			if !errors.Is(err, no) {
				t.Fatal(err)
			}
			if n%10 == 0 {
				drained(t, o)
			}
		}
		drained(t, o)
		list := stored(t, stream)
		if len(list) != 50 {
			t.Fatalf("%d messages, want 50", len(list))
		}
		for n, m := range list {
			name := strconv.Itoa(n)
			if string(m.Data) != name || m.Header.Get("X") != name || m.Header.Get("Nats-Msg-Id") != "id-"+name || m.Subject != "event.a" {
				t.Fatalf("message %d is %s %v %s", n, m.Subject, m.Header, m.Data)
			}
		}
	})
}

func TestAddRefuses(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		o := newOutbox(db, time.Hour)
		outer := t.Context()
		err := db.RunInTx(outer, func(ctx context.Context, tx bun.Tx) error {
			if err := o.Add(outer, tx, outbox.Message{Subject: "a"}); !errors.Is(err, outbox.ErrNoTransaction) {
				t.Errorf("with the outer context: %v", err)
			}
			for _, m := range []outbox.Message{
				{}, {Subject: "a.*"}, {Subject: "a b"}, {Subject: "a..b"}, {Subject: "a", Data: make([]byte, 1<<20)},
			} {
				if err := o.Add(ctx, tx, m); err == nil {
					t.Errorf("%q with %d bytes was accepted", m.Subject, len(m.Data))
				}
			}
			same := outbox.Message{ID: "same", Subject: "a"}
			return o.Add(ctx, tx, same, outbox.Message{Subject: "a"}, same)
		})
		if n, _, pendingErr := o.Pending(t.Context()); err != nil || pendingErr != nil || n != 2 {
			t.Errorf("%d pending, %v, %v", n, err, pendingErr)
		}
	})
}

// After any sequence of commits, rollbacks, lost NATS connections and restarts of the relay, the stream holds exactly the committed
// messages.
func TestCommittedMessagesAreNeverLost(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		nc := connect(t, startNATS(t, t.TempDir(), -1))
		stream := makeStream(t, nc, "event.>")
		db := kind.Open(t, "auth", actortest.Things)
		o := newOutbox(db, 20*time.Millisecond)
		stop := relay(t, o, nc)
		committed, serial := map[string]bool{}, 0
		no := errors.New("no")
		rapid.Check(t, func(rt *rapid.T) {
			for _, action := range rapid.SliceOfN(rapid.SampledFrom([]string{"commit", "commit", "many", "undo", "cut", "restart"}), 1, 12).Draw(rt, "actions") {
				serial++
				name := strconv.Itoa(serial)
				switch action {
				case "commit":
					if err := tell(t.Context(), db, o, name, outbox.Message{ID: name, Subject: "event.x"}); err != nil {
						rt.Fatal(err)
					}
					committed[name] = true
				case "many":
					var group sync.WaitGroup
					for n := range 20 {
						id := name + "-" + strconv.Itoa(n)
						committed[id] = true
						group.Go(func() {
							if err := tell(t.Context(), db, o, id, outbox.Message{ID: id, Subject: "event.x"}); err != nil {
								t.Error(err)
							}
						})
					}
					group.Wait()
				case "undo":
					err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
						return errors.Join(o.Add(ctx, tx, outbox.Message{ID: name, Subject: "event.x"}), no)
					})
					if !errors.Is(err, no) {
						rt.Fatal(err)
					}
				case "cut":
					if err := nc.ForceReconnect(); err != nil {
						rt.Fatal(err)
					}
				case "restart":
					stop()
					stop = relay(t, o, nc)
				}
			}
		})
		drained(t, o)
		got := map[string]bool{}
		for _, m := range stored(t, stream) {
			got[m.Header.Get("Nats-Msg-Id")] = true
		}
		for id := range committed {
			if !got[id] {
				t.Errorf("%s was committed and not published", id)
			}
		}
		if len(got) != len(committed) || len(got) != actortest.Count(t, db, "things") {
			t.Errorf("%d published, %d committed", len(got), len(committed))
		}
	})
}
