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

// checkOrder checks that the messages of each key are numbered in order, without repeated ones, and returns all ids.
func checkOrder(t *testing.T, list []*jetstream.RawStreamMsg) (ids map[string]bool) {
	t.Helper()
	ids, next := map[string]bool{}, map[string]int{}
	for _, m := range list {
		id := m.Header.Get("Nats-Msg-Id")
		if ids[id] {
			continue // a consumer recognises it by its id
		}
		ids[id] = true
		key, number, _ := strings.Cut(string(m.Data), "/")
		n, err := strconv.Atoi(number)
		if err != nil || n != next[key] {
			t.Errorf("key %s: got number %s, want %d", key, number, next[key])
		}
		next[key] = n + 1
	}
	return ids
}

// NATS stops and restarts while 64 writers commit and, on PostgreSQL, several copies relay. Every committed message is published
// and, apart from repetitions, in order per key.
func TestRelaySurvivesANATSRestart(t *testing.T) {
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
		if ids := checkOrder(t, stored(t, stream)); len(ids) != writers*each {
			t.Errorf("%d messages were published, want %d", len(ids), writers*each)
		}
	})
}

// A message whose subject has no stream blocks its key and no other.
func TestUnpublishableMessageBlocksOnlyItsKey(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		nc := connect(t, startNATS(t, t.TempDir(), -1))
		stream := makeStream(t, nc, "event.>")
		db := kind.Open(t, "auth", actortest.Things)
		o := newOutbox(db, 10*time.Millisecond)
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
			for n := range 40 { // more than two pages
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
			t.Fatalf("%d messages before a stream takes the others, want the good one", len(got))
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

// Refused messages, however many and however old, do not delay the messages of other keys.
func TestRefusedMessagesDelayNoOthers(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		nc := connect(t, startNATS(t, t.TempDir(), -1))
		makeStream(t, nc, "event.>")
		good, err := nc.SubscribeSync("event.good")
		if err != nil {
			t.Fatal(err)
		}
		db := kind.Open(t, "auth", actortest.Things)
		o := newOutbox(db, time.Hour)
		err = db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
			for n := range 1100 {
				if err := o.Add(ctx, tx, outbox.Message{Subject: "nowhere", Key: fmt.Sprint("refused", n)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		relay(t, o, nc)
		var delays []time.Duration
		for n := range 20 {
			begin := time.Now()
			if err := tell(t.Context(), db, o, fmt.Sprint(n), outbox.Message{Subject: "event.good"}); err != nil {
				t.Fatal(err)
			}
			if _, err := good.NextMsg(30 * time.Second); err != nil {
				t.Fatalf("message %d: %v", n, err)
			}
			delays = append(delays, time.Since(begin))
		}
		slices.Sort(delays)
		if delays[len(delays)/2] > 200*time.Millisecond {
			t.Errorf("half of the messages took longer than %v", delays[len(delays)/2])
		}
		if n, _, err := o.Pending(t.Context()); err != nil || n < 1100 {
			t.Errorf("%d messages are pending, %v; the refused ones must be kept", n, err)
		}
	})
}

// Database connections of writers and of two copies' relays are terminated. A writer retries if the outcome of its commit is
// unknown. Every message is published, in order per key.
func TestRelaySurvivesLostDatabaseConnections(t *testing.T) {
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
					// It may terminate its own connection, so its error is ignored.
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
	if ids := checkOrder(t, stored(t, stream)); len(ids) != writers*each {
		t.Errorf("%d messages were published, want %d", len(ids), writers*each)
	}
}

// A transaction takes its sequence number early and commits late, after the relay has passed that number, and another message of
// its key follows at once. The relay must not publish the second one first.
func TestLateCommitKeepsItsOrder(t *testing.T) {
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
	// This subscriber acts as a stream: its handler runs between two pages of the relay.
	_, err := nc.Subscribe("between", func(m *nats.Msg) {
		close(commit)
		err := <-committed
		if err == nil {
			err = tell(t.Context(), db, o, "next", outbox.Message{Subject: "event.x", Key: "k", Data: []byte("k/1")})
		}
		if err != nil {
			t.Error(err)
		}
		_ = m.Respond([]byte(`{"stream":"BETWEEN","seq":1}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tell(t.Context(), db, o, "between", outbox.Message{Subject: "between"}); err != nil {
		t.Fatal(err)
	}
	relay(t, o, nc)
	drained(t, o)
	if ids := checkOrder(t, stored(t, stream)); len(ids) != 2 {
		t.Errorf("%d messages, want 2", len(ids))
	}
}

// A message that its stream refuses once is not overtaken by the next message of its key.
func TestRefusedMessageIsNotOvertaken(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		nc := connect(t, startNATS(t, t.TempDir(), -1))
		db := kind.Open(t, "auth", actortest.Things)
		o := newOutbox(db, time.Hour)
		received := make(chan string, 10)
		_, err := nc.Subscribe("manual", func(m *nats.Msg) { // acts as a stream
			received <- string(m.Data)
			if len(received) == 1 {
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
		close(received)
		var got []string
		for data := range received {
			got = append(got, data)
		}
		if !slices.Equal(got, []string{"0", "0", "1"}) {
			t.Errorf("the stream received %v", got)
		}
	})
}

// Copies that relay at the same time do not publish the same messages.
func TestCopiesShareTheWork(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	nc := connect(t, startNATS(t, t.TempDir(), -1))
	makeStream(t, nc, "event.>")
	published, err := nc.SubscribeSync("event.>")
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
	if n, _, err := published.Pending(); err != nil || n != messages {
		t.Errorf("%d messages were published (%v), want %d", n, err, messages)
	}
}
