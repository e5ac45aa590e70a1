package webhook_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/integration/webhook"
)

func macOf(newHash func() hash.Hash, key, text string) []byte {
	m := hmac.New(newHash, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// signedBy returns a delivery with the body b and the given signature in the header X-Sig.
func signedBy(signature string) webhook.Request {
	return webhook.Request{Method: "POST", Body: []byte("b"), Header: http.Header{"X-Sig": {signature}}}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	// The digest has bytes that are encoded as + and / in base64.
	sum := macOf(sha256.New, "k5", "b")
	standard, raw := base64.StdEncoding.EncodeToString(sum), base64.RawURLEncoding.EncodeToString(sum)
	for _, c := range []struct {
		encoding, signature string
		valid               bool
	}{
		{"", hex.EncodeToString(sum), true},
		{"hex", hex.EncodeToString(sum), true},
		{"hex", strings.ToUpper(hex.EncodeToString(sum)), false},
		{"hex", hex.EncodeToString(sum)[:62], false},
		{"hex", standard, false},
		{"base64", standard, true},
		{"base64", strings.TrimRight(standard, "="), false},
		{"base64", standard + "\n", true}, // white space around a signature is ignored
		{"base64url", raw, true},
		{"base64url", raw + "=", false},
	} {
		s := compile(t, parse(t, `{"signature": {"kind": "hmac", "algorithm": "sha256", "in": "header:X-Sig", "encoding": "`+c.encoding+`"}}`))
		if _, err := s.Verify(signedBy(c.signature), keys("k5"), time.Time{}); (err == nil) != c.valid {
			t.Errorf("%s signature %q: got %v, valid is %v", c.encoding, c.signature, err, c.valid)
		}
	}
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	for algorithm, newHash := range map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New} {
		want := hex.EncodeToString(macOf(newHash, "k", "b"))
		s := compile(t, parse(t, `{"signature": {"kind": "hmac", "algorithm": "`+algorithm+`", "in": "header:X-Sig"}}`))
		if _, err := s.Verify(signedBy(want), keys("k"), time.Time{}); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		if got := webhook.Digest(algorithm, "", "k", "b"); got != want {
			t.Errorf("Digest by %s: got %s, want %s", algorithm, got, want)
		}
	}
}

func TestSignatureLists(t *testing.T) {
	t.Parallel()
	good := hex.EncodeToString(macOf(sha256.New, "k", "b"))
	many := func(n int) string { return strings.Repeat("v1=00,", n) + "v1=" + good }
	for _, c := range []struct {
		options, signature string
		want               error
	}{
		{``, good, nil},
		{`, "prefix": "v1="`, "v1=" + good, nil},
		{`, "prefix": "v1="`, good, webhook.ErrUnsigned},
		{`, "prefix": "v1="`, "v2=" + good, webhook.ErrUnsigned},
		{`, "prefix": "v1="`, "v1=", webhook.ErrUnsigned},
		{`, "prefix": "v1=", "separator": ","`, "v1=00, v1=" + good, nil},
		{`, "prefix": "v1=", "separator": ","`, "v0=" + good + ",v1=00", webhook.ErrSignature},
		{`, "prefix": "v1=", "separator": ","`, many(15), nil},
		{`, "prefix": "v1=", "separator": ","`, many(16), webhook.ErrSignature}, // the limit of signatures that are tried
		{`, "pair": "v1"`, "t=1,v1=" + good, nil},
		{`, "pair": "v1"`, "t=1,v2=" + good, webhook.ErrUnsigned},
		{`, "pair": "v1", "separator": ";"`, "t=1;v1=" + good, nil},
	} {
		s := compile(t, parse(t, `{"signature": {"kind": "hmac", "algorithm": "sha256", "in": "header:X-Sig"`+c.options+`}}`))
		if _, err := s.Verify(signedBy(c.signature), keys("k"), time.Time{}); !errors.Is(err, c.want) {
			t.Errorf("%s with %q: got %v, want %v", c.options, c.signature, err, c.want)
		}
	}
	s := compile(t, parse(t, `{"signature": {"kind": "hmac", "algorithm": "sha256", "in": ["header:X-New", "header:X-Sig"]}}`))
	r := signedBy(good)
	r.Header.Set("X-New", "00")
	if _, err := s.Verify(r, keys("k"), time.Time{}); err != nil {
		t.Errorf("second of two places: %v", err)
	}
}

func TestTimestampUnits(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		unit, text string
		want       error
	}{
		{"", "1700000000", nil},
		{"s", "1700000299", nil},
		{"s", "1699999699", webhook.ErrStale},
		{"s", "1700000301", webhook.ErrStale},
		{"s", "1700000000.5", webhook.ErrStale},
		{"s", "-1", webhook.ErrStale},
		{"s", "99999999999999999999", webhook.ErrStale},
		{"s", "1700000000000", webhook.ErrStale}, // milliseconds
		{"ms", "1700000000000", nil},
		{"ms", "1700000000", webhook.ErrStale},
		{"rfc3339", "2023-11-14T22:13:20Z", nil},
		{"rfc3339", "2023-11-14T23:13:20+01:00", nil},
		{"rfc3339", "2023-11-14", webhook.ErrStale},
		{"http", "Tue, 14 Nov 2023 22:13:20 GMT", nil},
		{"http", "1700000000", webhook.ErrStale},
	} {
		s := compile(t, parse(t, `{"signature": {"kind": "hmac", "algorithm": "sha256", "in": "header:X-Sig", "payload": ["timestamp", {"text": "."}, "body"]},
			"timestamp": {"in": "header:X-Time", "unit": "`+c.unit+`"}}`))
		r := signedBy(hex.EncodeToString(macOf(sha256.New, "k", c.text+".b")))
		r.Header.Set("X-Time", c.text)
		got, err := s.Verify(r, keys("k"), now)
		if !errors.Is(err, c.want) {
			t.Errorf("%s %q: got %v, want %v", c.unit, c.text, err, c.want)
		}
		if err == nil && got.At.IsZero() {
			t.Errorf("%s %q: no time", c.unit, c.text)
		}
	}
}

// TestTimestampIsJudgedLast: the age of a delivery with an invalid signature is not disclosed.
func TestTimestampIsJudgedLast(t *testing.T) {
	t.Parallel()
	s := compile(t, parse(t, `{"signature": {"kind": "hmac", "algorithm": "sha256", "in": "header:X-Sig", "payload": ["timestamp", "body"]},
		"timestamp": {"in": "header:X-Time"}}`))
	r := signedBy("00")
	r.Header.Set("X-Time", "1")
	if _, err := s.Verify(r, keys("k"), time.Unix(1_700_000_000, 0)); !errors.Is(err, webhook.ErrSignature) {
		t.Errorf("old and badly signed: got %v, want ErrSignature", err)
	}
}

func TestPayloadParts(t *testing.T) {
	t.Parallel()
	r := webhook.Request{
		Method: "POST", URL: "https://w.example/h?a=1", Body: []byte("b=2&a=3&a=1&a=3"),
		Header: http.Header{"X-Id": {"m1"}, "X-Time": {"1700000000"}, "Content-Type": formType["Content-Type"]},
	}
	for payload, signed := range map[string]string{
		`["body"]`: "b=2&a=3&a=1&a=3",
		`["method", {"text": "+"}, "url", {"text": "+"}, "body"]`:   "POST+https://w.example/h?a=1+b=2&a=3&a=1&a=3",
		`["id", {"text": "."}, "timestamp", {"text": "."}, "body"]`: "m1.1700000000.b=2&a=3&a=1&a=3",
		`["url", "form", "timestamp"]`:                              "https://w.example/h?a=1a1a3b21700000000",
	} {
		s := compile(t, parse(t, `{"signature": {"kind": "hmac", "algorithm": "sha256", "in": "header:X-Sig", "payload": `+payload+`}, "id": "header:X-Id"`+
			map[bool]string{true: `, "timestamp": {"in": "header:X-Time"}`}[strings.Contains(payload, "timestamp")]+`}`))
		r.Header.Set("X-Sig", hex.EncodeToString(macOf(sha256.New, "k", signed)))
		if _, err := s.Verify(r, keys("k"), time.Unix(1_700_000_000, 0)); err != nil {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

func TestHashedSecret(t *testing.T) {
	t.Parallel()
	s := compile(t, parse(t, `{"signature": {"kind": "hash", "algorithm": "sha256", "in": "header:X-Sig", "payload": ["secret", "body"]}}`))
	sum := sha256.Sum256([]byte("kb"))
	r := signedBy(fmt.Sprintf("%x", sum))
	if _, err := s.Verify(r, keys("k"), time.Time{}); err != nil {
		t.Error(err)
	}
	if _, err := s.Verify(r, keys("j"), time.Time{}); !errors.Is(err, webhook.ErrSignature) {
		t.Errorf("wrong secret: got %v, want ErrSignature", err)
	}
}

func TestCheckLimits(t *testing.T) {
	t.Parallel()
	s := compile(t, parse(t, `{"signature": {"kind": "token", "in": "header:X"}}`))
	for length, valid := range map[int]bool{0: false, 1: true, webhook.MaxSecret: true, webhook.MaxSecret + 1: false} {
		if err := s.Check(strings.Repeat("x", length)); (err == nil) != valid {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}

func TestInQuery(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"signature": {"kind": "token", "in": "query:token"}}`:                       "token",
		`{"signature": {"kind": "token", "in": "header:token"}}`:                      "",
		`{"signature": {"kind": "token", "in": ["query:token", "header:X"]}}`:         "",
		`{"signature": {"kind": "hmac", "algorithm": "sha256", "in": "query:token"}}`: "",
	} {
		if got := compile(t, parse(t, text)).InQuery(); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestSpecJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"signature": {"in": 7}}`, `{"signature": {"in": {}}}`, `{"signature": {"payload": [7]}}`, `{"signature": {"payload": [{"text": 1}]}}`} {
		var spec webhook.Spec
		if err := json.Unmarshal([]byte(text), &spec); err == nil {
			t.Errorf("%s was decoded to %+v", text, spec)
		}
	}
}

func TestParseKeySetErrors(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, `{`, `[]`, `{"keys": []}`, `{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}`,
		`{"keys": [{"kid": "r", "kty": "RSA", "n": "AQAB", "e": "AQAB"}]}`, `{"keys": [{"kid": "r", "kty": "RSA", "n": "!", "e": "AQAB"}]}`,
		`{"keys": [{"kid": "e", "kty": "EC", "crv": "P-384", "x": "AQ", "y": "AQ"}]}`, `{"keys": [{"kid": "e", "kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}]}`,
	} {
		if set, err := webhook.ParseKeySet([]byte(text)); err == nil {
			t.Errorf("%s: got %d keys", text, len(set))
		}
	}
}

// FuzzVerify: no delivery verifies by chance, and none makes Verify panic.
func FuzzVerify(f *testing.F) {
	all := schemes(f)
	for _, v := range read[[]vector](f, "vectors.json") {
		signature, _ := json.Marshal(v.Header)
		f.Add(v.Provider, v.URL, string(signature), []byte(v.Body), v.At)
	}
	f.Fuzz(func(t *testing.T, provider, url, header string, body []byte, at int64) {
		s, ok := all[provider]
		if !ok {
			return
		}
		fields := map[string]string{}
		if json.Unmarshal([]byte(header), &fields) != nil {
			return
		}
		r := webhook.Request{Method: "POST", URL: url, Header: http.Header{}, Body: body}
		for name, value := range fields {
			r.Header.Set(name, value)
		}
		got, err := s.Verify(r, keys("a-secret-that-signed-nothing"), time.Unix(at, 0))
		if err == nil {
			t.Fatalf("verified: %+v", got)
		}
		if !errors.Is(err, webhook.ErrSignature) && !errors.Is(err, webhook.ErrUnsigned) && !errors.Is(err, webhook.ErrStale) {
			t.Fatalf("got %v", err)
		}
	})
}
