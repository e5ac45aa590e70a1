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

// hookCase is a delivery of a provider's, and what it tells.
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

// handshakeCase is a question of the vendor's, and the answer.
type handshakeCase struct {
	Method  string            `json:"method"`
	Query   map[string]string `json:"query"`
	Headers map[string]string `json:"headers"`
	JSON    any               `json:"json"`
	// Signed questions are answered only where their signature verifies.
	Signed bool `json:"signed"`
	Answer struct {
		Status  int               `json:"status"`
		Text    string            `json:"text"`
		JSON    any               `json:"json"`
		Headers map[string]string `json:"headers"`
		Keeps   string            `json:"keeps"`
	} `json:"answer"`
}

// withoutHooks are the providers that deliver nothing that could be verified, or in a scheme that weft does not know.
var withoutHooks = map[string]string{
	"aws_s3":           "delivers by other services of AWS",
	"google_analytics": "delivers nothing",
	"google_sheets":    "delivers nothing; google_drive tells of changes of a spreadsheet",
	"linkedin":         "delivers to partners alone",
	"paypal":           "signs a CRC with a certificate that comes along",
	"salesforce":       "delivers SOAP",
	"youtube":          "delivers nothing that is signed",
}

// TestEveryHook signs a delivery by code of its own as each manifest says that its vendor does.
func TestEveryHook(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range providerIDs(t) {
		c, p := caseOf(t, id), loaded[id]
		if c == nil || p == nil {
			continue // TestCases and TestEveryManifestLoads say why.
		}
		_, without := withoutHooks[id]
		if (p.Webhook == nil) != without || (c.Webhook == nil) != without {
			t.Errorf("%s: has it a webhook: %v, a case of it: %v, should it: %v", id, p.Webhook != nil, c.Webhook != nil, !without)
			continue
		}
		if without {
			continue
		}
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			m, err := manifest.Parse([]byte(source(t, id)))
			if err != nil {
				t.Fatal(err)
			}
			v := newSigner(t, m.Webhook.Spec)
			verifies(t, p.Webhook, v, c.Webhook)
			refuses(t, p.Webhook.Scheme, v, c.Webhook)
			for i, h := range c.Webhook.Handshakes {
				shakes(t, p.Webhook, i, h)
			}
		})
	}
}

var hookNow = time.Unix(1_790_000_000, 0)

func verifies(t *testing.T, w *manifest.Webhook, v signer, c *hookCase) {
	t.Helper()
	if err := w.Scheme.Check(v.secret); err != nil {
		t.Errorf("the secret %v", err)
	}
	r := v.deliver(t, c, hookNow)
	verified, err := w.Scheme.Verify(r, v.keys(), hookNow.Add(30*time.Second))
	if err != nil || verified.Secret != 1 && len(v.public) == 0 {
		t.Fatalf("the delivery: %+v, %v", verified, err)
	}
	events, err := w.Events(r)
	if err != nil || len(events) != len(c.Events) {
		t.Fatalf("the delivery tells %v, %v", events, err)
	}
	for i, want := range c.Events {
		if events[i].Type != want.Type || events[i].ID != want.ID {
			t.Errorf("it tells %s %s, want %s %s", events[i].Type, events[i].ID, want.Type, want.ID)
		}
		if v.spec.Signature.Kind == webhook.Token && strings.Contains(string(events[i].Payload), v.secret) {
			t.Errorf("it tells the secret: %s", events[i].Payload)
		}
		var got any
		if err := json.Unmarshal(events[i].Payload, &got); err != nil || want.Payload != nil && !reflect.DeepEqual(got, want.Payload) {
			t.Errorf("its payload is %s, %v", events[i].Payload, err)
		}
	}
}

// refuses checks that nothing passes that is not as it was signed.
func refuses(t *testing.T, s *webhook.Scheme, v signer, c *hookCase) {
	t.Helper()
	r := v.deliver(t, c, hookNow)
	if _, err := s.Verify(r, webhook.Keys{Public: v.public}, hookNow); !errors.Is(err, webhook.ErrNoSecret) {
		t.Errorf("without a secret: %v", err)
	}
	if _, err := s.Verify(r, webhook.Keys{Secrets: []string{"another"}, Public: v.public}, hookNow); !errors.Is(err, webhook.ErrSignature) {
		t.Errorf("with another secret: %v", err)
	}
	if _, err := s.Verify(webhook.Request{Method: r.Method, URL: r.URL, Header: http.Header{}}, v.keys(), hookNow); !errors.Is(err, webhook.ErrUnsigned) {
		t.Errorf("without a signature: %v", err)
	}
	covers := v.spec.Signature.Kind != webhook.Token && v.spec.Signature.Kind != webhook.JWT
	if _, err := s.Verify(r, v.keys(), hookNow.Add(time.Hour)); (s.SignsTime() || !covers && len(v.spec.Signature.Claims) > 0) != errors.Is(err, webhook.ErrStale) {
		t.Errorf("an hour later: %v", err)
	}
	flips := 0
	passes := func(what string, r webhook.Request) {
		flips++
		if _, err := s.Verify(r, v.keys(), hookNow); err == nil {
			t.Errorf("it passes with a bit flipped in %s", what)
		}
	}
	for i := 0; covers && i < 8*len(r.Body); i++ {
		changed := r
		changed.Body = slices.Clone(r.Body)
		changed.Body[i/8] ^= 1 << (i % 8)
		passes("its body", changed)
	}
	place, name, _ := strings.Cut(v.spec.Signature.In[0], ":")
	if place == "bearer" || place == "basic" {
		name = "Authorization"
	}
	// After the scheme's name, which may be written in any case.
	text := r.Header.Get(name)
	for i := 8 * (strings.Index(text, " ") + 1); i < 8*len(text); i += 3 {
		flipped := []byte(text)
		flipped[i/8] ^= 1 << (i % 8)
		changed := r
		changed.Header = r.Header.Clone()
		changed.Header.Set(name, string(flipped))
		passes("its signature", changed)
	}
	if place == "query" || place == "body" || place == "form" {
		other := v
		other.secret = "S" + v.secret[1:]
		passes("its secret", other.deliver(t, c, hookNow))
	}
	if flips == 0 {
		t.Error("no bit was flipped")
	}
}

func shakes(t *testing.T, w *manifest.Webhook, i int, h handshakeCase) {
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
		t.Errorf("handshake %d is answered where signed is %v: %v", i, !h.Signed, err)
	}
	reply, err := w.Handshake(r, h.Signed, secrets)
	if err != nil || reply == nil {
		t.Errorf("handshake %d is not answered: %v", i, err)
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
		t.Errorf("handshake %d: the answer is %s, want %s", i, reply.Body, want)
	}
}
