package notification_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

var fcmCredentials = sync.OnceValue(func() mesh.Secret {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	text, _ := json.Marshal(map[string]string{
		"project_id": "p", "client_email": "a@p.example.com", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	return mesh.Secret(text)
})

// withPush configures FCM and web push.
func withPush(c *notification.Config) {
	c.FCM.Credentials, c.WebPush.Subject = fcmCredentials(), "mailto:ops@example.com"
}

func fcmToken(name string) string {
	return name + ":APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ"
}

func (f *fixture) register(t *testing.T, as mesh.As, token, name string) subjects.Device {
	t.Helper()
	return call(t, f, subjects.RegisterDevice, as, subjects.RegisterDeviceRequest{Platform: "fcm", Token: fcmToken(token), Name: name})
}

func (f *fixture) devices(t *testing.T, as mesh.As) (ids []string) {
	t.Helper()
	for _, d := range call(t, f, subjects.ListDevices, as, subjects.PageRequest{}).Items {
		ids = append(ids, d.ID)
	}
	return ids
}

// subscription returns the subscription of a browser at a push service.
func subscription(t *testing.T, endpoint string) *subjects.WebPushSubscription {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &subjects.WebPushSubscription{Endpoint: endpoint, Keys: subjects.WebPushKeys{
		P256dh: base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()), Auth: base64.RawURLEncoding.EncodeToString(make([]byte, 16)),
	}}
}

// TestDeviceRegistration: a device keeps its id, has one user, is bounded, and its token is neither shown nor stored in clear.
func TestDeviceRegistration(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, func(c *notification.Config) { withPush(c); c.Devices.MaxPerUser = 3 })
		user, other := actortest.User(), actortest.User()
		ada, eve := f.user(t, user), f.user(t, other)
		phone := f.register(t, ada, "phone", "Pixel")
		again := f.register(t, ada, "phone", "Pixel 9")
		if again.ID != phone.ID || again.Name != "Pixel 9" || again.RegisteredAt.Before(phone.RegisteredAt) || again.CreatedAt != phone.CreatedAt {
			t.Errorf("registered again: %+v after %+v", again, phone)
		}
		tablet, third := f.register(t, ada, "tablet", ""), f.register(t, ada, "third", "")
		if got := f.devices(t, ada); !slices.Equal(got, []string{phone.ID, tablet.ID, third.ID}) {
			t.Errorf("listed %v", got)
		}
		refused := wantCode(t, f.conn, subjects.CodeRateLimited, subjects.RegisterDevice, ada, subjects.RegisterDeviceRequest{Platform: "fcm", Token: fcmToken("4")})
		if refused.Reason != subjects.ReasonLimitReached || !strings.Contains(refused.Detail, "notification.devices.max_per_user") {
			t.Errorf("a fourth device: %v", refused)
		}
		// Somebody else signs in on the phone.
		moved := f.register(t, eve, "phone", "")
		if got := f.devices(t, ada); moved.ID == phone.ID || !slices.Equal(got, []string{tablet.ID, third.ID}) || !slices.Equal(f.devices(t, eve), []string{moved.ID}) {
			t.Errorf("moved to %v, left %v", f.devices(t, eve), got)
		}
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.DeleteDevice, eve, subjects.DeviceRequest{DeviceID: tablet.ID})
		call(t, f, subjects.DeleteDevice, ada, subjects.DeviceRequest{DeviceID: tablet.ID})
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.DeleteDevice, ada, subjects.DeviceRequest{DeviceID: tablet.ID})
		// A device that another user had, beyond the caller's bound: neither has it.
		f.register(t, ada, "5", "")
		f.register(t, ada, "6", "")
		wantCode(t, f.conn, subjects.CodeRateLimited, subjects.RegisterDevice, ada, subjects.RegisterDeviceRequest{Platform: "fcm", Token: fcmToken("phone")})
		if got := f.devices(t, eve); len(got) != 0 {
			t.Errorf("the device that was signed out of: %v", got)
		}
		addresses, err := f.actor.Devices(t.Context(), user)
		if err != nil || len(addresses) != 3 || addresses[0].To != fcmToken("third") || addresses[0].Platform != "fcm" || addresses[0].DeviceID != third.ID {
			t.Errorf("addresses %+v, %v", addresses, err)
		}
		f.stop(t)
		if strings.Contains(actortest.Dump(t, f.db), "APA91b") {
			t.Error("a token is stored in clear")
		}
	})
}

// TestConcurrentRegistrations: a token that several users register at the same time has one of them, and a user's bound holds.
func TestConcurrentRegistrations(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, func(c *notification.Config) { withPush(c); c.Devices.MaxPerUser = 3 })
		users := []mesh.As{f.user(t, actortest.User()), f.user(t, actortest.User()), f.user(t, actortest.User())}
		var group sync.WaitGroup
		for i := range 24 {
			group.Go(func() {
				token := fcmToken("shared")
				if i%2 == 1 {
					token = fcmToken(fmt.Sprint("own", i))
				}
				_, err := mesh.Call(t.Context(), f.conn, subjects.RegisterDevice, subjects.RegisterDeviceRequest{Platform: "fcm", Token: token}, users[i%3])
				if code := subjects.CodeOf(err); code != "" && code != subjects.CodeRateLimited {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for _, as := range users {
			devices := f.devices(t, as)
			if len(devices) > 3 {
				t.Errorf("a user has %d devices", len(devices))
			}
		}
		f.stop(t)
		if tables := actortest.Dump(t, f.db); strings.Count(tables, sharedHash) > 1 {
			t.Error("a token has several devices")
		}
	})
}

// sharedHash is the hash of the token of TestConcurrentRegistrations.
var sharedHash = func() string {
	sum := sha256.Sum256([]byte("fcm\n" + fcmToken("shared")))
	return hex.EncodeToString(sum[:])
}()

// TestInvalidDevices: what cannot be a device is refused, with the field.
func TestInvalidDevices(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) {
		withPush(c)
		c.APNs = apnsSettings(t)
	})
	user := actortest.User()
	as := f.user(t, user)
	web := func(change func(*subjects.WebPushSubscription)) subjects.RegisterDeviceRequest {
		s := subscription(t, "https://127.0.0.1/push/1")
		change(s)
		return subjects.RegisterDeviceRequest{Platform: "web", Subscription: s}
	}
	for field, requests := range map[string][]subjects.RegisterDeviceRequest{
		"token": {
			{Platform: "fcm"}, {Platform: "fcm", Token: "short"}, {Platform: "fcm", Token: fcmToken("a b")}, {Platform: "apns", Token: strings.Repeat("x", 64)},
			{Platform: "apns", Token: strings.Repeat("a", 63)}, {Platform: "apns", Token: "../" + strings.Repeat("a", 64)},
			{Platform: "web", Token: fcmToken("x"), Subscription: subscription(t, "https://127.0.0.1/")},
		},
		"subscription":             {{Platform: "web"}, {Platform: "fcm", Token: fcmToken("x"), Subscription: subscription(t, "https://127.0.0.1/")}},
		"subscription.keys.p256dh": {web(func(s *subjects.WebPushSubscription) { s.Keys.P256dh = strings.Repeat("A", 87) })},
		"subscription.keys.auth":   {web(func(s *subjects.WebPushSubscription) { s.Keys.Auth = strings.Repeat("!", 22) })},
		"subscription.endpoint": {
			web(func(s *subjects.WebPushSubscription) { s.Endpoint = "https://169.254.169.254/latest" }),
			web(func(s *subjects.WebPushSubscription) { s.Endpoint = "https://10.1.2.3/" }), web(func(s *subjects.WebPushSubscription) { s.Endpoint = "https://[::1]/" }),
			web(func(s *subjects.WebPushSubscription) { s.Endpoint = "https://[::ffff:10.0.0.1]/" }),
			web(func(s *subjects.WebPushSubscription) { s.Endpoint = "file:///etc/passwd" }), web(func(s *subjects.WebPushSubscription) { s.Endpoint = "https://u:p@127.0.0.1/" }),
			web(func(s *subjects.WebPushSubscription) { s.Endpoint = "no URL" }),
		},
	} {
		for _, r := range requests {
			refused := wantCode(t, f.conn, subjects.CodeInvalid, subjects.RegisterDevice, as, r)
			if len(refused.Fields) != 1 || refused.Fields[0].Field != field {
				t.Errorf("%+v: %v, want the field %s", r, refused, field)
			}
		}
	}
	device := call(t, f, subjects.RegisterDevice, as, subjects.RegisterDeviceRequest{Platform: "apns", Token: strings.Repeat("AB", 32)})
	if addresses, err := f.actor.Devices(t.Context(), user); err != nil || len(addresses) != 1 || addresses[0].To != strings.Repeat("ab", 32) {
		t.Errorf("%+v: %+v, %v", device, addresses, err)
	}
}

// TestPushIsNotConfigured: without a provider, devices are refused and nothing is stored.
func TestPushIsNotConfigured(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], nil)
	as := f.user(t, actortest.User())
	wantCode(t, f.conn, subjects.CodeUnsupported, subjects.RegisterDevice, as, subjects.RegisterDeviceRequest{Platform: "fcm", Token: fcmToken("x")})
	wantCode(t, f.conn, subjects.CodeUnsupported, subjects.GetPushKey, as, subjects.Empty{})
	wantCode(t, f.conn, subjects.CodeUnsupported, subjects.SetPhone, as, subjects.SetPhoneRequest{Number: "+4915123456789"})
}

// TestWebPushDevice: a browser subscribes with the key, gets a message, and is deleted once its push service says that it is gone.
func TestWebPushDevice(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var status atomic.Int32
		status.Store(http.StatusCreated)
		var got atomic.Int32
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Content-Encoding") == "aes128gcm" && strings.HasPrefix(r.Header.Get("Authorization"), "vapid ") {
				got.Add(1)
			}
			w.WriteHeader(int(status.Load()))
		}))
		defer service.Close()
		f := setup(t, database, withPush)
		user := actortest.User()
		as := f.user(t, user)
		key := call(t, f, subjects.GetPushKey, as, subjects.Empty{}).PublicKey
		f.stop(t)
		f.start(t)
		if again := call(t, f, subjects.GetPushKey, as, subjects.Empty{}).PublicKey; again != key || len(key) != 87 {
			t.Errorf("the key was %s and is %s", key, again)
		}
		device := call(t, f, subjects.RegisterDevice, as, subjects.RegisterDeviceRequest{
			Platform: "web", Name: "Firefox", Subscription: subscription(t, service.URL+"/push/1"),
		})
		addresses, err := f.actor.Devices(t.Context(), user)
		if err != nil || len(addresses) != 1 {
			t.Fatalf("%+v, %v", addresses, err)
		}
		m := channel.Message{ID: "1", NotificationID: "1", Address: addresses[0], Rendered: channel.Rendered{Subject: "Hello"}}
		if receipt, err := f.actor.Push(t.Context(), m); err != nil || receipt.Provider != "webpush" || got.Load() != 1 {
			t.Errorf("%+v, %v", receipt, err)
		}
		status.Store(http.StatusGone)
		if _, err := f.actor.Push(t.Context(), m); channel.ClassOf(err) != channel.Suppressed {
			t.Errorf("gone: %v", err)
		}
		// An address that the device no longer has drops nothing.
		old := addresses[0]
		old.To += "0"
		if err := f.actor.Drop(t.Context(), user, channel.Push, old); err != nil || len(f.devices(t, as)) != 1 {
			t.Errorf("an old address: %v", err)
		}
		if err := f.actor.Drop(t.Context(), user, channel.Push, addresses[0]); err != nil || len(f.devices(t, as)) != 0 {
			t.Errorf("%s is left: %v", device.ID, err)
		}
		actortest.Eventually(t, "the user's feed says so", func() bool {
			return slices.ContainsFunc(f.feed(t, user), func(data []byte) bool { return strings.Contains(string(data), device.ID) })
		})
	})
}

// TestNotificationsReachDevices: a notification goes to a browser and to a phone, and one whose browser is gone deletes it.
func TestNotificationsReachDevices(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var status atomic.Int32
		status.Store(http.StatusCreated)
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
		defer service.Close()
		sms := startTwilio(t)
		f := setup(t, database, func(c *notification.Config) { withPush(c); sms.configure(c) })
		as := f.user(t, actortest.User())
		const number = "+12025550123"
		f.setPhone(t, as, number)
		call(t, f, subjects.VerifyPhone, as, subjects.VerifyPhoneRequest{Code: sms.code(number)})
		call(t, f, subjects.RegisterDevice, as, subjects.RegisterDeviceRequest{Platform: "web", Subscription: subscription(t, service.URL+"/push/1")})
		f.await(t, as, f.send(t, as, "push", "sms"), "delivered")
		if n := sms.count(number); n != 2 {
			t.Errorf("%d SMS", n)
		}
		status.Store(http.StatusGone)
		f.send(t, as, "push")
		actortest.Eventually(t, "the browser is deleted", func() bool { return len(f.devices(t, as)) == 0 })
	})
}

// TestDevicesAreRetriedAlone: of several devices, those that have a message do not get it again when another fails for now. The delivery is over
// once that one has it too, is gone, or has no attempt left.
func TestDevicesAreRetriedAlone(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		var mu sync.Mutex
		answers, got := []int{}, map[string]int{} // what /2 answers next
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got[r.URL.Path]++
			status := http.StatusCreated
			if r.URL.Path == "/2" && len(answers) > 0 {
				status, answers = answers[0], answers[1:]
			}
			w.WriteHeader(status)
		}))
		defer service.Close()
		answer := func(codes ...int) {
			mu.Lock()
			defer mu.Unlock()
			answers = codes
		}
		requests := func() map[string]int {
			mu.Lock()
			defer mu.Unlock()
			all := maps.Clone(got)
			clear(got)
			return all
		}
		f := setup(t, database, withPush, actortest.WithClock(clock.Now))
		as := f.user(t, actortest.User())
		for _, path := range []string{"/1", "/2", "/3"} {
			call(t, f, subjects.RegisterDevice, as, subjects.RegisterDeviceRequest{Platform: "web", Subscription: subscription(t, service.URL+path)})
		}
		attempted := func(id string, attempts int) (d subjects.ChannelDelivery) {
			actortest.Eventually(t, fmt.Sprintf("attempt %d", attempts), func() bool {
				d = f.delivery(t, as, id, "push")
				return d.Attempts == attempts && (d.NextAttemptAt == nil || d.Reason != "")
			})
			return d
		}
		for name, test := range map[string]struct {
			then     int
			requests map[string]int
			attempts int
			devices  int
		}{
			"it accepts": {http.StatusCreated, map[string]int{"/2": 1}, 2, 3},
			"it is gone": {http.StatusGone, map[string]int{"/2": 1}, 2, 2},
		} {
			answer(http.StatusInternalServerError, http.StatusInternalServerError, test.then) // an attempt asks twice
			requests()
			id := f.send(t, as, "push")
			d := attempted(id, 1)
			if all := requests(); all["/1"] != 1 || all["/3"] != 1 || all["/2"] != 2 || d.Status != "pending" || d.DevicesLeft != 1 || d.AcceptedAt == nil || d.Error == "" {
				t.Fatalf("%s: after the first attempt %+v, requests %v", name, d, all)
			}
			clock.Advance(time.Minute)
			d = f.awaitDelivery(t, as, id, "push", "delivered")
			if all := requests(); !maps.Equal(all, test.requests) || d.Attempts != test.attempts || d.DevicesLeft != 0 || d.Error != "" || d.Reason != "" || d.Provider != "webpush" {
				t.Errorf("%s: %+v, requests %v", name, d, all)
			}
			if test.then == http.StatusGone {
				actortest.Eventually(t, "it is deleted", func() bool { return len(f.devices(t, as)) == test.devices })
				call(t, f, subjects.RegisterDevice, as, subjects.RegisterDeviceRequest{Platform: "web", Subscription: subscription(t, service.URL+"/2")})
			}
		}
	})
}
