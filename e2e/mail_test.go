package e2e_test

import (
	"io"
	"mime"
	"mime/quotedprintable"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/actortest/mailsink"
)

// mailServer starts a mail server and returns the settings that have weft use it.
func mailServer(t testing.TB) (*mailsink.Sink, []string) {
	t.Helper()
	sink := mailsink.Start(t)
	return sink, []string{
		"WEFT_NOTIFICATION_SMTP_HOST=" + sink.Host, "WEFT_NOTIFICATION_SMTP_PORT=" + strconv.Itoa(sink.Port),
		"WEFT_NOTIFICATION_SMTP_TLS=none",
	}
}

// letter is a mail as its reader sees it.
type letter struct{ to, subject, body string }

// read decodes a mail.
func read(t testing.TB, m mailsink.Mail) letter {
	t.Helper()
	if encoding := m.Header.Get("Content-Transfer-Encoding"); encoding != "quoted-printable" {
		t.Fatalf("the mail is encoded as %q", encoding)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(m.Body)))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return letter{strings.Join(m.To, ", "), subject, strings.TrimSpace(strings.ReplaceAll(string(body), "\r\n", "\n"))}
}

// awaitLetter waits for the mail to an address with a subject.
func awaitLetter(t testing.TB, sink *mailsink.Sink, to, subject string) letter {
	t.Helper()
	var found letter
	err := eventually(func() (bool, string) {
		for _, m := range sink.Mails() {
			if l := read(t, m); l.to == to && l.subject == subject {
				found = l
				return true, ""
			}
		}
		return false, to + " has no mail: " + subject
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var mailedToken = regexp.MustCompile(`(?m)^[A-Za-z0-9_-]{43}$`)

// takeToken is the token in a mail, and the mail without it.
func (l letter) takeToken(t testing.TB) (token, rest string) {
	t.Helper()
	if token = mailedToken.FindString(l.body); token == "" {
		t.Fatalf("no token in %q", l.body)
	}
	return token, strings.Replace(l.body, token, "TOKEN", 1)
}

// TestAChangeOfAddressIsToldByMail reads what the old address and the new one are written, and looks for what a name or an
// address may have smuggled into a mail.
func TestAChangeOfAddressIsToldByMail(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			sink, settings := mailServer(t)
			if kind.Name == actors.DialectPostgres {
				settings = append(settings, "WEFT_DATABASE_URL="+postgresSchemas(t, kind))
			}
			weft := startWeft(t, t.TempDir(), settings...)
			c := newClient(weft.ready.HTTP)
			const from, to = "ada@example.com", "=?utf-8?q?=0abcc=3aeve?=&co@example.com"
			account := map[string]any{"email": from, "password": password, "first_name": "Ada\r\nBcc: eve@example.com"}
			refused := c.must(t, http.StatusBadRequest, http.MethodPost, "/v1/auth/register", account)
			if field := refused.text(".errors[0].field"); field != "first_name" {
				t.Errorf("a name of two lines: %s", refused)
			}
			account["first_name"], account["last_name"] = `<a href="https://evil.example">Ada</a>`, "=?utf-8?q?=0d=0aBcc:_eve@example.com?="
			c.must(t, http.StatusAccepted, http.MethodPost, "/v1/auth/register", account)
			verification, _ := awaitLetter(t, sink, from, "Verify your e-mail address").takeToken(t)
			c.must(t, http.StatusNoContent, http.MethodPost, "/v1/auth/email/verify", map[string]any{"token": verification})
			c.token = c.must(t, http.StatusOK, http.MethodPost, "/v1/auth/login", map[string]any{"email": from, "password": password}).text(".access_token")

			change := map[string]any{"email": to + "\r\nBcc: eve@example.com", "password": password}
			refused = c.must(t, http.StatusBadRequest, http.MethodPost, "/v1/users/me/email", change)
			if field := refused.text(".errors[0].field"); field != "email" {
				t.Errorf("an address of two lines: %s", refused)
			}
			change["email"] = to
			c.must(t, http.StatusAccepted, http.MethodPost, "/v1/users/me/email", change)
			token, asks := awaitLetter(t, sink, to, "Verify your e-mail address").takeToken(t)
			if asks != `Somebody asked to move their weft account, which they have already, to this address. To confirm that it is you and that the account is yours:

Send this token to POST /v1/auth/email/verify:

TOKEN

It works once, for 30 minutes. If you have not asked for this, do nothing, also if you are signing up to weft just now.` {
				t.Errorf("the new address is asked: %s", asks)
			}
			c.must(t, http.StatusNoContent, http.MethodPost, "/v1/auth/email/verify", map[string]any{"token": token})
			if told := awaitLetter(t, sink, from, "Your e-mail address was changed").body; told !=
				"Your weft account has moved from this address to "+to+". If it was not you, write to whoever runs this weft." {
				t.Errorf("the old address is told: %s", told)
			}
			holdsNothingElse(t, sink.Mails(), from, to)
		})
	}
}

// holdsNothingElse fails the test where a mail has more than its one reader, plain text and the headers of every mail, or
// repeats a name.
func holdsNothingElse(t testing.TB, mails []mailsink.Mail, readers ...string) {
	t.Helper()
	headers := []string{
		"Content-Transfer-Encoding", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To", "User-Agent", "X-Mailer",
	}
	for _, m := range mails {
		if len(m.To) != 1 || !slices.Contains(readers, m.To[0]) || m.Header.Get("To") != "<"+m.To[0]+">" {
			t.Errorf("a mail goes to %v, and says %q", m.To, m.Header["To"])
		}
		for name, values := range m.Header {
			if !slices.Contains(headers, name) || len(values) != 1 {
				t.Errorf("a mail has %s: %q", name, values)
			}
		}
		if kind := m.Header.Get("Content-Type"); kind != "text/plain; charset=UTF-8" {
			t.Errorf("a mail is %s", kind)
		}
		if l := read(t, m); strings.Contains(l.subject+l.body, "Ada") || strings.Contains(l.body, "\r") {
			t.Errorf("a mail says %q", l)
		}
	}
}
