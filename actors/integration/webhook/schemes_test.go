package webhook_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/actors/integration/webhook"
)

// standardDelivery returns a delivery signed as the Standard Webhooks specification says, and the text of its secret.
func standardDelivery(id string, at int64, body, key []byte) (webhook.Request, string) {
	stamp := strconv.FormatInt(at, 10)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	return webhook.Request{Method: "POST", Body: body, Header: http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {stamp},
		"Webhook-Signature": {"v1,AAAA v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}}, "whsec_" + base64.StdEncoding.EncodeToString(key)
}

func parse(t testing.TB, text string) webhook.Spec {
	t.Helper()
	var spec webhook.Spec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestTokenPlaces(t *testing.T) {
	t.Parallel()
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for place, r := range map[string]webhook.Request{
		"header:X-Gitlab-Token": {Header: http.Header{"X-Gitlab-Token": {"s3cret"}}},
		"query:token":           {Query: url.Values{"token": {"s3cret"}}},
		"form:token":            {Header: form, Body: []byte("a=b&token=s3cret")},
		"body:/auth/0/token":    {Body: []byte(`{"auth": [{"token": "s3cret"}]}`)},
		"bearer":                {Header: http.Header{"Authorization": {"Bearer s3cret"}}},
		"basic":                 {Header: http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("s3cret"))}}},
	} {
		s := compile(t, parse(t, `{"secret": {"from": "weft"}, "signature": {"kind": "token", "in": "`+place+`"}}`))
		if _, err := s.Verify(r, keys("s3cret"), time.Time{}); err != nil {
			t.Errorf("%s: %v", place, err)
		}
		for _, wrong := range []string{"s3cre", "s3crett", "S3cret", "x"} {
			if _, err := s.Verify(r, keys(wrong), time.Time{}); !errors.Is(err, webhook.ErrSignature) {
				t.Errorf("%s with the secret %s: got %v, want ErrSignature", place, wrong, err)
			}
		}
		if _, err := s.Verify(webhook.Request{}, keys("s3cret"), time.Time{}); !errors.Is(err, webhook.ErrUnsigned) {
			t.Errorf("without %s: got %v, want ErrUnsigned", place, err)
		}
		if _, err := s.Verify(r, keys(), time.Time{}); !errors.Is(err, webhook.ErrNoSecret) {
			t.Errorf("%s without a secret: got %v, want ErrNoSecret", place, err)
		}
	}
}

func TestAddressForms(t *testing.T) {
	t.Parallel()
	s := compile(t, parse(t, `{"secret": {"from": "weft"}, "signature":
		{"kind": "hmac", "in": "header:X-Sig", "algorithm": "sha256", "payload": ["url", "body"]}}`))
	for signed, received := range map[string]string{
		"https://a.example/h?x=1":     "https://a.example:443/h?x=1",
		"https://a.example:443/h":     "https://a.example/h",
		"http://a.example:80/h":       "http://a.example/h",
		"https://a.example/h?u=x://y": "https://a.example/h?u=x%3A%2F%2Fy",
	} {
		mac := hmac.New(sha256.New, []byte("k"))
		mac.Write([]byte(signed + "b"))
		r := webhook.Request{URL: received, Body: []byte("b"), Header: http.Header{"X-Sig": {fmt.Sprintf("%x", mac.Sum(nil))}}}
		if _, err := s.Verify(r, keys("k"), time.Time{}); err != nil {
			t.Errorf("%s received as %s: %v", signed, received, err)
		}
		r.URL = strings.Replace(received, "a.example", "b.example", 1)
		if _, err := s.Verify(r, keys("k"), time.Time{}); err == nil {
			t.Errorf("%s verified for another host", received)
		}
	}
}

// TestJSONBodyNeedsDigest: Twilio signs form fields, so that a JSON body without a digest would not be covered.
func TestJSONBodyNeedsDigest(t *testing.T) {
	t.Parallel()
	all := schemes(t)
	for _, v := range read[[]vector](t, "vectors.json") {
		if v.Provider != "twilio" || !strings.Contains(v.URL, "bodySHA256") {
			continue
		}
		r := v.request(t)
		r.Query.Del("bodySHA256")
		if _, err := all["twilio"].Verify(r, keys(v.Secret), v.now()); err == nil {
			t.Error("a JSON body without a digest verified")
		}
	}
}

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"signature": {"kind": "hmac", "in": "X-Sig", "algorithm": "sha256"}}`:                                                       "/signature/in",
		`{"signature": {"kind": "hmac", "in": "body:token", "algorithm": "sha256"}}`:                                                  "/signature/in",
		`{"signature": {"kind": "hmac", "in": "header:X", "algorithm": "md5"}}`:                                                       "/signature/algorithm",
		`{"signature": {"kind": "hmac", "in": "header:X", "algorithm": "sha256", "payload": ["url"]}}`:                                "/signature/payload",
		`{"signature": {"kind": "hmac", "in": "header:X", "algorithm": "sha256", "payload": ["timestamp", "body"]}}`:                  "/signature/payload",
		`{"signature": {"kind": "hmac", "in": "header:X", "algorithm": "sha256", "payload": ["id", "body"]}}`:                         "/signature/payload",
		`{"signature": {"kind": "hmac", "in": "header:X", "algorithm": "sha256", "payload": ["nothing", "body"]}}`:                    "/signature/payload/0",
		`{"signature": {"kind": "hash", "in": "header:X", "algorithm": "sha256"}}`:                                                    "/signature/payload",
		`{"signature": {"kind": "hmac", "in": "header:X", "algorithm": "sha256"}, "timestamp": {"in": "header:T"}}`:                   "/timestamp",
		`{"signature": {"kind": "jwt", "in": "bearer", "algorithm": "none"}}`:                                                         "/signature/algorithm",
		`{"signature": {"kind": "jwt", "in": "bearer", "algorithm": "RS256", "jwks": "http://k.example"}}`:                            "/signature/jwks",
		`{"signature": {"kind": "jwt", "in": "bearer", "algorithm": "RS256", "jwks": "https://k.example/"}}`:                          "/signature/claims",
		`{"signature": {"kind": "jwt", "in": "bearer", "algorithm": "HS256", "jwks": "https://k.example/"}}`:                          "/signature/jwks",
		`{"signature": {"kind": "token", "in": "query:t"}, "timestamp": {"in": "claim"}}`:                                             "/timestamp/in",
		`{"signature": {"kind": "hmac", "in": "header:X", "algorithm": "sha1"}, "timestamp": {"in": "body:/t", "tolerance": "soon"}}`: "/timestamp/tolerance",
	} {
		var found []string
		webhook.Compile(parse(t, text), func(pointer, _ string, _ ...any) { found = append(found, pointer) })
		if len(found) == 0 || found[0] != want {
			t.Errorf("%s: errors at %v, want one at %s", text, found, want)
		}
	}
}

func TestHS256Tokens(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	s := compile(t, parse(t, `{"secret": {"from": "provider"}, "signature":
		{"kind": "jwt", "in": "header:Authorization", "algorithm": "HS256", "claims": {"aud": "url"}}}`))
	sign := func(method jwt.SigningMethod, key any, claims jwt.MapClaims) webhook.Request {
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return webhook.Request{URL: "https://w.example/h?a=b", Header: http.Header{"Authorization": {token}}, Body: []byte("{}")}
	}
	good := jwt.MapClaims{"aud": "https://w.example/h", "exp": now.Add(time.Minute).Unix()}
	for name, c := range map[string]struct {
		r    webhook.Request
		want error
	}{
		"valid":            {sign(jwt.SigningMethodHS256, []byte("k"), good), nil},
		"another key":      {sign(jwt.SigningMethodHS256, []byte("x"), good), webhook.ErrSignature},
		"HS512":            {sign(jwt.SigningMethodHS512, []byte("k"), good), webhook.ErrSignature},
		"alg none":         {sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good), webhook.ErrSignature},
		"another audience": {sign(jwt.SigningMethodHS256, []byte("k"), jwt.MapClaims{"aud": "https://x.example/h", "exp": good["exp"]}), webhook.ErrSignature},
		"no audience":      {sign(jwt.SigningMethodHS256, []byte("k"), jwt.MapClaims{"exp": good["exp"]}), webhook.ErrSignature},
		"two audiences":    {sign(jwt.SigningMethodHS256, []byte("k"), jwt.MapClaims{"aud": []string{"https://w.example/h", "x"}, "exp": good["exp"]}), webhook.ErrSignature},
		"expired":          {sign(jwt.SigningMethodHS256, []byte("k"), jwt.MapClaims{"aud": good["aud"], "exp": now.Add(-2 * time.Minute).Unix()}), webhook.ErrStale},
		"no expiry":        {sign(jwt.SigningMethodHS256, []byte("k"), jwt.MapClaims{"aud": good["aud"]}), webhook.ErrSignature},
		"no token":         {webhook.Request{}, webhook.ErrUnsigned},
	} {
		if _, err := s.Verify(c.r, keys("k"), now); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// keySet returns a set of an RSA key r and a P-256 key e, and their private keys.
func keySet(t *testing.T) (webhook.KeySet, *rsa.PrivateKey, *ecdsa.PrivateKey) {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ecKey.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	set, err := webhook.ParseKeySet(fmt.Appendf(nil, `{"keys": [
		{"kid": "r", "kty": "RSA", "n": %q, "e": %q}, {"kid": "e", "kty": "EC", "crv": "P-256", "x": %q, "y": %q},
		{"kid": "weak", "kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kid": "off", "kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}]}`,
		b64(rsaKey.N.Bytes()), b64(big.NewInt(int64(rsaKey.E)).Bytes()), b64(point[1:33]), b64(point[33:])))
	if err != nil || len(set) != 2 {
		t.Fatalf("got %d keys, %v, want 2", len(set), err)
	}
	return set, rsaKey, ecKey
}

func TestTokensOfKeySets(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	set, rsaKey, ecKey := keySet(t)
	for _, c := range []struct {
		algorithm, kid string
		method         jwt.SigningMethod
		key            any
	}{{"RS256", "r", jwt.SigningMethodRS256, rsaKey}, {"ES256", "e", jwt.SigningMethodES256, ecKey}} {
		s := compile(t, parse(t, `{"secret": {"from": "provider"}, "signature": {"kind": "jwt", "in": "bearer", "algorithm": "`+c.algorithm+`",
			"jwks": "https://k.example/", "claims": {"iss": {"text": "https://i.example"}, "email": "secret"}}}`))
		sign := func(kid, email string) webhook.Request {
			token := jwt.NewWithClaims(c.method, jwt.MapClaims{"iss": "https://i.example", "email": email, "exp": now.Add(time.Hour).Unix()})
			token.Header["kid"] = kid
			text, err := token.SignedString(c.key)
			if err != nil {
				t.Fatal(err)
			}
			return webhook.Request{Header: http.Header{"Authorization": {"Bearer " + text}}}
		}
		all := webhook.Keys{Secrets: []string{"me@i.example"}, Public: set}
		if id := s.KeyID(sign(c.kid, "x")); id != c.kid {
			t.Errorf("KeyID: got %q, want %q", id, c.kid)
		}
		if _, err := s.Verify(sign(c.kid, "me@i.example"), all, now); err != nil {
			t.Errorf("%s: %v", c.algorithm, err)
		}
		for name, r := range map[string]webhook.Request{"another user": sign(c.kid, "you@i.example"), "another key": sign("weak", "me@i.example")} {
			if _, err := s.Verify(r, all, now); !errors.Is(err, webhook.ErrSignature) {
				t.Errorf("%s, %s: got %v, want ErrSignature", c.algorithm, name, err)
			}
		}
		if _, err := s.Verify(sign(c.kid, "me@i.example"), webhook.Keys{Public: set}, now); !errors.Is(err, webhook.ErrNoSecret) {
			t.Errorf("without a secret: got %v, want ErrNoSecret", err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ spec, good, bad string }{
		{`{"secret": {"encoding": "base64"}, "signature": {"kind": "ecdsa", "in": "header:X"}}`,
			"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==", "c2VjcmV0"},
		{`{"secret": {"encoding": "hex"}, "signature": {"kind": "ed25519", "in": "header:X"}}`,
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "73656372657473656372657473656372"},
		{`{"secret": {"encoding": "base64", "prefix": "whsec_"}, "signature": {"kind": "hmac", "algorithm": "sha256", "in": "header:X"}}`,
			"whsec_c2VjcmV0", "whsec_secret!"},
		{`{"secret": {}, "signature": {"kind": "token", "in": "header:X"}}`, "secret", ""},
		{`{"secret": {"encoding": "pem"}, "signature": {"kind": "ecdsa", "in": "header:X"}}`,
			"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==\n-----END PUBLIC KEY-----\n", "secret"},
	} {
		s := compile(t, parse(t, c.spec))
		if err := s.Check(c.good); err != nil {
			t.Errorf("%s: valid secret: %v", c.spec, err)
		}
		if err := s.Check(c.bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: invalid secret: got %v, want an error that does not contain it", c.spec, err)
		}
	}
}
