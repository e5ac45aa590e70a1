package notification_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/actortest/mailsink"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// bundle is a mesh with the notification actor, a mail server, and somebody who knows addresses.
type bundle struct {
	mesh  *actortest.Mesh
	sink  *mailsink.Sink
	host  *actortest.Hosted
	db    database.Config
	start func(t *testing.T) *actortest.Hosted
}

func setup(t *testing.T, database actortest.Database, configure func(*notification.Config), options ...actortest.Option) *bundle {
	t.Helper()
	b := &bundle{mesh: actortest.Start(t, options...), sink: mailsink.Start(t)}
	config := notification.DefaultConfig()
	config.Tick = 10 * time.Millisecond
	config.SMTP.Host, config.SMTP.Port, config.SMTP.TLS = b.sink.Host, b.sink.Port, "none"
	config.SMTP.From = "weft <weft@example.com>"
	if configure != nil {
		configure(&config)
	}
	b.addresses(t)
	b.db = database.Config(t, "notification")
	db, keyset := b.db, filepath.Join(t.TempDir(), "keyset")
	b.start = func(t *testing.T) *actortest.Hosted {
		t.Helper()
		return b.mesh.Host(t, "notification", db, notification.Migrations, func(d actors.Deps) (actors.Service, error) {
			a, err := notification.New(d, config)
			if err != nil {
				return actors.Service{}, err
			}
			return a.Service(), nil
		}, func(c *runtime.HostConfig) { c.KeysetFile = keyset })
	}
	b.host = b.start(t)
	return b
}

// addresses serves get_contact as auth does.
func (b *bundle) addresses(t *testing.T) {
	t.Helper()
	b.mesh.Host(t, "auth", database.Config{Actor: "auth", DataDir: t.TempDir()}, nil, func(actors.Deps) (actors.Service, error) {
		return actors.Service{Name: "auth", Bindings: []actors.Binding{
			actors.Bind(subjects.GetContact, func(ctx context.Context, _ subjects.Empty) (subjects.Contact, error) {
				id := actors.CallerFrom(ctx).UserID
				return subjects.Contact{UserID: id, Email: id + "@example.com"}, nil
			}),
		}}, nil
	})
}

func call[Req, Res any](t *testing.T, conn *mesh.Conn, e subjects.Endpoint[Req, Res], as mesh.As, req Req) Res {
	t.Helper()
	res, err := mesh.Call(t.Context(), conn, e, req, as)
	if err != nil {
		t.Fatalf("%s: %v", e.Subject, err)
	}
	return res
}

func wantCode[Req, Res any](t *testing.T, conn *mesh.Conn, code subjects.Code, e subjects.Endpoint[Req, Res], as mesh.As, req Req) {
	t.Helper()
	if _, err := mesh.Call(t.Context(), conn, e, req, as); subjects.CodeOf(err) != code {
		t.Fatalf("%s: got %v, want %s", e.Subject, err, code)
	}
}

func TestNotificationReachesInboxAndMailbox(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, nil)
		user := actortest.User()
		conn, ada := b.mesh.Conn(t, "gateway"), mesh.As{Token: b.mesh.Token(t, user)}
		eve := mesh.As{Token: b.mesh.Token(t, actortest.User())}
		ref := call(t, conn, subjects.SendNotification, ada, subjects.SendNotificationRequest{
			Category: "workflow", Channels: []string{"in_app", "email"}, Subject: "Done\r\nBcc: eve@example.com", Body: "Your order is on its way. ✓",
			Data: map[string]json.RawMessage{"order": json.RawMessage(`{"id":7}`)},
		})
		page := call(t, conn, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{})
		if len(page.Items) != 1 || page.UnreadCount != 1 || page.Items[0].ID != ref.NotificationID || string(page.Items[0].Data["order"]) != `{"id":7}` {
			t.Fatalf("the inbox: %+v", page)
		}
		actortest.Eventually(t, "both channels have delivered", func() bool {
			return call(t, conn, subjects.GetNotification, ada, subjects.NotificationRequest{NotificationID: ref.NotificationID}).Status == "delivered"
		})
		mails := b.sink.Mails()
		if len(mails) != 1 || mails[0].To[0] != user+"@example.com" || mails[0].Header.Get("Bcc") != "" ||
			mails[0].Header.Get("Message-Id") != "<"+ref.NotificationID+".email@example.com>" {
			t.Fatalf("the mails: %+v", mails)
		}
		wantCode(t, conn, subjects.CodeNotFound, subjects.GetNotification, eve, subjects.NotificationRequest{NotificationID: ref.NotificationID})
		wantCode(t, conn, subjects.CodeNotFound, subjects.MarkAsRead, eve, subjects.NotificationRequest{NotificationID: ref.NotificationID})
		for range 2 {
			if count := call(t, conn, subjects.MarkAsRead, ada, subjects.NotificationRequest{NotificationID: ref.NotificationID}); count.UnreadCount != 0 {
				t.Errorf("unread after reading: %+v", count)
			}
		}
		if page := call(t, conn, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{Unread: true}); len(page.Items) != 0 {
			t.Errorf("unread: %+v", page.Items)
		}
	})
}

func TestADedupeKeyStandsForOne(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, nil)
		conn, ada := b.mesh.Conn(t, "gateway"), mesh.As{Token: b.mesh.Token(t, actortest.User())}
		eve := mesh.As{Token: b.mesh.Token(t, actortest.User())}
		var accepted atomic.Int64
		ids := sync.Map{}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				ref, err := mesh.Call(t.Context(), conn, subjects.SendNotification, subjects.SendNotificationRequest{
					Category: "system", Subject: "once", DedupeKey: "k",
				}, ada)
				if err != nil {
					t.Error(err)
					return
				}
				ids.Store(ref.NotificationID, true)
				if ref.Status == "accepted" {
					accepted.Add(1)
				}
			})
		}
		wg.Wait()
		different := 0
		ids.Range(func(any, any) bool { different++; return true })
		if accepted.Load() != 1 || different != 1 {
			t.Errorf("%d accepted, %d ids, want one of each", accepted.Load(), different)
		}
		other := call(t, conn, subjects.SendNotification, eve, subjects.SendNotificationRequest{Category: "system", Subject: "hers", DedupeKey: "k"})
		if other.Status != "accepted" {
			t.Errorf("another user's key: %+v", other)
		}
	})
}

func TestMailIsTriedAgainAndGivenUp(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, nil)
		conn, ada := b.mesh.Conn(t, "gateway"), mesh.As{Token: b.mesh.Token(t, actortest.User())}
		b.sink.Refuse(&smtp.SMTPError{Code: 451, Message: "later"}, &smtp.SMTPError{Code: 550, Message: "never"})
		mail := subjects.SendNotificationRequest{Category: "system", Channels: []string{"email"}, Subject: "s"}
		ref := call(t, conn, subjects.SendNotification, ada, mail)
		var last subjects.Notification
		actortest.Eventually(t, "the mail is given up at the second answer", func() bool {
			last = call(t, conn, subjects.GetNotification, ada, subjects.NotificationRequest{NotificationID: ref.NotificationID})
			return last.Status == "failed"
		})
		if d := last.Channels[0]; d.Attempts != 2 || !strings.Contains(d.Error, "550") {
			t.Errorf("the delivery: %+v", d)
		}
		if inbox := call(t, conn, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{}); len(inbox.Items) != 0 {
			t.Errorf("a mail alone is in the inbox: %+v", inbox.Items)
		}
	})
}

func TestWithoutAMailServerTheReasonIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], func(c *notification.Config) { c.SMTP.Host = "" })
	conn, ada := b.mesh.Conn(t, "gateway"), mesh.As{Token: b.mesh.Token(t, actortest.User())}
	ref := call(t, conn, subjects.SendNotification, ada, subjects.SendNotificationRequest{Category: "system", Channels: []string{"in_app", "email"}, Subject: "s"})
	actortest.Eventually(t, "the channel has failed with the reason", func() bool {
		n := call(t, conn, subjects.GetNotification, ada, subjects.NotificationRequest{NotificationID: ref.NotificationID})
		return n.Status == "failed" && strings.Contains(n.Channels[0].Error, "notification.smtp.host")
	})
}

func TestWhatIsScheduledWaitsAndCanBeCancelled(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var ahead atomic.Int64
		b := setup(t, database, nil, actortest.WithClock(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }))
		conn, ada := b.mesh.Conn(t, "gateway"), mesh.As{Token: b.mesh.Token(t, actortest.User())}
		later := time.Now().Add(5 * time.Minute)
		waiting := subjects.SendNotificationRequest{Category: "system", Subject: "later", SendAt: &later}
		keep, drop := call(t, conn, subjects.SendNotification, ada, waiting), call(t, conn, subjects.SendNotification, ada, waiting)
		if got := call(t, conn, subjects.CancelNotification, ada, subjects.NotificationRequest{NotificationID: drop.NotificationID}); got.Status != "cancelled" {
			t.Errorf("cancelled: %+v", got)
		}
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		b.host = b.start(t)
		if page := call(t, conn, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{}); len(page.Items) != 0 || page.UnreadCount != 0 {
			t.Errorf("before its time: %+v", page)
		}
		ahead.Store(int64(6 * time.Minute))
		actortest.Eventually(t, "it is delivered after its time", func() bool {
			page := call(t, conn, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{})
			return len(page.Items) == 1 && page.Items[0].ID == keep.NotificationID
		})
		wantCode(t, conn, subjects.CodeConflict, subjects.CancelNotification, ada, subjects.NotificationRequest{NotificationID: keep.NotificationID})
		if got := call(t, conn, subjects.GetNotification, ada, subjects.NotificationRequest{NotificationID: drop.NotificationID}); got.Status != "cancelled" {
			t.Errorf("the cancelled one: %+v", got)
		}
	})
}

func TestTheFeedTellsOfEachChange(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, nil)
		conn, ada := b.mesh.Conn(t, "gateway"), mesh.As{Token: b.mesh.Token(t, actortest.User())}
		pointer := call(t, conn, subjects.StreamNotifications, ada, subjects.Empty{})
		if len(pointer.Initial) != 1 || pointer.Initial[0].Event != "unread_count" {
			t.Errorf("initial: %+v", pointer.Initial)
		}
		call(t, conn, subjects.SendNotification, ada, subjects.SendNotificationRequest{Category: "system", Subject: "s"})
		call(t, conn, subjects.MarkAllRead, ada, subjects.Empty{})
		consumer, err := conn.JS.OrderedConsumer(t.Context(), pointer.Stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{pointer.Filter}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for len(got) < 3 {
			m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
			if err != nil {
				t.Fatalf("after %v: %v", got, err)
			}
			got = append(got, m.Headers().Get(subjects.HeaderEvent)+" "+string(m.Data()[:min(18, len(m.Data()))]))
		}
		want := []string{`notification {"id":`, `unread_count {"unread_count":1}`, `unread_count {"unread_count":0}`}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i][:len("unread_count {")-2]) || (i > 0 && got[i] != want[i]) {
				t.Errorf("event %d is %q, want %q", i, got[i], want[i])
			}
		}
	})
}

func TestWhoMaySendToWhom(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], nil)
	conn := b.mesh.Conn(t, "gateway")
	ada, eve := actortest.User(), actortest.User()
	asAda, asEve := mesh.As{Token: b.mesh.Token(t, ada)}, mesh.As{Token: b.mesh.Token(t, eve)}
	hello := subjects.SendNotificationRequest{UserID: ada, Category: "system", Subject: "hello"}
	inbox := func(as mesh.As) int {
		return len(call(t, conn, subjects.ListNotifications, as, subjects.ListNotificationsRequest{}).Items)
	}
	call(t, conn, subjects.SendNotification, asEve, hello)
	if inbox(asAda) != 0 || inbox(asEve) != 1 {
		t.Error("eve's notification for ada went to ada")
	}
	admin := mesh.As{Token: b.mesh.Token(t, eve, actortest.WithRoles(subjects.RoleAdmin))}
	call(t, conn, subjects.SendNotification, admin, hello)
	call(t, b.mesh.Conn(t, "auth"), subjects.SendNotification, mesh.As{Service: true}, hello)
	if inbox(asAda) != 2 {
		t.Errorf("ada has %d notifications, want the admin's and auth's", inbox(asAda))
	}
	workflow := b.mesh.Conn(t, "workflow")
	wantCode(t, workflow, subjects.CodeForbidden, subjects.SendNotification, mesh.As{Service: true, UserID: ada}, hello)
	grant := b.mesh.Consent(t, eve, subjects.ScopeWorkflowsExecute)[subjects.ScopeWorkflowsExecute]
	call(t, workflow, subjects.SendNotification, mesh.As{Service: true, UserID: eve, Grant: grant}, hello)
	if inbox(asAda) != 2 || inbox(asEve) != 2 {
		t.Error("under eve's grant the workflow reached ada")
	}
	wantCode(t, conn, subjects.CodeConsentRequired, subjects.SendNotification, asEve,
		subjects.SendNotificationRequest{Category: "marketing", Subject: "buy"})
	wantCode(t, conn, subjects.CodeUnsupported, subjects.SendNotification, asEve,
		subjects.SendNotificationRequest{Category: "system", Subject: "s", Channels: []string{"sms"}})
	wantCode(t, conn, subjects.CodeInvalid, subjects.SendNotification, asEve, subjects.SendNotificationRequest{Category: "system"})
}

func TestANewSignInIsAskedForOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, nil)
		user := actortest.User()
		ada := mesh.As{Token: b.mesh.Token(t, user)}
		event, err := json.Marshal(subjects.IntegrationNeedsReauth.New(actortest.User(), user, time.Now(), subjects.ConnectionChange{
			IntegrationID: actortest.User(), Provider: "slack", Label: "work", Reason: "token revoked",
		}))
		if err != nil {
			t.Fatal(err)
		}
		integration := b.mesh.Conn(t, "integration")
		for range 3 {
			if _, err := integration.JS.Publish(t.Context(), subjects.IntegrationNeedsReauth.Subject, event); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := integration.JS.Publish(t.Context(), subjects.IntegrationNeedsReauth.Subject, []byte("no event")); err != nil {
			t.Fatal(err)
		}
		operator := b.mesh.Conn(t, "operator")
		actortest.Eventually(t, "what is no event is in the dead-letter stream, so all before it is worked off", func() bool {
			s, err := operator.JS.Stream(t.Context(), subjects.Dead.Name)
			if err != nil {
				t.Fatal(err)
			}
			info, err := s.Info(t.Context())
			return err == nil && info.State.Msgs == 1
		})
		actortest.Eventually(t, "it is in the inbox", func() bool {
			page := call(t, b.mesh.Conn(t, "gateway"), subjects.ListNotifications, ada, subjects.ListNotificationsRequest{})
			return len(page.Items) == 1 && strings.Contains(page.Items[0].Body, "token revoked")
		})
	})
}

func TestARefusedRunIsToldOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, nil)
		user := actortest.User()
		ada := mesh.As{Token: b.mesh.Token(t, user)}
		workflow := b.mesh.Conn(t, "workflow")
		for _, id := range []string{"first", "first", "second"} {
			event, err := json.Marshal(subjects.RunRefused.New(id, user, time.Now(), subjects.RunRefusal{
				WorkflowID: actortest.User(), Name: "report", Trigger: "schedule", Code: subjects.CodeConsentRequired, Reason: "no consent: " + id,
			}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := workflow.JS.Publish(t.Context(), subjects.RunRefused.Subject, event); err != nil {
				t.Fatal(err)
			}
		}
		var page subjects.NotificationPage
		actortest.Eventually(t, "both are in the inbox", func() bool {
			page = call(t, b.mesh.Conn(t, "gateway"), subjects.ListNotifications, ada, subjects.ListNotificationsRequest{Category: "workflow"})
			return len(page.Items) == 2 && strings.Contains(page.Items[0].Body+page.Items[1].Body, "no consent: second")
		})
		if page.Items[0].Subject != "Your workflow report could not be started" {
			t.Errorf("told: %+v", page.Items[0])
		}
	})
}

// TestLargeNotificationsLockNobodyOut: a page is cut where a message would end, and what never fits is
// refused by name.
func TestLargeNotificationsLockNobodyOut(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], nil)
	conn, ada := b.mesh.Conn(t, "gateway"), mesh.As{Token: b.mesh.Token(t, actortest.User())}
	large := func(bytes int) subjects.SendNotificationRequest {
		data := json.RawMessage(`"` + strings.Repeat("<", bytes) + `"`)
		return subjects.SendNotificationRequest{Category: "system", Subject: "large", Body: strings.Repeat("✓", 20_000), Data: map[string]json.RawMessage{"x": data}}
	}
	// In JSON each < takes six bytes.
	wantCode(t, conn, subjects.CodeInvalid, subjects.SendNotification, ada, large(12_000))
	const count = 12
	for range count {
		call(t, conn, subjects.SendNotification, ada, large(10_000))
	}
	seen, cursor, pages := map[string]bool{}, "", 0
	for {
		page := call(t, conn, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{PageRequest: subjects.PageRequest{Limit: 200, Cursor: cursor}})
		for _, n := range page.Items {
			seen[n.ID] = true
		}
		pages++
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if len(seen) != count || pages < 2 {
		t.Errorf("saw %d notifications on %d pages, want %d on several", len(seen), pages, count)
	}
}

func TestWhatAnExecutionSentIsFound(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database, nil)
		conn, ada := b.mesh.Conn(t, "gateway"), mesh.As{Token: b.mesh.Token(t, actortest.User())}
		execution := actortest.User()
		for _, key := range []string{execution + "/do/1", execution + "/do/2", actortest.User() + "/do/1", ""} {
			call(t, conn, subjects.SendNotification, ada, subjects.SendNotificationRequest{Category: "workflow", Subject: "s", DedupeKey: key})
		}
		page := call(t, conn, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{ExecutionID: execution})
		if len(page.Items) != 2 {
			t.Errorf("found %d, want 2", len(page.Items))
		}
	})
}
