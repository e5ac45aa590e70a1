package manifest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
)

const signs = `
  secret: {from: provider}
  signature: {kind: hmac, algorithm: sha256, in: "header:X-Sig"}
`

// hookOf compiles minimal with a webhook section.
func hookOf(t *testing.T, section string) *manifest.Webhook {
	t.Helper()
	p, err := manifest.Load([]byte(minimal + "webhook:\n" + section))
	if err != nil {
		t.Fatalf("loading:\n%v", err)
	}
	return p.Webhook
}

func post(body string, header ...string) webhook.Request {
	r := webhook.Request{Method: http.MethodPost, Header: http.Header{}, Body: []byte(body)}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func get(query string) webhook.Request {
	values, _ := url.ParseQuery(query)
	return webhook.Request{Method: http.MethodGet, Query: values}
}

func mac(key, text string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// handshakeTest is a handshake of a provider: the section of its manifest, a request and the expected response. other is a
// delivery.
type handshakeTest struct {
	handshake, secret string
	request, other    webhook.Request
	signed            bool
	contentType, body string
	header, keep      string
}

// handshakeTests are the handshakes that providers document.
func handshakeTests() map[string]handshakeTest {
	return map[string]handshakeTest{
		"slack": {
			handshake: `{when: "${ .body.type? == \"url_verification\" }", answer: {text: "${ .body.challenge }"}}`,
			request:   post(`{"type":"url_verification","challenge":"3eZb<rw1>"}`), other: post(`{"type":"event_callback","challenge":"x"}`),
			signed: true, contentType: "text/plain", body: "3eZb<rw1>",
		},
		"zoom": {
			handshake: `{when: "${ .body.event? == \"endpoint.url_validation\" }", hmac: {of: "${ .body.payload.plainToken }", algorithm: sha256},
				answer: {json: {plainToken: "${ .body.payload.plainToken }", encryptedToken: "${ .hmac }"}}}`,
			request: post(`{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}`), other: post(`{"event":"meeting.started"}`),
			signed: true, contentType: "application/json",
			body: `{"encryptedToken":"` + hex.EncodeToString(mac("s3cret", "qgg8vlvZRS6UYooatFL8Aw")) + `","plainToken":"qgg8vlvZRS6UYooatFL8Aw"}`,
		},
		"asana": {
			handshake: `{unsigned: true, when: "${ .headers[\"x-hook-secret\"] != null }", keep_secret: "${ .headers[\"x-hook-secret\"] }",
				answer: {headers: {X-Hook-Secret: "${ .headers[\"x-hook-secret\"] }"}}}`,
			secret: "handshake", request: post("", "X-Hook-Secret", "b537207f20cbfa02357cf448134da559"), other: post(`{"events":[]}`),
			contentType: "text/plain", header: "b537207f20cbfa02357cf448134da559", keep: "b537207f20cbfa02357cf448134da559",
		},
		"x": {
			handshake: `{unsigned: true, method: GET, when: "${ .query.crc_token != null }", hmac: {of: "${ .query.crc_token }", algorithm: sha256,
				encoding: base64, prefix: "sha256="}, answer: {json: {response_token: "${ .hmac }"}}}`,
			request: get("crc_token=challenge_string&nonce=1"), other: get(""), contentType: "application/json",
			body: `{"response_token":"sha256=` + base64.StdEncoding.EncodeToString(mac("s3cret", "challenge_string")) + `"}`,
		},
		"dropbox": {
			handshake: `{unsigned: true, method: GET, when: "${ .query.challenge != null }", answer: {text: "${ .query.challenge }"}}`,
			request:   get("challenge=abc%3Cscript%3E"), other: get("x=y"), contentType: "text/plain", body: "abc<script>",
		},
		"trello": {
			handshake: `{unsigned: true, method: HEAD, answer: {}}`,
			request:   webhook.Request{Method: http.MethodHead}, other: post("{}"), contentType: "text/plain",
		},
		"microsoft graph": {
			handshake: `{unsigned: true, when: "${ .query.validationToken != null }", answer: {text: "${ .query.validationToken }"}}`,
			request:   webhook.Request{Method: http.MethodPost, Query: url.Values{"validationToken": {"Validation: Testing client"}}},
			other:     post(`{"value":[]}`), contentType: "text/plain", body: "Validation: Testing client",
		},
		"discord": {
			handshake: `{when: "${ .body.type? == 1 }", answer: {json: {type: 1}}}`,
			request:   post(`{"type":1}`), other: post(`{"type":2}`), signed: true, contentType: "application/json", body: `{"type":1}`,
		},
		"monday": {
			handshake: `{unsigned: true, when: "${ .body.challenge? != null }", answer: {json: {challenge: "${ .body.challenge }"}}}`,
			request:   post(`{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`), other: post(`{"event":{}}`),
			contentType: "application/json", body: `{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`,
		},
		"notion": {
			handshake: `{unsigned: true, when: "${ .body.verification_token? != null }", keep_secret: "${ .body.verification_token }", reveal: true, answer: {}}`,
			secret:    "handshake", request: post(`{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}`), other: post(`{"type":"page.created"}`),
			contentType: "text/plain", keep: "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl",
		},
	}
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	for name, c := range handshakeTests() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			section := signs
			if c.secret != "" {
				section = strings.Replace(section, "provider", c.secret, 1)
			}
			w := hookOf(t, section+"  handshakes: ["+strings.ReplaceAll(c.handshake, "\n", " ")+"]\n")
			reply, err := w.Handshake(c.request, c.signed, []string{"s3cret"})
			if err != nil || reply == nil {
				t.Fatalf("%+v, %v", reply, err)
			}
			if !strings.HasPrefix(reply.ContentType, c.contentType) || string(reply.Body) != c.body || reply.Headers["X-Hook-Secret"] != c.header || reply.Secret != c.keep {
				t.Errorf("got %+v %s", reply, reply.Body)
			}
			if reply, err := w.Handshake(c.other, c.signed, []string{"s3cret"}); reply != nil || err != nil {
				t.Errorf("a delivery was answered as a handshake: %+v, %v", reply, err)
			}
			if reply, err := w.Handshake(c.request, !c.signed, []string{"s3cret"}); reply != nil || err != nil {
				t.Errorf("answered with verified = %v: %+v, %v", !c.signed, reply, err)
			}
		})
	}
}

// TestChallengePattern: a handshake that returns an HMAC of a challenge does not sign texts that could be deliveries.
func TestChallengePattern(t *testing.T) {
	t.Parallel()
	w := hookOf(t, signs+`  handshakes:
    - {unsigned: true, method: GET, when: "${ .query.crc_token != null }", hmac: {of: "${ .query.crc_token }", algorithm: sha256}, answer: {json: "${ .hmac }"}}
`)
	for _, forged := range []string{`{"for_user_id":"1"}`, "[1]", strings.Repeat("a", 513), "two words"} {
		if reply, err := w.Handshake(get("crc_token="+url.QueryEscape(forged)), false, []string{"s3cret"}); err == nil {
			t.Errorf("%s was signed: %+v", forged, reply)
		}
	}
	if reply, err := w.Handshake(get("crc_token=abc"), false, nil); err == nil {
		t.Errorf("without a secret: %+v", reply)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w := hookOf(t, signs+`  event:
    type: ${ .headers["x-event"] + (.body.action? | if . then "." + . else "" end) }
    id: ${ .headers["x-delivery"] }
`)
	events, err := w.Events(post(`{"action": "opened", "n": 12345678901234567890}`, "X-Event", "issues", "X-Delivery", "d1"))
	want := manifest.WebhookEvent{Type: "issues.opened", ID: "d1", Payload: []byte(`{"action": "opened", "n": 12345678901234567890}`)}
	if err != nil || len(events) != 1 || events[0].Type != want.Type || events[0].ID != want.ID || string(events[0].Payload) != string(want.Payload) {
		t.Errorf("%+v, %v", events, err)
	}
	for body, payload := range map[string]string{
		"a=1&b=2&a=3": `{"a":["1","3"],"b":"2"}`, "": `{}`,
	} {
		events, err := w.Events(post(body, "X-Event", "we<ird e\nvent", "Content-Type", "application/x-www-form-urlencoded"))
		if err != nil || string(events[0].Payload) != payload || events[0].Type != "we_ird_e_vent" || events[0].ID != "" {
			t.Errorf("%s: %+v %s, %v", body, events, events[0].Payload, err)
		}
	}
	for body, payload := range map[string]string{"": `null`, "text": `"text"`, "\xff\x00": `"/wA="`} {
		events, err := w.Events(post(body, "X-Event", "e"))
		if err != nil || string(events[0].Payload) != payload {
			t.Errorf("%q: %+v, %v", body, events, err)
		}
	}
	if events, err := w.Events(post(`{}`, "X-Event", "e", "X-Delivery", strings.Repeat("x", 257))); err == nil {
		t.Errorf("an id of 257 bytes: %+v", events)
	}
}

func TestSeveralEvents(t *testing.T) {
	t.Parallel()
	w := hookOf(t, signs+`  event: {each: "${ .body }", type: "${ .item.event }", id: "${ .item.id }"}
`)
	events, err := w.Events(post(`[{"event":"open","id":"1"},{"event":"click","id":2}]`))
	if err != nil || len(events) != 2 || events[0].Type != "open" || events[1].ID != "2" || string(events[1].Payload) != `{"event":"click","id":2}` {
		t.Errorf("%+v, %v", events, err)
	}
	if events, err := w.Events(post(`[]`)); err != nil || len(events) != 0 {
		t.Errorf("empty list: %+v, %v", events, err)
	}
	for _, bad := range []string{`{}`, `x`, `["a"]`, "[" + strings.Repeat("{},", 500) + "{}]"} {
		if events, err := w.Events(post(bad)); err == nil {
			t.Errorf("%.20s: %+v", bad, events)
		}
	}
}

func TestWebhookFaults(t *testing.T) {
	t.Parallel()
	for section, want := range map[string]string{
		"  secret: {from: provider}\n": "/webhook/signature",
		"  secret: {from: nobody}\n  signature: {kind: hmac, algorithm: sha256, in: header:X}\n":                                                "/webhook/secret/from",
		"  secret: {from: weft}\n  signature: {kind: hmac, in: header:X}\n":                                                                     "/webhook/signature/algorithm",
		"  secret: {from: weft}\n  signature: {kind: hmac, algorithm: sha256, in: X}\n":                                                         "/webhook/signature/in",
		"  secret: {from: weft}\n  signature: {kind: hmac, algorithm: sha256, in: header:X, payload: [url]}\n":                                  "/webhook/signature/payload",
		"  secret: {from: weft}\n  signature: {kind: token, in: header:X, payload: [body]}\n":                                                   "/webhook/signature/payload",
		signs + "  event: {type: plain}\n":                                                                                                      "/webhook/event/type",
		signs + "  event: {type: \"${ .a( }\"}\n":                                                                                               "/webhook/event/type",
		signs + "  handshakes: [{answer: {}}]\n":                                                                                                "/webhook/handshakes/0",
		signs + "  handshakes: [{when: \"${ true }\", answer: {headers: {Set-Cookie: a}}}]\n":                                                   "/webhook/handshakes/0/answer/headers/Set-Cookie",
		signs + "  handshakes: [{when: \"${ true }\", unsigned: true, keep_secret: \"${ .body }\", answer: {}}]\n":                              "/webhook/secret/from",
		"  secret: {from: handshake}\n  signature: {kind: hmac, algorithm: sha256, in: header:X}\n":                                             "/webhook/secret/from",
		strings.Replace(signs, "provider", "handshake", 1) + "  handshakes: [{when: \"${ true }\", keep_secret: \"${ .body }\", answer: {}}]\n": "/webhook/handshakes/0/keep_secret",
	} {
		_, err := manifest.Load([]byte(minimal + "webhook:\n" + section))
		var faults manifest.Faults
		if !errors.As(err, &faults) {
			t.Errorf("%s\ngot %v, want Faults", section, err)
			continue
		}
		if !slices.ContainsFunc(faults, func(f manifest.Fault) bool { return f.Pointer == want && f.Line > 16 }) {
			t.Errorf("%s\ngot %v, want a fault at %s", section, fmt.Sprint(faults), want)
		}
	}
}
