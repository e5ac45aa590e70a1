package actors_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
)

func postgres(t *testing.T) actortest.Database {
	t.Helper()
	for _, kind := range actortest.Databases(t) {
		if kind.Name == actors.DialectPostgres {
			return kind
		}
	}
	return actortest.Database{}
}

// terminate ends every other connection of db's pool, as a restart of the server would.
func terminate(t *testing.T, db *actors.DB) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), `SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
		WHERE a.pid <> pg_backend_pid() AND a.application_name =
			(SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid())`); err != nil {
		t.Fatal(err)
	}
}

func TestLostConnectionIsUnavailableAndHeals(t *testing.T) {
	t.Parallel()
	kind := postgres(t)
	if kind.Name == "" {
		return
	}
	cfg := kind.Config(t, "auth")
	cfg.URL += "&application_name=" + cfg.URL[len(cfg.URL)-13:len(cfg.URL)-1] // a name of this test's own
	db := actortest.OpenDatabase(t, cfg, things)
	err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		if err := addThing(ctx, tx, "lost"); err != nil {
			return err
		}
		terminate(t, db)
		return addThing(ctx, tx, "lost too")
	})
	if !errors.Is(err, actors.ErrUnavailable) {
		t.Errorf("a transaction whose connection died: %v, want ErrUnavailable", err)
	}
	if err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error { return addThing(ctx, tx, "kept") }); err != nil {
		t.Errorf("the next transaction: %v", err)
	}
	// One connection is terminated while idle: beginning on it is tried again.
	if err := db.RunInTx(t.Context(), func(context.Context, bun.Tx) error { terminate(t, db); return nil }); err == nil {
		t.Error("a commit on a dead connection succeeded")
	}
	terminate(t, db)
	if err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error { return addThing(ctx, tx, "kept 2") }); err != nil {
		t.Errorf("a transaction on idle connections that died: %v", err)
	}
	if n := count(t, db, "things"); n != 2 {
		t.Errorf("%d things, want 2", n)
	}
}

func TestConnectRetryEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	cfg := actors.DatabaseConfig{Actor: "auth", URL: "postgres://u@127.0.0.1:1/db", ConnectRetry: time.Hour}
	_, err := actors.OpenDatabase(ctx, cfg, zap.NewNop())
	if !errors.Is(err, actors.ErrUnavailable) || ctx.Err() == nil {
		t.Errorf("%v, want ErrUnavailable at the end of the context", err)
	}
}

// tlsPostgres accepts one connection after the other, speaks PostgreSQL's TLS prelude with a certificate for "db.test",
// and tells of each whether the client went on to send its start-up message (user and all).
func tlsPostgres(t *testing.T) (addr, rootFile string, trusted <-chan bool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"db.test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	rootFile = filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(rootFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	results := make(chan bool)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, 8)) // SSLRequest
			_, _ = conn.Write([]byte("S"))
			secure := tls.Server(conn, config)
			n, _ := secure.Read(make([]byte, 64))
			results <- n > 0
			_ = secure.Close()
		}
	}()
	return listener.Addr().String(), rootFile, results
}

func TestTLSVerifies(t *testing.T) {
	t.Parallel()
	addr, root, trusted := tlsPostgres(t)
	_, port, _ := net.SplitHostPort(addr)
	for _, tc := range []struct {
		host, query string
		trusts      bool
	}{
		{"127.0.0.1", "sslmode=require", true}, // encrypts, verifies nothing: libpq's meaning
		{"127.0.0.1", "sslmode=require&sslrootcert=" + root, true},
		{"127.0.0.1", "sslmode=verify-ca&sslrootcert=" + root, true},
		{"127.0.0.1", "sslmode=verify-ca", false},
		{"127.0.0.1", "sslmode=verify-full", false},
		{"127.0.0.1", "sslmode=verify-full&sslrootcert=" + root, false}, // the certificate is for another name
	} {
		cfg := actors.DatabaseConfig{Actor: "auth", URL: "postgres://u:p@" + tc.host + ":" + port + "/db?" + tc.query, ConnectRetry: -1}
		failed := make(chan error, 1)
		go func() {
			_, err := actors.OpenDatabase(t.Context(), cfg, zap.NewNop())
			failed <- err
		}()
		if got := <-trusted; got != tc.trusts {
			t.Errorf("%s: trusted %v, want %v", tc.query, got, tc.trusts)
		}
		if err := <-failed; err == nil {
			t.Errorf("%s: opened what is no database", tc.query)
		}
	}
}
