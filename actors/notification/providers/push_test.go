package providers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/mesh"
)

var (
	serviceKey = sync.OnceValue(func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return key
	})
	appleKey = sync.OnceValue(func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	})
)

func pkcs8(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func serviceAccount(t *testing.T, tokenURI string) mesh.Secret {
	t.Helper()
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "weft-test", "private_key_id": "key-1", "client_email": "push@weft-test.iam.gserviceaccount.com",
		"private_key": pkcs8(t, serviceKey()), "token_uri": tokenURI,
	})
	if err != nil {
		t.Fatal(err)
	}
	return mesh.Secret(text)
}

func openFCM(t *testing.T, w *wire) channel.Provider {
	t.Helper()
	c := providers.FCMConfig{Credentials: serviceAccount(t, w.URL+tokenPath), BaseURL: w.URL}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	p, err := providers.NewFCM(w.deps(), c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func fcmError(status int, text, code, field string) answer {
	details := `[]`
	if code != "" {
		details = `[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"` + code + `"}]`
	}
	if field != "" {
		details = `[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"` + field + `","description":"canary"}]}]`
	}
	return answer{status: status, body: fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":%q,"details":%s}}`, status, text, map[int]string{
		400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL",
		503: "UNAVAILABLE",
	}[status], details)}
}

func fcmConformant() conformant {
	return conformant{
		name: "fcm", id: "projects/weft-test/messages/0:1500415314455276%31bd1c9631bd1c96", open: openFCM, secrets: []string{"PRIVATE KEY", "key-1"},
		address: func(*wire) channel.Address {
			return channel.Address{To: "fcm-token-canary:APA91b", Platform: "fcm", DeviceID: "device-1"}
		},
		accepted: answer{status: 200, body: `{"name":"projects/weft-test/messages/0:1500415314455276%31bd1c9631bd1c96"}`},
		key: func(t *testing.T, r recorded) string {
			t.Helper()
			return fcmMessage(t, r).Android.Notification.Tag
		},
		refusals: []refused{
			{"unregistered", fcmError(404, "Requested entity was not found.", "UNREGISTERED", ""), channel.Suppressed, "UNREGISTERED"},
			{"no project", fcmError(404, "Requested entity was not found.", "", ""), channel.Transient, "NOT_FOUND"},
			{"invalid token", fcmError(400, "The registration token is not a valid FCM registration token", "INVALID_ARGUMENT", ""), channel.Suppressed, "INVALID_ARGUMENT"},
			{"token field", fcmError(400, "Invalid registration", "", "message.token"), channel.Suppressed, "INVALID_ARGUMENT"},
			{"invalid data", fcmError(400, "Invalid value at 'message.data[0].value'", "", "message.data[0].value"), channel.Permanent, "INVALID_ARGUMENT"},
			{"other sender", fcmError(403, "SenderId mismatch", "SENDER_ID_MISMATCH", ""), channel.Permanent, "SENDER_ID_MISMATCH"},
			{"forbidden", fcmError(403, "canary", "", ""), channel.Transient, "PERMISSION_DENIED"},
			{"quota", fcmError(429, "Quota exceeded", "QUOTA_EXCEEDED", ""), channel.Throttled, "QUOTA_EXCEEDED"},
			{"apple's credentials", fcmError(401, "canary", "THIRD_PARTY_AUTH_ERROR", ""), channel.Transient, "THIRD_PARTY_AUTH_ERROR"},
			{"access token", fcmError(401, "canary", "", ""), channel.Transient, "UNAUTHENTICATED"},
			{"internal", fcmError(500, "canary", "INTERNAL", ""), channel.Transient, "INTERNAL"},
			{"unavailable", fcmError(503, "canary", "UNAVAILABLE", ""), channel.Transient, "UNAVAILABLE"},
		},
	}
}

type fcmBody struct {
	Token        string            `json:"token"`
	Notification map[string]string `json:"notification"`
	Data         map[string]string `json:"data"`
	Android      struct {
		Priority     string `json:"priority"`
		TTL          string `json:"ttl"`
		Notification struct {
			Tag string `json:"tag"`
		} `json:"notification"`
	} `json:"android"`
	APNs struct {
		Payload struct {
			APS struct {
				Badge int `json:"badge"`
			} `json:"aps"`
		} `json:"payload"`
	} `json:"apns"`
}

func fcmMessage(t *testing.T, r recorded) fcmBody {
	t.Helper()
	var body struct {
		Message fcmBody `json:"message"`
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Fatal(err)
	}
	return body.Message
}

// TestFCMAccessToken: one access token serves all messages until it expires or is refused; go-jose verifies what asks for it.
func TestFCMAccessToken(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	c := fcmConformant()
	w.answer(c.accepted)
	now := time.Now()
	var clock sync.Mutex
	deps := providers.Deps{Client: w.client, Now: func() time.Time { clock.Lock(); defer clock.Unlock(); return now }}
	advance := func(d time.Duration) { clock.Lock(); defer clock.Unlock(); now = now.Add(d) }
	p, err := providers.NewFCM(deps, providers.FCMConfig{Credentials: serviceAccount(t, w.URL+tokenPath), BaseURL: w.URL})
	if err != nil {
		t.Fatal(err)
	}
	m := testMessage(c, w)
	m.ExpiresAt = now.Add(time.Hour)
	m.Data = map[string]json.RawMessage{"n": json.RawMessage(`7`), "s": json.RawMessage(`"x"`), "google.x": json.RawMessage(`1`), "from": json.RawMessage(`1`)}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := p.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if len(w.tokens) != 1 {
		t.Errorf("%d access tokens", len(w.tokens))
	}
	r := w.taken()[0]
	if r.path != "/v1/projects/weft-test/messages:send" || r.header.Get("Authorization") != "Bearer ya29.token" {
		t.Errorf("%s with %s", r.path, r.header.Get("Authorization"))
	}
	got := fcmMessage(t, r)
	if got.Token != m.Address.To || fmt.Sprint(got.Notification) != "map[body:Text canary title:Title canary]" || got.Android.Priority != "HIGH" || got.APNs.Payload.APS.Badge != 3 ||
		fmt.Sprint(got.Data) != "map[category:workflow n:7 notification_id:"+m.NotificationID+" s:x]" || got.Android.TTL != "3600s" {
		t.Errorf("got %+v", got)
	}
	wantAssertion(t, w, now)
	advance(time.Hour)
	if _, err := p.Send(t.Context(), m); err != nil || len(w.tokens) != 2 {
		t.Errorf("after an hour: %v, %d access tokens", err, len(w.tokens))
	}
	w.answer(fcmError(401, "canary", "", ""))
	if _, err := p.Send(t.Context(), m); channel.ClassOf(err) != channel.Transient || len(w.tokens) != 3 {
		t.Errorf("refused: %v, %d access tokens", err, len(w.tokens))
	}
}

// wantAssertion checks the JWT of the last request for an access token (RFC 7523 §3).
func wantAssertion(t *testing.T, w *wire, now time.Time) {
	t.Helper()
	form, _ := url.ParseQuery(string(w.tokens[0].body))
	parsed, err := jwt.ParseSigned(form.Get("assertion"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		t.Fatalf("%v in %v", err, form)
	}
	var claims struct {
		jwt.Claims

		Scope string `json:"scope"`
	}
	if err := parsed.Claims(serviceKey().Public(), &claims); err != nil {
		t.Fatal(err)
	}
	if err := claims.Validate(jwt.Expected{Issuer: "push@weft-test.iam.gserviceaccount.com", AnyAudience: jwt.Audience{w.URL + tokenPath}, Time: now}); err != nil {
		t.Error(err)
	}
	if claims.Scope != "https://www.googleapis.com/auth/firebase.messaging" || claims.Expiry.Time().Sub(claims.IssuedAt.Time()) != time.Hour ||
		parsed.Headers[0].KeyID != "key-1" {
		t.Errorf("%+v", claims)
	}
}

// TestFCMNoAccessToken: a failure of the token endpoint is never one of the message, and quotes nothing.
func TestFCMNoAccessToken(t *testing.T) {
	t.Parallel()
	c := fcmConformant()
	for name, a := range map[string]answer{
		"invalid grant": {400, nil, `{"error":"invalid_grant","error_description":"canary ya29 eyJ"}`}, "html": {200, nil, "<html>"},
		"empty": {200, nil, `{}`}, "down": {500, nil, ""}, "limited": {429, map[string]string{"Retry-After": "9"}, ""}, "redirect": {302, map[string]string{"Location": "/x"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t)
			w.token = func(rw http.ResponseWriter, _ *http.Request) { write(rw, a) }
			_, err := openFCM(t, w).Send(t.Context(), testMessage(c, w))
			class := channel.Transient
			if a.status == 429 {
				class = channel.Throttled
			}
			if e := wantError(t, c, w, err, class); e.Uncertain || len(w.taken()) != 0 {
				t.Errorf("uncertain %v", e.Uncertain)
			}
		})
	}
}

func apnsConfig(t *testing.T, w *wire) providers.APNsConfig {
	t.Helper()
	return providers.APNsConfig{TeamID: "DEF123GHIJ", KeyID: "ABC123DEFG", Key: mesh.Secret(pkcs8(t, appleKey())), Topic: "com.example.weft", BaseURL: w.URL}
}

func apnsError(status int, reason string) answer {
	return answer{status: status, body: `{"reason":"` + reason + `"}`, header: map[string]string{"Apns-Id": "eabeae54-14a8-11e5-b60b-1697f925ec7b"}}
}

func apnsConformant() conformant {
	return conformant{
		name: "apns", id: "eabeae54-14a8-11e5-b60b-1697f925ec7b", plainAnswer: true, secrets: []string{"PRIVATE KEY"},
		open: func(t *testing.T, w *wire) channel.Provider {
			t.Helper()
			p, err := providers.NewAPNs(w.deps(), apnsConfig(t, w))
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
		address: func(*wire) channel.Address {
			return channel.Address{To: strings.Repeat("00fc13adff785122", 4), Platform: "apns", DeviceID: "device-1"}
		},
		accepted: answer{status: 200, header: map[string]string{"Apns-Id": "eabeae54-14a8-11e5-b60b-1697f925ec7b"}},
		key: func(t *testing.T, r recorded) string {
			t.Helper()
			return r.header.Get("Apns-Id") + r.header.Get("Apns-Collapse-Id")
		},
		refusals: []refused{
			{"bad token", apnsError(400, "BadDeviceToken"), channel.Suppressed, "BadDeviceToken"},
			{"unregistered", apnsError(410, "Unregistered"), channel.Suppressed, "Unregistered"},
			{"expired", apnsError(410, "ExpiredToken"), channel.Suppressed, "ExpiredToken"},
			{"topic", apnsError(400, "DeviceTokenNotForTopic"), channel.Permanent, "DeviceTokenNotForTopic"},
			{"payload", apnsError(413, "PayloadTooLarge"), channel.Permanent, "PayloadTooLarge"},
			{"too many", apnsError(429, "TooManyRequests"), channel.Throttled, "TooManyRequests"},
			{"token updates", apnsError(429, "TooManyProviderTokenUpdates"), channel.Throttled, "TooManyProviderTokenUpdates"},
			{"provider token", apnsError(403, "InvalidProviderToken"), channel.Transient, "InvalidProviderToken"},
			{"expired provider token", apnsError(403, "ExpiredProviderToken"), channel.Transient, "ExpiredProviderToken"},
			{"topic disallowed", apnsError(400, "TopicDisallowed"), channel.Transient, "TopicDisallowed"},
			{"internal", apnsError(500, "InternalServerError"), channel.Transient, "InternalServerError"},
			{"shutdown", apnsError(503, "Shutdown"), channel.Transient, "Shutdown"},
		},
	}
}

// TestAPNsRequest: headers, payload, and the provider token as go-jose verifies it, renewed within what Apple demands.
func TestAPNsRequest(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	c := apnsConformant()
	w.answer(c.accepted)
	now := time.Now()
	deps := providers.Deps{Client: w.client, Now: func() time.Time { return now }}
	p, err := providers.NewAPNs(deps, apnsConfig(t, w))
	if err != nil {
		t.Fatal(err)
	}
	m := testMessage(c, w)
	m.ExpiresAt = now.Add(time.Hour)
	send := func() recorded {
		t.Helper()
		if _, err := p.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		return w.taken()[0]
	}
	r := send()
	for name, want := range map[string]string{
		"Apns-Topic": "com.example.weft", "Apns-Push-Type": "alert", "Apns-Priority": "10", "Apns-Expiration": fmt.Sprint(m.ExpiresAt.Unix()),
	} {
		if r.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, r.header.Get(name), want)
		}
	}
	want := `{"aps":{"alert":{"body":"Text canary","title":"Title canary"},"badge":3,"sound":"default","thread-id":"workflow"},"category":"workflow","data":{"n":7},` +
		`"notification_id":"0190f3a2-7b1e-7c3d-8e4f-000000000001"}`
	if r.path != "/3/device/"+m.Address.To || string(r.body) != want || len(r.header.Get("Apns-Collapse-Id")) > 64 || r.proto != "HTTP/2.0" {
		t.Errorf("%s %s %s", r.proto, r.path, r.body)
	}
	token := func(r recorded) string { return strings.TrimPrefix(r.header.Get("Authorization"), "bearer ") }
	parsed, err := jwt.ParseSigned(token(r), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := parsed.Claims(appleKey().Public(), &claims); err != nil || claims.Issuer != "DEF123GHIJ" || parsed.Headers[0].KeyID != "ABC123DEFG" ||
		claims.IssuedAt.Time().Unix() != now.Unix() {
		t.Errorf("%v: %+v", err, claims)
	}
	first := token(r)
	now = now.Add(39 * time.Minute)
	if token(send()) != first {
		t.Error("the provider token was renewed within 40 minutes")
	}
	now = now.Add(2 * time.Minute)
	second := token(send())
	if second == first {
		t.Error("the provider token was not renewed after 40 minutes")
	}
	// A young token is not renewed, whatever Apple says of it; an old one is, once.
	w.answer(apnsError(403, "ExpiredProviderToken"))
	for age, requests := range map[time.Duration]int{0: 1, 25 * time.Minute: 2} {
		now = now.Add(age)
		if _, err := p.Send(t.Context(), m); channel.ClassOf(err) != channel.Transient {
			t.Error(err)
		}
		if got := w.taken(); len(got) != requests {
			t.Errorf("%d requests with a token of %s", len(got), age)
		}
	}
}

func TestPushSettings(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	apns := apnsConfig(t, w)
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	account := serviceAccount(t, "")
	for _, c := range []struct {
		setting string
		err     error
	}{
		{"", apns.Check()}, {"", providers.APNsConfig{}.Check()}, {"", providers.FCMConfig{}.Check()}, {"", providers.WebPushConfig{}.Check()},
		{"", with(apns, func(c *providers.APNsConfig) { c.Key, c.KeyFile = "", file("key.p8", c.Key.Reveal()) }).Check()},
		{"notification.apns.team_id", with(apns, func(c *providers.APNsConfig) { c.TeamID = "short" }).Check()},
		{"notification.apns.key_id", with(apns, func(c *providers.APNsConfig) { c.KeyID = "" }).Check()},
		{"notification.apns.topic", with(apns, func(c *providers.APNsConfig) { c.Topic = "" }).Check()},
		{"notification.apns.key", with(apns, func(c *providers.APNsConfig) { c.Key = "canary" }).Check()},
		{"notification.apns.key", with(apns, func(c *providers.APNsConfig) { c.Key = mesh.Secret(pkcs8(t, other)) }).Check()},
		{"notification.apns.key", with(apns, func(c *providers.APNsConfig) { c.KeyFile = "both" }).Check()},
		{"notification.apns.key_file", with(apns, func(c *providers.APNsConfig) { c.Key, c.KeyFile = "", filepath.Join(dir, "none") }).Check()},
		{"", providers.FCMConfig{Credentials: account}.Check()},
		{"", providers.FCMConfig{CredentialsFile: file("account.json", account.Reveal())}.Check()},
		{"notification.fcm.credentials", providers.FCMConfig{Credentials: account, CredentialsFile: "both"}.Check()},
		{"notification.fcm.credentials", providers.FCMConfig{Credentials: "canary"}.Check()},
		{"notification.fcm.credentials", providers.FCMConfig{Credentials: `{"project_id":"p","client_email":"e","private_key":"canary"}`}.Check()},
		{"notification.fcm.credentials", providers.FCMConfig{Credentials: `{"client_email":"e","private_key":"canary"}`}.Check()},
		{"notification.fcm.credentials_file", providers.FCMConfig{CredentialsFile: dir}.Check()},
		{"notification.fcm.base_url", providers.FCMConfig{Credentials: account, BaseURL: "https://user:canary@fcm"}.Check()},
		{"", providers.WebPushConfig{Subject: "mailto:ops@example.com"}.Check()}, {"", providers.WebPushConfig{Subject: "https://example.com"}.Check()},
		{"notification.webpush.subject", providers.WebPushConfig{Subject: "ops@example.com"}.Check()},
		{"notification.webpush.subject", providers.WebPushConfig{Subject: "http://example.com"}.Check()},
	} {
		wantSetting(t, c.err, c.setting)
	}
}
