package notification_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/actortest/mailsink"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// fixture is a mesh with the notification actor, a mail server, and a stand-in for auth that knows addresses.
type fixture struct {
	mesh *actortest.Mesh
	// conn is the connection that calls are made with: the gateway's.
	conn   *mesh.Conn
	sink   *mailsink.Sink
	host   *actortest.Hosted
	db     database.Config
	config notification.Config
	keyset string
	// connect is called with the actor before it is served.
	connect func(a *notification.Actor)
	// actor is the actor of the last start.
	actor *notification.Actor
	// strict leaves the guard of outbound calls without exceptions.
	strict bool

	mu sync.Mutex
	// contact answers get_contact.
	contact func(userID string) (subjects.Contact, error)
}

func setup(t *testing.T, database actortest.Database, configure func(*notification.Config), options ...actortest.Option) *fixture {
	t.Helper()
	f := &fixture{mesh: actortest.Start(t, options...), sink: mailsink.Start(t), config: notification.DefaultConfig()}
	f.config.Tick = 10 * time.Millisecond
	f.config.SMTP.Host, f.config.SMTP.Port, f.config.SMTP.TLS = f.sink.Host, f.sink.Port, "none"
	f.config.SMTP.From = "weft <weft@example.com>"
	if configure != nil {
		configure(&f.config)
	}
	f.conn = f.mesh.Conn(t, "gateway")
	f.db, f.keyset = database.Config(t, "notification"), filepath.Join(t.TempDir(), "keyset")
	f.setContact(func(id string) (subjects.Contact, error) {
		return subjects.Contact{UserID: id, Email: id + "@example.com"}, nil
	})
	f.serveContacts(t)
	f.start(t)
	return f
}

// serveContacts serves get_contact as auth does.
func (f *fixture) serveContacts(t *testing.T) {
	t.Helper()
	f.mesh.Host(t, "auth", database.Config{Actor: "auth", DataDir: t.TempDir()}, nil, func(actors.Deps) (actors.Service, error) {
		return actors.Service{Name: "auth", Bindings: []actors.Binding{
			actors.Bind(subjects.GetContact, func(ctx context.Context, _ subjects.Empty) (subjects.Contact, error) {
				f.mu.Lock()
				defer f.mu.Unlock()
				return f.contact(actors.CallerFrom(ctx).UserID)
			}),
		}}, nil
	})
}

func (f *fixture) setContact(contact func(userID string) (subjects.Contact, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.contact = contact
}

// start starts the actor on the fixture's database and keyset.
func (f *fixture) start(t *testing.T) {
	t.Helper()
	f.host = f.mesh.Host(t, "notification", f.db, notification.Migrations, func(d actors.Deps) (actors.Service, error) {
		a, err := notification.New(d, f.config)
		if err != nil {
			return actors.Service{}, err
		}
		f.actor = a
		if f.connect != nil {
			f.connect(a)
		}
		return a.Service(), nil
	}, func(c *runtime.HostConfig) {
		c.KeysetFile = f.keyset
		if !f.strict {
			c.EgressAllow, c.EgressAllowHTTP = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, true
		}
	})
}

func (f *fixture) stop(t *testing.T) {
	t.Helper()
	if err := f.host.Stop(t); err != nil {
		t.Fatal(err)
	}
}

// user returns the credentials of a user.
func (f *fixture) user(t *testing.T, id string) mesh.As {
	t.Helper()
	return mesh.As{Token: f.mesh.Token(t, id)}
}

// send sends a notification of the category system by the given channels and returns its id.
func (f *fixture) send(t *testing.T, as mesh.As, channels ...string) string {
	t.Helper()
	return call(t, f, subjects.SendNotification, as, subjects.SendNotificationRequest{
		Category: "system", Channels: channels, Subject: "subject", Body: "body",
	}).NotificationID
}

func (f *fixture) get(t *testing.T, as mesh.As, id string) subjects.Notification {
	t.Helper()
	return call(t, f, subjects.GetNotification, as, subjects.NotificationRequest{NotificationID: id})
}

func (f *fixture) list(t *testing.T, as mesh.As) subjects.NotificationPage {
	t.Helper()
	return call(t, f, subjects.ListNotifications, as, subjects.ListNotificationsRequest{})
}

// await waits until a notification has a status, and returns it.
func (f *fixture) await(t *testing.T, as mesh.As, id, status string) (n subjects.Notification) {
	t.Helper()
	actortest.Eventually(t, "the notification is "+status, func() bool {
		n = f.get(t, as, id)
		return n.Status == status
	})
	return n
}

// feed returns the messages of a user's feed.
func (f *fixture) feed(t *testing.T, userID string) [][]byte {
	t.Helper()
	return f.mesh.Messages(t, subjects.Feed.Name, subjects.FeedSubject(userID))
}

// deadLetters returns the letters of one of the actor's durables.
func (f *fixture) deadLetters(t *testing.T, consumer subjects.Consumer) []subjects.DeadLetter {
	t.Helper()
	var letters []subjects.DeadLetter
	for _, data := range f.mesh.Messages(t, subjects.Dead.Name, consumer.DeadSubject()) {
		var letter subjects.DeadLetter
		if err := json.Unmarshal(data, &letter); err != nil {
			t.Fatal(err)
		}
		letters = append(letters, letter)
	}
	return letters
}

// delivery returns the state of one channel of a notification.
func (f *fixture) delivery(t *testing.T, as mesh.As, id, channel string) subjects.ChannelDelivery {
	t.Helper()
	for _, d := range f.get(t, as, id).Channels {
		if d.Channel == channel {
			return d
		}
	}
	t.Fatalf("%s has no channel %s", id, channel)
	return subjects.ChannelDelivery{}
}

// awaitDelivery waits until one channel of a notification has a status, and returns its state.
func (f *fixture) awaitDelivery(t *testing.T, as mesh.As, id, channel, status string) (d subjects.ChannelDelivery) {
	t.Helper()
	actortest.Eventually(t, channel+" is "+status, func() bool {
		d = f.delivery(t, as, id, channel)
		return d.Status == status
	})
	return d
}

// settings replaces a user's settings.
func (f *fixture) settings(t *testing.T, as mesh.As, s subjects.NotificationSettings) {
	t.Helper()
	call(t, f, subjects.UpdateNotificationSettings, as, subjects.UpdateNotificationSettingsRequest{NotificationSettings: s})
}

// jobs returns how many deliveries wait or are under way.
func (f *fixture) jobs(t *testing.T) uint64 {
	t.Helper()
	stream, err := f.mesh.Conn(t, mesh.UserOperator).JS.Stream(t.Context(), subjects.NotificationJobs.Name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// publish publishes to a stream as one of the mesh's users; data that is not a byte slice is encoded as JSON.
func (f *fixture) publish(t *testing.T, user, subject string, data any) {
	t.Helper()
	body, ok := data.([]byte)
	if !ok {
		var err error
		if body, err = json.Marshal(data); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.mesh.Conn(t, user).JS.Publish(t.Context(), subject, body); err != nil {
		t.Fatal(err)
	}
}

func call[Req, Res any](t *testing.T, f *fixture, e subjects.Endpoint[Req, Res], as mesh.As, req Req) Res {
	t.Helper()
	return callOn(t, f.conn, e, as, req)
}

func callOn[Req, Res any](t *testing.T, conn *mesh.Conn, e subjects.Endpoint[Req, Res], as mesh.As, req Req) Res {
	t.Helper()
	res, err := mesh.Call(t.Context(), conn, e, req, as)
	if err != nil {
		t.Fatalf("%s: %v", e.Subject, err)
	}
	return res
}

// wantCode calls an endpoint that must fail with a code, and returns its error.
func wantCode[Req, Res any](
	t *testing.T, conn *mesh.Conn, code subjects.Code, e subjects.Endpoint[Req, Res], as mesh.As, req Req,
) *subjects.Error {
	t.Helper()
	_, err := mesh.Call(t.Context(), conn, e, req, as)
	if subjects.CodeOf(err) != code {
		t.Fatalf("%s: got %v, want %s, for %.300s", e.Subject, err, code, fmt.Sprintf("%+v", req))
	}
	var coded *subjects.Error
	errors.As(err, &coded)
	return coded
}
