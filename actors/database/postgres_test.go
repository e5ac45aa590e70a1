package database_test

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
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

// withName gives a database's connections a name of their own, for Terminate.
func withName(cfg database.Config) database.Config {
	cfg.URL += "&application_name=" + cfg.URL[len(cfg.URL)-13:len(cfg.URL)-1]
	return cfg
}

func TestRecoveryFromLostConnections(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	cfg := withName(kind.Config(t, "auth"))
	db := actortest.OpenDatabase(t, cfg, actortest.Things)
	err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		if err := actortest.AddThing(ctx, tx, "lost"); err != nil {
			return err
		}
		actortest.Terminate(t, db)
		return actortest.AddThing(ctx, tx, "lost too")
	})
	if !errors.Is(err, database.ErrUnavailable) {
		t.Errorf("a transaction that lost its connection: %v, want ErrUnavailable", err)
	}
	if err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error { return actortest.AddThing(ctx, tx, "kept") }); err != nil {
		t.Errorf("the next transaction: %v", err)
	}
	// A lost commit is reported. A transaction that cannot begin on a lost idle connection is retried on another one.
	if err := db.RunInTx(t.Context(), func(context.Context, bun.Tx) error { actortest.Terminate(t, db); return nil }); err == nil {
		t.Error("a commit on a lost connection succeeded")
	}
	actortest.Terminate(t, db)
	if err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error { return actortest.AddThing(ctx, tx, "kept 2") }); err != nil {
		t.Errorf("a transaction after idle connections were lost: %v", err)
	}
	if n := actortest.Count(t, db, "things"); n != 2 {
		t.Errorf("%d things, want 2", n)
	}
}

func TestConnectRetryEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	cfg := database.Config{Actor: "auth", URL: "postgres://u@127.0.0.1:1/db", ConnectRetry: time.Hour}
	_, err := database.Open(ctx, cfg, zap.NewNop())
	if !errors.Is(err, database.ErrUnavailable) || ctx.Err() == nil {
		t.Errorf("%v, want ErrUnavailable at the end of the context", err)
	}
}

// tlsPostgres accepts connections one by one and answers PostgreSQL's SSLRequest with a certificate for "db.test". For each connection
// trusted yields whether the client sent its startup message, with its credentials, afterwards.
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
		{"127.0.0.1", "sslmode=require", true}, // encrypts without verification, as in libpq
		{"127.0.0.1", "sslmode=require&sslrootcert=" + root, true},
		{"127.0.0.1", "sslmode=verify-ca&sslrootcert=" + root, true},
		{"127.0.0.1", "sslmode=verify-ca", false},
		{"127.0.0.1", "sslmode=verify-full", false},
		{"127.0.0.1", "sslmode=verify-full&sslrootcert=" + root, false}, // the certificate is for another name
	} {
		cfg := database.Config{Actor: "auth", URL: "postgres://u:p@" + tc.host + ":" + port + "/db?" + tc.query, ConnectRetry: -1}
		failed := make(chan error, 1)
		go func() {
			_, err := database.Open(t.Context(), cfg, zap.NewNop())
			failed <- err
		}()
		if got := <-trusted; got != tc.trusts {
			t.Errorf("%s: trusted %v, want %v", tc.query, got, tc.trusts)
		}
		if err := <-failed; err == nil {
			t.Errorf("%s: Open succeeded without a database", tc.query)
		}
	}
}

// TestEveryFormOfAConnectionStringOpens opens one database by URL and by keywords, in every sslmode that a server without TLS accepts,
// and with a password that the server does not want.
func TestEveryFormOfAConnectionStringOpens(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	cfg := kind.Config(t, "auth")
	u, err := url.Parse(cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	prefix := query.Get("schema_prefix")
	for _, mode := range []string{"disable", "allow", "prefer"} {
		query.Set("sslmode", mode)
		u.RawQuery = query.Encode()
		keywords := "host=" + u.Hostname() + " port = " + u.Port() + " user='" + u.User.Username() + "' password='un\\'used' dbname=" +
			u.Path[1:] + " sslmode=" + mode
		if prefix != "" {
			keywords += " schema_prefix=" + prefix
		}
		for _, text := range []string{u.String(), keywords} {
			cfg.URL, cfg.ConnectRetry = text, -1
			db, err := database.Open(t.Context(), cfg, zap.NewNop())
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			if err := errors.Join(db.Ping(t.Context()), db.Close()); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}

// TestConnectionsStayWhileThereIsLoad: what load needs stays open, and what it has not needed for some time is closed, except MaxIdle.
func TestConnectionsStayWhileThereIsLoad(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	cfg := kind.Config(t, "auth")
	cfg.MaxOpen, cfg.MaxIdle, cfg.IdleTime = 8, 2, 500*time.Millisecond
	db := actortest.OpenDatabase(t, cfg, actortest.Things)
	load := func() {
		var all sync.WaitGroup
		for range cfg.MaxOpen {
			all.Go(func() {
				if _, err := db.ExecContext(t.Context(), "SELECT pg_sleep(0.05)"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	for range 3 {
		load()
		if stats := db.ConnectionStats(); stats.Open != cfg.MaxOpen {
			t.Fatalf("%d connections are open", stats.Open)
		}
	}
	actortest.Eventually(t, "the pool shrinks", func() bool { return db.ConnectionStats().Open == cfg.MaxIdle })
	load()
}

// TestAllConnectionsAreRenewedWhereOneIsLost: after a restart of the server, one read fails at most, however many connections are idle.
func TestAllConnectionsAreRenewedWhereOneIsLost(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	cfg := withName(kind.Config(t, "auth"))
	db := actortest.OpenDatabase(t, cfg, actortest.Things)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { _, _ = db.ExecContext(t.Context(), "SELECT pg_sleep(0.05)") })
	}
	all.Wait()
	actortest.Terminate(t, db)
	survivor, err := db.DB.Conn(t.Context()) // the one that has terminated the others
	if err != nil {
		t.Fatal(err)
	}
	defer survivor.Close()
	failed := 0
	for range 8 {
		if err := db.Ping(t.Context()); err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d of 8 reads failed", failed)
	}
}
