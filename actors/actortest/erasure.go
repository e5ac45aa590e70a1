package actortest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Forget publishes the deletion of an account as auth does, waits for the actor's answer and returns it.
func (m *Mesh) Forget(t testing.TB, actor, userID string, aliases ...string) subjects.Erasure {
	t.Helper()
	data := subjects.AccountDeletion{ErasureID: User(), UserID: userID, Round: 1, Aliases: aliases}
	event, err := json.Marshal(subjects.AccountDeleted.New(User(), userID, m.Now(), data))
	if err == nil {
		_, err = m.Conn(t, "auth").JS.Publish(deadline(t), subjects.AccountDeleted.Subject, event)
	}
	if err != nil {
		t.Fatalf("publishing a deletion: %v", err)
	}
	var answer subjects.Erasure
	Eventually(t, actor+" has answered the deletion", func() bool {
		for _, e := range Events[subjects.Erasure](t, m, subjects.ErasureConfirmations.Filter) {
			if e.Data.ErasureID == data.ErasureID && e.Data.Actor == actor {
				answer = e.Data
				return true
			}
		}
		return false
	})
	return answer
}

// Events returns the events that the stream EVENTS holds under a subject or filter, in order.
func Events[T any](t testing.TB, m *Mesh, subject string) []subjects.Envelope[T] {
	t.Helper()
	var list []subjects.Envelope[T]
	for _, data := range m.Messages(t, subjects.Events.Name, subject) {
		var e subjects.Envelope[T]
		if err := json.Unmarshal(data, &e); err != nil {
			t.Fatalf("decoding an event: %v", err)
		}
		list = append(list, e)
	}
	return list
}

// Messages returns the messages that a stream holds under a subject or filter, in order.
func (m *Mesh) Messages(t testing.TB, stream, subject string) [][]byte {
	t.Helper()
	ctx := deadline(t)
	consumer, err := m.Conn(t, mesh.UserOperator).JS.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, InactiveThreshold: time.Minute,
	})
	if err != nil {
		t.Fatalf("reading stream %s: %v", stream, err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		t.Fatalf("reading stream %s: %v", stream, err)
	}
	var list [][]byte
	for range info.NumPending {
		message, err := consumer.Next(jetstream.FetchMaxWait(Patience))
		if err != nil {
			t.Fatalf("reading stream %s: %v", stream, err)
		}
		list = append(list, message.Data())
	}
	return list
}

// Dump returns every value of every table of a database, one per line and byte strings unencoded, for tests that search it.
// The actor must have stopped.
func Dump(t testing.TB, cfg database.Config) string {
	t.Helper()
	db, err := database.Open(deadline(t), cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	names := "SELECT name FROM sqlite_master WHERE type = 'table'"
	if cfg.URL != "" {
		names = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
	}
	var list []string
	if err := db.NewRaw(names).Scan(deadline(t), &list); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, name := range list {
		if err := dumpTable(deadline(t), &text, db, name); err != nil {
			t.Fatalf("dumping %s: %v", name, err)
		}
	}
	return text.String()
}

func dumpTable(ctx context.Context, text *bytes.Buffer, db *database.DB, name string) error {
	rows, err := db.QueryContext(ctx, `SELECT * FROM "`+strings.ReplaceAll(name, `"`, `""`)+`"`)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		values, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			pointers[i] = &values[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			return err
		}
		for _, v := range values {
			if data, ok := v.([]byte); ok {
				v = string(data)
			}
			fmt.Fprintln(text, v)
		}
	}
	return rows.Err()
}
