package dispatch_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification/dispatch"
)

// signed makes one real attempt and returns the request that the receiver got.
func signed(t *testing.T, secrets []string, e dispatch.Event) request {
	t.Helper()
	f := setup(t, actortest.Database{Name: "sqlite"})
	r := receive(t, nil)
	a := f.Attempt(t.Context(), dispatch.Endpoint{ID: "e", URL: r.URL, Secrets: secrets}, e)
	if a.Status != http.StatusNoContent || a.Error != "" {
		t.Fatalf("%+v", a)
	}
	return r.requests()[0]
}

// The Go library of Standard Webhooks accepts the signature of the current secret and of the one that is being replaced, and refuses a
// changed body and another secret.
func TestSignatureByLibrary(t *testing.T) {
	t.Parallel()
	current, last := dispatch.NewSecret(), dispatch.NewSecret()
	got := signed(t, []string{current, dispatch.NewKey(), last}, event(`{"a":"ü", "b": [1, 2]}`))
	for _, secret := range []string{current, last} {
		judge, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := judge.Verify([]byte(got.body), got.header); err != nil {
			t.Error(err)
		}
		if err := judge.Verify([]byte(got.body+" "), got.header); err == nil {
			t.Error("a changed body was accepted")
		}
	}
	judge, err := standardwebhooks.NewWebhook(dispatch.NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	if err := judge.Verify([]byte(got.body), got.header); err == nil {
		t.Error("another secret was accepted")
	}
}

// ed25519Of returns the v1a signature of a request and the content that it signs.
func ed25519Of(t *testing.T, got request) (signature []byte, content string) {
	t.Helper()
	for field := range strings.FieldsSeq(got.header.Get("webhook-signature")) {
		if text, ok := strings.CutPrefix(field, "v1a,"); ok {
			raw, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			return raw, got.header.Get("webhook-id") + "." + got.header.Get("webhook-timestamp") + "." + got.body
		}
	}
	t.Fatalf("no v1a in %q", got.header.Get("webhook-signature"))
	return nil, ""
}

// The v1a signature is verified with the public key of whpk_, by crypto/ed25519, and by openssl and Node where they are installed.
func TestEd25519Signature(t *testing.T) {
	t.Parallel()
	key := dispatch.NewKey()
	public, err := dispatch.PublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(public, "whpk_"))
	if err != nil || len(raw) != ed25519.PublicKeySize || !strings.HasPrefix(public, "whpk_") {
		t.Fatalf("%q, %v", public, err)
	}
	got := signed(t, []string{dispatch.NewSecret(), key}, event(`{"a":1}`))
	signature, content := ed25519Of(t, got)
	if !ed25519.Verify(raw, []byte(content), signature) || ed25519.Verify(raw, []byte(content+" "), signature) {
		t.Error("crypto/ed25519 refuses the signature, or accepts another content")
	}
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(raw))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "sig": signature, "content": []byte(content), "other": []byte(content + " "),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := `const c=require('crypto'),f=require('fs');process.exit(c.verify(null,f.readFileSync(process.argv[1]),f.readFileSync('key.pem'),f.readFileSync('sig'))?0:1)`
	for name, args := range map[string][]string{
		"openssl": {"pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-sigfile", "sig", "-in"},
		"node":    {"-e", script},
	} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Logf("%s is not installed", name)
			continue
		}
		for file, want := range map[string]bool{"content": true, "other": false} {
			cmd := exec.CommandContext(t.Context(), path, append(args[:len(args):len(args)], file)...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if (err == nil) != want {
				t.Errorf("%s on %s: %v\n%s", name, file, err, out)
			}
		}
	}
}

// The example of the specification has this signature, which other implementations compute too.
func TestKnownSignature(t *testing.T) {
	t.Parallel()
	got, err := dispatch.Sign([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// Secrets of another form are refused, by an error that does not contain them.
func TestSecretForms(t *testing.T) {
	t.Parallel()
	seed := bytes.Repeat([]byte{7}, 32)
	halves := append(bytes.Clone(seed), seed...)
	for _, secret := range []string{
		"", "whsec_", "whsec_!!!!", "whsec_" + base64.StdEncoding.EncodeToString(seed[:23]), "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65)),
		"whsk_" + base64.StdEncoding.EncodeToString(seed[:31]), "whsk_" + base64.StdEncoding.EncodeToString(halves), "whpk_" + base64.StdEncoding.EncodeToString(seed),
		base64.StdEncoding.EncodeToString(seed),
	} {
		_, err := dispatch.Sign([]string{secret}, "id", time.Now(), nil)
		if !errors.Is(err, dispatch.ErrSecret) || len(secret) > 10 && strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", secret, err)
		}
	}
	if _, err := dispatch.Sign(nil, "id", time.Now(), nil); !errors.Is(err, dispatch.ErrSecret) {
		t.Errorf("without a secret: %v", err)
	}
	if _, err := dispatch.PublicKey(dispatch.NewSecret()); !errors.Is(err, dispatch.ErrSecret) {
		t.Errorf("the public key of an HMAC secret: %v", err)
	}
	short, err := dispatch.PublicKey("whsk_" + base64.StdEncoding.EncodeToString(seed))
	if err != nil {
		t.Fatal(err)
	}
	long, err := dispatch.PublicKey("whsk_" + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed)))
	if err != nil || short != long {
		t.Errorf("the seed and the whole key have different public keys: %v", err)
	}
}

// Any payload and secret that the library can sign has the same signature here.
func TestSignatureEqualsLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := "whsec_" + base64.StdEncoding.EncodeToString(rapid.SliceOfN(rapid.Byte(), 24, 64).Draw(t, "secret"))
		payload := rapid.SliceOf(rapid.Byte()).Draw(t, "payload")
		id := rapid.StringMatching(`[a-zA-Z0-9_-]{1,64}`).Draw(t, "id")
		at := time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "at"), 0)
		judge, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		want, err := judge.Sign(id, at, payload)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := dispatch.Sign([]string{secret}, id, at, payload); err != nil || got != want {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
	})
}
