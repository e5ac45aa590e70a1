package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHangupReloadsTheCertificate runs weft with TLS, sends it SIGHUP with a new certificate while a request is open, and asks for its
// health. It also reads the lines of its log.
func TestHangupReloadsTheCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first := writeCertificate(t, cert, key)
	listen := freePort(t)
	p := upProgram(t, t.TempDir(), "WEFT_GATEWAY_TLS_CERT="+cert, "WEFT_GATEWAY_TLS_KEY="+key, "WEFT_GATEWAY_LISTEN="+listen)
	p.args = []string{"up", "--dev", "--data", t.TempDir(), "--nats", "127.0.0.1:0", "--json"}
	weft := startProgram(t, p)
	if weft.ready.HTTP != "https://"+listen {
		t.Fatalf("the ready line has the address %s", weft.ready.HTTP)
	}
	serial := func() *big.Int {
		client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, // the test looks at the certificate itself
		}}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, weft.ready.HTTP+"/v1/users/me", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.TLS.PeerCertificates[0].SerialNumber
	}
	if serial().Cmp(first) != 0 {
		t.Error("the first certificate is not served")
	}
	second := writeCertificate(t, cert, key)
	if err := weft.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(waitTimeout); serial().Cmp(second) != 0; {
		if time.Now().After(deadline) {
			t.Fatal("the new certificate is not served")
		}
	}
	health := exec.CommandContext(context.Background(), p.path, "health")
	health.Env = p.env
	if out, err := health.CombinedOutput(); err != nil || !strings.Contains(string(out), `"ready"`) {
		t.Errorf("weft health: %s, %v", out, err)
	}
	base := strings.TrimSuffix(weft.ready.Metrics, "/metrics")
	for _, path := range []string{"/healthz", "/readyz"} {
		if body := ready200(t, base+path); body == nil {
			t.Errorf("%s%s is not ready", base, path)
		}
	}
	if err := weft.stop(); err != nil {
		t.Error(err)
	}
	log := weft.stderr()
	if !regexp.MustCompile(`"endpoint":"auth.get_user_profile".*"client":"127.0.0.1".*"took":[0-9.e-]+[,}]`).MatchString(log) {
		t.Errorf("the log has no client address or no number as duration: %.2000s", log)
	}
}

// writeCertificate writes a new self-signed certificate and returns its serial number.
func writeCertificate(t *testing.T, cert, key string) *big.Int {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "weft.example"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return template.SerialNumber
}
