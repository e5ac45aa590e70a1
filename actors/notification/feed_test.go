package notification_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// event is one message of a feed.
type event struct {
	sequence uint64
	name     string
	data     string
}

// read returns n events of a pointer's stream, from the given sequence on, as the gateway reads them.
func read(t *testing.T, f *fixture, pointer subjects.StreamPointer, from uint64, n int) []event {
	t.Helper()
	consumer, err := f.conn.JS.OrderedConsumer(t.Context(), pointer.Stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{pointer.Filter}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
	})
	if err != nil {
		t.Fatal(err)
	}
	var events []event
	for len(events) < n {
		m, err := consumer.Next(jetstream.FetchMaxWait(actortest.Patience))
		if err != nil {
			t.Fatalf("after %+v: %v", events, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event{meta.Sequence.Stream, m.Headers().Get(subjects.HeaderEvent), string(m.Data())})
	}
	return events
}

func open(t *testing.T, f *fixture, as mesh.As) subjects.StreamPointer {
	t.Helper()
	return call(t, f, subjects.StreamNotifications, as, subjects.Empty{})
}

// unread returns the count in a pointer's initial event.
func unread(t *testing.T, p subjects.StreamPointer) int {
	t.Helper()
	if len(p.Initial) != 1 || p.Initial[0].Event != "unread_count" {
		t.Fatalf("initial events: %+v", p.Initial)
	}
	data, err := json.Marshal(p.Initial[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	var count subjects.UnreadCount
	if err := json.Unmarshal(data, &count); err != nil {
		t.Fatal(err)
	}
	return count.UnreadCount
}

// TestFeed: the feed has one event for each new notification and one for each change of the unread count, in order.
func TestFeed(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		ada, eve := f.user(t, actortest.User()), f.user(t, actortest.User())
		pointer := open(t, f, ada)
		if unread(t, pointer) != 0 {
			t.Errorf("unread: %+v", pointer.Initial)
		}
		id := f.send(t, ada)
		f.send(t, eve)
		call(t, f, subjects.MarkAsRead, ada, subjects.NotificationRequest{NotificationID: id})
		call(t, f, subjects.MarkAsRead, ada, subjects.NotificationRequest{NotificationID: id}) // changes nothing
		call(t, f, subjects.MarkAllRead, ada, subjects.Empty{})                                // changes nothing
		f.send(t, ada)
		events := read(t, f, pointer, pointer.Sequence, 5)
		var n subjects.Notification
		if err := json.Unmarshal([]byte(events[0].data), &n); err != nil || events[0].name != "notification" {
			t.Fatalf("first event %+v: %v", events[0], err)
		}
		if got := f.get(t, ada, id); n.ID != id || n.Subject != got.Subject || n.Status != "delivered" || n.ReadAt != nil {
			t.Errorf("the feed has %+v", n)
		}
		for i, want := range map[int]string{1: `{"unread_count":1}`, 2: `{"unread_count":0}`, 4: `{"unread_count":1}`} {
			if events[i].name != "unread_count" || events[i].data != want {
				t.Errorf("event %d: %+v, want %s", i, events[i], want)
			}
		}
		if events[3].name != "notification" || strings.Contains(events[3].data, id) {
			t.Errorf("event 3: %+v", events[3])
		}
	})
}

// TestFeedPositions: a stream that is opened later begins behind what its count includes, and an older position resumes.
func TestFeedPositions(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		user := actortest.User()
		ada := f.user(t, user)
		first := open(t, f, ada)
		f.send(t, ada)
		actortest.Eventually(t, "the first notification is in the feed", func() bool { return len(f.feed(t, user)) == 2 })
		second := open(t, f, ada)
		if unread(t, second) != 1 || second.Filter != first.Filter || second.Stream != first.Stream || second.Sequence <= first.Sequence {
			t.Errorf("first %+v, second %+v", first, second)
		}
		third := f.send(t, ada)
		events := read(t, f, second, second.Sequence, 2)
		if events[0].name != "notification" || !strings.Contains(events[0].data, third) || events[1].data != `{"unread_count":2}` {
			t.Errorf("from the second position: %+v", events)
		}
		all := read(t, f, first, first.Sequence, 4)
		if all[2] != events[0] || all[3] != events[1] || all[0].sequence < first.Sequence || all[1].sequence >= second.Sequence {
			t.Errorf("from the first position: %+v", all)
		}
		resumed := read(t, f, first, all[0].sequence+1, 3)
		for i, e := range resumed {
			if e != all[i+1] {
				t.Errorf("resumed after the first event: %+v, want %+v", resumed, all[1:])
			}
		}
	})
}

// TestFeedIsPrivate: a user's pointer names the user's own subject.
func TestFeedIsPrivate(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	user := actortest.User()
	if pointer := open(t, f, f.user(t, user)); pointer.Filter != subjects.FeedSubject(user) || pointer.Stream != subjects.Feed.Name {
		t.Errorf("pointer: %+v", pointer)
	}
	wantCode(t, f.conn, subjects.CodeUnauthenticated, subjects.StreamNotifications, mesh.As{}, subjects.Empty{})
}
