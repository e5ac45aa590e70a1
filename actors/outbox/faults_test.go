package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
)

func perKey(t *testing.T, list []*jetstream.RawStreamMsg) (ids map[string]bool) {
	t.Helper()
	ids, next := map[string]bool{}, map[string]int{}
	for _, m := range list {
		id := m.Header.Get("Nats-Msg-Id")
		if ids[id] {
			continue // a consumer that keeps ids knows it
		}
		ids[id] = true
		key, number, _ := strings.Cut(string(m.Data), "/")
		n, err := strconv.Atoi(number)
		if err != nil || n != next[key] {
			t.Errorf("key %s: %s came where %d was due", key, number, next[key])
		}
		next[key] = n + 1
	}
	return ids
}

// NATS goes away while 64 writers go on and several copies relay (on PostgreSQL), and comes back: every committed
// message arrives, and for a consumer that keeps ids, in order per key.
func TestOutboxSurvivesNATSAway(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		dir := t.TempDir()
		first := startNATS(t, dir, -1)
		nc := connect(t, first)
		makeStream(t, nc, "event.>")
		cfg := kind.Config(t, "auth")
		db := actortest.OpenDatabase(t, cfg, actortest.Things)
		copies := []*database.DB{db}
		if kind.Name == database.DialectPostgres {
			copies = append(copies, actortest.OpenDatabase(t, cfg, actortest.Things), actortest.OpenDatabase(t, cfg, actortest.Things))
		}
		outboxes := make([]*outbox.Outbox, len(copies))
		for n, db := range copies {
			outboxes[n] = newOutbox(db, 20*time.Millisecond)
			relay(t, outboxes[n], connect(t, first))
		}
		const writers, each = 64, 12
		half := make(chan struct{}, writers)
		resume := make(chan struct{})
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for n := range each {
					name := fmt.Sprint(w, "/", n)
					c := w % len(copies)
					m := outbox.Message{ID: name, Subject: "event.x", Key: strconv.Itoa(w), Data: []byte(name)}
					if err := tell(t.Context(), copies[c], outboxes[c], name, m); err != nil {
						t.Error(err)
						return
					}
					switch n {
					case each / 3:
						half <- struct{}{}
					case 2 * each / 3:
						<-resume
					}
				}
			})
		}
		for range writers / 2 {
			<-half
		}
		port := first.Addr().(*net.TCPAddr).Port
		first.Shutdown()
		first.WaitForShutdown()
		actortest.Eventually(t, "messages waiting", func() bool { n, _, err := outboxes[0].Pending(t.Context()); return err == nil && n > writers })
		second := startNATS(t, dir, port)
		close(resume)
		group.Wait()
		drained(t, outboxes[0])
		js, err := jetstream.New(connect(t, second))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := js.Stream(t.Context(), "EVENTS")
		if err != nil {
			t.Fatal(err)
		}
		if ids := perKey(t, stored(t, stream)); len(ids) != writers*each {
			t.Errorf("%d messages arrived, want %d", len(ids), writers*each)
		}
	})
}

// A message that no stream takes holds up its own key and no other.
func TestOutboxPoisonHoldsUpItsKeyAlone(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		nc := connect(t, startNATS(t, t.TempDir(), -1))
		stream := makeStream(t, nc, "event.>")
		db := kind.Open(t, "auth", actortest.Things)
		o := newOutbox(db, 10*time.Millisecond)
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
			for n := range 40 { // more than two pages of them
				if err := o.Add(ctx, tx, outbox.Message{Subject: "nowhere", Key: fmt.Sprint("poison", n)}); err != nil {
					return err
				}
			}
			return o.Add(ctx, tx, outbox.Message{Subject: "event.late", Key: "poison0", Data: []byte("late")},
				outbox.Message{Subject: "event.good", Data: []byte("good")})
		})
		if err != nil {
			t.Fatal(err)
		}
		relay(t, o, nc)
		actortest.Eventually(t, "the good message", func() bool { return len(stored(t, stream)) > 0 })
		config := stream.CachedInfo().Config
		config.Subjects = append(config.Subjects, "nowhere")
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if got := stored(t, stream); len(got) != 1 || string(got[0].Data) != "good" {
			t.Fatalf("%d messages before there is a stream for the others", len(got))
		}
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		drained(t, o)
		list := stored(t, stream)
		subjects := make([]string, len(list))
		for n, m := range list {
			subjects[n] = m.Subject
		}
		if len(list) != 42 || slices.Index(subjects, "event.late") < slices.Index(subjects, "nowhere") {
			t.Errorf("%d messages: %v", len(list), subjects)
		}
	})
}

// Database connections die under writers and under the relays of two copies. A writer that does not know whether its
// commit happened tries again; every message still arrives, and in order per key.
func TestOutboxOverLostConnections(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	nc := connect(t, startNATS(t, t.TempDir(), -1))
	stream := makeStream(t, nc, "event.>")
	cfg := kind.Config(t, "auth")
	cfg.URL += "&application_name=" + cfg.URL[len(cfg.URL)-13:len(cfg.URL)-1]
	first, second := actortest.OpenDatabase(t, cfg, actortest.Things), actortest.OpenDatabase(t, cfg, actortest.Things)
	dbs := []*database.DB{first, second}
	outboxes := []*outbox.Outbox{newOutbox(first, 20*time.Millisecond), newOutbox(second, 20*time.Millisecond)}
	for _, o := range outboxes {
		relay(t, o, nc)
	}
	const writers, each = 8, 60
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := range each {
				name := fmt.Sprint(w, "/", n)
				m := outbox.Message{ID: name, Subject: "event.x", Key: strconv.Itoa(w), Data: []byte(name)}
				if w == 0 && n%6 == 0 {
					// The terminating connection's own end may be among them; so it is not required to succeed.
					_, _ = first.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE
						pid <> pg_backend_pid() AND application_name = current_setting('application_name')`)
				}
				for {
					err := tell(t.Context(), dbs[w%2], outboxes[w%2], name, m)
					if err == nil || database.IsUnique(err) {
						break
					}
					if !errors.Is(err, database.ErrUnavailable) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	drained(t, outboxes[0])
	if ids := perKey(t, stored(t, stream)); len(ids) != writers*each {
		t.Errorf("%d messages arrived, want %d", len(ids), writers*each)
	}
}

// A transaction takes its number early and commits late, while the relay is at work beyond that number, and the next
// message of its key follows at once: the relay must not publish that one first.
func TestOutboxLateCommitKeepsItsPlace(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	nc := connect(t, startNATS(t, t.TempDir(), -1))
	stream := makeStream(t, nc, "event.>")
	db := kind.Open(t, "auth", actortest.Things)
	o := outbox.New(outbox.Config{DB: db, Log: zap.NewNop(), Poll: time.Hour, Window: 1})
	numbered, commit, committed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		committed <- db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
			err := o.Add(ctx, tx, outbox.Message{Subject: "event.x", Key: "k", Data: []byte("k/0")})
			close(numbered)
			<-commit
			return err
		})
	}()
	<-numbered
	// The gate stands for a stream: what it does happens between two pages of the relay.
	_, err := nc.Subscribe("gate", func(m *nats.Msg) {
		close(commit)
		err := <-committed
		if err == nil {
			err = tell(t.Context(), db, o, "next", outbox.Message{Subject: "event.x", Key: "k", Data: []byte("k/1")})
		}
		if err != nil {
			t.Error(err)
		}
		_ = m.Respond([]byte(`{"stream":"GATE","seq":1}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tell(t.Context(), db, o, "gate", outbox.Message{Subject: "gate"}); err != nil {
		t.Fatal(err)
	}
	relay(t, o, nc)
	drained(t, o)
	if ids := perKey(t, stored(t, stream)); len(ids) != 2 {
		t.Errorf("%d messages, want 2", len(ids))
	}
}

// A message that its stream refuses for a moment is not overtaken by the next of its key, which is never in flight
// together with it.
func TestOutboxRefusalIsNotOvertaken(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		nc := connect(t, startNATS(t, t.TempDir(), -1))
		db := kind.Open(t, "auth", actortest.Things)
		o := newOutbox(db, time.Hour)
		came := make(chan string, 10)
		_, err := nc.Subscribe("manual", func(m *nats.Msg) { // in a stream's place
			came <- string(m.Data)
			if len(came) == 1 {
				_ = m.Respond([]byte(`{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}`))
				return
			}
			_ = m.Respond([]byte(`{"stream":"MANUAL","seq":1}`))
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
			return o.Add(ctx, tx, outbox.Message{Subject: "manual", Data: []byte("0")}, outbox.Message{Subject: "manual", Data: []byte("1")})
		})
		if err != nil {
			t.Fatal(err)
		}
		relay(t, o, nc)
		drained(t, o)
		close(came)
		if got := slices.Collect(func(yield func(string) bool) {
			for data := range came {
				yield(data)
			}
		}); !slices.Equal(got, []string{"0", "0", "1"}) {
			t.Errorf("the stream was asked for %v", got)
		}
	})
}

// Copies that relay at the same time do not do each other's work.
func TestOutboxCopiesShareTheWork(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	nc := connect(t, startNATS(t, t.TempDir(), -1))
	makeStream(t, nc, "event.>")
	asked, err := nc.SubscribeSync("event.>")
	if err != nil {
		t.Fatal(err)
	}
	cfg := kind.Config(t, "auth")
	var first *outbox.Outbox
	var db *database.DB
	for range 3 {
		db = actortest.OpenDatabase(t, cfg, actortest.Things)
		first = newOutbox(db, time.Millisecond)
		relay(t, first, nc)
	}
	const messages = 300
	for n := range messages {
		m := outbox.Message{Subject: "event.x", Key: strconv.Itoa(n)}
		if err := tell(t.Context(), db, first, strconv.Itoa(n), m); err != nil {
			t.Fatal(err)
		}
	}
	drained(t, first)
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := asked.Pending(); err != nil || n != messages {
		t.Errorf("%d messages were published (%v), want %d", n, err, messages)
	}
}
