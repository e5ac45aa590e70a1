package webhook_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/integration/webhook"
)

// vector is a delivery that a provider, or its documentation, signed.
type vector struct {
	Provider, Source, Secret, Method, URL, Body string
	Header                                      map[string]string
	At                                          int64
}

func (v vector) name(i int) string { return strconv.Itoa(i) + " " + v.Provider }

func (v vector) now() time.Time { return time.Unix(v.At, 0) }

func (v vector) request(t testing.TB) webhook.Request {
	t.Helper()
	u, err := url.Parse(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := webhook.Request{Method: v.Method, URL: v.URL, Header: http.Header{}, Query: u.Query(), Body: []byte(v.Body)}
	for name, value := range v.Header {
		r.Header.Set(name, value)
	}
	return r
}

func read[T any](t testing.TB, file string) T {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func compile(t testing.TB, spec webhook.Spec) *webhook.Scheme {
	t.Helper()
	return webhook.Compile(spec, func(pointer, format string, args ...any) {
		t.Helper()
		t.Errorf(pointer+": "+format, args...)
	})
}

func schemes(t testing.TB) map[string]*webhook.Scheme {
	t.Helper()
	compiled := map[string]*webhook.Scheme{}
	for name, spec := range read[map[string]webhook.Spec](t, "schemes.json") {
		compiled[name] = compile(t, spec)
	}
	return compiled
}

func keys(secrets ...string) webhook.Keys { return webhook.Keys{Secrets: secrets} }

func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	all := schemes(t)
	for i, v := range read[[]vector](t, "vectors.json") {
		t.Run(v.name(i), func(t *testing.T) {
			t.Parallel()
			s := all[v.Provider]
			r := v.request(t)
			got, err := s.Verify(r, keys(v.Secret), v.now())
			if err != nil || got.Secret != 0 || (got.Replay == "") == s.SignsTime() {
				t.Fatalf("%s: %+v, %v", v.Source, got, err)
			}
			if err := s.Check(v.Secret); err != nil {
				t.Errorf("Check of the secret: %v", err)
			}
			// A replay is the same whatever its unsigned headers are.
			replay := v.request(t)
			replay.Header.Set("X-Request-Id", "another")
			if again, err := s.Verify(replay, keys(v.Secret), v.now()); err != nil || again.Replay != got.Replay {
				t.Errorf("replay with another header: got %+v, %v, want the Replay of %+v", again, err, got)
			}
			if _, err := s.Verify(r, keys(), v.now()); !errors.Is(err, webhook.ErrNoSecret) {
				t.Errorf("no secret: got %v, want ErrNoSecret", err)
			}
			if _, err := s.Verify(r, keys(""), v.now()); err == nil {
				t.Error("an empty secret verified")
			}
			if got, err := s.Verify(r, keys(otherSecret(v), v.Secret), v.now()); err != nil || got.Secret != 1 {
				t.Errorf("older of two secrets: got %+v, %v", got, err)
			}
			if _, err := s.Verify(r, keys(otherSecret(v)), v.now()); !errors.Is(err, webhook.ErrSignature) {
				t.Errorf("wrong secret: got %v, want ErrSignature", err)
			}
			if s.SignsTime() {
				for _, late := range []time.Duration{s.Tolerance() + time.Second, -s.Tolerance() - time.Second} {
					if _, err := s.Verify(r, keys(v.Secret), v.now().Add(late)); !errors.Is(err, webhook.ErrStale) {
						t.Errorf("%s from the timestamp: got %v, want ErrStale", late, err)
					}
				}
			}
			for name := range r.Header {
				if slices.Contains(unsignedHeaders, name) {
					continue
				}
				stripped := r
				stripped.Header = maps.Clone(r.Header)
				delete(stripped.Header, name)
				if _, err := s.Verify(stripped, keys(v.Secret), v.now()); !errors.Is(err, webhook.ErrUnsigned) {
					t.Errorf("without %s: got %v, want ErrUnsigned", name, err)
				}
				stripped.Header[name] = append(slices.Clone(r.Header[name]), r.Header[name]...)
				if _, err := s.Verify(stripped, keys(v.Secret), v.now()); err == nil {
					t.Errorf("a repeated %s verified", name)
				}
			}
		})
	}
}

// unsignedHeaders are the headers of vectors that their signatures do not cover.
var unsignedHeaders = []string{"Content-Type", "X-Github-Event", "X-Github-Delivery", "X-Shopify-Topic", "X-Shopify-Webhook-Id"}

// otherSecret returns a valid secret of the vector's scheme other than the vector's own.
func otherSecret(v vector) string {
	text := []byte(v.Secret)
	switch v.Provider {
	case "sendgrid":
		return "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEBXYlCvNZLLxVGPbvzTrdT5CJGq7zcSsbM1FhmFqNtMQl/e0+vqD/7VoY2LpXcUOMhVZTJPcGDqVYrzXvz7WLMQ=="
	case "discord":
		return "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
	}
	text[len(text)/2] ^= 1
	return string(text)
}

// TestBitFlips flips each bit of the signature and of what it covers: body, address and headers.
func TestBitFlips(t *testing.T) {
	t.Parallel()
	all := schemes(t)
	for i, v := range read[[]vector](t, "vectors.json") {
		t.Run(v.name(i), func(t *testing.T) {
			t.Parallel()
			s := all[v.Provider]
			wantRejected := func(what string, bit int, r webhook.Request) {
				if _, err := s.Verify(r, keys(v.Secret), v.now()); err == nil {
					t.Errorf("%s with bit %d flipped verified", what, bit)
				}
			}
			for bit := range len(v.Body) * 8 {
				r := v.request(t)
				r.Body = flip(r.Body, bit)
				wantRejected("the body", bit, r)
			}
			for name, value := range v.Header {
				if slices.Contains(unsignedHeaders, http.CanonicalHeaderKey(name)) {
					continue
				}
				end := len(value)
				if v.Provider == "stripe" {
					end -= len(",v0=") + 64 // the signature of a deprecated version, which is ignored
				}
				for bit := range end * 8 {
					r := v.request(t)
					r.Header[http.CanonicalHeaderKey(name)] = []string{string(flip([]byte(value), bit))}
					wantRejected(name, bit, r)
				}
			}
			if s := v.Provider; s == "twilio" || s == "hubspot" || s == "hubspot_v2" {
				for bit := range len(v.URL) * 8 {
					r := v.request(t)
					r.URL = string(flip([]byte(v.URL), bit))
					wantRejected("the address", bit, r)
				}
			}
		})
	}
}

func flip(data []byte, bit int) []byte {
	flipped := slices.Clone(data)
	flipped[bit/8] ^= 1 << (bit % 8)
	return flipped
}

// TestRandomDeliveries signs random deliveries by Standard Webhooks, and changes each at random.
func TestRandomDeliveries(t *testing.T) {
	t.Parallel()
	s := schemes(t)["standard_webhooks"]
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "body")
		id := rapid.StringMatching(`msg_[a-z0-9]{1,20}`).Draw(t, "id")
		at := rapid.Int64Range(1, 1<<33).Draw(t, "at")
		secret := rapid.SliceOfN(rapid.Byte(), 24, 64).Draw(t, "secret")
		r, text := standardDelivery(id, at, body, secret)
		if _, err := s.Verify(r, keys(text), time.Unix(at, 0)); err != nil {
			t.Fatalf("unchanged delivery: %v", err)
		}
		changed := r
		changed.Header = r.Header.Clone()
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			changed.Body = flip(body, rapid.IntRange(0, len(body)*8-1).Draw(t, "bit"))
		case 1:
			changed.Header.Set("Webhook-Id", id+"x")
		case 2:
			changed.Header.Set("Webhook-Timestamp", strconv.FormatInt(at+1, 10))
		case 3:
			changed.Body = append(slices.Clone(body), ' ')
		}
		if _, err := s.Verify(changed, keys(text), time.Unix(at, 0)); !errors.Is(err, webhook.ErrSignature) {
			t.Fatalf("changed delivery: got %v, want ErrSignature", err)
		}
	})
}
