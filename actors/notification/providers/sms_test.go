package providers_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
)

const twilioAccount = "AC0123456789abcdef0123456789abcdef"

func twilioConfig(w *wire) providers.TwilioConfig {
	return providers.TwilioConfig{
		AccountSID: twilioAccount, AuthToken: "twilio-secret-canary", From: "+15005550001", BaseURL: w.URL, Weight: 1,
		StatusCallback: "https://weft.example.com/v1/callbacks/twilio",
	}
}

func twilioError(status, code int) answer {
	return answer{status: status, body: fmt.Sprintf(
		`{"code":%d,"message":"The 'To' number +15005550006 is canary","more_info":"https://www.twilio.com/docs/errors/%d","status":%d}`, code, code, status)}
}

func twilioConformant() conformant {
	return conformant{
		name: "twilio", id: "SM87105da94bff44b999e4e6eb90d8eb6a", secrets: []string{"twilio-secret-canary"},
		open:     func(_ *testing.T, w *wire) channel.Provider { return providers.NewTwilio(w.deps(), twilioConfig(w)) },
		accepted: answer{status: 201, body: `{"sid":"SM87105da94bff44b999e4e6eb90d8eb6a","status":"queued","error_code":null,"to":"+15005550006"}`},
		refusals: []refused{
			{"opted out", twilioError(400, 21610), channel.Suppressed, "21610"},
			{"invalid number", twilioError(400, 21211), channel.Permanent, "21211"},
			{"not a mobile", twilioError(400, 21614), channel.Permanent, "21614"},
			{"country", twilioError(400, 21408), channel.Permanent, "21408"},
			{"body too long", twilioError(400, 21617), channel.Permanent, "21617"},
			{"too many requests", twilioError(429, 20429), channel.Throttled, "20429"},
			{"queue is full", twilioError(429, 21611), channel.Throttled, "21611"},
			{"authentication", twilioError(401, 20003), channel.Transient, "20003"},
			{"sender", twilioError(400, 21606), channel.Transient, "21606"},
			{"no account", twilioError(404, 20404), channel.Transient, "20404"},
			{"internal", twilioError(500, 20500), channel.Transient, "20500"},
			{"unavailable", twilioError(503, 20503), channel.Transient, "20503"},
		},
	}
}

func TestTwilioRequest(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	c := twilioConformant()
	w.answer(c.accepted)
	p := providers.NewTwilio(w.deps(), twilioConfig(w))
	m := testMessage(c, w)
	m.ExpiresAt = time.Now().Add(10 * time.Minute)
	if _, err := p.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r := w.taken()[0]
	form, _ := url.ParseQuery(string(r.body))
	user, password, ok := (&http.Request{Header: r.header}).BasicAuth()
	if r.path != "/2010-04-01/Accounts/"+twilioAccount+"/Messages.json" || !ok || user != twilioAccount || password != "twilio-secret-canary" {
		t.Errorf("%s as %s", r.path, user)
	}
	validity := form.Get("ValidityPeriod")
	form.Del("ValidityPeriod")
	want := "Body=Text+canary&From=%2B15005550001&StatusCallback=https%3A%2F%2Fweft.example.com%2Fv1%2Fcallbacks%2Ftwilio&To=%2B15005550006"
	if form.Encode() != want || !slices.Contains([]string{"600", "599", "598", "590"}, validity) {
		t.Errorf("got %s, valid for %s", form.Encode(), validity)
	}
	config := twilioConfig(w)
	config.From, config.MessagingServiceSID, config.StatusCallback = "", "MG1", ""
	if _, err := providers.NewTwilio(w.deps(), config).Send(t.Context(), testMessage(c, w)); err != nil {
		t.Fatal(err)
	}
	if form, _ = url.ParseQuery(string(w.taken()[0].body)); form.Get("MessagingServiceSid") != "MG1" || form.Has("From") || form.Has("StatusCallback") {
		t.Errorf("got %v", form)
	}
}

const (
	awsKey    = "AKIDEXAMPLE"
	awsSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

func snsConfig(w *wire) providers.SNSConfig {
	return providers.SNSConfig{
		Region: "eu-central-1", AccessKeyID: awsKey, SecretAccessKey: awsSecret, SessionToken: "session-canary", SenderID: "weft", BaseURL: w.URL, Weight: 1,
	}
}

func snsError(status int, code, message string) answer {
	return answer{status: status, body: `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>` + code +
		`</Code><Message>` + message + `</Message></Error><RequestId>9a6c3b0e</RequestId></ErrorResponse>`}
}

func snsConformant() conformant {
	return conformant{
		name: "sns", id: "94f20ce6-13c5-43a0-9a9e-ca52d816e90b", secrets: []string{awsSecret, "session-canary", "AWS4-HMAC-SHA256"},
		open: func(_ *testing.T, w *wire) channel.Provider { return providers.NewSNS(w.deps(), snsConfig(w)) },
		accepted: answer{status: 200, body: `<PublishResponse xmlns="https://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>` +
			`<MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult><ResponseMetadata><RequestId>f187a3c1</RequestId></ResponseMetadata></PublishResponse>`},
		refusals: []refused{
			{"opted out", snsError(400, "InvalidParameter", "Invalid parameter: phone number +15005550006 is opted out"), channel.Suppressed, "InvalidParameter"},
			{"opted out code", snsError(400, "OptedOut", "canary"), channel.Suppressed, "OptedOut"},
			{"number", snsError(400, "InvalidParameter", "Invalid parameter: PhoneNumber Reason: +15005550006 is not valid"), channel.Permanent, "InvalidParameter"},
			{"throttled", snsError(400, "Throttling", "Rate exceeded"), channel.Throttled, "Throttling"},
			{"throttled by status", snsError(429, "Throttled", "Rate exceeded"), channel.Throttled, "Throttled"},
			{"signature", snsError(403, "SignatureDoesNotMatch", "canary"), channel.Transient, "SignatureDoesNotMatch"},
			{"authorization", snsError(403, "AuthorizationError", "canary"), channel.Transient, "AuthorizationError"},
			{"token", snsError(400, "ExpiredToken", "canary"), channel.Transient, "ExpiredToken"},
			{"internal", snsError(500, "InternalError", "canary"), channel.Transient, "InternalError"},
			{"unavailable", snsError(503, "ServiceUnavailable", "canary"), channel.Transient, "ServiceUnavailable"},
		},
	}
}

// TestSNSRequest checks the signature as AWS does: by the steps of "Create a signed AWS API request".
func TestSNSRequest(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	c := snsConformant()
	w.answer(c.accepted)
	m := testMessage(c, w)
	m.Category = "marketing"
	if _, err := providers.NewSNS(w.deps(), snsConfig(w)).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r := w.taken()[0]
	form, _ := url.ParseQuery(string(r.body))
	if form.Get("Action") != "Publish" || form.Get("PhoneNumber") != "+15005550006" || form.Get("Message") != "Text canary" || form.Get("Version") != "2010-03-31" ||
		form.Get("MessageAttributes.entry.1.Value.StringValue") != "Promotional" || form.Get("MessageAttributes.entry.2.Value.StringValue") != "weft" {
		t.Errorf("got %v", form)
	}
	r.header.Set("Host", strings.TrimPrefix(w.URL, "https://"))
	if got, want := r.header.Get("Authorization"), signV4(r, "eu-central-1", "sns", awsSecret); got != want {
		t.Errorf("signed as\n%s, want\n%s", got, want)
	}
	if r.header.Get("X-Amz-Security-Token") != "session-canary" || !strings.Contains(r.header.Get("Authorization"), "x-amz-security-token") {
		t.Error("the session's token is not signed")
	}
}

// signV4 computes the header Authorization of a request from its others, independently of AWS's library.
func signV4(r recorded, region, service, secret string) string {
	_, signed, _ := strings.Cut(r.header.Get("Authorization"), "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	canonical := r.method + "\n" + r.path + "\n\n"
	for name := range strings.SplitSeq(signed, ";") {
		canonical += name + ":" + strings.TrimSpace(r.header.Get(name)) + "\n"
	}
	canonical += "\n" + signed + "\n" + hexSHA256(r.body)
	at := r.header.Get("X-Amz-Date")
	scope := at[:8] + "/" + region + "/" + service + "/aws4_request"
	key := []byte("AWS4" + secret)
	for _, part := range []string{at[:8], region, service, "aws4_request", "AWS4-HMAC-SHA256\n" + at + "\n" + scope + "\n" + hexSHA256([]byte(canonical))} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	return "AWS4-HMAC-SHA256 Credential=" + awsKey + "/" + scope + ", SignedHeaders=" + signed + ", Signature=" + hex.EncodeToString(key)
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestSMSSettings(t *testing.T) {
	t.Parallel()
	twilio := providers.TwilioConfig{AccountSID: twilioAccount, AuthToken: "x", From: "weft", Weight: 1}
	sns := providers.SNSConfig{Region: "eu-central-1", AccessKeyID: "a", SecretAccessKey: "b", Weight: 1}
	for _, c := range []struct {
		setting string
		err     error
	}{
		{"", twilio.Check()}, {"", sns.Check()}, {"", providers.TwilioConfig{Weight: 1}.Check()}, {"", providers.SNSConfig{Weight: 1}.Check()},
		{"notification.twilio.weight", providers.TwilioConfig{}.Check()}, {"notification.sns.weight", providers.SNSConfig{}.Check()},
		{"notification.twilio.account_sid", with(twilio, func(c *providers.TwilioConfig) { c.AccountSID = "x" }).Check()},
		{"notification.twilio.auth_token", with(twilio, func(c *providers.TwilioConfig) { c.AuthToken = "" }).Check()},
		{"notification.twilio.from", with(twilio, func(c *providers.TwilioConfig) { c.From = "" }).Check()},
		{"notification.twilio.from", with(twilio, func(c *providers.TwilioConfig) { c.MessagingServiceSID = "MG" }).Check()},
		{"notification.twilio.weight", with(twilio, func(c *providers.TwilioConfig) { c.Weight = 0 }).Check()},
		{"notification.twilio.base_url", with(twilio, func(c *providers.TwilioConfig) { c.BaseURL = "api.twilio.com" }).Check()},
		{"notification.twilio.status_callback", with(twilio, func(c *providers.TwilioConfig) { c.StatusCallback = "ftp://x" }).Check()},
		{"notification.sns.region", with(sns, func(c *providers.SNSConfig) { c.Region = "Frankfurt" }).Check()},
		{"notification.sns.access_key_id", with(sns, func(c *providers.SNSConfig) { c.AccessKeyID = "" }).Check()},
		{"notification.sns.secret_access_key", with(sns, func(c *providers.SNSConfig) { c.SecretAccessKey = "" }).Check()},
		{"notification.sns.sender_id", with(sns, func(c *providers.SNSConfig) { c.SenderID = "much too long" }).Check()},
		{"notification.sns.weight", with(sns, func(c *providers.SNSConfig) { c.Weight = 1001 }).Check()},
	} {
		wantSetting(t, c.err, c.setting)
	}
}

func with[C any](c C, change func(*C)) C {
	change(&c)
	return c
}

// wantSetting fails unless err names exactly one setting, or is nil for "".
func wantSetting(t *testing.T, err error, setting string) {
	t.Helper()
	if setting == "" {
		if err != nil {
			t.Errorf("valid settings: %v", err)
		}
		return
	}
	if err == nil || !strings.HasPrefix(err.Error(), setting+" ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want an error of %s", err, setting)
	}
	if strings.Contains(fmt.Sprint(err), "canary") {
		t.Errorf("a secret is in %v", err)
	}
}
