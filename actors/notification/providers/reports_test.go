package providers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/subjects"
)

// sendgridAccount signs as SendGrid does.
type sendgridAccount struct {
	key    *ecdsa.PrivateKey
	public string
}

func newSendGridAccount(t *testing.T, curve elliptic.Curve) sendgridAccount {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return sendgridAccount{key, base64.StdEncoding.EncodeToString(der)}
}

func (a sendgridAccount) sign(t *testing.T, at time.Time, body string) http.Header {
	t.Helper()
	timestamp := strconv.FormatInt(at.Unix(), 10)
	hash := sha256.Sum256([]byte(timestamp + body))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Set("X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(signature))
	h.Set("X-Twilio-Email-Event-Webhook-Timestamp", timestamp)
	return h
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestSendGridReports: the events of SendGrid's documentation mean what they say.
func TestSendGridReports(t *testing.T) {
	t.Parallel()
	account := newSendGridAccount(t, elliptic.P256())
	r, err := providers.NewSendGridReports(account.public+"\n", func() time.Time { return mailNow })
	if err != nil {
		t.Fatal(err)
	}
	body := read(t, "sendgrid_events.json")
	reports, err := r.Receive(account.sign(t, mailNow, body), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		id, kind string
		dead     bool
	}{
		{"ev-delivered", "delivered", false}, {"ev-open", "opened", false}, {"ev-click", "clicked", false}, {"ev-bounce", "failed", true},
		{"ev-blocked", "failed", false}, {"ev-mailbox-full", "failed", false}, {"ev-dropped", "failed", true}, {"ev-dropped-spam", "failed", false},
		{"ev-spam", "complained", false}, {"ev-unsubscribe", "unsubscribed", false}, {"ev-group", "unsubscribed", false},
	}
	if len(reports) != len(want) {
		t.Fatalf("%d reports: %+v", len(reports), reports)
	}
	for i, w := range want {
		got := reports[i]
		if got.ID != w.id || got.Kind != w.kind || got.Dead != w.dead || got.MessageID != "14c5d75ce93" || got.Address != "example@test.com" {
			t.Errorf("%+v, want %+v", got, w)
		}
		if strings.Contains(got.Detail, "@") || got.At.Unix() != 1513299569 {
			t.Errorf("%+v", got)
		}
	}
	if reports[2].URL != "http://www.sendgrid.com/" {
		t.Errorf("click %+v", reports[2])
	}
}

// TestSendGridRefusals: what SendGrid has not signed, or has long ago, is refused.
func TestSendGridRefusals(t *testing.T) {
	t.Parallel()
	account, other := newSendGridAccount(t, elliptic.P256()), newSendGridAccount(t, elliptic.P256())
	r, err := providers.NewSendGridReports(account.public, func() time.Time { return mailNow })
	if err != nil {
		t.Fatal(err)
	}
	const body = `[]`
	late := account.sign(t, mailNow, body)
	late.Set("X-Twilio-Email-Event-Webhook-Timestamp", strconv.FormatInt(mailNow.Unix()+1, 10))
	for name, test := range map[string]struct {
		header http.Header
		body   string
		code   subjects.Code
	}{
		"authentic":          {account.sign(t, mailNow, body), body, ""},
		"repeated for a day": {account.sign(t, mailNow.Add(-25*time.Hour), body), body, ""},
		"no signature":       {http.Header{}, body, subjects.CodeUnauthenticated},
		"another key":        {other.sign(t, mailNow, body), body, subjects.CodeUnauthenticated},
		"another body":       {account.sign(t, mailNow, body), `[{}]`, subjects.CodeUnauthenticated},
		"another time":       {late, body, subjects.CodeUnauthenticated},
		"old":                {account.sign(t, mailNow.Add(-27*time.Hour), body), body, subjects.CodeUnauthenticated},
		"from the future":    {account.sign(t, mailNow.Add(6*time.Minute), body), body, subjects.CodeUnauthenticated},
		"no list":            {account.sign(t, mailNow, "{}"), "{}", subjects.CodeInvalid},
	} {
		if _, err := r.Receive(test.header, []byte(test.body)); err == nil && test.code != "" || err != nil && subjects.CodeOf(err) != test.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, key := range []string{"", "AAAA", "no key", newSendGridAccount(t, elliptic.P384()).public} {
		if _, err := providers.NewSendGridReports(key, nil); err == nil {
			t.Errorf("the key %q is accepted", key)
		}
	}
}

// TestSESReports: the event records of SES's documentation mean what they say.
func TestSESReports(t *testing.T) {
	t.Parallel()
	a := newAmazon(t, "sns.amazonaws.com", mailNow.AddDate(1, 0, 0))
	r := providers.NewSESReports(a.verifier(a.roots))
	for name, want := range map[string]providers.Feedback{
		"bounce":           {Kind: "failed", Dead: true, Address: "recipient@example.com", Detail: "Permanent General 5.1.1 smtp; 550 5.1.1 user unknown"},
		"bounce_transient": {Kind: "failed", Address: "recipient@example.com", Detail: "Transient MailboxFull 4.2.2 smtp; 452 4.2.2 over quota"},
		"complaint":        {Kind: "complained", Address: "recipient@example.com", Detail: "abuse"},
		"delivery":         {Kind: "delivered", Address: "recipient@example.com"},
		"open":             {Kind: "opened", Address: "recipient@example.com"},
		"click":            {Kind: "clicked", Address: "recipient@example.com", URL: "http://docs.aws.amazon.com/ses/latest/DeveloperGuide/send-email-smtp.html"},
		"identity_bounce":  {Kind: "failed", Dead: true, Address: "jane@example.com", Detail: "Permanent General 5.1.1 smtp; 550 5.1.1 <address>... User"},
		"reject":           {Kind: "failed", Address: "recipient@example.com", Detail: "rejected: Bad content"},
		"send":             {},
		"no_json":          {},
	} {
		reports, err := r.Receive(t.Context(), a.sign(t, notification(read(t, "ses_"+name+".json"))))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want.Kind == "" {
			if len(reports) != 0 {
				t.Errorf("%s: %+v", name, reports)
			}
			continue
		}
		if len(reports) != 1 {
			t.Errorf("%s: %+v", name, reports)
			continue
		}
		got := reports[0]
		if got.ID != "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324.a" || got.MessageID != "EXAMPLE7c191be45" {
			t.Errorf("%s: %+v", name, got)
		}
		got.ID, got.MessageID, got.At = "", "", time.Time{}
		if got.Kind != want.Kind || got.Dead != want.Dead || got.Address != want.Address || got.Detail != want.Detail || got.URL != want.URL {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}
