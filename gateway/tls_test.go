package gateway_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/mesh"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	c := relaxed()
	c.Listen = "127.0.0.1:0"
	var roots *x509.CertPool
	c.TLSCert, c.TLSKey, roots = certificate(t)
	m := actortest.Start(t)
	conn := m.Connect(t, mesh.UserGateway)
	g, err := gateway.New(gateway.Deps{Conn: conn, Verifier: verifier(t, m, conn), Telemetry: actortest.Telemetry(t), Now: m.Now}, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	addr, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- g.Run(ctx, func(a string) { addr <- a }) }()
	address := <-addr
	secure := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	response, err := get(t, "https://"+address+"/healthz", secure)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 200 || response.TLS == nil || response.Header.Get("Strict-Transport-Security") != "max-age=31536000" {
		t.Errorf("over TLS: %d %v", response.StatusCode, response.Header)
	}
	if _, err := get(t, "https://"+address+"/healthz", &tls.Config{MinVersion: tls.VersionTLS12}); err == nil {
		t.Error("a client accepted an unknown certificate")
	}
	old := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if _, err := get(t, "https://"+address+"/healthz", old); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	if response, err := get(t, "http://"+address+"/healthz", nil); err == nil && response.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS: %d", response.StatusCode)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stopping: %v", err)
	}
	plain := startOn(t, m, relaxed())
	if r, _ := plain.do(t, "GET", "/healthz", ""); r.Header.Get("Strict-Transport-Security") != "" {
		t.Error("HSTS without TLS")
	}
}

func TestMissingCertificate(t *testing.T) {
	t.Parallel()
	c := relaxed()
	c.Listen, c.TLSCert, c.TLSKey = "127.0.0.1:0", filepath.Join(t.TempDir(), "none.pem"), "none"
	m := actortest.Start(t)
	conn := m.Connect(t, mesh.UserGateway)
	_, err := gateway.New(gateway.Deps{Conn: conn, Verifier: verifier(t, m, conn), Telemetry: actortest.Telemetry(t), Now: m.Now}, c)
	if err == nil || !strings.Contains(err.Error(), "gateway.tls_cert") {
		t.Errorf("a missing certificate: %v", err)
	}
}

// TestCertificateIsReloaded replaces the certificate while a connection is open, with and without a call, and by an invalid one.
func TestCertificateIsReloaded(t *testing.T) {
	t.Parallel()
	c := relaxed()
	c.Listen = "127.0.0.1:0"
	var roots *x509.CertPool
	c.TLSCert, c.TLSKey, roots = certificate(t)
	m := actortest.Start(t, actortest.Quiet())
	conn := m.Connect(t, mesh.UserGateway)
	g, err := gateway.New(gateway.Deps{Conn: conn, Verifier: verifier(t, m, conn), Telemetry: actortest.Telemetry(t), Now: m.Now}, c)
	if err != nil {
		t.Fatal(err)
	}
	addr := make(chan string, 1)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- g.Run(ctx, func(a string) { addr <- a }) }()
	url := "https://" + <-addr + "/healthz"
	old := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	open := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: old}}
	over := func() error {
		response, err := open.Get(url)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			err = response.Body.Close()
		}
		return err
	}
	if err := over(); err != nil {
		t.Fatal(err)
	}
	replace := func() *tls.Config {
		cert, key, roots := certificate(t)
		for from, to := range map[string]string{cert: c.TLSCert, key: c.TLSKey} {
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	second := replace()
	actortest.Eventually(t, "a new connection gets the new certificate", func() bool { _, err := get(t, url, second); return err == nil })
	if err := over(); err != nil {
		t.Errorf("the open connection: %v", err)
	}
	third := replace()
	g.ReloadCertificate()
	if _, err := get(t, url, third); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	if err := os.WriteFile(c.TLSKey, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.ReloadCertificate()
	if _, err := get(t, url, third); err != nil {
		t.Errorf("after an invalid key: %v", err)
	}
	open.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// get sends a GET over a new connection.
func get(t *testing.T, url string, config *tls.Config) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err == nil {
		_ = response.Body.Close()
	}
	return response, err
}

// certificate creates a self-signed certificate for 127.0.0.1 and a pool that contains it.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "weft test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	roots = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret), roots
}
