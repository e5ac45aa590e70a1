package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh/embedded"
)

// quickConfig writes a configuration for tests: cheap password hashes, free ports, a quiet log, profiling.
func quickConfig(t *testing.T) string {
	t.Helper()
	return configFile(t, "auth: {bcrypt_cost: 4}\nlog: {level: error}\nmetrics: {port: -1, profiling: true}\n")
}

// serving is a command that runs until stop.
type serving struct {
	ready readyLine
	// stop ends the command and returns its exit code and standard error.
	stop func() (int, string)
}

// serve runs `weft up` or `weft run` in this process and waits for its ready line.
func serve(t *testing.T, args ...string) serving {
	t.Helper()
	return serveWith(t, quickConfig(t), args...)
}

// serveWith is serve with a configuration file.
func serveWith(t *testing.T, config string, args ...string) serving {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var errs bytes.Buffer
	root := rootCommand()
	root.SetOut(in)
	root.SetErr(&errs)
	code, args := make(chan int, 1), append(args, "--json", "--config", config)
	go func() {
		code <- execute(ctx, root, args)
		_ = in.Close()
	}()
	t.Cleanup(cancel)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("weft %s exited with %d: %s", args, <-code, errs.String())
	}
	s := serving{stop: func() (int, string) { cancel(); return <-code, errs.String() }}
	if err := json.Unmarshal(line, &s.ready); err != nil || !s.ready.Ready {
		t.Fatalf("the ready line is %s, %v", line, err)
	}
	return s
}

// get returns status and body of a URL.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 30 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestUpServesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	up := serve(t, "up", "--dev", "--data", data, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0")
	if up.ready.Data != data || up.ready.Version != programVersion() || up.ready.TookMS < 1 || !strings.HasPrefix(up.ready.NATS, "nats://127.0.0.1:") {
		t.Errorf("the ready line is %+v", up.ready)
	}
	if got := weft(t, "", "health", up.ready.HTTP); got.code != 0 || !strings.Contains(got.stdout, `"ready"`) {
		t.Errorf("health: %+v", got)
	}
	if status, body := get(t, up.ready.Metrics); status != http.StatusOK || !strings.Contains(body, "weft_requests_total") {
		t.Errorf("metrics: %d, %d bytes", status, len(body))
	}
	if status, _ := get(t, strings.TrimSuffix(up.ready.Metrics, "/metrics")+"/debug/pprof/heap"); status != http.StatusOK {
		t.Errorf("profiles: %d", status)
	}
	demo := weft(t, "", "demo", "--url", up.ready.HTTP+"/")
	if demo.code != 0 || !strings.HasSuffix(demo.stdout, "\n# Done: 2 calls reached the shop.\n") || strings.Contains(demo.stdout, "eyJ") {
		t.Errorf("demo: %+v", demo)
	}
	if got := weft(t, "", "admin", "create", "--data", data, "root@example.com"); got.code != exitUsage {
		t.Errorf("admin create without a password: %+v", got)
	}
	if got := weft(t, "Test123!@#\n", "admin", "create", "--data", data, "root@example.com"); got.code != exitFailure || !strings.Contains(got.stderr, "in use by another copy") {
		t.Errorf("admin create beside weft on SQLite: %+v", got)
	}
	if code, errs := up.stop(); code != 0 {
		t.Errorf("stopping: exit code %d, %s", code, errs)
	}
	if got := weft(t, "", "auth", "rotate-keys", "--data", data); got.code != 0 || !regexp.MustCompile(`^[0-9a-f-]{36} is the current key\n$`).MatchString(got.stdout) {
		t.Errorf("rotate-keys: %+v", got)
	}
	if got := weft(t, "", "auth", "rotate-keys", "--data", data); got.code != exitFailure {
		t.Errorf("rotate-keys without a published next key: %+v", got)
	}
}

func TestRunServesActorsAndGateway(t *testing.T) {
	t.Parallel()
	dir, data := filepath.Join(t.TempDir(), "nats"), filepath.Join(t.TempDir(), "data")
	keys := filepath.Join(dir, "keys")
	if got := weft(t, "", "nats-init", "--listen", "127.0.0.1:0", dir); got.code != 0 {
		t.Fatalf("nats-init: %+v", got)
	}
	server, err := embedded.Start(t.Context(), dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	where := []string{"--nats", server.ClientURL(), "--keys", keys, "--data", data}
	migrated := weft(t, "", append([]string{"migrate", "--actors", "consent"}, where...)...)
	const want = "NATS: streams, buckets and durables are up to date\nconsent: the database schema is up to date\n"
	if migrated.code != 0 || !strings.HasSuffix(migrated.stdout, want) || !strings.Contains(migrated.stdout, "create   stream AUDIT\n") {
		t.Errorf("migrate: %+v", migrated)
	}
	run := serve(t, append([]string{"run", "--actors", "auth,consent", "--gateway", "--http", "127.0.0.1:0"}, where...)...)
	if run.ready.NATS != server.ClientURL() || run.ready.HTTP == "" {
		t.Errorf("the ready line is %+v", run.ready)
	}
	if status, body := get(t, run.ready.HTTP+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "workflow") {
		t.Errorf("ready without the other actors: %d %s", status, body)
	}
	if status, body := get(t, run.ready.HTTP+"/v1/consents"); status != http.StatusUnauthorized {
		t.Errorf("consents: %d %s", status, body)
	}
	if code, errs := run.stop(); code != 0 {
		t.Errorf("stopping: exit code %d, %s", code, errs)
	}
	alone := serve(t, append([]string{"run", "--actors", "consent"}, where...)...)
	if alone.ready.HTTP != "" || alone.ready.Metrics == "" {
		t.Errorf("the ready line without a gateway is %+v", alone.ready)
	}
	if code, errs := alone.stop(); code != 0 {
		t.Errorf("stopping: exit code %d, %s", code, errs)
	}
}

func TestServingFailsWithoutItsKey(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"run --actors consent", "run --gateway", "migrate --actors consent"} {
		args := append(strings.Fields(line), "--keys", t.TempDir(), "--data", t.TempDir(), "--config", quickConfig(t))
		if got := weft(t, "", args...); got.code != exitFailure || !strings.Contains(got.stderr, "reading the NATS key of ") {
			t.Errorf("weft %s: %+v", line, got)
		}
	}
}

// failingWriter cannot write.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("standard output is closed") }

func TestUpFailsIfTheReadyLineCannotBePrinted(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	root := rootCommand()
	root.SetOut(failingWriter{})
	root.SetErr(&errs)
	args := []string{"up", "--data", filepath.Join(t.TempDir(), "data"), "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--config", quickConfig(t)}
	if code := execute(t.Context(), root, args); code != exitFailure || !strings.Contains(errs.String(), "standard output is closed") {
		t.Errorf("exit code %d, %s", code, errs.String())
	}
}

func TestMetricsPort(t *testing.T) {
	t.Parallel()
	config := mustLoad(t, quickConfig(t))
	p, err := newProcess(t.Context(), config, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	taken, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	_, text, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	if url, err := p.serveMetrics(ctx, port); err != nil || strings.Contains(url, ":"+text+"/") {
		t.Errorf("port -1: %s, %v", url, err)
	}
	p.config.Metrics.Port = 0
	if url, err := p.serveMetrics(ctx, port); err != nil || url == "" || strings.Contains(url, ":"+text+"/") {
		t.Errorf("a default port that is taken: %s, %v, want a free one", url, err)
	}
	p.config.Metrics.Port = port
	if _, err := p.serveMetrics(ctx, 0); err == nil {
		t.Error("metrics.port is ignored")
	}
	p.config.Metrics.Enabled = false
	if url, err := p.serveMetrics(ctx, port); url != "" || err != nil {
		t.Errorf("disabled: %q, %v", url, err)
	}
}

func TestProcessPathsAreInTheDataDirectory(t *testing.T) {
	t.Parallel()
	config := mustLoad(t, quickConfig(t), "WEFT_DATA=d", "WEFT_CONSENT_DATABASE_URL=postgres://c")
	p, err := newProcess(t.Context(), config, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	if want := filepath.Join("d", "nats", "keys"); p.keys != want {
		t.Errorf("the NATS keys are in %s", p.keys)
	}
	if want := filepath.Join("d", "keys", "auth.keyset.json"); p.keyset("auth") != want {
		t.Errorf("the keyset of auth is %s", p.keyset("auth"))
	}
	if auth, consent := p.database("auth"), p.database("consent"); auth.URL != "" || auth.DataDir != "d" || auth.Actor != "auth" || consent.URL != "postgres://c" {
		t.Errorf("the databases are %+v and %+v", auth, consent)
	}
	config.NATS.Keys = "elsewhere"
	other, err := newProcess(t.Context(), config, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.close)
	if other.keys != "elsewhere" {
		t.Errorf("nats.keys is ignored: %s", other.keys)
	}
}
