package notification_test

import (
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestSendChecksItsRequest(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	f := setup(t, actortest.Databases(t)[0], nil, actortest.WithClock(clock.Now))
	ada := f.user(t, actortest.User())
	farAhead := clock.Now().Add(367 * 24 * time.Hour)
	data := func(bytes int) map[string]json.RawMessage {
		return map[string]json.RawMessage{"x": json.RawMessage(`"` + strings.Repeat("d", bytes-3) + `"`)}
	}
	for name, test := range map[string]struct {
		request subjects.SendNotificationRequest
		code    subjects.Code
		field   string
	}{
		"neither subject nor body": {subjects.SendNotificationRequest{Category: "system"}, subjects.CodeInvalid, "subject"},
		"no category":              {subjects.SendNotificationRequest{Subject: "s"}, subjects.CodeInvalid, "category"},
		"unknown category":         {subjects.SendNotificationRequest{Subject: "s", Category: "gossip"}, subjects.CodeInvalid, "category"},
		"unknown channel":          {subjects.SendNotificationRequest{Subject: "s", Category: "system", Channels: []string{"pigeon"}}, subjects.CodeInvalid, "channels[0]"},
		"a channel twice":          {subjects.SendNotificationRequest{Subject: "s", Category: "system", Channels: []string{"email", "email"}}, subjects.CodeInvalid, "channels"},
		"locale":                   {subjects.SendNotificationRequest{Subject: "s", Category: "system", Locale: "de_CH"}, subjects.CodeInvalid, "locale"},
		"batch without a key":      {subjects.SendNotificationRequest{Subject: "s", Category: "system", Batch: &subjects.NotificationBatch{Window: 1}}, subjects.CodeInvalid, "batch.key"},
		"batch without a window":   {subjects.SendNotificationRequest{Subject: "s", Category: "system", Batch: &subjects.NotificationBatch{Key: "k"}}, subjects.CodeInvalid, "batch.window"},
		"batch of too many":        {subjects.SendNotificationRequest{Subject: "s", Category: "system", Batch: &subjects.NotificationBatch{Key: "k", Window: 1, MaxItems: 101}}, subjects.CodeInvalid, "batch.max_items"},
		"max_wait below window":    {subjects.SendNotificationRequest{Subject: "s", Category: "system", Batch: &subjects.NotificationBatch{Key: "k", Window: 9, MaxWait: 8}}, subjects.CodeInvalid, "batch.max_wait"},
		"template and subject":     {subjects.SendNotificationRequest{Subject: "s", Category: "system", Template: "auth.mfa_on"}, subjects.CodeInvalid, "template"},
		"unknown template":         {subjects.SendNotificationRequest{Category: "system", Template: "welcome"}, subjects.CodeInvalid, "template"},
		"a partial as template":    {subjects.SendNotificationRequest{Category: "system", Template: "auth.token"}, subjects.CodeInvalid, "template"},
		"missing variable":         {subjects.SendNotificationRequest{Category: "system", Template: "auth.email_changed"}, subjects.CodeInvalid, "data"},
		"subject too long":         {subjects.SendNotificationRequest{Subject: strings.Repeat("s", 201), Category: "system"}, subjects.CodeInvalid, "subject"},
		"body too long":            {subjects.SendNotificationRequest{Body: strings.Repeat("b", 20_001), Category: "system"}, subjects.CodeInvalid, "body"},
		"dedupe key too long":      {subjects.SendNotificationRequest{Subject: "s", Category: "system", DedupeKey: strings.Repeat("k", 201)}, subjects.CodeInvalid, "dedupe_key"},
		"NUL in the dedupe key":    {subjects.SendNotificationRequest{Subject: "s", Category: "system", DedupeKey: "a\x00"}, subjects.CodeInvalid, "dedupe_key"},
		"data too large":           {subjects.SendNotificationRequest{Subject: "s", Category: "system", Data: data(64<<10 + 1)}, subjects.CodeInvalid, "data"},
		"more than a year ahead":   {subjects.SendNotificationRequest{Subject: "s", Category: "system", SendAt: &farAhead}, subjects.CodeInvalid, "send_at"},
		"user id that is no UUID":  {subjects.SendNotificationRequest{Subject: "s", Category: "system", UserID: "ada"}, subjects.CodeInvalid, "user_id"},
	} {
		err := wantCode(t, f.conn, test.code, subjects.SendNotification, ada, test.request)
		if len(err.Fields) == 0 || err.Fields[0].Field != test.field {
			t.Errorf("%s: fields %+v, want %s", name, err.Fields, test.field)
		}
	}
	if page := f.list(t, ada); len(page.Items) != 0 || page.UnreadCount != 0 {
		t.Errorf("refused notifications are listed: %+v", page)
	}
	year := clock.Now().Add(365 * 24 * time.Hour)
	for name, request := range map[string]subjects.SendNotificationRequest{
		"data at the bound": {Subject: "s", Category: "system", Data: data(64 << 10)},
		"subject alone":     {Subject: strings.Repeat("✓", 200), Category: "security"},
		"body alone":        {Body: strings.Repeat("b", 20_000), Category: "consent"},
		"a year ahead":      {Subject: "s", Category: "integration", SendAt: &year},
	} {
		ref := call(t, f, subjects.SendNotification, ada, request)
		got := f.get(t, ada, ref.NotificationID)
		if ref.Status != "accepted" || got.Subject != request.Subject || got.Body != request.Body || got.Category != request.Category || len(got.Data) != len(request.Data) {
			t.Errorf("%s: %+v", name, ref)
		}
	}
}

// TestRecipients: users notify themselves; services and admins name a user, under a grant only the one who gave it.
func TestRecipients(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	ada, eve := actortest.User(), actortest.User()
	asAda, asEve := f.user(t, ada), f.user(t, eve)
	request := subjects.SendNotificationRequest{UserID: ada, Category: "system", Subject: "hello"}
	wantInboxes := func(when string, adas, eves int) {
		t.Helper()
		if a, e := len(f.list(t, asAda).Items), len(f.list(t, asEve).Items); a != adas || e != eves {
			t.Errorf("%s: ada has %d and eve %d notifications, want %d and %d", when, a, e, adas, eves)
		}
	}
	wantCode(t, f.conn, subjects.CodeForbidden, subjects.SendNotification, asEve, request)
	wantInboxes("after eve's for ada", 0, 0)
	call(t, f, subjects.SendNotification, asEve, subjects.SendNotificationRequest{UserID: eve, Category: "system", Subject: "hello"})
	wantInboxes("after eve's for eve", 0, 1)
	admin := mesh.As{Token: f.mesh.Token(t, eve, actortest.WithRoles(subjects.RoleAdmin))}
	call(t, f, subjects.SendNotification, admin, request)
	wantInboxes("after an admin's for ada", 1, 1)
	auth := f.mesh.Conn(t, "auth")
	callOn(t, auth, subjects.SendNotification, mesh.As{Service: true}, request)
	wantInboxes("after auth's for ada", 2, 1)
	callOn(t, auth, subjects.SendNotification, mesh.As{Service: true, UserID: eve}, subjects.SendNotificationRequest{Category: "system", Subject: "s"})
	wantInboxes("after auth's on eve's behalf", 2, 2)
	err := wantCode(t, auth, subjects.CodeInvalid, subjects.SendNotification, mesh.As{Service: true}, subjects.SendNotificationRequest{Category: "system", Subject: "s"})
	if len(err.Fields) != 1 || err.Fields[0].Field != "user_id" {
		t.Errorf("without a recipient: %+v", err)
	}
	workflow := f.mesh.Conn(t, "workflow")
	wantCode(t, workflow, subjects.CodeForbidden, subjects.SendNotification, mesh.As{Service: true, UserID: ada}, request)
	grant := f.mesh.Consent(t, eve, subjects.ScopeWorkflowsExecute)[subjects.ScopeWorkflowsExecute]
	wantCode(t, workflow, subjects.CodeForbidden, subjects.SendNotification, mesh.As{Service: true, UserID: eve, Grant: grant}, request)
	request.UserID = eve
	callOn(t, workflow, subjects.SendNotification, mesh.As{Service: true, UserID: eve, Grant: grant}, request)
	wantInboxes("after the workflow's under eve's grant", 2, 3)
	f.mesh.Revoke(t, eve, subjects.ScopeWorkflowsExecute)
	wantCode(t, workflow, subjects.CodeConsentRequired, subjects.SendNotification, mesh.As{Service: true, UserID: eve, Grant: grant}, request)
	wantCode(t, f.conn, subjects.CodeUnauthenticated, subjects.SendNotification, mesh.As{}, request)
	wantInboxes("after refusals", 2, 3)
}

// TestAPIKeyScopes: a key needs the scope notifications.send, and may not read the inbox with it.
func TestAPIKeyScopes(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	user := actortest.User()
	key := func(scopes string) mesh.As {
		return mesh.As{Token: f.mesh.Token(t, user, actortest.WithAPIKey(actortest.User(), scopes))}
	}
	request := subjects.SendNotificationRequest{Category: "system", Subject: "s"}
	err := wantCode(t, f.conn, subjects.CodeForbidden, subjects.SendNotification, key(subjects.ScopeWorkflowsExecute), request)
	if err.Scope != subjects.ScopeNotificationsSend {
		t.Errorf("missing scope %q", err.Scope)
	}
	sender := key(subjects.ScopeWorkflowsExecute + " " + subjects.ScopeNotificationsSend)
	call(t, f, subjects.SendNotification, sender, request)
	wantCode(t, f.conn, subjects.CodeForbidden, subjects.ListNotifications, sender, subjects.ListNotificationsRequest{})
	if n := len(f.list(t, f.user(t, user)).Items); n != 1 {
		t.Errorf("%d notifications, want the key's", n)
	}
}

// TestMarketingNeedsConsent: the recipient's consent counts, not the sender's.
func TestMarketingNeedsConsent(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	ada, admin := actortest.User(), actortest.User()
	asAda := f.user(t, ada)
	asAdmin := mesh.As{Token: f.mesh.Token(t, admin, actortest.WithRoles(subjects.RoleAdmin))}
	request := subjects.SendNotificationRequest{UserID: ada, Category: "marketing", Subject: "buy"}
	err := wantCode(t, f.conn, subjects.CodeConsentRequired, subjects.SendNotification, asAda, request)
	if err.Scope != subjects.ScopeNotificationsMarketing {
		t.Errorf("missing scope %q", err.Scope)
	}
	f.mesh.Consent(t, admin, subjects.ScopeNotificationsMarketing)
	wantCode(t, f.conn, subjects.CodeConsentRequired, subjects.SendNotification, asAdmin, request)
	f.mesh.Consent(t, ada, subjects.ScopeNotificationsMarketing)
	call(t, f, subjects.SendNotification, asAdmin, request)
	f.mesh.Revoke(t, ada, subjects.ScopeNotificationsMarketing)
	wantCode(t, f.conn, subjects.CodeConsentRequired, subjects.SendNotification, asAdmin, request)
	if n := len(f.list(t, asAda).Items); n != 1 {
		t.Errorf("%d marketing notifications, want 1", n)
	}
}

// TestDedupeKey: of concurrent notifications with one key one is accepted, and all return its id; keys of different users
// do not meet.
func TestDedupeKey(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		ada, eve := f.user(t, actortest.User()), f.user(t, actortest.User())
		request := subjects.SendNotificationRequest{Category: "system", Subject: "once", DedupeKey: "k", Channels: []string{"in_app", "email"}}
		var accepted atomic.Int64
		ids := sync.Map{}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				ref, err := mesh.Call(t.Context(), f.conn, subjects.SendNotification, request, ada)
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
		different, first := 0, ""
		ids.Range(func(id, _ any) bool { different++; first = id.(string); return true })
		if accepted.Load() != 1 || different != 1 {
			t.Errorf("%d accepted, %d ids, want one of each", accepted.Load(), different)
		}
		other := request
		other.Subject, other.Channels = "another", nil
		if ref := call(t, f, subjects.SendNotification, ada, other); ref.Status != "duplicate" || ref.NotificationID != first {
			t.Errorf("another notification with the key: %+v", ref)
		}
		if ref := call(t, f, subjects.SendNotification, eve, request); ref.Status != "accepted" || ref.NotificationID == first {
			t.Errorf("another user's key: %+v", ref)
		}
		f.await(t, ada, first, "delivered")
		actortest.Eventually(t, "each user has one mail", func() bool { return len(f.sink.Mails()) == 2 })
		if n := f.host.Metric(t, "notification_accepted_total", "system"); n != 2 {
			t.Errorf("%v notifications counted, want 2", n)
		}
		for range 2 {
			f.send(t, ada) // without a key
		}
		if n := len(f.list(t, ada).Items); n != 3 {
			t.Errorf("%d notifications, want 3", n)
		}
	})
}

func TestIdempotencyKeys(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		user := actortest.User()
		ada := f.user(t, user)
		request := subjects.SendNotificationRequest{Category: "system", Subject: "once", Channels: []string{"in_app", "email"}}
		first, replayed, err := actortest.CallKeyed(t.Context(), f.conn, subjects.SendNotification, request, ada.Token, "key")
		if err != nil || replayed || first.Status != "accepted" {
			t.Fatalf("first call: %+v, replayed %t, %v", first, replayed, err)
		}
		again, replayed, err := actortest.CallKeyed(t.Context(), f.conn, subjects.SendNotification, request, ada.Token, "key")
		if err != nil || !replayed || again != first {
			t.Errorf("second call: %+v, replayed %t, %v", again, replayed, err)
		}
		request.Body = "another"
		if _, _, err := actortest.CallKeyed(t.Context(), f.conn, subjects.SendNotification, request, ada.Token, "key"); subjects.CodeOf(err) != subjects.CodeIdempotencyMismatch {
			t.Errorf("another request under the key: %v", err)
		}
		f.await(t, ada, first.NotificationID, "delivered")
		if page := f.list(t, ada); len(page.Items) != 1 || len(f.sink.Mails()) != 1 {
			t.Errorf("%d notifications and %d mails, want one of each", len(page.Items), len(f.sink.Mails()))
		}
		// An endpoint's refusal is replayed too.
		missing := subjects.NotificationRequest{NotificationID: actortest.User()}
		for n := range 2 {
			_, replayed, err := actortest.CallKeyed(t.Context(), f.conn, subjects.CancelNotification, missing, ada.Token, "key")
			if subjects.CodeOf(err) != subjects.CodeNotFound || replayed != (n == 1) {
				t.Errorf("cancelling %d: replayed %t, %v", n, replayed, err)
			}
		}
	})
}
