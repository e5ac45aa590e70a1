package e2e_test

import (
	"bytes"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/actortest/mailsink"
	"github.com/weftmesh/weft/actors/database"
)

// mailServer starts an SMTP server and returns the settings that make weft use it.
func mailServer(t testing.TB) (*mailsink.Sink, []string) {
	t.Helper()
	sink := mailsink.Start(t)
	return sink, []string{
		"WEFT_NOTIFICATION_SMTP_HOST=" + sink.Host, "WEFT_NOTIFICATION_SMTP_PORT=" + strconv.Itoa(sink.Port),
		"WEFT_NOTIFICATION_SMTP_TLS=none",
	}
}

// message is a decoded e-mail message.
type message struct{ to, subject, body string }

// decodeMail decodes the subject and the text of a message.
func decodeMail(t testing.TB, m mailsink.Mail) message {
	t.Helper()
	body, err := m.Text()
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return message{strings.Join(m.To, ", "), subject, strings.TrimSpace(strings.ReplaceAll(body, "\r\n", "\n"))}
}

// awaitMail waits for a message to an address with a subject.
func awaitMail(t testing.TB, sink *mailsink.Sink, to, subject string) message {
	t.Helper()
	var found message
	err := eventually(func() (bool, string) {
		for _, m := range sink.Mails() {
			if d := decodeMail(t, m); d.to == to && d.subject == subject {
				found = d
				return true, ""
			}
		}
		return false, "no message to " + to + ": " + subject
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var mailedToken = regexp.MustCompile(`(?m)^[A-Za-z0-9_-]{43}$`)

// takeToken returns the token in a message, and the body with TOKEN in its place.
func (m message) takeToken(t testing.TB) (token, rest string) {
	t.Helper()
	if token = mailedToken.FindString(m.body); token == "" {
		t.Fatalf("no token in %q", m.body)
	}
	return token, strings.Replace(m.body, token, "TOKEN", 1)
}

// TestEmailChangeNotifiesBothAddresses checks the messages to the old and the new address, and that neither a name nor an
// address can inject headers or content.
func TestEmailChangeNotifiesBothAddresses(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			sink, settings := mailServer(t)
			if kind.Name == database.DialectPostgres {
				settings = append(settings, "WEFT_DATABASE_URL="+postgresSchemas(t, kind))
			}
			weft := startWeft(t, t.TempDir(), settings...)
			c := newClient(weft.ready.HTTP)
			const from, to = "ada@example.com", "=?utf-8?q?=0abcc=3aeve?=&co@example.com"
			account := map[string]any{"email": from, "password": password, "first_name": "Ada\r\nBcc: eve@example.com"}
			rejected := c.must(t, http.StatusBadRequest, http.MethodPost, "/v1/auth/register", account)
			if field := rejected.text(".errors[0].field"); field != "first_name" {
				t.Errorf("a name with a line break: %s", rejected)
			}
			account["first_name"], account["last_name"] = `<a href="https://evil.example">Ada</a>`, "=?utf-8?q?=0d=0aBcc:_eve@example.com?="
			c.must(t, http.StatusAccepted, http.MethodPost, "/v1/auth/register", account)
			verification, _ := awaitMail(t, sink, from, "Verify your e-mail address").takeToken(t)
			c.must(t, http.StatusNoContent, http.MethodPost, "/v1/auth/email/verify", map[string]any{"token": verification})
			c.token = c.must(t, http.StatusOK, http.MethodPost, "/v1/auth/login", map[string]any{"email": from, "password": password}).text(".access_token")

			change := map[string]any{"email": to + "\r\nBcc: eve@example.com", "password": password}
			rejected = c.must(t, http.StatusBadRequest, http.MethodPost, "/v1/users/me/email", change)
			if field := rejected.text(".errors[0].field"); field != "email" {
				t.Errorf("an address with a line break: %s", rejected)
			}
			change["email"] = to
			c.must(t, http.StatusAccepted, http.MethodPost, "/v1/users/me/email", change)
			token, body := awaitMail(t, sink, to, "Verify your e-mail address").takeToken(t)
			if body != `Someone asked to change the address of an existing weft account to this one. To confirm that it was you and that the account is yours:

Send this token to POST /v1/auth/email/verify:

TOKEN

It works once and expires in 30 minutes. If you did not ask for this, ignore this message, even if you are just registering with weft.` {
				t.Errorf("the message to the new address: %s", body)
			}
			c.must(t, http.StatusNoContent, http.MethodPost, "/v1/auth/email/verify", map[string]any{"token": token})
			if body := awaitMail(t, sink, from, "Your e-mail address was changed").body; body !=
				"The address of your weft account was changed from this one to "+to+". If it was not you, contact the operator of this weft installation." {
				t.Errorf("the message to the old address: %s", body)
			}
			checkMails(t, sink.Mails(), from, to)
		})
	}
}

// TestMailsInTheUsersLanguage: a German user gets German mails, before and after the address is verified, and an admin's own text where there
// is one; the token is neither in the log nor in the database in clear text.
func TestMailsInTheUsersLanguage(t *testing.T) {
	t.Parallel()
	sink, settings := mailServer(t)
	data := t.TempDir()
	weft := startWeft(t, data, append(settings, "WEFT_NOTIFICATION_TEMPLATES_APP_NAME=Beispiel GmbH", "WEFT_AUTH_VERIFY_URL=https://beispiel.example/verify?x=1")...)
	c := newClient(weft.ready.HTTP)
	const email = "ada@example.com"
	c.must(t, http.StatusAccepted, http.MethodPost, "/v1/auth/register", map[string]any{"email": email, "password": password, "locale": "de-AT", "first_name": "Ada"})
	mail := awaitMail(t, sink, email, "Bestätigen Sie Ihre E-Mail-Adresse")
	link := regexp.MustCompile(`(?m)^https://beispiel\.example/verify\?token=([A-Za-z0-9_-]{43})&x=1$`).FindStringSubmatch(mail.body)
	if link == nil || !strings.Contains(mail.body, "bei Beispiel GmbH registriert") || !strings.Contains(mail.body, "innerhalb von 30 Minuten.") || strings.Contains(mail.body, "Ada") {
		t.Fatalf("the message: %s", mail.body)
	}
	c.must(t, http.StatusNoContent, http.MethodPost, "/v1/auth/email/verify", map[string]any{"token": link[1]})
	c.token = c.must(t, http.StatusOK, http.MethodPost, "/v1/auth/login", map[string]any{"email": email, "password": password}).text(".access_token")
	c.must(t, http.StatusForbidden, http.MethodGet, "/v1/templates", nil)
	c.must(t, http.StatusNoContent, http.MethodPost, "/v1/auth/password/change", map[string]any{"current_password": password, "password": "ein ganz neues"})
	if notice := awaitMail(t, sink, email, "Ihr Passwort wurde geändert"); !strings.Contains(notice.body, "Ihres Kontos bei Beispiel GmbH") {
		t.Errorf("the notice: %s", notice.body)
	}
	if err := weft.stop(); err != nil {
		t.Error(err)
	}
	if strings.Contains(weft.stderr(), link[1]) {
		t.Errorf("the log has the token")
	}
	err := filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(link[1])) {
			t.Errorf("%s has the token in clear text", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// checkMails checks that every message has exactly one recipient, one of recipients, and is text and HTML without names and
// with the usual headers only.
func checkMails(t testing.TB, mails []mailsink.Mail, recipients ...string) {
	t.Helper()
	headers := []string{
		"Content-Transfer-Encoding", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To", "User-Agent", "X-Mailer",
	}
	for _, m := range mails {
		if len(m.To) != 1 || !slices.Contains(recipients, m.To[0]) || m.Header.Get("To") != "<"+m.To[0]+">" {
			t.Errorf("a message was sent to %v, with the header To: %q", m.To, m.Header["To"])
		}
		for name, values := range m.Header {
			if !slices.Contains(headers, name) || len(values) != 1 {
				t.Errorf("a message has the header %s: %q", name, values)
			}
		}
		if kind, _, err := mime.ParseMediaType(m.Header.Get("Content-Type")); err != nil || kind != "multipart/alternative" {
			t.Errorf("a message has the type %s", kind)
		}
		if d := decodeMail(t, m); strings.Contains(d.subject+m.Body, "Ada") || strings.Contains(d.body, "\r") {
			t.Errorf("a message has the content %q", d)
		}
	}
}
