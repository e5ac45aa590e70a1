package notification_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func notificationIDs(list []subjects.Notification) []string {
	ids := make([]string, len(list))
	for i, n := range list {
		ids[i] = n.ID
	}
	return ids
}

func TestInboxPages(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		ada := f.user(t, actortest.User())
		var want []string // newest first
		for range 5 {
			want = slices.Insert(want, 0, f.send(t, ada))
		}
		for _, limit := range []int{1, 2, 5, 200} {
			var got []string
			cursor, pages := "", 0
			for pages == 0 || cursor != "" {
				page := call(t, f, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{
					PageRequest: subjects.PageRequest{Limit: limit, Cursor: cursor},
				})
				if len(page.Items) == 0 || len(page.Items) > limit || page.UnreadCount != len(want) {
					t.Fatalf("a page of %d items, %d unread, for a limit of %d", len(page.Items), page.UnreadCount, limit)
				}
				got = append(got, notificationIDs(page.Items)...)
				cursor, pages = page.NextCursor, pages+1
			}
			if wantPages := (len(want) + limit - 1) / limit; !slices.Equal(got, want) || pages != wantPages {
				t.Errorf("limit %d: %v on %d pages, want %v on %d", limit, got, pages, want, wantPages)
			}
		}
	})
}

func TestInboxFilters(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		ada := f.user(t, actortest.User())
		execution := actortest.User()
		send := func(category, key string, channels ...string) string {
			return call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
				Category: category, Subject: "s", DedupeKey: key, Channels: channels,
			}).NotificationID
		}
		read := send("system", "")
		first, second := send("workflow", execution+"/do/1"), send("workflow", execution+"/do/2")
		other := send("workflow", actortest.User()+"/do/1")
		send("system", execution+"/do/3", "email")
		call(t, f, subjects.MarkAsRead, ada, subjects.NotificationRequest{NotificationID: read})
		for name, test := range map[string]struct {
			request subjects.ListNotificationsRequest
			want    []string
		}{
			"all, without mail alone": {subjects.ListNotificationsRequest{}, []string{other, second, first, read}},
			"unread":                  {subjects.ListNotificationsRequest{Unread: true}, []string{other, second, first}},
			"category":                {subjects.ListNotificationsRequest{Category: "system"}, []string{read}},
			"category and unread":     {subjects.ListNotificationsRequest{Category: "system", Unread: true}, []string{}},
			"execution":               {subjects.ListNotificationsRequest{ExecutionID: execution}, []string{second, first}},
			"another execution":       {subjects.ListNotificationsRequest{ExecutionID: actortest.User()}, []string{}},
		} {
			page := call(t, f, subjects.ListNotifications, ada, test.request)
			if page.Items == nil || !slices.Equal(notificationIDs(page.Items), test.want) || page.NextCursor != "" || page.UnreadCount != 3 {
				t.Errorf("%s: %+v, want %v", name, page, test.want)
			}
		}
		if page := f.list(t, f.user(t, actortest.User())); len(page.Items) != 0 || page.UnreadCount != 0 {
			t.Errorf("another user sees %+v", page)
		}
	})
}

func TestPageRequestsAreChecked(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	ada := f.user(t, actortest.User())
	for name, test := range map[string]struct {
		request subjects.ListNotificationsRequest
		field   string
	}{
		"limit above the maximum":      {subjects.ListNotificationsRequest{PageRequest: subjects.PageRequest{Limit: 201}}, "limit"},
		"negative limit":               {subjects.ListNotificationsRequest{PageRequest: subjects.PageRequest{Limit: -1}}, "limit"},
		"cursor that is no Base64":     {subjects.ListNotificationsRequest{PageRequest: subjects.PageRequest{Cursor: "made-up!"}}, "cursor"},
		"cursor with two parts":        {subjects.ListNotificationsRequest{PageRequest: subjects.PageRequest{Cursor: actors.EncodeCursor("a", "b")}}, "cursor"},
		"unknown category":             {subjects.ListNotificationsRequest{Category: "gossip"}, "category"},
		"execution id that is no UUID": {subjects.ListNotificationsRequest{ExecutionID: "%"}, "execution_id"},
	} {
		err := wantCode(t, f.conn, subjects.CodeInvalid, subjects.ListNotifications, ada, test.request)
		if len(err.Fields) != 1 || err.Fields[0].Field != test.field {
			t.Errorf("%s: fields %+v", name, err.Fields)
		}
	}
}

// TestOthersNotificationsAreNotFound: every endpoint that names a notification answers not_found for one of another user, as
// for one that does not exist, and changes nothing.
func TestOthersNotificationsAreNotFound(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		ada, eve := f.user(t, actortest.User()), f.user(t, actortest.User())
		later := time.Now().Add(time.Hour)
		sent := f.send(t, ada)
		scheduled := call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{Category: "system", Subject: "s", SendAt: &later}).NotificationID
		for _, test := range []struct {
			as mesh.As
			id string
		}{{eve, sent}, {eve, scheduled}, {ada, actortest.User()}} {
			request := subjects.NotificationRequest{NotificationID: test.id}
			for _, err := range []*subjects.Error{
				wantCode(t, f.conn, subjects.CodeNotFound, subjects.GetNotification, test.as, request),
				wantCode(t, f.conn, subjects.CodeNotFound, subjects.MarkAsRead, test.as, request),
				wantCode(t, f.conn, subjects.CodeNotFound, subjects.CancelNotification, test.as, request),
			} {
				if err.Detail != "notification not found" {
					t.Errorf("detail %q", err.Detail)
				}
			}
		}
		call(t, f, subjects.MarkAllRead, eve, subjects.Empty{})
		if page := f.list(t, ada); page.UnreadCount != 1 {
			t.Errorf("%d unread, want 1", page.UnreadCount)
		}
		if got := f.get(t, ada, scheduled); got.Status != "scheduled" {
			t.Errorf("the scheduled notification: %+v", got)
		}
		wantCode(t, f.conn, subjects.CodeInvalid, subjects.GetNotification, ada, subjects.NotificationRequest{NotificationID: "no-uuid"})
	})
}

func TestMarkingAsRead(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		ada := f.user(t, actortest.User())
		first := f.send(t, ada)
		f.send(t, ada)
		f.send(t, ada)
		for range 2 {
			count := call(t, f, subjects.MarkAsRead, ada, subjects.NotificationRequest{NotificationID: first})
			if count.UnreadCount != 2 {
				t.Errorf("unread after reading one: %+v", count)
			}
		}
		read := f.get(t, ada, first).ReadAt
		if read == nil {
			t.Fatal("read_at is missing")
		}
		clock.Advance(time.Minute)
		for range 2 {
			if count := call(t, f, subjects.MarkAllRead, ada, subjects.Empty{}); count.UnreadCount != 0 {
				t.Errorf("unread after reading all: %+v", count)
			}
		}
		for _, n := range f.list(t, ada).Items {
			if n.ReadAt == nil || (n.ID == first) != n.ReadAt.Equal(*read) {
				t.Errorf("%s was read at %v, the first at %s", n.ID, n.ReadAt, read)
			}
		}
	})
}

// TestPagesAreCutToSize: a page ends before it exceeds the size of a message, and the cursor goes on there.
func TestPagesAreCutToSize(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	ada := f.user(t, actortest.User())
	// In JSON each < takes six bytes.
	data := map[string]json.RawMessage{"x": json.RawMessage(`"` + strings.Repeat("<", 10_000) + `"`)}
	const count = 12
	for range count {
		call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
			Category: "system", Subject: "large", Body: strings.Repeat("✓", 20_000), Data: data,
		})
	}
	seen, cursor, pages := map[string]bool{}, "", 0
	for pages == 0 || cursor != "" {
		page := call(t, f, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{PageRequest: subjects.PageRequest{Limit: 200, Cursor: cursor}})
		for _, n := range page.Items {
			seen[n.ID] = true
		}
		cursor, pages = page.NextCursor, pages+1
	}
	if len(seen) != count || pages < 2 {
		t.Errorf("saw %d notifications on %d pages, want %d on several", len(seen), pages, count)
	}
}

// TestDatabaseErrorsAreInternal: where the tables cannot be read, every endpoint answers internal, without the database's
// message.
func TestDatabaseErrorsAreInternal(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil, actortest.Quiet())
		ada := f.user(t, actortest.User())
		request := subjects.NotificationRequest{NotificationID: f.send(t, ada)}
		wantInternal := func(err *subjects.Error) {
			t.Helper()
			if err.Detail != "An internal error occurred. The log has it under the trace id." || len(err.Fields) > 0 {
				t.Errorf("an internal error says %q", err.Detail)
			}
		}
		for _, table := range []string{"deliveries", "notifications"} {
			actortest.Exec(t, f.db, `ALTER TABLE `+table+` RENAME TO away_`+table)
			wantInternal(wantCode(t, f.conn, subjects.CodeInternal, subjects.GetNotification, ada, request))
			wantInternal(wantCode(t, f.conn, subjects.CodeInternal, subjects.ListNotifications, ada, subjects.ListNotificationsRequest{}))
			wantInternal(wantCode(t, f.conn, subjects.CodeInternal, subjects.MarkAsRead, ada, request))
			wantInternal(wantCode(t, f.conn, subjects.CodeInternal, subjects.CancelNotification, ada, request))
			wantInternal(wantCode(t, f.conn, subjects.CodeInternal, subjects.SendNotification, ada,
				subjects.SendNotificationRequest{Category: "system", Subject: "s", DedupeKey: "k"}))
		}
		wantInternal(wantCode(t, f.conn, subjects.CodeInternal, subjects.MarkAllRead, ada, subjects.Empty{}))
		wantInternal(wantCode(t, f.conn, subjects.CodeInternal, subjects.StreamNotifications, ada, subjects.Empty{}))
		actortest.Exec(t, f.db, `ALTER TABLE away_deliveries RENAME TO deliveries`)
		actortest.Exec(t, f.db, `ALTER TABLE away_notifications RENAME TO notifications`)
		if page := f.list(t, ada); len(page.Items) != 1 || page.UnreadCount != 1 {
			t.Errorf("failed calls changed the inbox: %+v", page)
		}
	})
}
