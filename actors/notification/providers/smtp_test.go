package providers_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-smtp"

	"github.com/weftmesh/weft/actors/actortest/mailsink"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
)

func newSMTP(t *testing.T, sink *mailsink.Sink, o providers.SMTPOptions) *providers.SMTP {
	t.Helper()
	o.Now = func() time.Time { return mailNow }
	p, err := providers.NewSMTP(o, providers.SMTPConfig{
		Host: sink.Host, Port: sink.Port, TLS: providers.TLSNone, From: "weft <weft@example.com>", Timeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSMTPMessage: the text comes first, the HTML has its style inlined, and the headers are complete and the same in each attempt.
func TestSMTPMessage(t *testing.T) {
	t.Parallel()
	sink := mailsink.Start(t)
	p := newSMTP(t, sink, providers.SMTPOptions{})
	for range 2 {
		receipt, err := p.Send(t.Context(), testMail())
		if err != nil || receipt != (channel.Receipt{Provider: "smtp", MessageID: "01890a5d-ac96-774b-bcce-b302099a8057.email@example.com"}) {
			t.Fatalf("%+v, %v", receipt, err)
		}
	}
	mails := sink.Mails()
	if !bytes.Equal(mails[0].Raw, mails[1].Raw) {
		t.Error("two attempts differ")
	}
	h := mails[0].Header
	for name, want := range map[string]string{
		"Message-Id": "<01890a5d-ac96-774b-bcce-b302099a8057.email@example.com>", "Date": "Mon, 30 Nov 2026 12:00:00 +0000",
		"List-Unsubscribe":      "<https://weft.example.com/v1/unsubscribe/abc>",
		"List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "Mime-Version": "1.0", "Bcc": "", "User-Agent": "", "X-Mailer": "",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, h.Get(name), want)
		}
	}
	boundary := strings.Trim(strings.SplitN(h.Get("Content-Type"), "boundary=", 2)[1], "\" \r\n")
	reader := multipart.NewReader(strings.NewReader(mails[0].Body), strings.SplitN(boundary, `"`, 2)[0])
	var kinds []string
	var last []byte
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, strings.SplitN(part.Header.Get("Content-Type"), ";", 2)[0])
		last, _ = io.ReadAll(part)
	}
	if !slices.Equal(kinds, []string{"text/plain", "text/html"}) || !strings.Contains(string(last), `style="color:#123456"`) {
		t.Errorf("parts %v, html %s", kinds, last)
	}
}

// TestSMTPWithoutOneClick: a message without https URL has no one-click header, and one of a fixed category no header at all.
func TestSMTPWithoutOneClick(t *testing.T) {
	t.Parallel()
	sink := mailsink.Start(t)
	p := newSMTP(t, sink, providers.SMTPOptions{})
	for _, url := range []string{"http://127.0.0.1/v1/unsubscribe/abc", ""} {
		m := testMail()
		m.UnsubscribeURL = url
		if _, err := p.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	first, second := sink.Mails()[0].Header, sink.Mails()[1].Header
	if first.Get("List-Unsubscribe") == "" || first.Get("List-Unsubscribe-Post") != "" || second.Get("List-Unsubscribe") != "" {
		t.Errorf("headers %v and %v", first, second)
	}
}

// TestSMTPClasses: replies mean what RFC 5321 and RFC 3463 say.
func TestSMTPClasses(t *testing.T) {
	t.Parallel()
	sink := mailsink.Start(t)
	p := newSMTP(t, sink, providers.SMTPOptions{})
	status := func(code int, a, b, c int, text string) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{a, b, c}, Message: text}
	}
	for _, test := range []struct {
		reply     error
		recipient bool
		class     channel.Class
		code      string
	}{
		{status(451, 4, 3, 0, "busy"), false, channel.Transient, "451 4.3.0"},
		{status(452, 4, 2, 2, "mailbox full"), true, channel.Transient, "452 4.2.2"},
		{status(421, 4, 3, 2, "closing"), true, channel.Throttled, "421 4.3.2"},
		{status(450, 4, 7, 1, "greylisted"), true, channel.Throttled, "450 4.7.1"},
		{status(421, 4, 7, 28, "rate"), false, channel.Throttled, "421 4.7.28"},
		{status(550, 5, 1, 1, "no such user ada@example.org here"), true, channel.Suppressed, "550 5.1.1"},
		{status(550, 5, 1, 1, "no such user"), false, channel.Suppressed, "550 5.1.1"},
		{status(556, 5, 1, 10, "null MX"), true, channel.Suppressed, "556 5.1.10"},
		{status(550, 5, 2, 1, "disabled"), true, channel.Suppressed, "550 5.2.1"},
		{status(552, 5, 2, 2, "over quota"), true, channel.Permanent, "552 5.2.2"},
		{status(550, 5, 7, 26, "unauthenticated"), false, channel.Permanent, "550 5.7.26"},
		{status(554, 5, 7, 1, "spam"), false, channel.Permanent, "554 5.7.1"},
	} {
		if test.recipient {
			sink.RefuseRecipients(test.reply)
		} else {
			sink.Refuse(test.reply)
		}
		_, err := p.Send(t.Context(), testMail())
		var e *channel.Error
		if !errors.As(err, &e) || e.Class != test.class || e.Code != test.code {
			t.Errorf("%v: %v (%s), want %s %s", test.reply, err, channel.ClassOf(err), test.class, test.code)
		}
		if e != nil && e.Recipient == strings.HasPrefix(test.code, "421") {
			t.Errorf("%v: about the recipient: %v", test.reply, e.Recipient)
		}
		if strings.Contains(err.Error(), "ada@") {
			t.Errorf("the error has the address: %v", err)
		}
	}
}

// TestSMTPContext: an attempt ends with its context although the server is silent.
func TestSMTPContext(t *testing.T) {
	t.Parallel()
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	p := newSMTP(t, &mailsink.Sink{Host: "127.0.0.1", Port: silent.Addr().(*net.TCPAddr).Port}, providers.SMTPOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Send(ctx, testMail()); !errors.Is(err, context.DeadlineExceeded) && channel.ClassOf(err) != channel.Transient {
		t.Errorf("error %v", err)
	}
}

// dkimKey is a signing key and the DNS that has its record.
func dkimKeys(t *testing.T) map[string]*providers.DKIM {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]*providers.DKIM{}
	for name, text := range map[string]string{
		"rsa-sha256": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "ed25519-sha256": base64.StdEncoding.EncodeToString(edKey.Seed()),
	} {
		if keys[name], err = providers.ParseDKIM("example.com", "weft", text); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// TestDKIM: signatures cover what RFC 8058 §4 demands, and a change of a covered header or of the body breaks them.
func TestDKIM(t *testing.T) {
	t.Parallel()
	for algorithm, key := range dkimKeys(t) {
		sink := mailsink.Start(t)
		if _, err := newSMTP(t, sink, providers.SMTPOptions{DKIM: key}).Send(t.Context(), testMail()); err != nil {
			t.Fatal(err)
		}
		raw := sink.Mails()[0].Raw
		record, err := key.Record()
		if err != nil {
			t.Fatal(err)
		}
		verify := func(raw []byte) ([]*dkim.Verification, error) {
			return dkim.VerifyWithOptions(bytes.NewReader(raw), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
				if name != "weft._domainkey.example.com" {
					t.Errorf("looked up %s", name)
				}
				return []string{record}, nil
			}})
		}
		found, err := verify(raw)
		if err != nil || len(found) != 1 || found[0].Err != nil || found[0].Domain != "example.com" {
			t.Fatalf("%s: %+v, %v", algorithm, found, err)
		}
		signature := sink.Mails()[0].Header.Get("Dkim-Signature")
		if !strings.Contains(signature, "a="+algorithm) {
			t.Errorf("signature %s", signature)
		}
		for _, name := range []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "List-Unsubscribe", "List-Unsubscribe-Post"} {
			if !slices.Contains(found[0].HeaderKeys, name) {
				t.Errorf("%s: %s is not signed: %v", algorithm, name, found[0].HeaderKeys)
			}
		}
		for name, changed := range map[string][]byte{
			"the body":              bytes.Replace(raw, []byte("order"), []byte("0rder"), 1),
			"the unsubscribe link":  bytes.Replace(raw, []byte("/v1/unsubscribe/abc"), []byte("/v1/unsubscribe/abd"), 1),
			"a second From":         append([]byte("From: Eve <eve@example.net>\r\n"), raw...),
			"a second Subject":      append([]byte("Subject: Eve\r\n"), raw...),
			"the one-click command": bytes.Replace(raw, []byte("One-Click"), []byte("One-Clock"), 1),
		} {
			if found, err := verify(changed); err == nil && len(found) == 1 && found[0].Err == nil {
				t.Errorf("%s: a change of %s is not noticed", algorithm, name)
			}
		}
	}
}

// TestDKIMKeys: a key that receivers would refuse is refused.
func TestDKIMKeys(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for want, key := range map[string]string{
		"1024 bits": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(weak)})),
		"neither":   "no key", "PKCS": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	} {
		if _, err := providers.ParseDKIM("example.com", "weft", key); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestReturnPath: the envelope's sender is the one of the options, and the header's remains.
func TestReturnPath(t *testing.T) {
	t.Parallel()
	sink := mailsink.Start(t)
	verp := providers.VERP{Address: "bounce@example.com", Key: []byte("key")}
	p := newSMTP(t, sink, providers.SMTPOptions{ReturnPath: func(_ context.Context, m channel.Message) (string, error) {
		return verp.ReturnPath(m.NotificationID, m.Address.To), nil
	}})
	if _, err := p.Send(t.Context(), testMail()); err != nil {
		t.Fatal(err)
	}
	m := sink.Mails()[0]
	from, err := netmail.ParseAddress(m.Header.Get("From"))
	if err != nil || from.Address != "weft@example.com" || !strings.HasPrefix(m.From, "bounce+") || !strings.HasSuffix(m.From, "@example.com") {
		t.Errorf("from %v, envelope %s, %v", from, m.From, err)
	}
}
