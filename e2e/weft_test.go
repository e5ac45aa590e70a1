// Package e2e_test drives the built binary from outside, as a user, an operator and an intruder would.
//
//	weft_test.go            the binary and its processes
//	client_test.go          an HTTP client and server-sent events
//	provider_test.go        the stand-in for somebody's API
//	story_*test.go          the scripts of testdata/stories: tutorial, specification and test at once
//	wire_test.go            what the wire refuses
//	stop_test.go            the end of a process
//	mail_test.go            the mails that users get
//	asvs_test.go            deploy/asvs-level-2.yaml
//	torture_test.go         a storm of kill -9 (build tag torture)
//	natscli_test.go         the real nats CLI (build tag conformance)
//	bench*_test.go          the figures of the README
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

// patience bounds every wait for a condition. Nothing here takes a tenth of it on an idle machine.
const patience = 60 * time.Second

// drainWithin is how long a process may take after SIGTERM: 30 s for its requests, and a little to close.
const drainWithin = 40 * time.Second

// binaries is the folder of what TestMain's children are made of.
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
		fmt.Fprintln(os.Stderr, "making a folder for binaries:", err)
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

// natsServerBinary builds the NATS server that an operator would install.
var natsServerBinary = sync.OnceValues(func() (string, error) {
	return build("nats-server", "github.com/nats-io/nats-server/v2")
})

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

// program is a program to start.
type program struct {
	name string
	path string
	args []string
	env  []string
	dir  string
	// accepts is the address that tells that the program serves; empty: it prints a ready line.
	accepts string
}

// running is a started program.
type running struct {
	program
	cmd    *exec.Cmd
	ready  ready
	errors *os.File
	exited chan struct{}
	err    error
}

// errEnded tells that a program ended before it was ready.
var errEnded = errors.New("it ended before it was ready")

// start starts a program and returns once it serves. Its standard error goes to a file that stderr reads.
func start(p program) (*running, error) {
	log, err := os.CreateTemp(binaries, p.name+"-*.log")
	if err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	r := &running{program: p, errors: log, exited: make(chan struct{})}
	r.cmd = exec.CommandContext(context.Background(), p.path, p.args...)
	r.cmd.Env, r.cmd.Dir, r.cmd.Stderr = p.env, p.dir, log
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

func (r *running) await(line <-chan string) error {
	if r.accepts != "" {
		return r.awaitPort()
	}
	select {
	case text := <-line:
		if text == "" {
			<-r.exited
			return errEnded
		}
		if err := json.Unmarshal([]byte(text), &r.ready); err != nil || !r.ready.Ready {
			return fmt.Errorf("%q is no ready line", text)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("not ready after %s", patience)
	}
}

func (r *running) awaitPort() error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", r.accepts)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-r.exited:
			return errEnded
		case <-time.After(5 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s accepts nothing after %s", r.accepts, patience)
}

// lastWords is the end of what the program has said, for who reads a failure.
func (r *running) lastWords() string {
	lines := strings.SplitAfter(r.stderr(), "\n")
	return r.name + " said last:\n" + strings.Join(lines[max(0, len(lines)-25):], "")
}

// stderr is what the program has said so far.
func (r *running) stderr() string {
	text, err := os.ReadFile(r.errors.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// stop sends SIGTERM and returns the program's own word: an error unless it exits with 0 in time.
func (r *running) stop() error {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.exited:
	case <-time.After(drainWithin):
		r.kill()
		return fmt.Errorf("%s did not stop within %s\n%s", r.name, drainWithin, r.stderr())
	}
	if r.err != nil {
		return fmt.Errorf("%s ended: %w\n%s", r.name, r.err, r.stderr())
	}
	return nil
}

// kill is kill -9, and returns once the process is gone.
func (r *running) kill() {
	_ = r.cmd.Process.Kill()
	<-r.exited
	_ = r.errors.Close()
}

// cleanEnvironment is this process's environment without weft's settings, and settings.
func cleanEnvironment(settings ...string) []string {
	env := make([]string, 0, len(os.Environ())+len(settings))
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "WEFT_") {
			env = append(env, v)
		}
	}
	return append(env, settings...)
}

// testSettings make tests quick: cheap password hashes, and limits that polling does not meet.
func testSettings() []string {
	return []string{
		"WEFT_AUTH_BCRYPT_COST=4", "WEFT_GATEWAY_LIMITS_GLOBAL=1000000",
		"WEFT_GATEWAY_LIMITS_PER_USER=1000000", "WEFT_GATEWAY_LIMITS_PER_IP=1000000",
	}
}

// upProgram is `weft up --dev` on data and free ports.
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

// startProgram runs a program until the test ends; whoever fails sees its log.
func startProgram(t testing.TB, p program) *running {
	t.Helper()
	r, err := start(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Log(r.lastWords())
		}
	})
	return r
}

// freePort is an address of this machine that nobody listened on a moment ago, and that no connection is given by chance: it is
// below the ports that systems give to those.
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
