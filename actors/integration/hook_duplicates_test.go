package integration_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const hookSecret = "It's-a-Secret-to-Everybody"

// connectHook connects a user to a shipped provider, whose API is v, and creates a hook.
func (b *fixture) connectHook(t testing.TB, as mesh.As, r subjects.ConnectIntegrationRequest) subjects.Hook {
	t.Helper()
	c := call(t, b, subjects.ConnectIntegration, as, r)
	h := call(t, b, subjects.CreateHook, as, subjects.CreateHookRequest{IntegrationID: c.ID, Secret: hookSecret})
	return h
}

// TestEqualDeliveriesAreEvents: deliveries with equal bytes are events of their own if the provider gives them ids of their own, and if
// it gives none and signs no time, since two changes may look alike. The same id is a repetition.
func TestEqualDeliveriesAreEvents(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		v := newFakeProvider(t, respond(200, `{"data":{"shop":{"id":"1"}}}`))
		b := setup(t, database, withConfig(func(c *integration.Config) {
			for _, id := range []string{"github", "gitlab", "shopify", "twilio", "onedrive", "microsoft_teams", "dropbox"} {
				c.Providers[id] = integration.ProviderConfig{BaseURL: v.URL}
			}
		}))
		_, ada := b.user(t)
		published := 0
		for _, c := range []struct {
			provider    string
			credentials subjects.SecretMap
			settings    map[string]any
			body        string
			sign        func(h subjects.Hook, body string) http.Header
			// ids is the header with the provider's id; the deliveries have the ids listed, "" for none.
			header string
			ids    string
			want   string
		}{
			{provider: "github", body: `{"zen":"x"}`, sign: hubSignature, header: "X-Github-Delivery", ids: "d1 d2 d1", want: "accepted accepted duplicate"},
			{provider: "gitlab", body: `{"object_kind":"push"}`, sign: gitLabToken, header: "X-Gitlab-Event-Uuid", ids: "e1 e2 e2 -", want: "accepted accepted duplicate accepted"},
			{
				provider: "shopify", settings: map[string]any{"shop": "acme"}, body: `{"id":7}`, sign: shopifySignature,
				header: "X-Shopify-Webhook-Id", ids: "w1 w2 w3 w3", want: "accepted accepted accepted duplicate",
			},
			{
				provider: "twilio", credentials: subjects.SecretMap{"account_sid": "AC" + strings.Repeat("0", 32), "auth_token": "0123456789abcdef"},
				body: "MessageStatus=sent", sign: twilioSignature, header: "I-Twilio-Idempotency-Token", ids: "t1 t2 t1 - -", want: "accepted accepted duplicate accepted accepted",
			},
			{provider: "onedrive", body: `{"value":[{"subscriptionId":"s","resource":"r","changeType":"updated","clientState":"SECRET"}]}`, ids: "- -", want: "accepted accepted"},
			{provider: "microsoft_teams", body: `{"value":[{"subscriptionId":"s","resource":"chats('1')/messages('2')","changeType":"updated","clientState":"SECRET"}]}`, ids: "- - -", want: "accepted accepted accepted"},
			{provider: "dropbox", body: `{"list_folder":{"accounts":["a"]}}`, sign: dropboxSignature, ids: "- -", want: "accepted accepted"},
		} {
			credentials := c.credentials
			if credentials == nil {
				credentials = subjects.SecretMap{"token": "token-0123456789"}
			}
			h := b.connectHook(t, ada, subjects.ConnectIntegrationRequest{Provider: c.provider, Credentials: credentials, Settings: c.settings})
			body := strings.ReplaceAll(c.body, "SECRET", hookSecret)
			var got []string
			for id := range strings.FieldsSeq(c.ids) {
				header := http.Header{}
				if c.sign != nil {
					header = c.sign(h, body)
				}
				if id != "-" {
					header.Set(c.header, id)
				}
				got = append(got, b.deliver(t, subjects.ReceiveWebhookRequest{Provider: c.provider, HookID: h.ID, Body: []byte(body), Headers: header}).Headers["Weft-Delivery"])
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("%s: got %s, want %s", c.provider, text, c.want)
			}
			published += strings.Count(c.want, "accepted")
		}
		ids := map[string]bool{}
		for _, event := range b.wantPublished(t, published) {
			ids[event.ID] = true
		}
		if len(ids) != published {
			t.Errorf("%d events have %d ids", published, len(ids))
		}
	})
}

func hubSignature(_ subjects.Hook, body string) http.Header {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	return http.Header{"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}, "X-Github-Event": {"ping"}}
}

func gitLabToken(subjects.Hook, string) http.Header {
	return http.Header{"X-Gitlab-Token": {hookSecret}}
}

func shopifySignature(_ subjects.Hook, body string) http.Header {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	return http.Header{"X-Shopify-Hmac-Sha256": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}, "X-Shopify-Topic": {"orders/create"}}
}

func dropboxSignature(_ subjects.Hook, body string) http.Header {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	return http.Header{"X-Dropbox-Signature": {hex.EncodeToString(mac.Sum(nil))}}
}

func twilioSignature(h subjects.Hook, body string) http.Header {
	mac := hmac.New(sha1.New, []byte(hookSecret))
	mac.Write([]byte(h.URL))
	form, _ := url.ParseQuery(body)
	for name := range form { // the test has one field
		mac.Write([]byte(name + form.Get(name)))
	}
	return http.Header{"X-Twilio-Signature": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}, "Content-Type": {"application/x-www-form-urlencoded"}}
}

// TestDeliveryUnderSvixNames: the scheme of Standard Webhooks is the same under the names of Svix, and a list of signatures is accepted.
func TestDeliveryUnderSvixNames(t *testing.T) {
	t.Parallel()
	now := &clock{}
	b := setup(t, actortest.Databases(t)[0], withClock(now))
	v := newFakeProvider(t, respond(200, `{}`))
	_, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	h := call(t, b, subjects.CreateHook, ada, subjects.CreateHookRequest{IntegrationID: c.ID})
	renamed := func(r subjects.ReceiveWebhookRequest) subjects.ReceiveWebhookRequest {
		headers := map[string][]string{}
		for name, values := range r.Headers {
			headers[strings.Replace(name, "webhook-", "svix-", 1)] = values
		}
		r.Headers = headers
		return r
	}
	good := renamed(standardDelivery(h, h.Secret, "msg_1", now.Now(), `{"type":"x"}`))
	good.Headers["svix-signature"][0] = "v1,b2xk " + good.Headers["svix-signature"][0] + " v1a,other"
	for _, want := range []string{"accepted", "duplicate"} {
		if got := b.deliver(t, good).Headers["Weft-Delivery"]; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if e := b.wantPublished(t, 1)[0]; e.Data.DeliveryID != "msg_1" || e.Type != "http.x" {
		t.Errorf("published: %+v", e)
	}
	// Names of both kinds are not mixed to another id.
	mixed := renamed(standardDelivery(h, h.Secret, "msg_2", now.Now(), `{"type":"x"}`))
	mixed.Headers["webhook-id"] = []string{"msg_3"}
	b.wantRefused(t, subjects.CodeUnauthenticated, mixed)
}

// TestAnswersAndDeliveriesWithByteOrderMark: a byte order mark before the JSON of an API's answer and of a delivery is ignored.
func TestAnswersAndDeliveriesWithByteOrderMark(t *testing.T) {
	t.Parallel()
	v := newFakeProvider(t, respond(200, "\xef\xbb\xbf{\"a\": 1}"))
	b := setup(t, actortest.Databases(t)[0])
	_, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	for _, kind := range []string{"application/json", "text/plain"} {
		v.setHandler(respond(200, "\xef\xbb\xbf{\"a\": 1}", "Content-Type", kind))
		if got := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"path":"/x"}`)); !strings.Contains(string(got.Output), `"body":{"a":1}`) {
			t.Errorf("%s: %s", kind, got.Output)
		}
	}
	h := call(t, b, subjects.CreateHook, ada, subjects.CreateHookRequest{IntegrationID: c.ID})
	b.deliver(t, standardDelivery(h, h.Secret, "msg_1", (&clock{}).Now(), "\xef\xbb\xbf{\"type\":\"order.paid\"}"))
	if e := b.wantPublished(t, 1)[0]; e.Type != "http.order.paid" || string(e.Data.Payload) != `{"type":"order.paid"}` {
		t.Errorf("published: %+v %s", e, e.Data.Payload)
	}
}

// TestDeliveriesOfADayAreBounded: beyond the deliveries of a day, or their bytes, a hook refuses with the time until the day ends, and
// publishes nothing. A repeated delivery counts, another user's hooks are not concerned.
func TestDeliveriesOfADayAreBounded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		v := newFakeProvider(t, respond(200, `{}`))
		b := setup(t, database, withConfig(func(c *integration.Config) {
			c.Providers["github"] = integration.ProviderConfig{BaseURL: v.URL}
			c.Webhooks.MaxDeliveriesPerDay, c.Webhooks.MaxBytesPerDay = 3, 1000
		}))
		hook := func(as mesh.As) subjects.Hook {
			return b.connectHook(t, as, subjects.ConnectIntegrationRequest{Provider: "github", Credentials: subjects.SecretMap{"token": "token-0123456789"}})
		}
		request := func(h subjects.Hook, id, body string) subjects.ReceiveWebhookRequest {
			header := hubSignature(h, body)
			header.Set("X-Github-Delivery", id)
			return subjects.ReceiveWebhookRequest{Provider: "github", HookID: h.ID, Body: []byte(body), Headers: header}
		}
		_, ada := b.user(t)
		_, eve := b.user(t)
		h, other := hook(ada), hook(eve)
		for _, id := range []string{"1", "2", "2"} {
			b.deliver(t, request(h, id, `{"zen":"x"}`))
		}
		e := wantCode(t, b, subjects.CodeRateLimited, subjects.ReceiveWebhook, mesh.As{}, request(h, "3", `{"zen":"x"}`))
		if e.RetryAfter <= 0 || e.RetryAfter > 24*time.Hour || !strings.Contains(e.Detail, "(integration.webhooks.max_deliveries_per_day)") {
			t.Errorf("a fourth delivery: %+v", e)
		}
		large := `{"zen":"` + strings.Repeat("x", 1000) + `"}`
		if e := wantCode(t, b, subjects.CodeRateLimited, subjects.ReceiveWebhook, mesh.As{}, request(other, "1", large)); !strings.Contains(e.Detail, "(integration.webhooks.max_bytes_per_day)") {
			t.Errorf("a large delivery: %+v", e)
		}
		b.deliver(t, request(other, "2", `{"zen":"x"}`))
		b.wantPublished(t, 3)
		for _, l := range call(t, b, subjects.GetIntegrationLimits, ada, subjects.Empty{}).Items {
			if l.Name == "integration.webhooks.max_deliveries_per_day" && (*l.Used != 3 || l.Period != 24*3600) {
				t.Errorf("the limits say %+v", l)
			}
		}
	})
}

// TestDeliveriesOfAMinuteAreBounded: beyond the bytes of a minute a hook refuses with the time until the minute ends.
func TestDeliveriesOfAMinuteAreBounded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		v, now := newFakeProvider(t, respond(200, `{}`)), &clock{}
		now.advance(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute))) // a minute starts now
		b := setup(t, database, withClock(now), withConfig(func(c *integration.Config) {
			c.Providers["github"] = integration.ProviderConfig{BaseURL: v.URL}
			c.Webhooks.MaxBytesPerMinute = 500
		}))
		_, ada := b.user(t)
		h := b.connectHook(t, ada, subjects.ConnectIntegrationRequest{Provider: "github", Credentials: subjects.SecretMap{"token": "token-0123456789"}})
		body := `{"zen":"` + strings.Repeat("x", 300) + `"}`
		request := func(id string) subjects.ReceiveWebhookRequest {
			header := hubSignature(h, body)
			header.Set("X-Github-Delivery", id)
			return subjects.ReceiveWebhookRequest{Provider: "github", HookID: h.ID, Body: []byte(body), Headers: header}
		}
		b.deliver(t, request("1"))
		e := wantCode(t, b, subjects.CodeRateLimited, subjects.ReceiveWebhook, mesh.As{}, request("2"))
		if e.RetryAfter <= 0 || e.RetryAfter > time.Minute || !strings.Contains(e.Detail, "(integration.webhooks.max_bytes_per_minute)") {
			t.Errorf("more than the bytes of a minute: %+v", e)
		}
		now.advance(time.Minute)
		b.deliver(t, request("2"))
		b.wantPublished(t, 2)
	})
}
