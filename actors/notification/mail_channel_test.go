package notification_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const bounceSecret = "0123456789abcdef"

// mailSettings make mail complete: links, return paths, callbacks.
func mailSettings(c *notification.Config) {
	c.PublicURL = "https://weft.example.com"
	c.SMTP.BounceAddress, c.SMTP.BounceSecret = "bounce@example.com", bounceSecret
}

// mail sends a mail of a category and returns the notification's id.
func (f *fixture) mail(t *testing.T, as mesh.As, category string) string {
	t.Helper()
	return call(t, f, subjects.SendNotification, as, subjects.SendNotificationRequest{
		Category: category, Channels: []string{"email"}, Subject: "subject", Body: "body",
	}).NotificationID
}

// token returns the token of the last mail's List-Unsubscribe.
func (f *fixture) token(t *testing.T) string {
	t.Helper()
	mails := f.sink.Mails()
	header := mails[len(mails)-1].Header
	token, ok := strings.CutPrefix(header.Get("List-Unsubscribe"), "<https://weft.example.com/v1/unsubscribe/")
	if !ok || header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
		t.Fatalf("headers %v", header)
	}
	return strings.TrimSuffix(token, ">")
}

func (f *fixture) suppressions(t *testing.T) []subjects.Suppression {
	t.Helper()
	return call(t, f, subjects.ListSuppressions, f.admin(t), subjects.ListSuppressionsRequest{}).Items
}

// TestUnsubscribe: a GET changes nothing, a POST switches one category's mail off, and both may be repeated.
func TestUnsubscribe(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, mailSettings)
		user := actortest.User()
		ada, anyone := f.user(t, user), mesh.As{}
		f.await(t, ada, f.mail(t, ada, "workflow"), "delivered")
		token := f.token(t)
		for range 2 {
			page := call(t, f, subjects.UnsubscribePage, anyone, subjects.UnsubscribePageRequest{Token: token, Query: "utm=1"})
			if text := string(page.Body); page.Status != http.StatusOK || !strings.Contains(text, `<form method="post">`) || !strings.Contains(text, "messages of workflows") || strings.Contains(text, user) {
				t.Errorf("page %d %s", page.Status, text)
			}
		}
		f.await(t, ada, f.mail(t, ada, "workflow"), "delivered")
		if again := f.token(t); again != token {
			t.Error("two mails of a category have different tokens")
		}
		for range 2 {
			page := call(t, f, subjects.Unsubscribe, anyone, subjects.UnsubscribeRequest{Token: token, Body: []byte("List-Unsubscribe=One-Click")})
			if page.Status != http.StatusOK || !strings.Contains(string(page.Body), "You are unsubscribed") || strings.Contains(string(page.Body), "<form") {
				t.Errorf("page %d %s", page.Status, page.Body)
			}
		}
		before := len(f.sink.Mails())
		if d := f.await(t, ada, f.mail(t, ada, "workflow"), "suppressed").Channels[0]; d.Attempts != 0 || d.Reason != "preference_off" || len(f.sink.Mails()) != before {
			t.Errorf("delivery %+v, %d mails", d, len(f.sink.Mails())-before)
		}
		f.await(t, ada, f.mail(t, ada, "system"), "delivered")
		eve := f.user(t, actortest.User())
		f.await(t, eve, f.mail(t, eve, "workflow"), "delivered")
	})
}

// TestUnsubscribeTokens: mail of the category security has no token, and a token that weft has not made is not found.
func TestUnsubscribeTokens(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, mailSettings)
		ada := f.user(t, actortest.User())
		f.await(t, ada, f.mail(t, ada, "security"), "delivered")
		if h := f.sink.Mails()[0].Header; h.Get("List-Unsubscribe") != "" || h.Get("List-Unsubscribe-Post") != "" {
			t.Errorf("headers of security %v", h)
		}
		f.await(t, ada, f.mail(t, ada, "system"), "delivered")
		token := f.token(t)
		data, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		security := append([]byte(strings.Replace(string(data[:len(data)-16]), "system", "security", 1)), data[len(data)-16:]...)
		for _, bad := range []string{"x", token[:len(token)-2], token + "AA", "B" + token[1:], base64.RawURLEncoding.EncodeToString(security)} {
			wantCode(t, f.conn, subjects.CodeNotFound, subjects.Unsubscribe, mesh.As{}, subjects.UnsubscribeRequest{Token: bad})
			if page := call(t, f, subjects.UnsubscribePage, mesh.As{}, subjects.UnsubscribePageRequest{Token: bad}); page.Status != http.StatusOK || strings.Contains(string(page.Body), "<form") {
				t.Errorf("page of %s: %d %s", bad, page.Status, page.Body)
			}
		}
		f.stop(t)
		f.start(t)
		if page := call(t, f, subjects.UnsubscribePage, mesh.As{}, subjects.UnsubscribePageRequest{Token: token}); page.Status != http.StatusOK {
			t.Errorf("after a restart: %d", page.Status)
		}
	})
}

// TestUnsubscribeAfterErasure: nothing is recorded for an account that no longer exists.
func TestUnsubscribeAfterErasure(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, mailSettings)
		user := actortest.User()
		ada := f.user(t, user)
		f.await(t, ada, f.mail(t, ada, "system"), "delivered")
		token := f.token(t)
		call(t, f, subjects.Unsubscribe, mesh.As{}, subjects.UnsubscribeRequest{Token: token})
		f.sink.RefuseRecipients(&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"})
		f.await(t, ada, f.mail(t, ada, "workflow"), "suppressed")
		if answer := f.mesh.Forget(t, "notification", user); answer.Items != 3 {
			t.Errorf("answered %+v, want 2 notifications and a suppression", answer)
		}
		f.setContact(func(string) (subjects.Contact, error) {
			return subjects.Contact{}, subjects.Errorf(subjects.CodeNotFound, "no such account")
		})
		if page := call(t, f, subjects.Unsubscribe, mesh.As{}, subjects.UnsubscribeRequest{Token: token}); page.Status != http.StatusOK {
			t.Errorf("page %d", page.Status)
		}
		f.stop(t)
		if tables := actortest.Dump(t, f.db); strings.Contains(tables, user) {
			t.Error("the tables hold something of the deleted user")
		}
	})
}

// TestSuppression: an address that its server does not know gets no further mail until an admin removes it.
func TestSuppression(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, mailSettings)
		user := actortest.User()
		ada, root := f.user(t, user), f.admin(t)
		f.sink.RefuseRecipients(&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "<" + user + "@example.com> unknown"})
		if d := f.await(t, ada, f.mail(t, ada, "system"), "suppressed").Channels[0]; d.Attempts != 1 || strings.Contains(d.Error, "@") {
			t.Errorf("delivery %+v", d)
		}
		list := f.suppressions(t)
		if len(list) != 1 || list[0].Address != user+"@example.com" || list[0].UserID != user || list[0].Reason != "bounce" || list[0].Provider != "smtp" {
			t.Fatalf("suppressions %+v", list)
		}
		connections := f.sink.Connections()
		for _, category := range []string{"system", "security"} {
			if d := f.await(t, ada, f.mail(t, ada, category), "suppressed").Channels[0]; !strings.Contains(d.Error, "suppression list (bounce)") {
				t.Errorf("delivery %+v", d)
			}
		}
		if f.sink.Connections() != connections {
			t.Error("a suppressed address is sent to")
		}
		wantCode(t, f.conn, subjects.CodeForbidden, subjects.ListSuppressions, ada, subjects.ListSuppressionsRequest{})
		wantCode(t, f.conn, subjects.CodeForbidden, subjects.DeleteSuppression, ada, subjects.SuppressionRequest{ID: list[0].ID})
		call(t, f, subjects.DeleteSuppression, root, subjects.SuppressionRequest{ID: list[0].ID})
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.DeleteSuppression, root, subjects.SuppressionRequest{ID: list[0].ID})
		f.await(t, ada, f.mail(t, ada, "system"), "delivered")
	})
}

// TestManualSuppression: an admin adds addresses, finds them in any case, and lists them by pages.
func TestManualSuppression(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, mailSettings)
		user := actortest.User()
		ada, root := f.user(t, user), f.admin(t)
		for _, bad := range []string{"no address", "Ada <ada@example.com>"} {
			wantCode(t, f.conn, subjects.CodeInvalid, subjects.AddSuppression, root, subjects.AddSuppressionRequest{Address: bad})
		}
		wantCode(t, f.conn, subjects.CodeForbidden, subjects.AddSuppression, ada, subjects.AddSuppressionRequest{Address: "eve@example.com"})
		added := call(t, f, subjects.AddSuppression, root, subjects.AddSuppressionRequest{Address: strings.ToUpper(user) + "@example.com", Detail: "asked by phone"})
		if again := call(t, f, subjects.AddSuppression, root, subjects.AddSuppressionRequest{Address: user + "@example.com"}); again != added || added.Reason != "manual" {
			t.Errorf("added %+v and %+v", added, again)
		}
		f.await(t, ada, f.mail(t, ada, "security"), "suppressed")
		call(t, f, subjects.AddSuppression, root, subjects.AddSuppressionRequest{Address: "eve@example.com"})
		first := call(t, f, subjects.ListSuppressions, root, subjects.ListSuppressionsRequest{PageRequest: subjects.PageRequest{Limit: 1}})
		second := call(t, f, subjects.ListSuppressions, root, subjects.ListSuppressionsRequest{PageRequest: subjects.PageRequest{Limit: 1, Cursor: first.NextCursor}})
		if len(first.Items) != 1 || first.Items[0].Address != "eve@example.com" || len(second.Items) != 1 || second.Items[0] != added || second.NextCursor != "" {
			t.Errorf("pages %+v, %+v", first, second)
		}
		found := call(t, f, subjects.ListSuppressions, root, subjects.ListSuppressionsRequest{Address: "EVE@example.com"})
		if len(found.Items) != 1 || found.Items[0].Address != "eve@example.com" {
			t.Errorf("found %+v", found)
		}
		f.stop(t)
		if tables := actortest.Dump(t, f.db); strings.Contains(strings.ToLower(tables), "eve@example.com") {
			t.Error("an address is stored in clear")
		}
	})
}

// bounce returns a delivery status notification to the envelope sender of a mail.
func bounce(returnPath, recipient, action, status string) []byte {
	return []byte(strings.NewReplacer("TO", returnPath, "RECIPIENT", recipient, "ACTION", action, "STATUS", status).Replace(
		"From: MAILER-DAEMON@mail.example.com\nTo: TO\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n" +
			"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mail.example.com\n\nFinal-Recipient: rfc822; RECIPIENT\n" +
			"Action: ACTION\nStatus: STATUS\nDiagnostic-Code: smtp; 550 STATUS RECIPIENT unknown\n\n--b--\n"))
}

func (f *fixture) callback(t *testing.T, provider string, headers map[string]string, body []byte) error {
	t.Helper()
	if headers == nil {
		headers = map[string]string{}
	}
	_, err := mesh.Call(t.Context(), f.conn, subjects.ProviderCallback, subjects.ProviderCallbackRequest{Provider: provider, Headers: headers, Body: body}, mesh.As{})
	return err
}

func code(err error) subjects.Code {
	if err == nil {
		return ""
	}
	return subjects.CodeOf(err)
}

// TestBounceCallback: a bounced mail fails its delivery and suppresses the address, once; without the secret it does nothing.
func TestBounceCallback(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, mailSettings)
		user := actortest.User()
		ada, authorized := f.user(t, user), map[string]string{"Authorization": "Bearer " + bounceSecret}
		id := f.mail(t, ada, "system")
		f.await(t, ada, id, "delivered")
		path := f.sink.Mails()[0].From
		body := bounce(path, user+"@example.com", "failed", "5.1.1")
		if err := f.callback(t, "smtp", map[string]string{"Authorization": "Bearer wrong"}, body); code(err) != subjects.CodeUnauthenticated {
			t.Errorf("without the secret: %v", err)
		}
		if len(f.suppressions(t)) != 0 || f.get(t, ada, id).Status != "delivered" {
			t.Error("an unverified callback has an effect")
		}
		for range 2 {
			if err := f.callback(t, "smtp", authorized, body); err != nil {
				t.Fatal(err)
			}
		}
		if d := f.get(t, ada, id).Channels[0]; d.Status != "failed" || !strings.Contains(d.Error, "bounced: 5.1.1") || strings.Contains(d.Error, "@") {
			t.Errorf("delivery %+v", d)
		}
		list := f.suppressions(t)
		if len(list) != 1 || list[0].Address != user+"@example.com" || list[0].UserID != user || list[0].Reason != "bounce" {
			t.Errorf("suppressions %+v", list)
		}
		if n := f.host.Metric(t, "notification_mail_bounced_total", "other"); n != 1 {
			t.Errorf("%v bounces counted", n)
		}
		for result, want := range map[string]float64{"accepted": 2, "unverified": 1} {
			if n := f.host.Metric(t, "notification_callbacks_total", "smtp", result); n != want {
				t.Errorf("%v callbacks %s, want %v", n, result, want)
			}
		}
		if err := f.callback(t, "unknown", nil, body); code(err) != subjects.CodeNotFound {
			t.Errorf("an unknown provider: %v", err)
		}
		if err := f.callback(t, "smtp", authorized, []byte("Subject: hello\n\nhello")); err != nil {
			t.Errorf("a mail that is no bounce: %v", err)
		}
	})
}

// TestBounceOfFormerAddress: a bounce that names another address suppresses the user's present one only if the mail went there.
func TestBounceOfFormerAddress(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], mailSettings)
	user := actortest.User()
	ada, authorized := f.user(t, user), map[string]string{"Authorization": "Bearer " + bounceSecret}
	ids := []string{f.mail(t, ada, "system"), f.mail(t, ada, "workflow")}
	for _, id := range ids {
		f.await(t, ada, id, "delivered")
	}
	present := f.contact
	f.setContact(func(id string) (subjects.Contact, error) {
		return subjects.Contact{UserID: id, Email: "new@example.com"}, nil
	})
	if err := f.callback(t, "smtp", authorized, bounce(f.sink.Mails()[0].From, "forwarded@example.net", "failed", "5.1.1")); err != nil {
		t.Fatal(err)
	}
	if list := f.suppressions(t); len(list) != 0 {
		t.Errorf("the present address is suppressed: %+v", list)
	}
	f.setContact(present)
	if err := f.callback(t, "smtp", authorized, bounce(f.sink.Mails()[1].From, "forwarded@example.net", "failed", "5.1.1")); err != nil {
		t.Fatal(err)
	}
	if list := f.suppressions(t); len(list) != 1 || list[0].Address != user+"@example.com" {
		t.Errorf("suppressions %+v", list)
	}
}
