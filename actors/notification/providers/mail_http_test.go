package providers_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/mail"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
)

func newSendGrid(t *testing.T, api *mailAPI) *providers.SendGrid {
	t.Helper()
	p, err := providers.NewSendGrid(mailDeps(t), providers.SendGridConfig{APIKey: "SG.canary", From: "weft <weft@example.com>", BaseURL: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newSES(t *testing.T, api *mailAPI) *providers.SES {
	t.Helper()
	p, err := providers.NewSES(mailDeps(t), providers.SESConfig{
		Region: "eu-central-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secretcanary", From: "weft <weft@example.com>", BaseURL: api.URL,
		ConfigurationSet: "weft",
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSendGridRequest: the request is the one of the documentation of POST /v3/mail/send.
func TestSendGridRequest(t *testing.T) {
	t.Parallel()
	api := newMailAPI(t)
	api.status, api.header = 202, map[string]string{"X-Message-Id": "14c5d75ce93.dfd.64b469"}
	p := newSendGrid(t, api)
	receipt, err := p.Send(t.Context(), testMail())
	if err != nil || receipt.Provider != "sendgrid" || receipt.MessageID != "14c5d75ce93.dfd.64b469" {
		t.Fatalf("%+v, %v", receipt, err)
	}
	r := api.requests[0]
	if r.Method != "POST" || r.URL.Path != "/v3/mail/send" || r.Header.Get("Authorization") != "Bearer SG.canary" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	var sent struct {
		Personalizations []struct {
			To         []map[string]string `json:"to"`
			CustomArgs map[string]string   `json:"custom_args"`
		} `json:"personalizations"`
		From     map[string]string          `json:"from"`
		Subject  string                     `json:"subject"`
		Content  []map[string]string        `json:"content"`
		Headers  map[string]string          `json:"headers"`
		Tracking map[string]map[string]bool `json:"tracking_settings"`
	}
	if err := json.Unmarshal([]byte(api.bodies[0]), &sent); err != nil {
		t.Fatal(err)
	}
	if len(sent.Personalizations) != 1 || len(sent.Personalizations[0].To) != 1 || sent.Personalizations[0].To[0]["email"] != "ada@example.org" ||
		sent.Personalizations[0].CustomArgs["weft_id"] != testMail().ID || sent.Subject != "Grüße ✓ Bcc: eve@example.com" {
		t.Errorf("sent %+v", sent)
	}
	if !maps.Equal(sent.From, map[string]string{"email": "weft@example.com", "name": "weft"}) {
		t.Errorf("from %v", sent.From)
	}
	if len(sent.Content) != 2 || sent.Content[0]["type"] != "text/plain" || sent.Content[1]["type"] != "text/html" || !strings.Contains(sent.Content[1]["value"], "style=") {
		t.Errorf("content %v", sent.Content)
	}
	if sent.Headers["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click" || sent.Headers["List-Unsubscribe"] == "" || sent.Headers["Message-ID"] == "" {
		t.Errorf("headers %v", sent.Headers)
	}
	if sent.Tracking["click_tracking"]["enable"] || sent.Tracking["open_tracking"]["enable"] || len(sent.Tracking) != 3 {
		t.Errorf("tracking without consent: %v", sent.Tracking)
	}
	m := testMail()
	m.Track = true
	if _, err := p.Send(t.Context(), m); err != nil || !strings.Contains(api.bodies[1], `"open_tracking":{"enable":true}`) {
		t.Errorf("with consent: %v, %s", err, api.bodies[1])
	}
}

// TestSESRequest: the request is the one of the documentation of SendEmail, and its content a message in MIME.
func TestSESRequest(t *testing.T) {
	t.Parallel()
	api := newMailAPI(t)
	api.body = `{"MessageId":"0107018b"}`
	receipt, err := newSES(t, api).Send(t.Context(), testMail())
	if err != nil || receipt != (channel.Receipt{Provider: "ses", MessageID: "0107018b"}) {
		t.Fatalf("%+v, %v", receipt, err)
	}
	r := api.requests[0]
	authorization := r.Header.Get("Authorization")
	if r.Method != "POST" || r.URL.Path != "/v2/email/outbound-emails" || r.Header.Get("X-Amz-Date") != "20261130T120000Z" ||
		!strings.HasPrefix(authorization, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261130/eu-central-1/ses/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=") {
		t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	var sent struct {
		FromEmailAddress, ConfigurationSetName string
		Destination                            struct{ ToAddresses []string }
		Content                                struct{ Raw struct{ Data string } }
	}
	if err := json.Unmarshal([]byte(api.bodies[0]), &sent); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(sent.Content.Raw.Data)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil || m.Header.Get("List-Unsubscribe-Post") == "" || m.Header.Get("To") != "<ada@example.org>" {
		t.Errorf("%v, %v", m, err)
	}
	if sent.ConfigurationSetName != "weft" || len(sent.Destination.ToAddresses) != 1 || sent.Destination.ToAddresses[0] != "ada@example.org" || sent.FromEmailAddress == "" {
		t.Errorf("sent %+v", sent)
	}
}

// TestMailRefusals: the documented errors have the class that they mean, and no error has the address, the content or a secret.
func TestMailRefusals(t *testing.T) {
	t.Parallel()
	type refusal struct {
		name   string
		status int
		header map[string]string
		body   string
		class  channel.Class
		after  time.Duration
	}
	sendgridError := func(field string) string {
		return `{"errors":[{"message":"Invalid ada@example.org","field":"` + field + `","help":null}]}`
	}
	sesError := func(kind string) map[string]string { return map[string]string{"X-Amzn-ErrorType": kind} }
	for name, test := range map[string]struct {
		open     func(*testing.T, *mailAPI) channel.Provider
		refusals []refusal
	}{
		"sendgrid": {func(t *testing.T, a *mailAPI) channel.Provider { return newSendGrid(t, a) }, []refusal{
			{"bad address", 400, nil, sendgridError("personalizations.0.to.0.email"), channel.Suppressed, 0},
			{"bad content", 400, nil, sendgridError("content.0.value"), channel.Permanent, 0},
			{"bad sender", 400, nil, sendgridError("from.email"), channel.Transient, 0},
			{"bad key", 401, nil, sendgridError("null"), channel.Transient, 0},
			{"sender not verified", 403, nil, sendgridError("from"), channel.Transient, 0},
			{"too large", 413, nil, "", channel.Permanent, 0},
			{"rate", 429, map[string]string{"X-RateLimit-Reset": strconv.FormatInt(mailNow.Add(7*time.Second).Unix(), 10)}, "", channel.Throttled, 7 * time.Second},
			{"failure", 500, nil, "", channel.Transient, 0},
			{"overload", 503, map[string]string{"Retry-After": "9"}, "", channel.Throttled, 9 * time.Second},
			{"no JSON", 400, nil, "<html>", channel.Permanent, 0},
		}},
		"ses": {func(t *testing.T, a *mailAPI) channel.Provider { return newSES(t, a) }, []refusal{
			{"rejected", 400, sesError("MessageRejected"), `{"message":"virus"}`, channel.Permanent, 0},
			{"not verified", 400, sesError("MessageRejected"), `{"message":"Email address is not verified. ada@example.org"}`, channel.Transient, 0},
			{"bad request", 400, sesError("BadRequestException"), `{"message":"ada@example.org"}`, channel.Permanent, 0},
			{"quota", 400, sesError("LimitExceededException"), `{}`, channel.Throttled, 0},
			{"rate", 429, sesError("TooManyRequestsException:http://internal.amazon.com/"), `{}`, channel.Throttled, 0},
			{"paused", 400, sesError("SendingPausedException"), `{}`, channel.Transient, 0},
			{"mail from", 400, nil, `{"__type":"com.amazonaws.sesv2#MailFromDomainNotVerifiedException","message":"x"}`, channel.Transient, 0},
			{"configuration set", 404, sesError("NotFoundException"), `{}`, channel.Transient, 0},
			{"signature", 403, sesError("SignatureDoesNotMatch"), `{"message":"secretcanary"}`, channel.Transient, 0},
			{"failure", 500, nil, ``, channel.Transient, 0},
			{"acceptance that cannot be read", 200, nil, `<html>`, channel.Transient, 0},
		}},
	} {
		api := newMailAPI(t)
		p := test.open(t, api)
		for _, r := range test.refusals {
			api.status, api.header, api.body = r.status, r.header, r.body
			_, err := p.Send(t.Context(), testMail())
			var e *channel.Error
			if !errors.As(err, &e) || e.Class != r.class || e.RetryAfter != r.after || e.Detail == "" {
				t.Errorf("%s: %s: %v, class %s, after %s", name, r.name, err, channel.ClassOf(err), e.RetryAfter)
				continue
			}
			for _, canary := range []string{"ada@", "canary", "order"} {
				if strings.Contains(err.Error(), canary) {
					t.Errorf("%s: %s: the error has %q: %v", name, r.name, canary, err)
				}
			}
		}
		api.Close()
		if _, err := p.Send(t.Context(), testMail()); channel.ClassOf(err) != channel.Transient {
			t.Errorf("%s: unreachable: %v", name, err)
		}
		m := testMail()
		m.Address.To = "no address"
		if _, err := p.Send(t.Context(), m); name == "ses" && channel.ClassOf(err) != channel.Permanent {
			t.Errorf("%s: no address: %v", name, err)
		}
	}
}
