package mesh_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// alter changes a stream as the NATS user migrate.
func alter(t *testing.T, js jetstream.JetStream, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	config := configOf(t, js, name)
	change(&config)
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatalf("altering %s: %v", name, err)
	}
}

func configOf(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config
}

func compare(t *testing.T, js jetstream.JetStream, lower ...string) mesh.Plan {
	t.Helper()
	plan, err := mesh.Compare(t.Context(), js, mesh.Target{Replicas: 1, Lower: lower})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestAStartChangesNothingThatExists alters streams, buckets, an object store and a durable in both directions. Creating what is
// missing leaves them; a migration raises what is less and keeps what is more, unless a setting may be lowered.
func TestAStartChangesNothingThatExists(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	js, events, dead, attempts := m.Conn(t, mesh.UserMigrate).JS, subjects.Events.Name, subjects.Dead.Name, kv.AuthAttempts.Stream()
	if plan := compare(t, js); len(plan.Changes) > 0 {
		t.Fatalf("a fresh mesh differs: %+v", plan.Changes)
	}
	alter(t, js, events, func(c *jetstream.StreamConfig) { c.MaxAge, c.MaxBytes = 30*24*time.Hour, 1<<30 })
	alter(t, js, events, func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "newer.>") })
	alter(t, js, dead, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	alter(t, js, attempts, func(c *jetstream.StreamConfig) { c.MaxBytes, c.Metadata["operator"] = 128<<20, "here" })
	alter(t, js, kv.IntegrationObjects.Stream(), func(c *jetstream.StreamConfig) { c.MaxAge = 0 })
	durable := subjects.SendMail.Consumer()
	consumer, err := js.Consumer(t.Context(), durable.Stream, durable.Durable)
	if err != nil {
		t.Fatal(err)
	}
	slower := consumer.CachedInfo().Config
	slower.AckWait = time.Hour
	if _, err := js.UpdateConsumer(t.Context(), durable.Stream, slower); err != nil {
		t.Fatal(err)
	}
	before := []jetstream.StreamConfig{configOf(t, js, events), configOf(t, js, dead), configOf(t, js, attempts)}
	if err := mesh.Setup(t.Context(), js, 1); err != nil {
		t.Fatal(err)
	}
	for _, was := range before {
		if is := configOf(t, js, was.Name); is.MaxAge != was.MaxAge || is.MaxBytes != was.MaxBytes || !slices.Equal(is.Subjects, was.Subjects) {
			t.Errorf("a start changed %s from %+v to %+v", was.Name, was, is)
		}
	}

	if err := compare(t, js).Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if is := configOf(t, js, events); is.MaxAge != 30*24*time.Hour || is.MaxBytes != 1<<30 || !slices.Contains(is.Subjects, "newer.>") {
		t.Errorf("a migration lowered %s: %+v", events, is)
	}
	if is := configOf(t, js, dead); is.MaxAge != subjects.Dead.MaxAge {
		t.Errorf("a migration did not raise %s: %s", dead, is.MaxAge)
	}
	if is := configOf(t, js, attempts); is.MaxBytes != 128<<20 || is.Metadata["operator"] != "here" {
		t.Errorf("a migration lowered %s: %+v", attempts, is)
	}
	if is := configOf(t, js, kv.IntegrationObjects.Stream()); is.MaxAge != 0 {
		t.Errorf("a migration limited the age of objects to %s", is.MaxAge)
	}
	if info, err := consumer.Info(t.Context()); err != nil || info.Config.AckWait != durable.AckWait {
		t.Errorf("a migration did not restore the durable: %v", err)
	}
	plan := compare(t, js)
	if plan.Pending() != 0 || plan.Count(mesh.ActionKeep) != 3 {
		t.Errorf("after a migration: %+v", plan.Changes)
	}

	if err := compare(t, js, "max_age", "max_bytes", "subjects").Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if plan := compare(t, js); len(plan.Changes) > 0 {
		t.Errorf("after lowering: %+v", plan.Changes)
	}
	if is := configOf(t, js, events); is.MaxBytes != 1<<30 {
		t.Errorf("a limit that weft does not decide became %d", is.MaxBytes)
	}
}

// TestEveryProcessReportsDifferences compares as an actor and as the gateway, without the right to change anything.
func TestEveryProcessReportsDifferences(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	js := m.Conn(t, mesh.UserMigrate).JS
	alter(t, js, subjects.Events.Name, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	if err := js.DeleteStream(t.Context(), kv.GatewayLimits.Stream()); err != nil {
		t.Fatal(err)
	}
	for _, user := range append(subjects.Actors(), mesh.UserGateway) {
		conn := m.Conn(t, user)
		plan, err := mesh.CompareAs(t.Context(), conn, true, mesh.Target{Replicas: 1})
		if err != nil {
			t.Fatalf("%s: %v", user, err)
		}
		core, logged := observer.New(zap.WarnLevel)
		plan.Report(zap.New(core))
		lines := logged.All()
		if len(lines) != 2 || lines[0].ContextMap()["name"] != kv.GatewayLimits.Name || lines[1].ContextMap()["name"] != "EVENTS" ||
			lines[1].ContextMap()["setting"] != "max_age" || lines[1].ContextMap()["is"] != "1h0m0s" || lines[1].ContextMap()["expected"] != "168h0m0s" {
			t.Errorf("%s reports %+v", user, lines)
		}
		if err := plan.Apply(t.Context()); err != nil || configOf(t, js, subjects.Events.Name).MaxAge != time.Hour {
			t.Errorf("the plan of %s changes something, %v", user, err)
		}
	}
}
