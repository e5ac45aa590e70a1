package embedded_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

func initFolder(t *testing.T, dir string, o embedded.Options) embedded.Keys {
	t.Helper()
	keys, err := embedded.Init(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func start(t *testing.T, dir string) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t *testing.T, dir, url, user string) *mesh.Conn {
	t.Helper()
	seed, err := embedded.LoadSeed(dir, user)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := embedded.LoadKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := mesh.Connect(t.Context(), mesh.Options{URL: url, User: user, Seed: seed, Keyring: keyring, Wait: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func TestInitKeepsAndProtectsKeys(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a folder", `with "quotes"`)
	first := initFolder(t, dir, embedded.Options{Port: -1})
	second := initFolder(t, dir, embedded.Options{Port: 4333})
	if len(first) != len(mesh.Users())+1 {
		t.Errorf("Init returns keys for %v", first)
	}
	local, err := os.ReadFile(filepath.Join(dir, "local.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for user, public := range first {
		if second[user] != public {
			t.Errorf("the key of %s was replaced", user)
		}
		path := filepath.Join(dir, "keys", user+".nk")
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
		}
		seed, err := embedded.LoadSeed(dir, user)
		if err != nil || strings.Contains(string(local), string(seed)) {
			t.Errorf("local.conf contains the seed of %s, %v", user, err)
		}
	}
	if !strings.Contains(string(local), "WEFT_NATS_PORT: 4333") {
		t.Errorf("local.conf was not updated:\n%s", local)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "keys", ".*")); err != nil || len(left) > 0 {
		t.Errorf("temporary files remain: %v, %v", left, err)
	}
	if _, err := embedded.LoadSeed(dir, "nobody"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the seed of an unknown user: %v", err)
	}
	if _, err := embedded.Init(dir, embedded.Options{Sync: "sometimes"}); err == nil {
		t.Error("an unknown sync is accepted")
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"": "nats://127.0.0.1:4333", "0.0.0.0": "nats://127.0.0.1:4333", "::1": "nats://[::1]:4333"} {
		dir := t.TempDir()
		initFolder(t, dir, embedded.Options{Host: host, Port: 4333})
		if got := embedded.URL(dir); got != want {
			t.Errorf("with host %q: %q, want %q", host, got, want)
		}
	}
	free := t.TempDir()
	initFolder(t, free, embedded.Options{Port: -1})
	for _, dir := range []string{free, t.TempDir()} {
		if got := embedded.URL(dir); got != "" {
			t.Errorf("URL returns %q", got)
		}
	}
}

func TestInitRejectsADamagedKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	initFolder(t, dir, embedded.Options{})
	path := filepath.Join(dir, "keys", "auth.nk")
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Init(dir, embedded.Options{}); err == nil || !strings.Contains(err.Error(), "auth") {
		t.Errorf("Init returns %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "damaged" {
		t.Errorf("the key was replaced: %q, %v", got, err)
	}
}

// A separate nats-server reads the same file, with each sync mode and with a monitoring port.
func TestConfIsValidForASeparateServer(t *testing.T) {
	t.Parallel()
	for sync, always := range map[string]bool{"": true, embedded.SyncAlways: true, embedded.SyncInterval: false} {
		dir := t.TempDir()
		initFolder(t, dir, embedded.Options{Host: "0.0.0.0", Port: 4999, Sync: sync, Monitor: "127.0.0.1:8999"})
		own := filepath.Join(dir, "own.conf")
		if err := os.WriteFile(own, []byte("include nats.conf\nserver_name: mine\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := server.ProcessConfigFile(own)
		if err != nil {
			t.Fatal(err)
		}
		if o.SyncAlways != always || o.Port != 4999 || o.Host != "0.0.0.0" || o.HTTPPort != 8999 || o.ServerName != "mine" {
			t.Errorf("with sync %q: %+v", sync, o)
		}
		if o.MaxPayload != 1<<20+mesh.HeaderRoom || o.NoAuthUser != "" || len(o.Nkeys) != len(mesh.Users())+1 {
			t.Errorf("payload %d, users %d, default user %q", o.MaxPayload, len(o.Nkeys), o.NoAuthUser)
		}
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	initFolder(t, dir, embedded.Options{Port: -1, Monitor: "127.0.0.1:-1"})
	s := start(t, dir)
	if err := mesh.Setup(t.Context(), connect(t, dir, s.ClientURL(), mesh.UserMigrate).JS, 1); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get(s.MonitorURL() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("monitoring answers %s", answer.Status)
	}
	auth := connect(t, dir, s.ClientURL(), "auth")
	if _, err := auth.JS.Publish(t.Context(), "weft.audit.v1.auth.u", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	again := start(t, dir)
	stream, err := connect(t, dir, again.ClientURL(), mesh.UserOperator).JS.Stream(t.Context(), "AUDIT")
	if err != nil || stream.CachedInfo().State.Msgs != 1 {
		t.Errorf("the stream is %+v, %v", stream, err)
	}
}

func TestOnlyOneServerRunsFromAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	initFolder(t, dir, embedded.Options{Port: -1})
	start(t, dir)
	if _, err := embedded.Start(t.Context(), dir, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("starting a second server: %v", err)
	}
}

func TestStartReportsTheServersError(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	address, _ := taken.Addr().(*net.TCPAddr)
	initFolder(t, dir, embedded.Options{Port: address.Port})
	began := time.Now()
	if _, err := embedded.Start(t.Context(), dir, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("with the port taken: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the error took %s", took)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, dir) // the failed start has released the folder
	if _, err := embedded.Start(t.Context(), t.TempDir(), zap.NewNop()); err == nil {
		t.Error("a server starts without configuration")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	other := t.TempDir()
	initFolder(t, other, embedded.Options{Port: -1})
	if _, err := embedded.Start(ended, other, zap.NewNop()); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
}

// TestURLOfAFreePort starts a server on a free port and one more after it did not end in order.
func TestURLOfAFreePort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := embedded.Init(dir, embedded.Options{Port: -1, Sync: embedded.SyncInterval}); err != nil {
		t.Fatal(err)
	}
	if got := embedded.URL(dir); got != "" {
		t.Errorf("before the start the URL is %q", got)
	}
	stale := filepath.Join(dir, "weft_1.ports")
	if err := os.WriteFile(stale, []byte(`{"nats":["nats://127.0.0.1:1"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := embedded.Start(t.Context(), dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	// The server writes its ports file when it accepts connections, beside its start.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(10 * time.Second); embedded.URL(dir) == "" && time.Now().Before(limit); {
		<-tick.C
	}
	if got := embedded.URL(dir); got != s.ClientURL() {
		t.Errorf("the URL is %q, the server's %q", got, s.ClientURL())
	}
}
