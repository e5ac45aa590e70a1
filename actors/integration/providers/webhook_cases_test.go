package providers_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
)

// hookCase is a delivery of a provider with its expected events, and its handshakes.
type hookCase struct {
	JSON    any               `json:"json"`
	Form    map[string]string `json:"form"`
	Headers map[string]string `json:"headers"`
	Events  []struct {
		Type    string `json:"type"`
		ID      string `json:"id"`
		Payload any    `json:"payload"`
	} `json:"events"`
	Handshakes []handshakeCase `json:"handshakes"`
}

// handshakeCase is a handshake and the expected response.
type handshakeCase struct {
	Method  string            `json:"method"`
	Query   map[string]string `json:"query"`
	Headers map[string]string `json:"headers"`
	JSON    any               `json:"json"`
	// Signed handshakes are answered only if their signature is valid.
	Signed bool `json:"signed"`
	Answer struct {
		Status  int               `json:"status"`
		Text    string            `json:"text"`
		JSON    any               `json:"json"`
		Headers map[string]string `json:"headers"`
		Keeps   string            `json:"keeps"`
	} `json:"answer"`
}

// TestWebhooks verifies a delivery of each provider, which signer signs independently of package webhook, and tests its
// events and handshakes. A provider without a webhook must give a reason.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range providerIDs(t) {
		c, p := caseOf(t, id), loaded[id]
		if c == nil || p == nil {
			continue // TestCases and TestManifestsLoad report the error.
		}
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			c.checkWebhook(t, p, source(t, id))
		})
	}
}

// checkWebhook checks the delivery and the handshakes of a case. source is the text of the manifest.
func (c *providerCase) checkWebhook(t *testing.T, p *manifest.Provider, source string) {
	t.Helper()
	without := c.NoWebhook != ""
	if (p.Webhook == nil) != without || (c.Webhook == nil) != without {
		t.Errorf("testdata/%s.yaml: webhook is required if the manifest has one, and no_webhook if it has none", p.ID)
		return
	}
	if without {
		return
	}
	m, err := manifest.Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	s := newSigner(t, m.Webhook.Spec)
	checkDelivery(t, p.Webhook, s, c.Webhook)
	checkForgeries(t, p.Webhook.Scheme, s, c.Webhook)
	for i, h := range c.Webhook.Handshakes {
		checkHandshake(t, p.Webhook, i, h)
	}
}

var hookNow = time.Unix(1_790_000_000, 0)

// checkDelivery checks that a delivery verifies and has the expected events.
func checkDelivery(t *testing.T, w *manifest.Webhook, v signer, c *hookCase) {
	t.Helper()
	if err := w.Scheme.Check(v.secret); err != nil {
		t.Errorf("Check: the secret %v", err)
	}
	r := v.deliver(t, c, hookNow)
	verified, err := w.Scheme.Verify(r, v.keys(), hookNow.Add(30*time.Second))
	if err != nil || verified.Secret != 1 && len(v.public) == 0 {
		t.Fatalf("Verify: %+v, %v", verified, err)
	}
	events, err := w.Events(r)
	if err != nil || len(events) != len(c.Events) {
		t.Fatalf("got the events %v, %v", events, err)
	}
	for i, want := range c.Events {
		if events[i].Type != want.Type || events[i].ID != want.ID {
			t.Errorf("got the event %s %s, want %s %s", events[i].Type, events[i].ID, want.Type, want.ID)
		}
		if v.spec.Signature.Kind == webhook.Token && strings.Contains(string(events[i].Payload), v.secret) {
			t.Errorf("the payload contains the secret: %s", events[i].Payload)
		}
		var got any
		if err := json.Unmarshal(events[i].Payload, &got); err != nil || want.Payload != nil && !reflect.DeepEqual(got, want.Payload) {
			t.Errorf("got the payload %s, %v", events[i].Payload, err)
		}
	}
}

// checkForgeries checks that unsigned, wrongly signed, old and modified deliveries are rejected.
func checkForgeries(t *testing.T, s *webhook.Scheme, v signer, c *hookCase) {
	t.Helper()
	r := v.deliver(t, c, hookNow)
	if _, err := s.Verify(r, webhook.Keys{Public: v.public}, hookNow); !errors.Is(err, webhook.ErrNoSecret) {
		t.Errorf("without a secret: got %v, want ErrNoSecret", err)
	}
	if _, err := s.Verify(r, webhook.Keys{Secrets: []string{"another"}, Public: v.public}, hookNow); !errors.Is(err, webhook.ErrSignature) {
		t.Errorf("with another secret: got %v, want ErrSignature", err)
	}
	if _, err := s.Verify(webhook.Request{Method: r.Method, URL: r.URL, Header: http.Header{}}, v.keys(), hookNow); !errors.Is(err, webhook.ErrUnsigned) {
		t.Errorf("without a signature: got %v, want ErrUnsigned", err)
	}
	covers := v.spec.Signature.Kind != webhook.Token && v.spec.Signature.Kind != webhook.JWT
	if _, err := s.Verify(r, v.keys(), hookNow.Add(time.Hour)); (s.SignsTime() || !covers && len(v.spec.Signature.Claims) > 0) != errors.Is(err, webhook.ErrStale) {
		t.Errorf("an hour later: got %v", err)
	}
	flips := 0
	wantRejected := func(what string, r webhook.Request) {
		flips++
		if _, err := s.Verify(r, v.keys(), hookNow); err == nil {
			t.Errorf("a delivery with a bit flipped in its %s verified", what)
		}
	}
	for i := 0; covers && i < 8*len(r.Body); i++ {
		changed := r
		changed.Body = slices.Clone(r.Body)
		changed.Body[i/8] ^= 1 << (i % 8)
		wantRejected("body", changed)
	}
	place, name, _ := strings.Cut(v.spec.Signature.In[0], ":")
	if place == "bearer" || place == "basic" {
		name = "Authorization"
	}
	// The name of an Authorization scheme is case-insensitive, and is not flipped.
	text := r.Header.Get(name)
	for i := 8 * (strings.Index(text, " ") + 1); i < 8*len(text); i += 3 {
		flipped := []byte(text)
		flipped[i/8] ^= 1 << (i % 8)
		changed := r
		changed.Header = r.Header.Clone()
		changed.Header.Set(name, string(flipped))
		wantRejected("signature", changed)
	}
	if place == "query" || place == "body" || place == "form" {
		other := v
		other.secret = "S" + v.secret[1:]
		wantRejected("secret", other.deliver(t, c, hookNow))
	}
	if flips == 0 {
		t.Error("no bit was flipped")
	}
}

// checkHandshake checks that a handshake has the expected response, and only with or without a verified signature.
func checkHandshake(t *testing.T, w *manifest.Webhook, i int, h handshakeCase) {
	t.Helper()
	r := webhook.Request{Method: h.Method, URL: hookAddress, Header: http.Header{}, Query: url.Values{}}
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	for name, value := range h.Query {
		r.Query.Set(name, value)
	}
	for name, value := range h.Headers {
		r.Header.Set(name, value)
	}
	if h.JSON != nil {
		r.Body = []byte(asJSON(t, h.JSON))
	}
	secrets := []string{"s3cret"}
	if h.Answer.Keeps != "" {
		secrets = nil
	}
	if reply, err := w.Handshake(r, !h.Signed, secrets); err != nil || reply != nil {
		t.Errorf("handshake %d was answered with verified = %v: %v", i, !h.Signed, err)
	}
	reply, err := w.Handshake(r, h.Signed, secrets)
	if err != nil || reply == nil {
		t.Errorf("handshake %d was not answered: %v", i, err)
		return
	}
	if reply.Status != h.Answer.Status || reply.Secret != h.Answer.Keeps || len(reply.Headers) != len(h.Answer.Headers) {
		t.Errorf("handshake %d: status %d, secret %q, headers %v", i, reply.Status, reply.Secret, reply.Headers)
	}
	for name, value := range h.Answer.Headers {
		if reply.Headers[name] != value {
			t.Errorf("handshake %d: headers %v", i, reply.Headers)
		}
	}
	want := h.Answer.Text
	if h.Answer.JSON != nil {
		want = asJSON(t, h.Answer.JSON)
	}
	if string(reply.Body) != want {
		t.Errorf("handshake %d: got the body %s, want %s", i, reply.Body, want)
	}
}
