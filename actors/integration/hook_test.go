package integration_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// clock is the real clock plus an offset.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// withClock sets the actor's clock. Access tokens are issued by the real clock.
func withClock(c *clock) option {
	return func(_ *integration.Config, host *[]actortest.HostOption) {
		*host = append(*host, func(h *runtime.HostConfig) { h.Now = c.Now })
	}
}

// standardDelivery is a delivery signed as Standard Webhooks specifies.
func standardDelivery(h subjects.Hook, secret, id string, when time.Time, body string) subjects.ReceiveWebhookRequest {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	stamp := strconv.FormatInt(when.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	return subjects.ReceiveWebhookRequest{Provider: h.Provider, HookID: h.ID, Body: []byte(body), Headers: map[string][]string{
		"webhook-id": {id}, "webhook-timestamp": {stamp}, "webhook-signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}}
}

// published returns the webhook events in the event stream, oldest first.
func (b *fixture) published(t testing.TB) []subjects.Envelope[subjects.WebhookDelivery] {
	t.Helper()
	stream, err := b.mesh.Conn(t, "operator").JS.Stream(t.Context(), subjects.Events.Name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []subjects.Envelope[subjects.WebhookDelivery]
	for seq := max(info.State.FirstSeq, 1); seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil || m.Subject != subjects.WebhookReceived.Subject {
			continue
		}
		var e subjects.Envelope[subjects.WebhookDelivery]
		if err := json.Unmarshal(m.Data, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func (b *fixture) wantPublished(t testing.TB, n int) []subjects.Envelope[subjects.WebhookDelivery] {
	t.Helper()
	var all []subjects.Envelope[subjects.WebhookDelivery]
	actortest.Eventually(t, strconv.Itoa(n)+" events", func() bool {
		all = b.published(t)
		return len(all) >= n
	})
	if len(all) != n {
		t.Fatalf("%d events were published, want %d: %+v", len(all), n, all)
	}
	return all
}

func (b *fixture) deliver(t testing.TB, r subjects.ReceiveWebhookRequest) subjects.Document {
	t.Helper()
	return call(t, b, subjects.ReceiveWebhook, mesh.As{}, r)
}

func (b *fixture) wantRefused(t testing.TB, code subjects.Code, r subjects.ReceiveWebhookRequest) {
	t.Helper()
	if e := wantCode(t, b, code, subjects.ReceiveWebhook, mesh.As{}, r); strings.Contains(e.Error(), "whsec_") {
		t.Errorf("the refusal contains a secret: %v", e)
	}
}

func TestDelivery(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		now := &clock{}
		b := setup(t, database, withClock(now))
		v := newFakeProvider(t, respond(200, `{}`))
		id, ada := b.user(t)
		_, eve := b.user(t)
		c := b.connectTo(t, v, ada, "shop")
		h := call(t, b, subjects.CreateHook, ada, subjects.CreateHookRequest{IntegrationID: c.ID, Label: "orders"})
		if h.Status != subjects.HookActive || h.SecretFrom != "weft" || !strings.HasPrefix(h.Secret, "whsec_") || h.URL != "http://127.0.0.1:8080/v1/hooks/http/"+h.ID || h.Help == "" {
			t.Fatalf("created: %+v", h)
		}
		good := standardDelivery(h, h.Secret, "msg_1", now.Now(), `{"type": "order.paid", "n": 12345678901234567890}`)
		if d := b.deliver(t, good); d.Status != 0 || len(d.Body) != 0 || d.Headers["Weft-Delivery"] != "accepted" {
			t.Errorf("the response is %+v", d)
		}
		e := b.wantPublished(t, 1)[0]
		if e.Type != "http.order.paid" || e.Source != "/integrations/"+c.ID || e.UserID != id || e.ID != h.ID+":msg_1" || e.Data.DeliveryID != "msg_1" ||
			e.Data.HookID != h.ID || e.Data.Label != "shop" || string(e.Data.Payload) != `{"type":"order.paid","n":12345678901234567890}` {
			t.Errorf("published: %+v %s", e, e.Data.Payload)
		}

		again := standardDelivery(h, h.Secret, "msg_1", now.Now().Add(time.Second), `{"type": "order.paid"}`)
		for _, replay := range []subjects.ReceiveWebhookRequest{good, again} {
			if d := b.deliver(t, replay); d.Headers["Weft-Delivery"] != "duplicate" {
				t.Errorf("the response to a replay is %+v", d)
			}
		}
		stale := standardDelivery(h, h.Secret, "msg_2", now.Now().Add(-6*time.Minute), `{}`)
		forged := standardDelivery(h, "whsec_Zm9yZ2VkZm9yZ2VkZm9yZ2Vk", "msg_3", now.Now(), `{}`)
		changed := standardDelivery(h, h.Secret, "msg_4", now.Now(), `{"a":1}`)
		changed.Body[5] ^= 1
		unsigned := standardDelivery(h, h.Secret, "msg_5", now.Now(), `{}`)
		delete(unsigned.Headers, "webhook-signature")
		for _, bad := range []subjects.ReceiveWebhookRequest{stale, forged, changed, unsigned} {
			b.wantRefused(t, subjects.CodeUnauthenticated, bad)
		}
		other := good
		other.Provider = "slack"
		b.wantRefused(t, subjects.CodeNotFound, other)
		other = good
		other.HookID = c.ID
		b.wantRefused(t, subjects.CodeNotFound, other)
		b.deliver(t, standardDelivery(h, h.Secret, "msg_6", now.Now(), `not json`))
		if all := b.wantPublished(t, 2); all[1].Type != "http.delivery" || string(all[1].Data.Payload) != `"not json"` {
			t.Errorf("published: %+v %s", all[1], all[1].Data.Payload)
		}

		one := subjects.HookRequest{IntegrationID: c.ID, HookID: h.ID}
		got := call(t, b, subjects.GetHook, ada, one)
		list := call(t, b, subjects.ListHooks, ada, subjects.ListHooksRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: c.ID}})
		if got.Secret != "" || got.ReceivedAt == nil || len(list.Items) != 1 || list.Items[0].Secret != "" || list.Items[0].ID != h.ID {
			t.Errorf("got %+v, listed %+v", got, list)
		}
		wantCode(t, b, subjects.CodeNotFound, subjects.GetHook, eve, one)
		wantCode(t, b, subjects.CodeNotFound, subjects.DeleteHook, eve, one)
		wantCode(t, b, subjects.CodeNotFound, subjects.CreateHook, eve, subjects.CreateHookRequest{IntegrationID: c.ID})
		wantCode(t, b, subjects.CodeNotFound, subjects.RotateHookSecret, eve, subjects.RotateHookSecretRequest{IntegrationID: c.ID, HookID: h.ID})

		call(t, b, subjects.UpdateIntegration, ada, subjects.UpdateIntegrationRequest{IntegrationID: c.ID, Status: subjects.ConnectionDisabled})
		b.wantRefused(t, subjects.CodeNotFound, standardDelivery(h, h.Secret, "msg_7", now.Now(), `{}`))
		call(t, b, subjects.UpdateIntegration, ada, subjects.UpdateIntegrationRequest{IntegrationID: c.ID, Status: subjects.ConnectionActive})
		call(t, b, subjects.DisconnectIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
		b.wantRefused(t, subjects.CodeNotFound, standardDelivery(h, h.Secret, "msg_8", now.Now(), `{}`))
		b.wantPublished(t, 2)
	})
}

func TestConcurrentDeliveries(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		v := newFakeProvider(t, respond(200, `{}`))
		_, ada := b.user(t)
		c := b.connectTo(t, v, ada, "")
		h := call(t, b, subjects.CreateHook, ada, subjects.CreateHookRequest{IntegrationID: c.ID})
		const ids, copies = 5, 8
		results := make(chan string, ids*copies)
		var group sync.WaitGroup
		for i := range ids {
			r := standardDelivery(h, h.Secret, "msg_"+strconv.Itoa(i), time.Now(), `{"type":"x"}`)
			for range copies {
				group.Go(func() {
					d, err := mesh.Call(t.Context(), b.caller, subjects.ReceiveWebhook, r, mesh.As{})
					if err != nil {
						results <- err.Error()
						return
					}
					results <- d.Headers["Weft-Delivery"]
				})
			}
		}
		group.Wait()
		close(results)
		count := map[string]int{}
		for result := range results {
			count[result]++
		}
		if count["accepted"] != ids || count["duplicate"] != ids*(copies-1) {
			t.Errorf("results: %v", count)
		}
		b.wantPublished(t, ids)
	})
}

func TestRotateHookSecret(t *testing.T) {
	t.Parallel()
	now := &clock{}
	b := setup(t, actortest.Databases(t)[0], withClock(now), withConfig(func(c *integration.Config) { c.Webhooks.OldSecret = time.Minute }))
	v := newFakeProvider(t, respond(200, `{}`))
	_, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	h := call(t, b, subjects.CreateHook, ada, subjects.CreateHookRequest{IntegrationID: c.ID})
	rotate := func(r subjects.RotateHookSecretRequest) subjects.Hook {
		r.IntegrationID, r.HookID = c.ID, h.ID
		return call(t, b, subjects.RotateHookSecret, ada, r)
	}
	second := rotate(subjects.RotateHookSecretRequest{})
	if second.Secret == h.Secret || second.Secret == "" || second.OldSecretUntil == nil {
		t.Fatalf("rotated: %+v", second)
	}
	n := 0
	send := func(secret string) subjects.ReceiveWebhookRequest {
		n++
		return standardDelivery(h, secret, "msg_"+strconv.Itoa(n), now.Now(), `{}`)
	}
	b.deliver(t, send(h.Secret))
	b.deliver(t, send(second.Secret))
	now.advance(2 * time.Minute)
	b.wantRefused(t, subjects.CodeUnauthenticated, send(h.Secret))
	b.deliver(t, send(second.Secret))
	const providerSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	if third := rotate(subjects.RotateHookSecretRequest{Secret: providerSecret, DropOld: true}); third.Secret != "" || third.OldSecretUntil != nil {
		t.Errorf("rotated: %+v", third)
	}
	b.wantRefused(t, subjects.CodeUnauthenticated, send(second.Secret))
	b.deliver(t, send(providerSecret))
	bad := wantCode(t, b, subjects.CodeInvalid, subjects.RotateHookSecret, ada, subjects.RotateHookSecretRequest{IntegrationID: c.ID, HookID: h.ID, Secret: "whsec_!!!"})
	if bad.Fields[0].Field != "secret" || strings.Contains(bad.Error(), "!!!") {
		t.Errorf("an invalid secret: %+v", bad)
	}
	b.wantPublished(t, 4)
}

// TestHookWithoutSecret tests that a hook refuses deliveries until its owner sets the secret that the provider made.
func TestHookWithoutSecret(t *testing.T) {
	t.Parallel()
	v := newFakeProvider(t, respond(200, `{"ok":true,"team":"T","user_id":"U"}`))
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) {
		c.Providers["slack"] = integration.ProviderConfig{BaseURL: v.URL}
		c.Webhooks.PerConnection = 1
	}))
	_, ada := b.user(t)
	c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{Provider: "slack", Credentials: subjects.SecretMap{"token": "xoxb-1234567890"}})
	h := call(t, b, subjects.CreateHook, ada, subjects.CreateHookRequest{IntegrationID: c.ID})
	if h.Status != subjects.HookPending || h.Secret != "" || h.SecretFrom != "provider" {
		t.Errorf("created: %+v", h)
	}
	wantCode(t, b, subjects.CodeRateLimited, subjects.CreateHook, ada, subjects.CreateHookRequest{IntegrationID: c.ID})
	const secret = "8f742231b10e8888abcd99yyyzzz85a5"
	send := func(body string) subjects.ReceiveWebhookRequest {
		stamp := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte("v0:" + stamp + ":" + body))
		return subjects.ReceiveWebhookRequest{Provider: "slack", HookID: h.ID, Body: []byte(body), Headers: map[string][]string{
			"X-Slack-Request-Timestamp": {stamp}, "X-Slack-Signature": {"v0=" + hex.EncodeToString(mac.Sum(nil))},
		}}
	}
	challenge := `{"type":"url_verification","challenge":"c1"}`
	b.wantRefused(t, subjects.CodeUnauthenticated, send(challenge))
	wantCode(t, b, subjects.CodeInvalid, subjects.RotateHookSecret, ada, subjects.RotateHookSecretRequest{IntegrationID: c.ID, HookID: h.ID})
	if got := call(t, b, subjects.RotateHookSecret, ada, subjects.RotateHookSecretRequest{IntegrationID: c.ID, HookID: h.ID, Secret: secret}); got.Status != subjects.HookActive || got.Secret != "" {
		t.Errorf("with its secret: %+v", got)
	}
	if d := b.deliver(t, send(challenge)); string(d.Body) != "c1" || d.ContentType != "text/plain; charset=utf-8" {
		t.Errorf("the response to the handshake is %+v", d)
	}
	b.deliver(t, send(`{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}`))
	if e := b.wantPublished(t, 1)[0]; e.Type != "slack.message" || e.Data.DeliveryID != "Ev1" {
		t.Errorf("published: %+v", e)
	}
	wantCode(t, b, subjects.CodeNotFound, subjects.AnswerWebhook, mesh.As{}, subjects.AnswerWebhookRequest{Provider: "slack", HookID: h.ID, Query: "challenge=x"})
	call(t, b, subjects.DeleteHook, ada, subjects.HookRequest{IntegrationID: c.ID, HookID: h.ID})
	b.wantRefused(t, subjects.CodeNotFound, send(challenge))
}
