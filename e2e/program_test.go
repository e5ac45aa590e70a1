// Package e2e_test tests the built binary from outside: as a user, an operator and an attacker.
//
//	program_test.go            building the binaries and running their processes
//	client_test.go             an HTTP client with server-sent events
//	nats_test.go               a NATS client
//	stub_provider_test.go      a stub of a provider's API
//	story*_test.go             the scripts of testdata/stories, which serve as tutorial, specification and test
//	access_test.go             access control over HTTP and NATS
//	oauth_test.go              signing in with an OAuth provider
//	webhook_test.go            deliveries of providers
//	mail_test.go               e-mail messages to users
//	drain_test.go              termination by SIGTERM
//	telemetry_test.go          traces and metrics
//	asvs_test.go               deploy/asvs-level-2.yaml
//	manifest_example_test.go   the example of docs/writing-a-provider.md
//	natscli_test.go            the nats CLI (build tag conformance)
//	image_test.go              the container image (build tag conformance)
//	monitoring_test.go         alerts, dashboards and metrics, judged by Prometheus (build tag conformance)
//	torture_*_test.go          processes that are killed, paused and cut off, a full disk, generated requests, users who attack others (build tag torture)
//	cluster_*_test.go          faults of a cluster and its upgrade (build tags torture and cluster)
//	bench*_test.go             the figures of the README
package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// waitTimeout bounds every wait for a condition. On an idle machine every wait takes less than a tenth of it.
const waitTimeout = 60 * time.Second

// drainTimeout bounds the termination of a process after SIGTERM: 30 s for its requests and some time to close.
const drainTimeout = 40 * time.Second

// binaries is the directory of the built binaries and of the programs' logs.
var binaries string

func TestMain(m *testing.M) {
	if os.Getenv(bareEnv) != "" {
		os.Exit(serveBare(os.Getenv(bareEnv)))
	}
	os.Exit(withBinaries(m))
}

func withBinaries(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weft-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "creating a directory for binaries:", err)
		return 1
	}
	binaries = dir
	defer func() { _ = os.RemoveAll(dir) }()
	return m.Run()
}

// weftCommand is the package of the weft command.
const weftCommand = "github.com/weftmesh/weft/cmd/weft"

// weftBinary builds weft once, as `make build` does.
var weftBinary = sync.OnceValues(func() (string, error) { return build("weft", weftCommand) })

// natsServerBinary builds nats-server once.
var natsServerBinary = sync.OnceValues(func() (string, error) {
	return build("nats-server", "github.com/nats-io/nats-server/v2")
})

// build builds a command without cgo and returns its path.
func build(name, pkg string, flags ...string) (string, error) {
	file := filepath.Join(binaries, name)
	args := append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", file}, append(flags, pkg)...)
	cmd := exec.CommandContext(context.Background(), "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	return file, nil
}

// ready is the line that `weft up --json` and `weft run --json` print once they serve.
type ready struct {
	Ready   bool   `json:"ready"`
	HTTP    string `json:"http"`
	NATS    string `json:"nats"`
	Metrics string `json:"metrics"`
	Data    string `json:"data"`
	TookMS  int64  `json:"took_ms"`
}

// program describes a program to start.
type program struct {
	name string
	path string
	args []string
	env  []string
	dir  string
	// attributes are of the process; nil for the usual ones.
	attributes *syscall.SysProcAttr
	// accepts is an address that accepts connections once the program is ready; empty means that it prints a ready line.
	accepts string
}

// running is a started program.
type running struct {
	program
	cmd   *exec.Cmd
	ready ready
	// errors is the file that standard error goes to.
	errors *os.File
	// exited is closed when the program has exited; err is then its error.
	exited chan struct{}
	err    error
}

// errExited means that a program exited before it was ready.
var errExited = errors.New("it exited before it was ready")

// start starts a program and returns once it is ready.
func start(p program) (*running, error) {
	log, err := os.CreateTemp(binaries, p.name+"-*.log")
	if err != nil {
		return nil, fmt.Errorf("creating a log: %w", err)
	}
	r := &running{program: p, errors: log, exited: make(chan struct{})}
	r.cmd = exec.CommandContext(context.Background(), p.path, p.args...)
	r.cmd.Env, r.cmd.Dir, r.cmd.Stderr, r.cmd.SysProcAttr = p.env, p.dir, log, p.attributes
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", p.name, err)
	}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	line := make(chan string, 1)
	go func() {
		first, _ := bufio.NewReader(out).ReadString('\n')
		line <- first
		_, _ = io.Copy(io.Discard, out)
		r.err = r.cmd.Wait()
		close(r.exited)
	}()
	if err := r.await(line); err != nil {
		r.kill()
		return r, fmt.Errorf("starting %s: %w\n%s", p.name, err, r.stderr())
	}
	return r, nil
}

// await waits until the program is ready. line receives the first line of its output.
func (r *running) await(line <-chan string) error {
	if r.accepts != "" {
		return r.awaitPort()
	}
	select {
	case text := <-line:
		if text == "" {
			<-r.exited
			return errExited
		}
		if err := json.Unmarshal([]byte(text), &r.ready); err != nil || !r.ready.Ready {
			return fmt.Errorf("%q is not a ready line", text)
		}
		return nil
	case <-time.After(waitTimeout):
		return fmt.Errorf("not ready after %s", waitTimeout)
	}
}

// awaitPort waits until the program accepts connections.
func (r *running) awaitPort() error {
	for deadline := time.Now().Add(waitTimeout); time.Now().Before(deadline); {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", r.accepts)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-r.exited:
			return errExited
		case <-time.After(5 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s accepts no connection after %s", r.accepts, waitTimeout)
}

// logTail returns the last lines of standard error.
func (r *running) logTail() string {
	lines := strings.SplitAfter(r.stderr(), "\n")
	return r.name + " logged last:\n" + strings.Join(lines[max(0, len(lines)-25):], "")
}

// stderr returns what the program has written to standard error.
func (r *running) stderr() string {
	text, err := os.ReadFile(r.errors.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// stop sends SIGTERM. The error is nil if the program exits with 0 within drainTimeout.
func (r *running) stop() error {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.exited:
	case <-time.After(drainTimeout):
		r.kill()
		return fmt.Errorf("%s did not stop within %s\n%s", r.name, drainTimeout, r.stderr())
	}
	if r.err != nil {
		return fmt.Errorf("%s exited: %w\n%s", r.name, r.err, r.stderr())
	}
	return nil
}

// kill sends SIGKILL and waits until the process has exited.
func (r *running) kill() {
	_ = r.cmd.Process.Kill()
	<-r.exited
	_ = r.errors.Close()
}

// cleanEnvironment returns this process's environment with settings in place of all WEFT_ variables.
func cleanEnvironment(settings ...string) []string {
	env := make([]string, 0, len(os.Environ())+len(settings))
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "WEFT_") {
			env = append(env, v)
		}
	}
	return append(env, settings...)
}

// testSettings returns settings for quick tests: cheap password hashes, and rate limits that polling does not reach.
func testSettings() []string {
	return []string{
		"WEFT_AUTH_BCRYPT_COST=4", "WEFT_GATEWAY_LIMITS_GLOBAL=1000000",
		"WEFT_GATEWAY_LIMITS_PER_USER=1000000", "WEFT_GATEWAY_LIMITS_PER_IP=1000000",
	}
}

// upProgram returns `weft up --dev` with a data directory and free ports.
func upProgram(t testing.TB, data string, settings ...string) program {
	t.Helper()
	path, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	return program{
		name: "weft", path: path, env: cleanEnvironment(append(testSettings(), settings...)...),
		args: []string{"up", "--dev", "--data", data, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--json"},
	}
}

// startWeft runs `weft up` until the test ends.
func startWeft(t testing.TB, data string, settings ...string) *running {
	t.Helper()
	return startProgram(t, upProgram(t, data, settings...))
}

// startProgram runs a program until the test ends. A failed test logs its last lines.
func startProgram(t testing.TB, p program) *running {
	t.Helper()
	r, err := start(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Log(r.logTail())
		}
	})
	return r
}

// freePort returns a loopback address with a port that was free a moment ago. It is below the range that operating systems use
// for outgoing connections, so that none takes it in the meantime.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)))
		if err == nil {
			address := listener.Addr().String()
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
