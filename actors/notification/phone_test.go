package notification_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func apnsSettings(t *testing.T) providers.APNsConfig {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return providers.APNsConfig{
		TeamID: "DEF123GHIJ", KeyID: "ABC123DEFG", Topic: "com.example.weft",
		Key: mesh.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	}
}

// twilio is Twilio's Messages API on this machine.
type twilio struct {
	*httptest.Server

	mu sync.Mutex
	// sent are the texts by number.
	sent map[string][]string
	// refuse, if set, is the body of a refusal with 400.
	refuse string
}

func startTwilio(t *testing.T) *twilio {
	t.Helper()
	s := &twilio{sent: map[string][]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.refuse != "" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, s.refuse)
			return
		}
		s.sent[r.FormValue("To")] = append(s.sent[r.FormValue("To")], r.FormValue("Body"))
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprint(w, `{"sid":"SM1"}`)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *twilio) configure(c *notification.Config) {
	c.Twilio = providers.TwilioConfig{
		AccountSID: "AC0123456789abcdef0123456789abcdef", AuthToken: "secret", From: "+15005550001", BaseURL: s.URL, Weight: 1,
	}
	c.Phone.AllowedCountries = []string{"DE", "US"}
}

// code returns the last code that a number got; empty if there is none.
func (s *twilio) code(number string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts := s.sent[number]
	if len(texts) == 0 {
		return ""
	}
	return regexp.MustCompile(`\b[0-9]{6}\b`).FindString(texts[len(texts)-1])
}

// last returns the last text that a number got.
func (s *twilio) last(number string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts := s.sent[number]
	return texts[len(texts)-1]
}

// unsent returns a code that a number did not get.
func (s *twilio) unsent(number string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.sent[number], " ")
	for i := 0; ; i++ {
		if code := fmt.Sprintf("%06d", i); !strings.Contains(all, code) {
			return code
		}
	}
}

func (s *twilio) count(number string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent[number])
}

func (f *fixture) setPhone(t *testing.T, as mesh.As, number string) subjects.Phone {
	t.Helper()
	return call(t, f, subjects.SetPhone, as, subjects.SetPhoneRequest{Number: number})
}

// wrong returns a code that is not the given one.
func wrong(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

// TestPhone: a number is verified by its code, replaced by another once that is verified, and deleted.
func TestPhone(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		sms := startTwilio(t)
		f := setup(t, database, sms.configure)
		f.setContact(func(id string) (subjects.Contact, error) { return subjects.Contact{UserID: id, Locale: "de-AT"}, nil })
		user := actortest.User()
		as := f.user(t, user)
		if got := call(t, f, subjects.GetPhone, as, subjects.Empty{}); got.Verified || got.Number != "" || got.Pending != nil {
			t.Errorf("without a number: %+v", got)
		}
		got := call(t, f, subjects.SetPhone, as, subjects.SetPhoneRequest{Number: "0151 23456789", Country: "DE"})
		if got.Verified || got.Pending == nil || got.Pending.Number != "+49*********89" || got.Pending.AttemptsLeft != 5 {
			t.Fatalf("set: %+v", got)
		}
		if addresses, err := f.actor.Phones(t.Context(), user); err != nil || len(addresses) != 0 {
			t.Errorf("a number that is not verified is used: %+v, %v", addresses, err)
		}
		code := sms.code("+4915123456789")
		if text := sms.last("+4915123456789"); text != code+" ist Ihr Bestätigungscode. Er gilt 10 Minuten. Geben Sie ihn niemandem weiter." {
			t.Errorf("the message: %q", text)
		}
		refused := wantCode(t, f.conn, subjects.CodeInvalid, subjects.VerifyPhone, as, subjects.VerifyPhoneRequest{Code: wrong(code)})
		if len(refused.Fields) != 1 || refused.Fields[0].Field != "code" {
			t.Errorf("a wrong code: %v", refused)
		}
		got = call(t, f, subjects.VerifyPhone, as, subjects.VerifyPhoneRequest{Code: code})
		if !got.Verified || got.Number != "+49*********89" || got.VerifiedAt == nil || got.Pending != nil {
			t.Errorf("verified: %+v", got)
		}
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.VerifyPhone, as, subjects.VerifyPhoneRequest{Code: code})
		if addresses, err := f.actor.Phones(t.Context(), user); err != nil || len(addresses) != 1 || addresses[0].To != "+4915123456789" {
			t.Errorf("%+v, %v", addresses, err)
		}
		if f.setPhone(t, as, "+49 1512 3456789"); sms.count("+4915123456789") != 1 {
			t.Error("a verified number got another code")
		}
		// Another number takes the place once it is verified.
		if got = f.setPhone(t, as, "+1 202 555 0123"); !got.Verified || got.Pending == nil {
			t.Errorf("another number: %+v", got)
		}
		call(t, f, subjects.VerifyPhone, as, subjects.VerifyPhoneRequest{Code: sms.code("+12025550123")})
		addresses, err := f.actor.Phones(t.Context(), user)
		if err != nil || len(addresses) != 1 || addresses[0].To != "+12025550123" {
			t.Fatalf("%+v, %v", addresses, err)
		}
		// A provider reports that it has opted out.
		if err := f.actor.Drop(t.Context(), user, channel.SMS, addresses[0]); err != nil {
			t.Fatal(err)
		}
		if got = call(t, f, subjects.GetPhone, as, subjects.Empty{}); got.SuppressedAt == nil {
			t.Errorf("dropped: %+v", got)
		}
		if addresses, err = f.actor.Phones(t.Context(), user); err != nil || len(addresses) != 0 {
			t.Errorf("a dropped number is used: %+v, %v", addresses, err)
		}
		f.setPhone(t, as, "+12025550123")
		if got = call(t, f, subjects.VerifyPhone, as, subjects.VerifyPhoneRequest{Code: sms.code("+12025550123")}); got.SuppressedAt != nil {
			t.Errorf("verified anew: %+v", got)
		}
		f.stop(t)
		if tables := actortest.Dump(t, f.db); strings.Contains(tables, "2025550123") || strings.Contains(tables, "5123456789") || strings.Contains(tables, code) {
			t.Error("a number or a code is stored in clear")
		}
		f.start(t)
		call(t, f, subjects.DeletePhone, as, subjects.Empty{})
		if got = call(t, f, subjects.GetPhone, as, subjects.Empty{}); got.Verified {
			t.Errorf("deleted: %+v", got)
		}
	})
}

// TestPhoneCodes: a code can be tried five times and for ten minutes, whatever becomes of the requests that try it.
func TestPhoneCodes(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		sms := startTwilio(t)
		var clock actortest.Clock
		f := setup(t, database, sms.configure, actortest.WithClock(clock.Now))
		user := actortest.User()
		as := f.user(t, user)
		const number = "+12025550123"
		f.setPhone(t, as, number)
		code := sms.code(number)
		for i := range 5 {
			// An error rolls back what a request with an idempotency key has done.
			header := nats.Header{mesh.HeaderAuthorization: {"Bearer " + as.Token}, mesh.HeaderIdempotencyKey: {fmt.Sprint("try-", i)}}
			_, err := f.conn.Forward(t.Context(), subjects.VerifyPhone.Subject, header, []byte(`{"code":"`+wrong(code)+`"}`))
			if subjects.CodeOf(err) != subjects.CodeInvalid {
				t.Fatal(err)
			}
		}
		refused := wantCode(t, f.conn, subjects.CodeRateLimited, subjects.VerifyPhone, as, subjects.VerifyPhoneRequest{Code: code})
		if refused.Reason != subjects.ReasonLimitReached || !strings.Contains(refused.Detail, "notification.phone.max_attempts") {
			t.Errorf("after five attempts: %v", refused)
		}
		f.setPhone(t, as, number)
		clock.Advance(11 * time.Minute)
		as = f.user(t, user)
		wantCode(t, f.conn, subjects.CodeNotFound, subjects.VerifyPhone, as, subjects.VerifyPhoneRequest{Code: sms.code(number)})
		if got := call(t, f, subjects.GetPhone, as, subjects.Empty{}); got.Pending != nil {
			t.Errorf("expired: %+v", got)
		}
	})
}

// TestCodesAreBounded: by user, by number and by range, over a day; failed requests count.
func TestCodesAreBounded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		sms := startTwilio(t)
		var clock actortest.Clock
		f := setup(t, database, func(c *notification.Config) {
			sms.configure(c)
			c.Phone.MaxCodesPerUser, c.Phone.MaxCodesPerNumber, c.Phone.MaxCodesPerRange = 3, 4, 6
		}, actortest.WithClock(clock.Now))
		limited := func(as mesh.As, number, bound string) {
			t.Helper()
			refused := wantCode(t, f.conn, subjects.CodeRateLimited, subjects.SetPhone, as, subjects.SetPhoneRequest{Number: number})
			if !strings.Contains(refused.Detail, "notification.phone."+bound) {
				t.Errorf("%v, want %s", refused, bound)
			}
		}
		user := actortest.User()
		ada := f.user(t, user)
		f.setPhone(t, ada, "+12025550101")
		f.setPhone(t, ada, "+12025550101")
		sms.refuse = `{"code":21211}`
		refused := wantCode(t, f.conn, subjects.CodeInvalid, subjects.SetPhone, ada, subjects.SetPhoneRequest{Number: "+12025550101"})
		if len(refused.Fields) != 1 || refused.Fields[0].Field != "number" {
			t.Errorf("a number that the provider refuses: %v", refused)
		}
		sms.refuse = ""
		limited(ada, "+12025550101", "max_codes_per_user")
		f.setPhone(t, f.user(t, actortest.User()), "+12025550101")
		limited(f.user(t, actortest.User()), "+12025550101", "max_codes_per_number")
		f.setPhone(t, f.user(t, actortest.User()), "+12025550102")
		f.setPhone(t, f.user(t, actortest.User()), "+12025550103")
		limited(f.user(t, actortest.User()), "+12025550104", "max_codes_per_range")
		f.setPhone(t, f.user(t, actortest.User()), "+12025660104")
		clock.Advance(25 * time.Hour)
		f.setPhone(t, f.user(t, user), "+12025550101")
	})
}

// TestConcurrentCodes: bounds of codes and of attempts hold for requests at the same time.
func TestConcurrentCodes(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		sms := startTwilio(t)
		f := setup(t, database, func(c *notification.Config) {
			sms.configure(c)
			c.Phone.MaxCodesPerNumber = 100
			c.Phone.MaxCodesPerRange = 100
		})
		as := f.user(t, actortest.User())
		const number = "+12025550123"
		all := func(call func() error) (codes map[subjects.Code]int) {
			codes = map[subjects.Code]int{}
			var mu sync.Mutex
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() {
					err := call()
					mu.Lock()
					defer mu.Unlock()
					codes[subjects.CodeOf(err)]++
				})
			}
			group.Wait()
			return codes
		}
		got := all(func() error {
			_, err := mesh.Call(t.Context(), f.conn, subjects.SetPhone, subjects.SetPhoneRequest{Number: number}, as)
			return err
		})
		if sms.count(number) != 5 || got[""] != 5 || got[subjects.CodeRateLimited] != 15 {
			t.Errorf("%d codes, %v", sms.count(number), got)
		}
		got = all(func() error {
			_, err := mesh.Call(t.Context(), f.conn, subjects.VerifyPhone, subjects.VerifyPhoneRequest{Code: sms.unsent(number)}, as)
			return err
		})
		if got[subjects.CodeInvalid] != 5 || got[subjects.CodeRateLimited] != 15 {
			t.Errorf("attempts: %v", got)
		}
	})
}

// TestRefusedNumbers: SMS go to mobile numbers of allowed countries.
func TestRefusedNumbers(t *testing.T) {
	t.Parallel()
	sms := startTwilio(t)
	f := setup(t, actortest.Databases(t)[0], sms.configure)
	as := f.user(t, actortest.User())
	for _, r := range []subjects.SetPhoneRequest{
		{Number: "0151 23456789"}, {Number: "+49 30 901820"}, {Number: "+49 900 1234567"}, {Number: "+1 800 555 0123"}, {Number: "+44 7400 123456"},
		{Number: "+881 6123 45678"}, {Number: "1234"}, {Number: "call me maybe"}, {Number: "+4915123456789;ext=7"}, {Number: "+49151234567890123456789"},
		{Number: "0151 23456789", Country: "US"},
	} {
		refused := wantCode(t, f.conn, subjects.CodeInvalid, subjects.SetPhone, as, r)
		if len(refused.Fields) != 1 || refused.Fields[0].Field != "number" {
			t.Errorf("%+v: %v", r, refused)
		}
	}
	sms.refuse = `{"code":20003}`
	wantCode(t, f.conn, subjects.CodeUnavailable, subjects.SetPhone, as, subjects.SetPhoneRequest{Number: "+4915123456789"})
	if len(sms.sent) != 0 {
		t.Errorf("sent %v", sms.sent)
	}
}

// TestAddressesAreErased: a deleted user's devices, numbers and records of codes are deleted; another's are not.
func TestAddressesAreErased(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		sms := startTwilio(t)
		f := setup(t, database, func(c *notification.Config) { withPush(c); sms.configure(c) })
		user, other := actortest.User(), actortest.User()
		for id, number := range map[string]string{user: "+12025550123", other: "+4915123456789"} {
			as := f.user(t, id)
			f.register(t, as, "of"+id[:8]+number[1:], "")
			f.setPhone(t, as, number)
			call(t, f, subjects.VerifyPhone, as, subjects.VerifyPhoneRequest{Code: sms.code(number)})
		}
		if answer := f.mesh.Forget(t, "notification", user); answer.Items != 2 {
			t.Errorf("answered %+v", answer)
		}
		if addresses, err := f.actor.Phones(t.Context(), other); err != nil || len(addresses) != 1 || addresses[0].To != "+4915123456789" {
			t.Errorf("another user's: %+v, %v", addresses, err)
		}
		f.stop(t)
		if tables := actortest.Dump(t, f.db); strings.Contains(tables, user) || !strings.Contains(tables, other) {
			t.Error("the tables hold something of the deleted user, or nothing of the other")
		}
	})
}

// TestAddressesSurviveKeyRotation: what is sealed of devices, numbers and the actor's own keys opens with the new key alone.
func TestAddressesSurviveKeyRotation(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		sms := startTwilio(t)
		f := setup(t, kind, func(c *notification.Config) { withPush(c); sms.configure(c) })
		user := actortest.User()
		as := f.user(t, user)
		device := f.register(t, as, "phone", "")
		f.setPhone(t, as, "+12025550123")
		call(t, f, subjects.VerifyPhone, as, subjects.VerifyPhoneRequest{Code: sms.code("+12025550123")})
		key := call(t, f, subjects.GetPushKey, as, subjects.Empty{})
		f.stop(t)
		db := actortest.OpenDatabase(t, f.db, notification.Migrations)
		rotation := seal.Rotation{
			DB: db, KeysetFile: f.keyset, Sealed: append(slices.Clone(notification.Sealed), idempotency.Sealed), Now: time.Now, Say: func(string) {},
		}
		if err := rotation.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		f.start(t)
		devices, err := f.actor.Devices(t.Context(), user)
		if err != nil || len(devices) != 1 || devices[0].DeviceID != device.ID || devices[0].To != fcmToken("phone") {
			t.Errorf("devices %+v, %v", devices, err)
		}
		if phones, err := f.actor.Phones(t.Context(), user); err != nil || len(phones) != 1 || phones[0].To != "+12025550123" {
			t.Errorf("phones %+v, %v", phones, err)
		}
		if again := call(t, f, subjects.GetPushKey, as, subjects.Empty{}); again != key {
			t.Error("the VAPID key has changed")
		}
		if f.setPhone(t, as, "+12025550123"); sms.count("+12025550123") != 1 {
			t.Error("the number is not recognised: the key of the MACs has changed")
		}
	})
}
