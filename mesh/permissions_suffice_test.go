package mesh_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestOwnersAndReadersReachTheirBuckets does with every bucket what package kv offers, as each of its users.
func TestOwnersAndReadersReachTheirBuckets(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	ctx := t.Context()
	for _, spec := range kv.All() {
		if spec.Owner != "" {
			bucket, err := kv.Open[json.RawMessage](ctx, m.Conn(t, spec.Owner).JS, spec)
			if err != nil {
				t.Fatalf("%s opens %s: %v", spec.Owner, spec.Name, err)
			}
			revision, err := bucket.PutTTL(ctx, "k", json.RawMessage(`{}`), time.Minute)
			if err == nil {
				_, err = bucket.Update(ctx, "k", json.RawMessage(`{}`), revision)
			}
			if err == nil {
				_, err = bucket.Keys(ctx, ">")
			}
			if err != nil {
				t.Errorf("%s writes %s: %v", spec.Owner, spec.Name, err)
			}
		}
		for _, user := range append(slices.Clone(spec.Readers), spec.Owner) {
			if user == "" || spec.PerWriter() {
				continue
			}
			bucket, err := kv.Open[json.RawMessage](ctx, m.Conn(t, user).JS, spec)
			if err == nil {
				_, err = bucket.Get(ctx, "k")
			}
			if err != nil {
				t.Errorf("%s reads %s: %v", user, spec.Name, err)
				continue
			}
			if spec.Storage != kv.File {
				continue
			}
			watched, err := kv.Watch(ctx, bucket, ">")
			if err != nil {
				t.Errorf("%s watches %s: %v", user, spec.Name, err)
				continue
			}
			if watched.Len() != 1 {
				t.Errorf("%s sees %d keys of %s", user, watched.Len(), spec.Name)
			}
			watched.Close()
		}
	}
	for _, user := range kv.Guards.Writers {
		lease, err := kv.HoldLease(ctx, m.Conn(t, user).JS, kv.Guards, user+".test", mesh.LeaseLength)
		if err != nil {
			t.Errorf("%s takes a lease: %v", user, err)
			continue
		}
		live, err := kv.Live(ctx, m.Conn(t, "consent").JS, kv.Guards, ">")
		if err != nil || !slices.Contains(live, user+".test") {
			t.Errorf("the lease of %s is not seen: %v, %v", user, live, err)
		}
		if err := lease.Close(ctx); err != nil {
			t.Errorf("%s returns its lease: %v", user, err)
		}
	}
}

// TestOwnersReachTheirObjectStores does with every object store what package kv offers.
func TestOwnersReachTheirObjectStores(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	ctx := t.Context()
	for _, spec := range kv.ObjectStores() {
		store, err := kv.OpenObjects(ctx, m.Conn(t, spec.Owner).JS, spec)
		if err != nil {
			t.Fatalf("%s opens %s: %v", spec.Owner, spec.Name, err)
		}
		for _, data := range []string{"first", "second"} { // the second takes the first's place
			if err := store.Put(ctx, "a", []byte(data)); err != nil {
				t.Errorf("%s writes %s: %v", spec.Owner, spec.Name, err)
			}
		}
		if got, err := store.Get(ctx, "a"); err != nil || string(got) != "second" {
			t.Errorf("%s reads %s: %q, %v", spec.Owner, spec.Name, got, err)
		}
		for range 2 {
			if err := store.Delete(ctx, "a"); err != nil {
				t.Errorf("%s deletes from %s: %v", spec.Owner, spec.Name, err)
			}
		}
		if _, err := store.Get(ctx, "a"); !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("what was deleted: %v", err)
		}
		stream, err := m.Conn(t, mesh.UserOperator).JS.Stream(ctx, spec.Stream())
		if err != nil || stream.CachedInfo().State.Msgs != 0 {
			t.Errorf("%s keeps something of what was deleted: %v", spec.Name, err)
		}
	}
}

// TestWritersAndReadersReachTheirStreams publishes to every stream as each of its writers and reads it as each of
// its readers and the operator, by an ordered consumer and by sequence.
func TestWritersAndReadersReachTheirStreams(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	ctx := t.Context()
	for _, s := range subjects.Streams() {
		for _, writer := range s.Writers {
			subject := strings.NewReplacer("*", "x", ">", writer+".x").Replace(s.Subjects[0])
			if _, err := m.Conn(t, writer).JS.Publish(ctx, subject, []byte("{}")); err != nil {
				t.Errorf("%s publishes %s: %v", writer, subject, err)
			}
		}
		for _, reader := range append(slices.Clone(s.Readers), mesh.UserOperator) {
			stream, err := m.Conn(t, reader).JS.Stream(ctx, s.Name)
			if err == nil {
				_, err = stream.GetMsg(ctx, 1)
			}
			if err != nil {
				t.Errorf("%s reads %s: %v", reader, s.Name, err)
				continue
			}
			if s.Retention == subjects.RetainWork {
				continue // its one consumer is its worker's
			}
			consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
			if err == nil {
				_, err = consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
			}
			if err != nil {
				t.Errorf("%s follows %s: %v", reader, s.Name, err)
			}
		}
		for _, purger := range s.Purgers {
			stream, err := m.Conn(t, purger).JS.Stream(ctx, s.Name)
			if err == nil {
				err = stream.Purge(ctx)
			}
			if err != nil {
				t.Errorf("%s purges %s: %v", purger, s.Name, err)
			}
		}
	}
}

// TestOwnersReachTheirDurables takes one message from each durable and acknowledges it.
func TestOwnersReachTheirDurables(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	ctx := t.Context()
	if len(subjects.Consumers()) == 0 {
		t.Fatal("there are no durables")
	}
	for _, c := range subjects.Consumers() {
		subject := strings.ReplaceAll(c.Filter, "*", "workflow") // one of those that a durable of several actors' events hears
		if _, err := m.Conn(t, mesh.UserOperator).JS.Publish(ctx, subject, []byte("{}")); err != nil {
			t.Errorf("the operator replays to %s: %v", subject, err)
			continue
		}
		consumer, err := m.Conn(t, c.Owner).JS.Consumer(ctx, c.Stream, c.Durable)
		if err != nil {
			t.Errorf("%s opens %s: %v", c.Owner, c.Durable, err)
			continue
		}
		message, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
		if err == nil {
			err = message.DoubleAck(ctx)
		}
		if err != nil {
			t.Errorf("%s works off %s: %v", c.Owner, c.Durable, err)
		}
	}
}
