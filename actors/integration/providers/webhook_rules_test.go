package providers_test

import (
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
)

// hookCases calls check for every provider with webhooks.
func hookCases(t *testing.T, check func(t *testing.T, w *manifest.Webhook, spec *manifest.WebhookSpec, v signer, c *hookCase)) {
	t.Helper()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range providerIDs(t) {
		c, p := caseOf(t, id), loaded[id]
		if c == nil || p == nil || p.Webhook == nil {
			continue
		}
		m, err := manifest.Parse([]byte(source(t, id)))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			check(t, p.Webhook, m.Webhook, newSigner(t, m.Webhook.Spec), c.Webhook)
		})
	}
}

// marks are what a delivery is recognised by when it comes again: its signature and time, and the provider's ids. An event without any
// is always new.
func marks(t *testing.T, w *manifest.Webhook, v signer, r webhook.Request, now time.Time) map[string]bool {
	t.Helper()
	verified, err := w.Scheme.Verify(r, v.keys(), now)
	if err != nil {
		t.Fatal(err)
	}
	events, err := w.Events(r)
	if err != nil || len(events) == 0 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	found := map[string]bool{}
	if verified.Replay != "" {
		found["replay "+verified.Replay] = true
	}
	for _, event := range events {
		if event.ID != "" {
			found["id "+event.ID] = true
		}
	}
	return found
}

func shared(a, b map[string]bool) int {
	n := 0
	for mark := range a {
		if b[mark] {
			n++
		}
	}
	return n
}

var headerMention = regexp.MustCompile(`\.headers\["([a-z0-9-]+)"\]`)

// TestEqualDeliveries: of every provider, a delivery that comes again is recognised where the provider gives it an id or signs a time.
// One that has the same body with another id in its header, or that is sent at another time, is another one. So is one without its id.
func TestEqualDeliveries(t *testing.T) {
	t.Parallel()
	hookCases(t, func(t *testing.T, w *manifest.Webhook, spec *manifest.WebhookSpec, v signer, c *hookCase) {
		first := v.deliver(t, c, hookNow)
		was := marks(t, w, v, first, hookNow)
		again := marks(t, w, v, first, hookNow.Add(time.Second))
		if !reflect.DeepEqual(was, again) {
			t.Errorf("a replay: %v, first %v", again, was)
		}
		changed, named := *c, false
		changed.Headers = maps.Clone(c.Headers)
		for _, found := range headerMention.FindAllStringSubmatch(spec.Event.ID, -1) {
			for name := range changed.Headers {
				if strings.EqualFold(name, found[1]) {
					changed.Headers[name], named = "another-id", true
				}
			}
		}
		if named && !w.Scheme.SignsTime() {
			if n := shared(was, marks(t, w, v, v.deliver(t, &changed, hookNow), hookNow)); n != 0 {
				t.Errorf("with another id: %d marks are the same", n)
			}
		}
		if w.Scheme.SignsTime() && (named || spec.Event.ID == "") {
			later := hookNow.Add(2 * time.Second)
			if n := shared(was, marks(t, w, v, v.deliver(t, &changed, later), later)); n != 0 {
				t.Errorf("at another time: %d marks are the same", n)
			}
		}
		if spec.Event.ID == "" && w.Scheme.SignsTime() == (len(was) == 0) {
			t.Errorf("without ids: %v", was)
		}
	})
}

// TestDeliveriesWithoutTheirID: an id that a manifest makes of several values is none when the values are missing, so that deliveries
// without them are not taken for repetitions of the first.
func TestDeliveriesWithoutTheirID(t *testing.T) {
	t.Parallel()
	hookCases(t, func(t *testing.T, w *manifest.Webhook, spec *manifest.WebhookSpec, _ signer, _ *hookCase) {
		for _, body := range []string{
			`{}`, `{"event":{}}`, `{"events":[{}]}`, `{"data":[{}]}`, `{"value":[{}]}`, `[{}]`, `{"meta":{"action":"updated","object":"deal","id":7}}`,
			`{"value":[{"subscriptionId":"s","resource":"r","changeType":"updated"}]}`, `{"history_items":[{}]}`, `{"resource":{}}`,
		} {
			events, err := w.Events(webhook.Request{
				Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}, "X-Github-Event": {"push"}, "Sentry-Hook-Resource": {"issue"}},
				Body: []byte(body),
			})
			if err != nil {
				continue
			}
			for _, event := range events {
				if event.ID != "" {
					t.Errorf("%s has the id %q", body, event.ID)
				}
			}
		}
	})
}

// TestSeveralSignatures: while a secret is being rotated, a provider may send signatures by both in one value.
func TestSeveralSignatures(t *testing.T) {
	t.Parallel()
	hookCases(t, func(t *testing.T, w *manifest.Webhook, spec *manifest.WebhookSpec, v signer, c *hookCase) {
		place, name, _ := strings.Cut(spec.Signature.In[0], ":")
		if spec.Signature.Kind == webhook.Token || spec.Signature.Kind == webhook.JWT || place != "header" {
			return
		}
		r := v.deliver(t, c, hookNow)
		good, prefix := r.Header.Get(name), spec.Signature.Prefix
		old := strings.Repeat("A", len(good)-len(prefix))
		lists := []string{prefix + old + "," + good, good + "," + prefix + old, prefix + old + ", " + good, prefix + old + "," + strings.TrimPrefix(good, prefix)}
		switch {
		case spec.Signature.Pair != "":
			lists = []string{good + "," + spec.Signature.Pair + "=" + old, strings.Replace(good, ",", ","+spec.Signature.Pair+"="+old+",", 1)}
		case spec.Signature.Separator != "":
			lists = []string{prefix + old + spec.Signature.Separator + good, good + spec.Signature.Separator + prefix + old}
		}
		for _, list := range lists {
			r.Header.Set(name, list)
			if _, err := w.Scheme.Verify(r, v.keys(), hookNow); err != nil {
				t.Errorf("%s: %v", list, err)
			}
		}
		r.Header.Set(name, prefix+old+","+prefix+old)
		if _, err := w.Scheme.Verify(r, v.keys(), hookNow); err == nil {
			t.Error("two invalid signatures verified")
		}
	})
}

// TestDeliveriesWithByteOrderMark: a byte order mark before a delivery's JSON, which the signature covers, is ignored.
func TestDeliveriesWithByteOrderMark(t *testing.T) {
	t.Parallel()
	hookCases(t, func(t *testing.T, w *manifest.Webhook, _ *manifest.WebhookSpec, v signer, c *hookCase) {
		if c.JSON == nil {
			return
		}
		plain, err := w.Events(v.deliver(t, c, hookNow))
		if err != nil {
			t.Fatal(err)
		}
		r := v.deliver(t, c, hookNow)
		r.Body = append([]byte("\xef\xbb\xbf"), r.Body...)
		if place, _, _ := strings.Cut(v.spec.Signature.In[0], ":"); place != "query" {
			v.place(&r, v.stamp(hookNow), v.sign(t, r, v.stamp(hookNow), hookNow))
		}
		if _, err := w.Scheme.Verify(r, v.keys(), hookNow); err != nil {
			t.Fatal(err)
		}
		if marked, err := w.Events(r); err != nil || !reflect.DeepEqual(marked, plain) {
			t.Errorf("got %s, %v, want %s", marked, err, plain)
		}
	})
}

// TestFormEncodedDeliveries: a form whose field has the delivery as JSON is read as that JSON.
func TestFormEncodedDeliveries(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ provider, body, kind, payload string }{
		{"github", `payload=%7B%22action%22%3A%22opened%22%2C%22number%22%3A7%7D`, "issues.opened", `{"action":"opened","number":7}`},
		{"github", `payload=%7B%22ref%22%3A%22main%22%7D`, "issues", `{"ref":"main"}`},
		{"slack", `payload=%7B%22type%22%3A%22block_actions%22%2C%22actions%22%3A%5B%7B%22action_id%22%3A%22ok%22%7D%5D%7D`, "block_actions", `{"type":"block_actions","actions":[{"action_id":"ok"}]}`},
		{"slack", "\xef\xbb\xbf" + `payload=%EF%BB%BF%7B%22type%22%3A%22view_submission%22%7D`, "view_submission", `{"type":"view_submission"}`},
		{"slack", `command=%2Fweft&text=hi`, "slash_command", `{"command":"/weft","text":"hi"}`},
		{"slack", `payload=not+JSON`, "delivery", `{"payload":"not JSON"}`},
		{"twilio", `payload=%7B%7D&MessageStatus=sent`, "message.sent", `{"MessageStatus":"sent","payload":"{}"}`},
	} {
		events, err := loaded[c.provider].Webhook.Events(webhook.Request{
			Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Github-Event": {"issues"}}, Body: []byte(c.body),
		})
		if err != nil || len(events) != 1 || events[0].Type != c.kind || string(events[0].Payload) != c.payload {
			t.Errorf("%s %s: got %+v %s, %v", c.provider, c.body, events, events[0].Payload, err)
		}
	}
}

// TestHeadAndGetHandshakes: HEAD and GET of a hook have the same response (RFC 9110 §9.3.2), whichever of them the manifest declares.
func TestHeadAndGetHandshakes(t *testing.T) {
	t.Parallel()
	found := 0
	hookCases(t, func(t *testing.T, w *manifest.Webhook, spec *manifest.WebhookSpec, _ signer, c *hookCase) {
		for i, h := range spec.Handshakes {
			if h.Method != http.MethodGet && h.Method != http.MethodHead {
				continue
			}
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				other := c.Handshakes[i]
				other.Method = method
				checkHandshake(t, w, i, other)
			}
		}
	})
	for _, id := range providerIDs(t) {
		if strings.Contains(source(t, id), "method: HEAD") || strings.Contains(source(t, id), "- method: GET") {
			found++
		}
	}
	if found < 5 {
		t.Errorf("only %d manifests have such handshakes", found)
	}
}
