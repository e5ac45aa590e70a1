package edge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/edge"
	"github.com/weftmesh/weft/subjects"
)

// deliveries reads what the hub has stored of edge nodes, in order.
func (h *hub) deliveries(t testing.TB) []subjects.EdgeDelivery {
	t.Helper()
	js := h.Conn(t, "operator").JS
	consumer, err := js.OrderedConsumer(t.Context(), subjects.Events.Name, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subjects.EdgeDelivered.Subject}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := consumer.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list []subjects.EdgeDelivery
	for len(list) < int(info.NumPending) {
		batch, err := consumer.Fetch(int(info.NumPending)-len(list), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for message := range batch.Messages() {
			var event subjects.Envelope[subjects.EdgeDelivery]
			if err := json.Unmarshal(message.Data(), &event); err != nil {
				t.Fatal(err)
			}
			list = append(list, event.Data)
		}
	}
	return list
}

// stored counts what the hub has stored of edge nodes.
func (h *hub) stored(t testing.TB) int {
	t.Helper()
	stream, err := h.Conn(t, "operator").JS.Stream(t.Context(), subjects.Events.Name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(subjects.EdgeDelivered.Subject))
	if err != nil {
		t.Fatal(err)
	}
	return int(info.State.Subjects[subjects.EdgeDelivered.Subject])
}

// idOf returns the id of a delivered event.
func idOf(t testing.TB, d subjects.EdgeDelivery) string {
	t.Helper()
	var event struct{ ID string }
	if err := json.Unmarshal(d.Data, &event); err != nil {
		t.Fatal(err)
	}
	return event.ID
}

// keep keeps an event in the outbox of the node.
func (n *node) keep(ctx context.Context, id string) error {
	return n.Actor().Keep(ctx, id, subjects.EdgeMessage{
		Kind: subjects.EdgeEvent, UserID: n.hub.user, Data: json.RawMessage(fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":"x"}`, id)),
	})
}

// keepMany keeps numbered events.
func (n *node) keepMany(t testing.TB, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := n.keep(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatalf("keeping %d: %v", i, err)
		}
	}
}

// wantDelivered checks that the hub gets the events with the numbers up to count, each once and in order.
func (h *hub) wantDelivered(t testing.TB, count int) {
	t.Helper()
	actortest.Eventually(t, fmt.Sprintf("the hub has %d messages", count), func() bool { return h.stored(t) >= count })
	list := h.deliveries(t)
	if len(list) != count {
		t.Fatalf("the hub has %d messages, want %d", len(list), count)
	}
	for i, d := range list {
		if id := idOf(t, d); id != fmt.Sprint(i) || d.Edge != "box7" || d.UserID != h.user {
			t.Fatalf("message %d is %s of %s", i, id, d.Edge)
		}
	}
}

// TestForwarderSurvivesCuts cuts the connection, and lets answers be lost, while events are kept.
func TestForwarderSurvivesCuts(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	n := h.startNode(t, "box7", subjects.Enrolment{Users: []string{h.user}})
	n.contacted(t)
	const each = 300
	count := 0
	for range 3 {
		n.keepMany(t, count, count+each)
		n.relay.Cut(true)
		n.keepMany(t, count+each, count+2*each)
		n.relay.Cut(false)
		n.keepMany(t, count+2*each, count+3*each)
		count += 3 * each
	}
	h.wantDelivered(t, count)
	n.relay.Mute(true) // the hub stores what it gets, and its answers are lost
	n.keepMany(t, count, count+10)
	actortest.Eventually(t, "the hub has what it could not acknowledge", func() bool { return h.stored(t) > count })
	if n.status(t).Outbox.Messages != 10 {
		t.Errorf("the outbox has %d messages, want those that are not acknowledged", n.status(t).Outbox.Messages)
	}
	n.relay.Cut(true)
	n.relay.Mute(false)
	n.relay.Cut(false)
	actortest.Eventually(t, "the outbox is empty", func() bool { return n.status(t).Outbox.Messages == 0 })
	count += 10
	h.wantDelivered(t, count)
	best := time.Hour
	for range 3 { // the best of three, because the machine is shared
		n.relay.Cut(true)
		actortest.Eventually(t, "the edge is offline", func() bool { return !n.status(t).Linked })
		n.keepMany(t, count, count+1)
		count++
		n.relay.Cut(false)
		since := time.Now()
		actortest.Eventually(t, "the hub has the message", func() bool { return n.status(t).Outbox.Messages == 0 })
		best = min(best, time.Since(since))
	}
	t.Logf("resumed after %s", best)
	if best > 2*time.Second {
		t.Errorf("resumed after %s", best)
	}
	h.wantDelivered(t, count)
}

// TestFullOutbox fills an outbox that the hub does not empty. Messages that the hub would refuse are not kept, because they would hold up the others.
func TestFullOutbox(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	n := h.startNode(t, "box7", subjects.Enrolment{Users: []string{h.user}}, func(o *edge.Options) { o.Config.OutboxMessages = 20 })
	n.contacted(t)
	n.relay.Cut(true)
	actortest.Eventually(t, "the edge is offline", func() bool { return !n.status(t).Linked })
	n.keepMany(t, 0, 20)
	if err := n.keep(t.Context(), "20"); reasonOf(err) != subjects.ReasonEdgeOutboxFull || subjects.CodeOf(err) != subjects.CodeUnavailable {
		t.Errorf("a full outbox: %v", err)
	}
	if _, err := n.publish(t, "refused", "x"); reasonOf(err) != subjects.ReasonEdgeOutboxFull {
		t.Errorf("publishing to a full outbox: %v", err)
	}
	if s := n.status(t); s.Outbox.Refused != 2 || s.Outbox.Messages != 20 {
		t.Errorf("the outbox is %+v", s.Outbox)
	}
	for name, m := range map[string]subjects.EdgeMessage{
		"no user":   {Kind: subjects.EdgeEvent, Data: json.RawMessage(`{}`)},
		"no kind":   {UserID: h.user, Data: json.RawMessage(`{}`)},
		"too large": {Kind: subjects.EdgeEvent, UserID: h.user, Data: json.RawMessage(fmt.Sprintf(`"%0800000d"`, 1))},
	} {
		if err := n.Actor().Keep(t.Context(), "", m); subjects.CodeOf(err) != subjects.CodeInvalid && subjects.CodeOf(err) != subjects.CodeTooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	n.relay.Cut(false)
	actortest.Eventually(t, "the outbox has room again", func() bool { return n.keep(t.Context(), "20") == nil })
	h.wantDelivered(t, 21)
}

// TestOutboxOutlivesRestarts restarts the node with messages that the hub does not have.
func TestOutboxOutlivesRestarts(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	n := h.startNode(t, "box7", subjects.Enrolment{Users: []string{h.user}})
	n.contacted(t)
	n.keepMany(t, 0, 5)
	h.wantDelivered(t, 5)
	n.relay.Cut(true)
	actortest.Eventually(t, "the edge is offline", func() bool { return !n.status(t).Linked })
	n.keepMany(t, 5, 700)
	n.restart(t)
	n.keepMany(t, 700, 710)
	n.relay.Cut(false)
	h.wantDelivered(t, 710)
}

// TestHubRestored restores the hub's database as it was before messages were stored.
func TestHubRestored(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	n := h.startNode(t, "box7", subjects.Enrolment{Users: []string{h.user}})
	n.contacted(t)
	n.keepMany(t, 0, 5)
	h.wantDelivered(t, 5)
	_ = h.host.Stop(t)
	backup := t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(h.db.DataDir)); err != nil {
		t.Fatal(err)
	}
	h.startWorkflow(t)
	n.keepMany(t, 5, 10)
	h.wantDelivered(t, 10)
	_ = h.host.Stop(t)
	n.keepMany(t, 10, 12)
	if err := os.RemoveAll(h.db.DataDir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(h.db.DataDir, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	h.startWorkflow(t)
	h.wantDelivered(t, 12) // what was acknowledged is not sent again, and nothing later is taken for a repetition
}
