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

// Each user performs on each bucket the operations that package kv offers it.
func TestPermissionsSufficeForBuckets(t *testing.T) {
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
				t.Errorf("%s watches %d keys of %s", user, watched.Len(), spec.Name)
			}
			watched.Close()
		}
	}
	for _, user := range kv.Guards.Writers {
		lease, err := kv.HoldLease(ctx, m.Conn(t, user).JS, kv.Guards, user+".test", mesh.LeaseLength)
		if err != nil {
			t.Errorf("%s holds a lease: %v", user, err)
			continue
		}
		live, err := kv.Live(ctx, m.Conn(t, "consent").JS, kv.Guards, ">")
		if err != nil || !slices.Contains(live, user+".test") {
			t.Errorf("the lease of %s is not listed: %v, %v", user, live, err)
		}
		if err := lease.Close(ctx); err != nil {
			t.Errorf("%s closes its lease: %v", user, err)
		}
	}
}

// Each owner performs the operations that package kv offers on its object store.
func TestPermissionsSufficeForObjectStores(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	ctx := t.Context()
	for _, spec := range kv.ObjectStores() {
		store, err := kv.OpenObjects(ctx, m.Conn(t, spec.Owner).JS, spec)
		if err != nil {
			t.Fatalf("%s opens %s: %v", spec.Owner, spec.Name, err)
		}
		for _, data := range []string{"first", "second"} { // the second replaces the first
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
			t.Errorf("Get of a deleted object: %v", err)
		}
		stream, err := m.Conn(t, mesh.UserOperator).JS.Stream(ctx, spec.Stream())
		if err != nil || stream.CachedInfo().State.Msgs != 0 {
			t.Errorf("%s holds messages of a deleted object: %v", spec.Name, err)
		}
	}
}

// Each writer publishes to its streams; each reader, and the operator, reads them by an ordered consumer and by sequence.
func TestPermissionsSufficeForStreams(t *testing.T) {
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
				continue // a work queue has one consumer, its worker
			}
			consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
			if err == nil {
				_, err = consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
			}
			if err != nil {
				t.Errorf("%s consumes %s: %v", reader, s.Name, err)
			}
		}
		for _, purger := range s.Purgers {
			subject := strings.NewReplacer("*", "x", ">", "x").Replace(s.Subjects[0])
			if err := m.Conn(t, purger).JS.Purge(ctx, s.Name, subject, 0); err != nil {
				t.Errorf("%s purges %s: %v", purger, s.Name, err)
			}
		}
	}
}

// Each owner takes a message from its durables and acknowledges it.
func TestPermissionsSufficeForDurables(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	ctx := t.Context()
	if len(subjects.Consumers()) == 0 {
		t.Fatal("there are no durables")
	}
	for _, c := range subjects.Consumers() {
		subject := strings.ReplaceAll(c.Filter, "*", "workflow") // a filter for several actors matches this one
		if _, err := m.Conn(t, mesh.StreamAuthor(subject)).JS.Publish(ctx, subject, []byte("{}")); err != nil {
			t.Errorf("the author publishes to %s: %v", subject, err)
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
			t.Errorf("%s consumes %s: %v", c.Owner, c.Durable, err)
		}
	}
}
