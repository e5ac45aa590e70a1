package notification_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/subjects"
)

// sendgrid signs callbacks as SendGrid does.
type sendgrid struct{ key *ecdsa.PrivateKey }

func newSendgrid(t *testing.T) (s sendgrid, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return sendgrid{key}, base64.StdEncoding.EncodeToString(der)
}

func (s sendgrid) sign(t *testing.T, body string) map[string]string {
	t.Helper()
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	hash := sha256.Sum256([]byte(timestamp + body))
	signature, err := ecdsa.SignASN1(rand.Reader, s.key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"X-Twilio-Email-Event-Webhook-Signature": base64.StdEncoding.EncodeToString(signature), "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
	}
}

// startWithProvider restarts the actor so that it may call servers of this machine.
func (f *fixture) startWithProvider(t *testing.T) {
	t.Helper()
	f.stop(t)
	f.host = f.mesh.Host(t, "notification", f.db, notification.Migrations, func(d actors.Deps) (actors.Service, error) {
		a, err := notification.New(d, f.config)
		if err != nil {
			return actors.Service{}, err
		}
		return a.Service(), nil
	}, func(c *runtime.HostConfig) {
		c.KeysetFile, c.EgressAllowHTTP, c.EgressAllow = f.keyset, true, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
}

// TestSendGrid: mail goes by SendGrid, and its signed events suppress, unsubscribe and are counted.
func TestSendGrid(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		sent := 0
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			sent++
			w.Header().Set("X-Message-Id", "message"+strconv.Itoa(sent))
			w.WriteHeader(http.StatusAccepted)
		}))
		t.Cleanup(api.Close)
		account, public := newSendgrid(t)
		f := setup(t, database, func(c *notification.Config) {
			mailSettings(c)
			c.SMTP.Host = ""
			c.SendGrid.APIKey, c.SendGrid.From, c.SendGrid.BaseURL, c.SendGrid.WebhookKey = "SG.x", "weft@example.com", api.URL, public
		})
		f.startWithProvider(t)
		user := actortest.User()
		ada := f.user(t, user)
		id := f.mail(t, ada, "workflow")
		f.await(t, ada, id, "delivered")
		event := func(id, kind, message string, age time.Duration) string {
			return fmt.Sprintf(`[{"email":%q,"timestamp":%d,"event":%q,"sg_event_id":%q,"sg_message_id":%q,"reason":"550 5.1.1 no","status":"5.1.1","type":"bounce"}]`,
				user+"@example.com", time.Now().Add(-age).Unix(), kind, id, message+".filter0001")
		}
		post := func(body string) error { return f.callback(t, "sendgrid", account.sign(t, body), []byte(body)) }
		if err := f.callback(t, "sendgrid", account.sign(t, "[]"), []byte(event("1", "spamreport", "message1", 0))); code(err) != subjects.CodeUnauthenticated {
			t.Errorf("a forged callback: %v", err)
		}
		if err := post(event("early", "bounce", "message9", 0)); code(err) != subjects.CodeUnavailable {
			t.Errorf("a report before the record of its attempt: %v", err)
		}
		if err := post(event("foreign", "delivered", "message9", time.Hour)); err != nil {
			t.Errorf("a report on mail that is not weft's: %v", err)
		}
		for range 2 {
			if err := post(event("2", "delivered", "message1", 0)); err != nil {
				t.Fatal(err)
			}
		}
		if n := f.host.Metric(t, "notification_mail_delivered_total", "other"); n != 2 {
			t.Errorf("%v mails counted as delivered", n)
		}
		if err := post(event("3", "spamreport", "message1", 0)); err != nil {
			t.Fatal(err)
		}
		if list := f.suppressions(t); len(list) != 1 || list[0].Reason != "complaint" || list[0].UserID != user || f.host.Metric(t, "notification_complaints_total", "other") != 1 {
			t.Errorf("suppressions %+v", list)
		}
		f.await(t, ada, f.mail(t, ada, "system"), "suppressed")
		f.await(t, ada, f.mail(t, ada, "security"), "delivered")
		if err := post(event("4", "bounce", "message2", 0)); err != nil {
			t.Fatal(err)
		}
		if list := f.suppressions(t); len(list) != 1 || list[0].Reason != "bounce" {
			t.Errorf("a bounce after a complaint: %+v", list)
		}
		if err := post(event("5", "dropped", "message2", 0)); err != nil {
			t.Fatal(err)
		}
		if c := f.counts(t, ada); c != (subjects.NotificationCounts{Sent: 2, Delivered: 1, Failed: 1, Suppressed: 1}) {
			t.Errorf("after two reports of one failure: %+v", c)
		}
		call(t, f, subjects.DeleteSuppression, f.admin(t), subjects.SuppressionRequest{ID: f.suppressions(t)[0].ID})
		if d := f.await(t, ada, f.mail(t, ada, "workflow"), "suppressed").Channels[0]; d.Reason != "preference_off" {
			t.Errorf("after a complaint about the category: %+v", d)
		}
	})
}

// TestSES: a subscription is confirmed at the stand-in for SNS, and a bounce that SNS signs suppresses the address.
func TestSES(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	confirmed := make(chan string, 1)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/email/outbound-emails":
			_, _ = w.Write([]byte(`{"MessageId":"0107"}`))
		case "/cert.pem":
			_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: der})
		default:
			confirmed <- r.URL.String()
		}
	}))
	t.Cleanup(api.Close)
	const topic = "arn:aws:sns:eu-central-1:123456789012:mail"
	f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) {
		mailSettings(c)
		c.SMTP.Host = ""
		c.SES.Region, c.SES.AccessKeyID, c.SES.SecretAccessKey, c.SES.From = "eu-central-1", "AKID", "secret", "weft@example.com"
		c.SES.BaseURL, c.SES.SNSURL, c.SES.Topics = api.URL, api.URL, []string{topic}
	})
	f.startWithProvider(t)
	user := actortest.User()
	ada := f.user(t, user)
	id := f.mail(t, ada, "workflow")
	f.await(t, ada, id, "delivered")
	sign := func(kind, message string, extra map[string]string) []byte {
		m := map[string]string{
			"Type": kind, "MessageId": actortest.User(), "TopicArn": topic, "Message": message, "Timestamp": time.Now().UTC().Format(time.RFC3339),
			"SignatureVersion": "2", "SigningCertURL": api.URL + "/cert.pem",
		}
		for name, value := range extra {
			m[name] = value
		}
		text := ""
		for _, name := range []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"} {
			if value, ok := m[name]; ok {
				text += name + "\n" + value + "\n"
			}
		}
		hash := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, hash[:])
		if err != nil {
			t.Fatal(err)
		}
		m["Signature"] = base64.StdEncoding.EncodeToString(signature)
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	if err := f.callback(t, "ses", nil, sign("SubscriptionConfirmation", "subscribe", map[string]string{"SubscribeURL": api.URL + "/?Token=1", "Token": "1"})); err != nil || <-confirmed != "/?Token=1" {
		t.Errorf("confirming: %v", err)
	}
	bounced := fmt.Sprintf(`{"eventType":"Bounce","mail":{"messageId":"0107"},"bounce":{"bounceType":"Permanent","bounceSubType":"General","timestamp":"%s",`+
		`"bouncedRecipients":[{"emailAddress":"%s@example.com","status":"5.1.1"}]}}`, time.Now().UTC().Format(time.RFC3339), user)
	body := sign("Notification", bounced, nil)
	if err := f.callback(t, "ses", nil, []byte(strings.Replace(string(body), "Permanent", "Permanenx", 1))); code(err) != subjects.CodeUnauthenticated {
		t.Errorf("a forged message: %v", err)
	}
	if len(f.suppressions(t)) != 0 {
		t.Error("a forged message has an effect")
	}
	if err := f.callback(t, "ses", nil, body); err != nil {
		t.Fatal(err)
	}
	if d := f.get(t, ada, id).Channels[0]; d.Status != "failed" || len(f.suppressions(t)) != 1 {
		t.Errorf("delivery %+v, suppressions %+v", d, f.suppressions(t))
	}
}
