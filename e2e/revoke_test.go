package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// natsHost is a nats-server that runs from files which `weft nats-init` has written, and an operator's folder that it was copied from.
type natsHost struct {
	t                                         *testing.T
	weft, dir, operator, files, monitor, leaf string
	env                                       []string
}

func startNATSHost(t *testing.T) *natsHost {
	t.Helper()
	weft, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	server, err := natsServerBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), freePort(t)
	h := &natsHost{
		t: t, weft: weft, dir: dir, operator: filepath.Join(dir, "operator"), files: filepath.Join(dir, "machine"), monitor: freePort(t), leaf: freePort(t),
		env: cleanEnvironment(append(testSettings(), "WEFT_METRICS_PORT=-1", "WEFT_LOG_LEVEL=warn", "WEFT_NATS_URL=nats://"+address)...),
	}
	h.command("nats-init", "--listen", address, "--monitor", h.monitor, "--leaf", h.leaf, "--durability", "interval", h.operator)
	if err := os.CopyFS(h.files, os.DirFS(h.operator)); err != nil {
		t.Fatal(err)
	}
	startProgram(t, program{name: "nats", path: server, args: []string{"-c", filepath.Join(h.files, "nats.conf")}, env: h.env, accepts: address})
	h.command("migrate", "--keys", filepath.Join(h.operator, "keys"), "--data", dir)
	startProgram(t, program{
		name: "weft", path: weft, env: h.env,
		args: []string{"run", "--actors", "workflow", "--keys", filepath.Join(h.operator, "keys"), "--data", dir, "--json"},
	})
	return h
}

// command runs a weft command, which must succeed, and returns its output.
func (h *natsHost) command(args ...string) string {
	h.t.Helper()
	c := exec.CommandContext(h.t.Context(), h.weft, args...)
	c.Env, c.Dir = h.env, h.dir
	out, err := c.CombinedOutput()
	if err != nil {
		h.t.Fatalf("weft %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// wantLeaves waits until the server has n leaf connections.
func (h *natsHost) wantLeaves(when string, n int) {
	h.t.Helper()
	err := eventually(func() (bool, string) {
		request, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "http://"+h.monitor+"/leafz", nil)
		if err != nil {
			return false, err.Error()
		}
		reply, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, err.Error()
		}
		defer func() { _ = reply.Body.Close() }()
		var leaves struct{ Leafnodes int }
		err = json.NewDecoder(reply.Body).Decode(&leaves)
		return err == nil && leaves.Leafnodes == n, fmt.Sprint(leaves.Leafnodes, err)
	})
	if err != nil {
		h.t.Fatalf("%s, want %d leaf connections: %v", when, n, err)
	}
}

// startBox enrolls an edge node at both folders and runs it.
func (h *natsHost) startBox(name string) {
	h.t.Helper()
	h.command("edge", "enroll", name, "--data", h.dir, "--server-dir", h.operator+","+h.files, "--users", uuid.NewString())
	env := append(cleanEnvironment(testSettings()...), "WEFT_METRICS_PORT=-1", "WEFT_LOG_LEVEL=warn")
	startProgram(h.t, program{name: name, path: h.weft, env: env, args: []string{
		"edge", "--hub", "nats://" + h.leaf, "--credentials", filepath.Join(h.dir, name+".edge"), "--data", filepath.Join(h.dir, name),
		"--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--json",
	}})
}

// TestRevokedUsersAreCutFromANATSServer revokes an extension and edge nodes at a nats-server that is no process of weft's: the server cuts them.
// Where its files are on another machine, they are copied, and `weft nats-reload` cuts the node.
func TestRevokedUsersAreCutFromANATSServer(t *testing.T) {
	t.Parallel()
	h := startNATSHost(t)
	both := []string{"--data", h.dir, "--server-dir", h.operator + "," + h.files}
	h.command(append([]string{"extension", "enroll", "acme"}, both...)...)
	seed, err := nats.NkeyOptionFromSeed(filepath.Join(h.dir, "acme.nk"))
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	extension, err := nats.Connect(strings.TrimPrefix(h.env[len(h.env)-1], "WEFT_NATS_URL="), seed, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	defer extension.Close()
	h.startBox("box7")
	h.startBox("box8")
	h.wantLeaves("two boxes", 2)

	if out := h.command(append([]string{"extension", "revoke", "acme"}, both...)...); strings.Contains(out, "other files") {
		t.Errorf("revoking where the server's files are: %s", out)
	}
	if err := eventually(func() (bool, string) {
		select {
		case <-closed:
			return true, ""
		default:
			return false, extension.Status().String()
		}
	}); err != nil {
		t.Errorf("the revoked extension is connected: %v", err)
	}
	h.command(append([]string{"edge", "revoke", "box8"}, both...)...)
	h.wantLeaves("one is revoked", 1) // the other one has connected again, or does

	out := h.command("edge", "revoke", "box7", "--data", h.dir, "--server-dir", h.operator)
	if !strings.Contains(out, "have other files than "+h.operator) {
		t.Errorf("revoking where the server's files are not: %s", out)
	}
	h.wantLeaves("the server does not know it yet", 1)
	for _, name := range []string{"nats.conf", "enrolled.json"} {
		data, err := os.ReadFile(filepath.Join(filepath.Clean(h.operator), name))
		if err == nil {
			err = os.WriteFile(filepath.Join(h.files, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if out := h.command("nats-reload", "--data", h.dir, "--server-dir", h.operator); out != "" {
		t.Errorf("weft nats-reload prints %q", out)
	}
	h.wantLeaves("both are revoked", 0)
}
