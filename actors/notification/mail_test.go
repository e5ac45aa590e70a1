package notification_test

import (
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-smtp"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/subjects"
)

func TestDeliveryByBothChannels(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		user := actortest.User()
		ada := f.user(t, user)
		id := f.send(t, ada, "in_app", "email")
		if page := f.list(t, ada); len(page.Items) != 1 || page.UnreadCount != 1 || page.Items[0].ID != id {
			t.Fatalf("the inbox: %+v", page)
		}
		n := f.await(t, ada, id, "delivered")
		if len(n.Channels) != 2 || n.Channels[0].Channel != "email" || n.Channels[1].Channel != "in_app" {
			t.Fatalf("channels: %+v", n.Channels)
		}
		for _, d := range n.Channels {
			if d.Status != "delivered" || d.Attempts != 1 || d.Error != "" || d.UpdatedAt.Before(n.CreatedAt) {
				t.Errorf("delivery: %+v", d)
			}
		}
		if mails := f.sink.Mails(); len(mails) != 1 || len(mails[0].To) != 1 || mails[0].To[0] != user+"@example.com" || mails[0].From != "weft@example.com" {
			t.Errorf("mails: %+v", mails)
		}
		for channel, want := range map[string]float64{"email": 1, "in_app": 1} {
			if got := f.host.Metric(t, "notification_deliveries_total", channel, "delivered"); got != want {
				t.Errorf("%v deliveries by %s counted, want %v", got, channel, want)
			}
		}
	})
}

// TestChannelsAreSeparate: in-app alone sends no mail; mail alone is neither in the inbox nor in the feed.
func TestChannelsAreSeparate(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		user := actortest.User()
		ada := f.user(t, user)
		mailed := f.send(t, ada, "email")
		f.await(t, ada, mailed, "delivered")
		if page := f.list(t, ada); len(page.Items) != 0 || page.UnreadCount != 0 || len(f.feed(t, user)) != 0 {
			t.Errorf("a mail alone: inbox %+v, feed of %d", page, len(f.feed(t, user)))
		}
		inApp := f.send(t, ada, "in_app")
		if got := f.get(t, ada, inApp); got.Status != "delivered" {
			t.Errorf("in-app: %+v", got)
		}
		if f.jobs(t) != 0 || len(f.sink.Mails()) != 1 {
			t.Errorf("in-app alone left %d jobs and %d mails", f.jobs(t), len(f.sink.Mails()))
		}
	})
}

func TestMailHeaders(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) { c.SMTP.From = `"Weft, the mesh" <weft@example.com>` }, actortest.WithClock(clock.Now))
	user := actortest.User()
	ada := f.user(t, user)
	before := time.Now().Add(-2 * time.Second)
	ref := call(t, f, subjects.SendNotification, ada, subjects.SendNotificationRequest{
		Category: "workflow", Channels: []string{"email"}, Subject: "Grüße ✓\r\nBcc: eve@example.com\r\n\r\nhidden", Body: "Your order\nis on its way. ✓\n.\nEnd",
	})
	f.await(t, ada, ref.NotificationID, "delivered")
	mails := f.sink.Mails()
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	m := mails[0]
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "Grüße ✓ Bcc: eve@example.com hidden" {
		t.Errorf("subject %q, %v", subject, err)
	}
	from, err := mail.ParseAddress(m.Header.Get("From"))
	if err != nil || from.Name != "Weft, the mesh" || from.Address != "weft@example.com" {
		t.Errorf("from %v, %v", from, err)
	}
	if to, err := m.Header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != user+"@example.com" {
		t.Errorf("to %v, %v", to, err)
	}
	if date, err := m.Header.Date(); err != nil || date.Before(before) || date.After(time.Now().Add(2*time.Second)) {
		t.Errorf("date %v, %v", date, err)
	}
	if id := m.Header.Get("Message-Id"); id != "<"+ref.NotificationID+".email@example.com>" {
		t.Errorf("message id %q", id)
	}
	for _, name := range []string{"Bcc", "Cc", "Reply-To"} {
		if value := m.Header.Get(name); value != "" {
			t.Errorf("%s: %s", name, value)
		}
	}
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "text/plain" || !strings.EqualFold(parameters["charset"], "utf-8") || m.Header.Get("Mime-Version") != "1.0" {
		t.Errorf("content type %q %v, %v", kind, parameters, err)
	}
	if encoding := m.Header.Get("Content-Transfer-Encoding"); encoding != "quoted-printable" {
		t.Fatalf("encoding %q", encoding)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(m.Body)))
	if text := strings.TrimRight(strings.ReplaceAll(string(body), "\r\n", "\n"), "\n"); err != nil || text != "Your order\nis on its way. ✓\n.\nEnd" {
		t.Errorf("body %q, %v", text, err)
	}
}

// TestMailReplies: a 4xx reply is retried and a 5xx reply fails the delivery, at RCPT as after DATA.
func TestMailReplies(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		for name, test := range map[string]struct {
			replies, recipientReplies []error
			status                    string
			attempts, mails           int
			reason                    string
		}{
			"451 after data, then accepted": {[]error{&smtp.SMTPError{Code: 451, Message: "later"}}, nil, "delivered", 2, 1, ""},
			"550 after data":                {[]error{&smtp.SMTPError{Code: 550, Message: "never"}}, nil, "failed", 1, 0, "never (550 5.0.0)"},
			"552 after data, with status":   {[]error{&smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 3, 4}, Message: "too big"}}, nil, "failed", 1, 0, "too big (552 5.3.4)"},
			"451, then 550":                 {[]error{&smtp.SMTPError{Code: 451, Message: "later"}, &smtp.SMTPError{Code: 550, Message: "never"}}, nil, "failed", 2, 0, "(550 5.0.0)"},
			"450 for the recipient":         {nil, []error{&smtp.SMTPError{Code: 450, Message: "greylisted"}}, "delivered", 2, 1, ""},
			"550 for the recipient":         {nil, []error{&smtp.SMTPError{Code: 550, Message: "no such mailbox"}}, "failed", 1, 0, "no such mailbox"},
		} {
			t.Run(name, func(t *testing.T) {
				ada := f.user(t, actortest.User())
				f.sink.Refuse(test.replies...)
				f.sink.RefuseRecipients(test.recipientReplies...)
				before := len(f.sink.Mails())
				id := f.send(t, ada, "email")
				d := f.await(t, ada, id, test.status).Channels[0]
				if d.Status != test.status || d.Attempts != test.attempts || !strings.Contains(d.Error, test.reason) || (test.reason == "") != (d.Error == "") {
					t.Errorf("delivery: %+v", d)
				}
				mails := f.sink.Mails()[before:]
				if len(mails) != test.mails {
					t.Fatalf("%d mails, want %d", len(mails), test.mails)
				}
				if len(mails) > 0 && mails[0].Header.Get("Message-Id") != "<"+id+".email@example.com>" {
					t.Errorf("message id %q", mails[0].Header.Get("Message-Id"))
				}
			})
		}
		if letters := f.deadLetters(t, subjects.Deliver.Consumer()); len(letters) != 0 {
			t.Errorf("dead letters: %+v", letters)
		}
		for result, want := range map[string]float64{"delivered": 2, "failed": 4, "retried": 3} {
			if n := f.host.Metric(t, "notification_deliveries_total", "email", result); n != want {
				t.Errorf("%v attempts %s counted, want %v", n, result, want)
			}
		}
	})
}

// TestLastAttemptFails: the delivery fails at the job's last attempt although the reply was transient.
func TestLastAttemptFails(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, nil, actortest.WithClock(clock.Now))
		user := actortest.User()
		later := clock.Now().Add(time.Hour)
		id := call(t, f, subjects.SendNotification, f.user(t, user), subjects.SendNotificationRequest{
			Category: "system", Subject: "s", Channels: []string{"email"}, SendAt: &later,
		}).NotificationID
		f.stop(t)
		actortest.Exec(t, f.db, `UPDATE deliveries SET attempts = ?`, subjects.Deliver.Consumer().MaxDeliver-1)
		f.sink.Refuse(&smtp.SMTPError{Code: 451, Message: "still later"})
		clock.Advance(2 * time.Hour)
		f.start(t)
		d := f.await(t, f.user(t, user), id, "failed").Channels[0]
		if d.Attempts != subjects.Deliver.Consumer().MaxDeliver || !strings.Contains(d.Error, "451") || len(f.sink.Mails()) != 0 {
			t.Errorf("delivery: %+v", d)
		}
	})
}

// TestUnreachableMailServer: refused and silent connections are transient and say why.
func TestUnreachableMailServer(t *testing.T) {
	t.Parallel()
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // accepts by the kernel, never greets
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, test := range map[string]struct {
		listener net.Listener
		reason   string
	}{"refused": {closed, "refused"}, "silent": {silent, "timeout"}} {
		t.Run(name, func(t *testing.T) {
			f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) {
				c.SMTP.Port, c.SMTP.Timeout = test.listener.Addr().(*net.TCPAddr).Port, 200*time.Millisecond
			}, actortest.Quiet())
			ada := f.user(t, actortest.User())
			id := f.send(t, ada, "email")
			var d subjects.ChannelDelivery
			actortest.Eventually(t, "an attempt has failed", func() bool {
				d = f.get(t, ada, id).Channels[0]
				return d.Attempts > 0 && (d.Status != "pending" || d.Error != "")
			})
			if d.Status != "pending" || !strings.Contains(d.Error, test.reason) {
				t.Errorf("delivery: %+v", d)
			}
		})
	}
}

func TestMailServerSettings(t *testing.T) {
	t.Parallel()
	t.Run("a password is not sent in clear", func(t *testing.T) {
		f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) { c.SMTP.Username, c.SMTP.Password = "weft", "secret" }, actortest.Quiet())
		ada := f.user(t, actortest.User())
		id := f.send(t, ada, "email")
		actortest.Eventually(t, "the attempt has failed because there is no safe mechanism", func() bool {
			d := f.get(t, ada, id).Channels[0]
			return d.Attempts > 0 && strings.Contains(d.Error, "authentication mechanism") && !strings.Contains(d.Error, "secret")
		})
		if n := len(f.sink.Mails()); n != 0 || f.sink.Connections() == 0 {
			t.Errorf("%d mails on %d connections", n, f.sink.Connections())
		}
	})
	t.Run("STARTTLS is required", func(t *testing.T) {
		f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) { c.SMTP.TLS = "starttls" }, actortest.Quiet())
		ada := f.user(t, actortest.User())
		id := f.send(t, ada, "email")
		actortest.Eventually(t, "the attempt has failed for want of STARTTLS", func() bool {
			d := f.get(t, ada, id).Channels[0]
			return d.Attempts > 0 && strings.Contains(strings.ToUpper(d.Error), "STARTTLS")
		})
		if n := len(f.sink.Mails()); n != 0 {
			t.Errorf("%d mails were sent in clear", n)
		}
	})
	t.Run("no server", func(t *testing.T) {
		f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) { c.SMTP.Host = "" })
		ada := f.user(t, actortest.User())
		n := f.await(t, ada, f.send(t, ada, "in_app", "email"), "failed")
		if !strings.Contains(n.Channels[0].Error, "notification.smtp.host") || n.Channels[1].Status != "delivered" {
			t.Errorf("channels: %+v", n.Channels)
		}
	})
}

// TestAddressLookup: a deleted account and an address that is none fail the delivery; an unavailable auth is retried.
func TestAddressLookup(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil, actortest.Quiet())
		for name, test := range map[string]struct {
			contact          subjects.Contact
			err              error
			status           string
			attempts, reason any
		}{
			"account deleted": {subjects.Contact{}, subjects.Errorf(subjects.CodeNotFound, "no such account"), "failed", 1, "the account no longer exists"},
			"no address":      {subjects.Contact{}, nil, "suppressed", 1, ""},
			"bad address":     {subjects.Contact{Email: "ada at example"}, nil, "failed", 1, "addressing an e-mail"},
			"unavailable":     {subjects.Contact{}, subjects.Errorf(subjects.CodeUnavailable, "restarting"), "pending", 1, "looking up the user's contact data"},
		} {
			f.setContact(func(string) (subjects.Contact, error) { return test.contact, test.err })
			ada := f.user(t, actortest.User())
			id := f.send(t, ada, "email")
			var d subjects.ChannelDelivery
			actortest.Eventually(t, name+": an attempt has failed", func() bool {
				d = f.get(t, ada, id).Channels[0]
				return d.Attempts > 0 && (d.Status != "pending" || d.Error != "")
			})
			if d.Status != test.status || d.Attempts != test.attempts || !strings.Contains(d.Error, test.reason.(string)) {
				t.Errorf("%s: %+v", name, d)
			}
			if test.status != "pending" {
				continue
			}
			f.setContact(func(string) (subjects.Contact, error) { return subjects.Contact{Email: "ada@example.com"}, nil })
			if d := f.await(t, ada, id, "delivered").Channels[0]; d.Attempts < 2 || d.Error != "" {
				t.Errorf("%s: after auth is back: %+v", name, d)
			}
		}
	})
}

// TestRedeliveredJob: a job whose delivery is over, or whose notification is gone, does nothing.
func TestRedeliveredJob(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil, actortest.Quiet())
		user := actortest.User()
		ada := f.user(t, user)
		delivered := f.send(t, ada, "email")
		f.await(t, ada, delivered, "delivered")
		for _, job := range []subjects.DeliverNotification{
			{NotificationID: delivered, UserID: user, Channel: "email"},
			{NotificationID: delivered, UserID: user, Channel: "sms"},
			{NotificationID: delivered, UserID: actortest.User(), Channel: "email"},
			{NotificationID: actortest.User(), UserID: user, Channel: "email"},
		} {
			f.publish(t, "notification", subjects.Deliver.Subject, job)
		}
		f.publish(t, "notification", subjects.Deliver.Subject, []byte("no job"))
		actortest.Eventually(t, "what is no job is a dead letter and no job is left", func() bool {
			return len(f.deadLetters(t, subjects.Deliver.Consumer())) == 1 && f.jobs(t) == 0
		})
		if letter := f.deadLetters(t, subjects.Deliver.Consumer())[0]; letter.Tries != 1 || string(letter.Data) != `"no job"` || !strings.Contains(letter.Error, "invalid") {
			t.Errorf("dead letter: %+v", letter)
		}
		if d := f.get(t, ada, delivered).Channels[0]; d.Attempts != 1 || len(f.sink.Mails()) != 1 {
			t.Errorf("delivery: %+v, %d mails", d, len(f.sink.Mails()))
		}
	})
}

// TestNewRefusesSettings: the actor does not start with settings that cannot work.
func TestNewRefusesSettings(t *testing.T) {
	t.Parallel()
	config := notification.DefaultConfig()
	config.SMTP.Host, config.SMTP.Port = "mail.example.com", 70_000
	if _, err := notification.New(actors.Deps{}, config); err == nil || !strings.HasPrefix(err.Error(), "notification.smtp") {
		t.Errorf("with port 70000: %v", err)
	}
	config.SMTP.Port, config.SMTP.Timeout = 25, -time.Second
	if _, err := notification.New(actors.Deps{}, config); err == nil || !strings.HasPrefix(err.Error(), "notification.smtp") {
		t.Errorf("with a negative timeout: %v", err)
	}
}

// TestReplyThatIsNoUTF8: a reply in another encoding is recorded as valid UTF-8, which PostgreSQL requires.
func TestReplyThatIsNoUTF8(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		ada := f.user(t, actortest.User())
		reply := &smtp.SMTPError{Code: 550, Message: "Empf\xe4nger unbekannt " + strings.Repeat("\xfc", 600)}
		for _, refuse := range []func(...error){f.sink.Refuse, f.sink.RefuseRecipients} {
			refuse(reply)
			d := f.await(t, ada, f.send(t, ada, "email"), "failed").Channels[0]
			if !strings.Contains(d.Error, "nger unbekannt") || !utf8.ValidString(d.Error) || len(d.Error) > 500 || d.Attempts != 1 {
				t.Errorf("delivery: %+v", d)
			}
		}
	})
}

// TestConnectionLostAfterAcceptance: a mail that the server has accepted is delivered, whatever becomes of the connection.
func TestConnectionLostAfterAcceptance(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, nil)
		ada := f.user(t, actortest.User())
		f.sink.DisconnectAfterMail(1)
		id := f.send(t, ada, "email")
		var d subjects.ChannelDelivery
		actortest.Eventually(t, "an attempt is over", func() bool {
			d = f.get(t, ada, id).Channels[0]
			return d.Attempts > 0 && (d.Status != "pending" || d.Error != "")
		})
		if d.Status != "delivered" || d.Error != "" || len(f.sink.Mails()) != 1 {
			t.Errorf("delivery: %+v, %d mails", d, len(f.sink.Mails()))
		}
	})
}
