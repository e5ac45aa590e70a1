package providers_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/actors/integration/webhook"
)

// signer signs deliveries as a manifest describes. It does not use the code of package webhook.
type signer struct {
	spec   webhook.Spec
	secret string
	// key is the private key of asymmetric schemes.
	key    any
	public webhook.KeySet
}

const hookAddress = "https://weft.example/webhooks/acme/h1"

// newSigner generates the keys of a scheme.
func newSigner(t *testing.T, spec webhook.Spec) signer {
	t.Helper()
	v := signer{spec: spec, secret: "s3cret-0123456789abcdef"}
	var err error
	switch {
	case spec.Signature.Kind == webhook.Ed25519:
		public, private, failed := ed25519.GenerateKey(rand.Reader)
		v.secret, v.key, err = hex.EncodeToString(public), private, failed
	case spec.Signature.Kind == webhook.ECDSA:
		private, failed := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if failed != nil {
			t.Fatal(failed)
		}
		der, failed := x509.MarshalPKIXPublicKey(&private.PublicKey)
		v.secret, v.key, err = base64.StdEncoding.EncodeToString(der), private, failed
	case spec.Signature.JWKS != "":
		private, failed := rsa.GenerateKey(rand.Reader, 2048)
		if failed != nil {
			t.Fatal(failed)
		}
		v.secret, v.key, v.public = "push@weft.example", private, webhook.KeySet{"k1": &private.PublicKey}
	case spec.Secret.Encoding == "base64":
		v.secret = spec.Secret.Prefix + base64.StdEncoding.EncodeToString([]byte(v.secret))
	case spec.Secret.Form == "basic":
		v.secret = "weft:" + v.secret
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (v signer) keys() webhook.Keys {
	return webhook.Keys{Secrets: []string{"another", v.secret}, Public: v.public}
}

// deliver returns the signed delivery of a case. In its body, "@secret" is replaced by the secret and "@time" by the time.
func (v signer) deliver(t *testing.T, c *hookCase, now time.Time) webhook.Request {
	t.Helper()
	stamp := v.stamp(now)
	r := webhook.Request{Method: http.MethodPost, URL: hookAddress, Header: http.Header{}, Query: url.Values{}}
	switch {
	case c.Form != nil:
		form := url.Values{}
		for name, value := range c.Form {
			form.Set(name, strings.Replace(value, "@secret", v.secret, 1))
		}
		r.Body = []byte(form.Encode())
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	case c.JSON != nil:
		body, err := json.Marshal(c.JSON)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.ReplaceAll(body, []byte("@secret"), []byte(v.secret))
		r.Body = bytes.ReplaceAll(body, []byte(`"@time"`), []byte(stamp))
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.Headers {
		r.Header.Set(name, value)
	}
	if place, name, _ := strings.Cut(v.stampedIn(), ":"); place == "header" {
		r.Header.Set(name, stamp)
	}
	for _, id := range v.spec.ID {
		if place, name, _ := strings.Cut(id, ":"); place == "header" {
			r.Header.Set(name, "msg_1")
			break
		}
	}
	v.place(&r, stamp, v.sign(t, r, stamp, now))
	return r
}

func (v signer) stampedIn() string {
	if v.spec.Timestamp == nil {
		return ""
	}
	return v.spec.Timestamp.In[0]
}

func (v signer) stamp(now time.Time) string {
	switch {
	case v.spec.Timestamp == nil:
		return ""
	case v.spec.Timestamp.Unit == "ms":
		return strconv.FormatInt(now.UnixMilli(), 10)
	case v.spec.Timestamp.Unit == "rfc3339":
		return now.UTC().Format("2006-01-02T15:04:05Z")
	case v.spec.Timestamp.Unit == "http":
		return now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	}
	return strconv.FormatInt(now.Unix(), 10)
}

// sign returns the signature of a delivery, without a prefix.
func (v signer) sign(t *testing.T, r webhook.Request, stamp string, now time.Time) string {
	t.Helper()
	var sum []byte
	var err error
	switch s := v.spec.Signature; s.Kind {
	case webhook.Token:
		return v.secret
	case webhook.JWT:
		return v.token(t, now)
	case webhook.HMAC:
		digest := map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New}[s.Algorithm]
		key := []byte(v.secret)
		if v.spec.Secret.Encoding == "base64" {
			key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(v.secret, v.spec.Secret.Prefix))
		}
		mac := hmac.New(digest, key)
		mac.Write([]byte(v.covered(r, stamp)))
		sum = mac.Sum(nil)
	case webhook.Ed25519:
		sum = ed25519.Sign(v.key.(ed25519.PrivateKey), []byte(v.covered(r, stamp)))
	case webhook.ECDSA:
		digest := sha256.Sum256([]byte(v.covered(r, stamp)))
		sum, err = ecdsa.SignASN1(rand.Reader, v.key.(*ecdsa.PrivateKey), digest[:])
	default:
		t.Fatalf("signing by %s is not supported", s.Kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	if v.spec.Signature.Encoding == "base64" {
		return base64.StdEncoding.EncodeToString(sum)
	}
	return hex.EncodeToString(sum)
}

// covered returns the signed payload.
func (v signer) covered(r webhook.Request, stamp string) string {
	if len(v.spec.Signature.Payload) == 0 {
		return string(r.Body)
	}
	var text strings.Builder
	for _, part := range v.spec.Signature.Payload {
		switch part.Name {
		case "form":
			form, _ := url.ParseQuery(string(r.Body))
			for _, name := range slices.Sorted(maps.Keys(form)) {
				text.WriteString(name + form.Get(name))
			}
		default:
			text.WriteString(map[string]string{"": part.Text, "timestamp": stamp, "id": "msg_1", "body": string(r.Body), "url": r.URL, "method": r.Method}[part.Name])
		}
	}
	return text.String()
}

func (v signer) token(t *testing.T, now time.Time) string {
	t.Helper()
	claims := jwt.MapClaims{"iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	for name, part := range v.spec.Signature.Claims {
		claims[name] = map[string]string{"": part.Text, "url": hookAddress, "secret": v.secret}[part.Name]
	}
	token, key := jwt.NewWithClaims(jwt.GetSigningMethod(v.spec.Signature.Algorithm), claims), v.key
	if key == nil {
		key = []byte(v.secret)
	}
	token.Header["kid"] = "k1"
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// place adds the signature to a delivery. A signature in the body is part of the case.
func (v signer) place(r *webhook.Request, stamp, signature string) {
	text := v.spec.Signature.Prefix + signature
	if pair := v.spec.Signature.Pair; pair != "" {
		text = "t=" + stamp + "," + pair + "=" + signature
	}
	switch place, name, _ := strings.Cut(v.spec.Signature.In[0], ":"); place {
	case "header":
		r.Header.Set(name, text)
	case "query":
		r.Query.Set(name, text)
		r.URL += "?" + r.Query.Encode()
	case "bearer":
		r.Header.Set("Authorization", "Bearer "+text)
	case "basic":
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(text)))
	}
}
