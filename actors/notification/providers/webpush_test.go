package providers_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
)

var b64 = base64.RawURLEncoding

func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	b, err := b64.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// receiver is a browser: its key pair and its authentication secret.
type receiver struct {
	key  *ecdh.PrivateKey
	auth []byte
}

func newReceiver(t *testing.T) receiver {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := receiver{key: key, auth: make([]byte, 16)}
	_, _ = rand.Read(r.auth)
	return r
}

func (r receiver) keys() map[string]string {
	return map[string]string{"p256dh": b64.EncodeToString(r.key.PublicKey().Bytes()), "auth": b64.EncodeToString(r.auth)}
}

// decrypt opens a body of one record as RFC 8188 §2 and RFC 8291 §3.4 say, independently of the library that encrypts.
func (r receiver) decrypt(body []byte) ([]byte, error) {
	if len(body) < 21 || len(body) < 21+int(body[20]) {
		return nil, errors.New("the header is cut")
	}
	salt, size, keyID, record := body[:16], binary.BigEndian.Uint32(body[16:20]), body[21:21+int(body[20])], body[21+int(body[20]):]
	if len(record) > int(size) || len(body) > 4096 {
		return nil, fmt.Errorf("a record of %d bytes, a body of %d", len(record), len(body))
	}
	sender, err := ecdh.P256().NewPublicKey(keyID)
	if err != nil {
		return nil, err
	}
	secret, err := r.key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	ikm, err := hkdf.Key(sha256.New, secret, r.auth, "WebPush: info\x00"+string(r.key.PublicKey().Bytes())+string(keyID), 32)
	if err != nil {
		return nil, err
	}
	key, _ := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	nonce, _ := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, err
	}
	plain = []byte(strings.TrimRight(string(plain), "\x00"))
	if len(plain) == 0 || plain[len(plain)-1] != 2 {
		return nil, errors.New("the last record has no delimiter")
	}
	return plain[:len(plain)-1], nil
}

// TestReceiver: the test's receiver opens the example of RFC 8291 §5.
func TestReceiver(t *testing.T) {
	t.Parallel()
	key, err := ecdh.P256().NewPrivateKey(bytesOf(t, "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
	if err != nil {
		t.Fatal(err)
	}
	r := receiver{key: key, auth: bytesOf(t, "BTBZMqHH6r4Tts7J_aSIgg")}
	if got := r.keys()["p256dh"]; got != "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4" {
		t.Errorf("the public key is %s", got)
	}
	plain, err := r.decrypt(bytesOf(t, "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"))
	if err != nil || string(plain) != "When I grow up, I want to be a watermelon" {
		t.Errorf("got %q, %v", plain, err)
	}
}

// vapidKeys are those of RFC 8291's example sender: any scalar will do.
func vapidKeys(t *testing.T) providers.VAPIDKeys {
	t.Helper()
	keys, err := providers.VAPIDKeysOf(bytesOf(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func openWebPush(t *testing.T, w *wire) channel.Provider {
	t.Helper()
	keys := vapidKeys(t)
	return providers.NewWebPush(w.deps(), providers.WebPushConfig{Subject: "mailto:ops@example.com"},
		func(context.Context) (providers.VAPIDKeys, error) { return keys, nil })
}

var exampleReceiver = map[string]string{
	"p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}

func webPushConformant() conformant {
	return conformant{
		name: "webpush", id: "qDIYHNcfAIPP_5ITvURr-d6BGt", plainAnswer: true, unauthorized: channel.Permanent, open: openWebPush,
		secrets: []string{"yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw", "JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV"},
		address: func(w *wire) channel.Address {
			return channel.Address{To: w.URL + "/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV", Platform: "web", Keys: exampleReceiver, DeviceID: "device-1"}
		},
		accepted: answer{status: 201, header: map[string]string{"Location": "https://push.example.net/message/qDIYHNcfAIPP_5ITvURr-d6BGt?x=1"}},
		key: func(t *testing.T, r recorded) string {
			t.Helper()
			return r.header.Get("Topic")
		},
		refusals: []refused{
			{"not found", answer{status: 404}, channel.Suppressed, ""},
			{"gone", answer{status: 410, body: `{"code":410,"errno":106,"error":"Gone","message":"canary"}`}, channel.Suppressed, ""},
			{"too large", answer{status: 413}, channel.Permanent, ""},
			{"bad request", answer{status: 400, body: "canary"}, channel.Permanent, ""},
			{"vapid", answer{status: 403}, channel.Permanent, ""},
			{"too many", answer{status: 429}, channel.Throttled, ""},
			{"unavailable", answer{status: 503}, channel.Transient, ""},
		},
	}
}

// TestWebPushRequest: the receiver opens the payload, go-jose verifies the VAPID token (RFC 8292 §2), and the headers are RFC 8030's.
func TestWebPushRequest(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	c := webPushConformant()
	w.answer(c.accepted)
	p, browser := openWebPush(t, w), newReceiver(t)
	for category, urgency := range map[string]string{"security": "high", "workflow": "normal", "marketing": "low"} {
		m := testMessage(c, w)
		m.Category, m.ExpiresAt, m.Address.Keys = category, time.Now().Add(time.Hour+30*time.Second), browser.keys()
		if _, err := p.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		r := w.taken()[0]
		plain, err := browser.decrypt(r.body)
		if err != nil {
			t.Fatal(err)
		}
		var payload map[string]any
		if err := json.Unmarshal(plain, &payload); err != nil || payload["title"] != m.Subject || payload["body"] != m.Text || payload["tag"] == "" ||
			payload["notification_id"] != m.NotificationID || payload["unread"] != 3.0 || fmt.Sprint(payload["data"]) != "map[n:7]" {
			t.Errorf("%v: %s", err, plain)
		}
		topic := r.header.Get("Topic")
		if ttl := r.header.Get("Ttl"); r.header.Get("Urgency") != urgency || len(topic) != 32 || r.header.Get("Content-Encoding") != "aes128gcm" ||
			!strings.HasPrefix(ttl, "36") || len(ttl) != 4 {
			t.Errorf("%s: %v", category, r.header)
		}
		wantVAPID(t, w, r)
	}
}

func wantVAPID(t *testing.T, w *wire, r recorded) {
	t.Helper()
	var token, key string
	if n, err := fmt.Sscanf(strings.ReplaceAll(r.header.Get("Authorization"), ",", " "), "vapid t=%s k=%s", &token, &key); n != 2 {
		t.Fatalf("%v in %s", err, r.header.Get("Authorization"))
	}
	if key != vapidKeys(t).Public {
		t.Errorf("the key is %s", key)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), bytesOf(t, key))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := parsed.Claims(public, &claims); err != nil {
		t.Fatal(err)
	}
	if err := claims.Validate(jwt.Expected{AnyAudience: jwt.Audience{w.URL}, Subject: "mailto:ops@example.com", Time: time.Now()}); err != nil {
		t.Error(err)
	}
	if left := time.Until(claims.Expiry.Time()); left > 24*time.Hour || left < time.Hour {
		t.Errorf("it expires in %s", left)
	}
}

// TestWebPushAddress: an endpoint that may not be called fails for good, and calls nothing; so do invalid keys.
func TestWebPushAddress(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	p := openWebPush(t, w)
	c := webPushConformant()
	for endpoint, class := range map[string]channel.Class{
		"https://169.254.169.254/latest": channel.Permanent, "https://10.0.0.1/push": channel.Permanent, "https://[::1]/push": channel.Permanent,
		"https://[::ffff:169.254.169.254]/": channel.Permanent, "http://127.0.0.1/push": channel.Permanent, "https://user@127.0.0.1/push": channel.Permanent,
		"not a URL": channel.Permanent, "": channel.Permanent,
	} {
		m := testMessage(c, w)
		m.Address.To = endpoint
		if _, err := p.Send(t.Context(), m); channel.ClassOf(err) != class {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	for name, keys := range map[string]map[string]string{
		"none": nil, "short auth": {"p256dh": exampleReceiver["p256dh"], "auth": "AAAA"}, "no point": {"p256dh": strings.Repeat("A", 87), "auth": exampleReceiver["auth"]},
	} {
		m := testMessage(c, w)
		m.Address.Keys = keys
		if _, err := p.Send(t.Context(), m); channel.ClassOf(err) != channel.Suppressed {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(w.taken()) != 0 {
		t.Error("something was sent")
	}
}
