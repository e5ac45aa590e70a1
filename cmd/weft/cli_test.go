package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/subjects"
)

// result is the outcome of a command line.
type result struct {
	code           int
	stdout, stderr string
}

// weft runs a command line in this process with text as standard input.
func weft(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	root := rootCommand()
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	code := execute(t.Context(), root, args)
	return result{code, out.String(), errs.String()}
}

func TestWrongUsageExitsWith2(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, stderr string }{
		{"nonsense", `unknown command "nonsense" for "weft"`},
		{"versio", "did you mean version?"},
		{"version extra", `weft version takes no arguments, got ["extra"]`},
		{"admin extra", "weft admin takes no arguments"},
		{"up --nonsense", "unknown flag: --nonsense"},
		{"keys rotate --settle soon", "invalid argument"},
		{"run", "nothing to run"},
		{"run --actors auth,nobody", `unknown actor "nobody", the actors are [auth integration workflow consent notification]`},
		{"migrate --actors nobody", `unknown actor "nobody"`},
		{"keys rotate --actor nobody", `unknown actor "nobody"`},
		{"up --nats nowhere", `"nowhere" is not host:port`},
		{"nats-init", "weft nats-init requires one argument, DIR, got []"},
		{"nats-init --listen :x dir", `":x" is not host:port`},
		{"nats-init --cluster a dir", "a cluster has 2 to 16 servers, not 1"},
		{"nats-init --cluster a,../b dir", `"../b" is neither a host name nor an IP address`},
		{"nats-init --cluster a,b --tls maybe dir", `TLS "maybe" is none of`},
		{"nats-init --cluster a,b --listen :1 dir", "--listen is for a single server"},
		{"nats-init --renew dir", "--renew needs --cluster"},
		{"nats-balance --wait 0s", "--wait: 0s is not positive"},
		{"admin create", "requires one argument, EMAIL"},
		{"admin create a@example.com", "standard input has no password"},
		{"health a b", "takes at most one URL"},
		{"health http://[", "reading the URL"},
		{"workflow lint", "requires at least one file"},
		{"workflow lint nowhere.yaml", "nowhere.yaml: no such file"},
		{"workflow diagram", "requires one argument, FILE"},
		{"provider lint nowhere.yaml", "nowhere.yaml: no such file"},
		{"config --config nowhere.yaml", "nowhere.yaml: no such file"},
	} {
		got := weft(t, "", strings.Fields(c.line)...)
		if got.code != exitUsage || !strings.HasPrefix(got.stderr, "weft: ") || !strings.Contains(got.stderr, c.stderr) || got.stdout != "" {
			t.Errorf("weft %s: %+v, want exit code 2 and %q", c.line, got, c.stderr)
		}
	}
}

func TestCommandsThatUseTheConfigurationRejectAnInvalidOne(t *testing.T) {
	t.Parallel()
	file := configFile(t, "workflow: {cut_after: 0}")
	for _, line := range []string{
		"config", "up", "run --gateway", "migrate", "keys rotate", "auth rotate-keys", "admin create a@example.com", "provider list", "nats-context",
	} {
		got := weft(t, "secret\n", append(strings.Fields(line), "--config", file)...)
		if want := "weft: " + file + ":1: workflow.cut_after is 0, and must be at least 1\n"; got.code != exitUsage || got.stderr != want || got.stdout != "" {
			t.Errorf("weft %s: %+v, want %q", line, got, want)
		}
	}
}

func TestFailureExitsWith1(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"not ready"}`))
	}))
	t.Cleanup(server.Close)
	got := weft(t, "", "health", server.URL)
	if got.code != exitFailure || got.stdout != `{"status":"not ready"}` || got.stderr != "weft: not ready: 503 Service Unavailable\n" {
		t.Errorf("health of a weft that is not ready: %+v", got)
	}
	server.Close()
	if got = weft(t, "", "health", server.URL); got.code != exitFailure || !strings.Contains(got.stderr, "connection refused") {
		t.Errorf("health without a weft: %+v", got)
	}
	if got = weft(t, "", "demo", "--url", server.URL); got.code != exitFailure || !strings.Contains(got.stderr, "is weft running?") {
		t.Errorf("demo without a weft: %+v", got)
	}
	if got = weft(t, "", "nats-context", "--data", t.TempDir()); got.code != exitFailure || !strings.Contains(got.stderr, "operator's key is missing") {
		t.Errorf("nats-context without keys: %+v", got)
	}
}

func TestHealthPrintsTheReadinessOfAWeft(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.Path)) }))
	t.Cleanup(server.Close)
	if got := weft(t, "", "health", server.URL+"/"); got != (result{0, "/readyz", ""}) {
		t.Errorf("got %+v", got)
	}
}

// TestEveryCommandHasHelp also requires an example and a description of what takes arguments or flags.
func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("the short help of %s is %q", cmd.CommandPath(), cmd.Short)
		}
		if cmd.HasParent() && cmd.HasLocalFlags() && (cmd.Long == "" || cmd.Example == "") {
			t.Errorf("%s lacks a description or an example", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand())
	if got := weft(t, "", "auth"); got.code != 0 || !strings.Contains(got.stdout, "rotate-keys") {
		t.Errorf("a group without a subcommand: %+v", got)
	}
	if got := weft(t, ""); got.code != 0 || !strings.Contains(got.stdout, "Exit codes: 0 success, 1 failure, 2 wrong usage") {
		t.Errorf("weft alone: %+v", got)
	}
}

func TestConfigPrintsEverySettingAndNoSecret(t *testing.T) {
	t.Parallel()
	file := configFile(t, "auth: {pepper: hunter2}\ndatabase: {url: 'postgres://weft:hunter2@db/weft'}\nissuer: mine\n")
	got := weft(t, "", "config", "--config", file)
	if got.code != 0 || strings.Contains(got.stdout, "hunter2") || !strings.Contains(got.stdout, "issuer: mine\n") || !strings.Contains(got.stdout, "pepper: '***'\n") {
		t.Fatalf("got %+v", got)
	}
	again := weft(t, "", "config", "--config", configFile(t, got.stdout))
	if again != got {
		t.Errorf("the output as a file gives %+v", again)
	}
}

func TestVersionIsTheLinkersOrTheModules(t *testing.T) {
	t.Parallel()
	for recorded, want := range map[string]string{
		"v0.2.0": "0.2.0", "v0.0.0-20261123200000-0123456789ab+dirty": "0.0.0-20261123200000-0123456789ab+dirty", "(devel)": "", "": "",
	} {
		if got := moduleVersion(&debug.BuildInfo{Main: debug.Module{Version: recorded}}); got != want {
			t.Errorf("the module's version %q gives %q, want %q", recorded, got, want)
		}
	}
	if got := weft(t, "", "version"); got.code != 0 || !regexp.MustCompile(`^weft \d+\.\d+\.\d+\S* go1\.\S+\n$`).MatchString(got.stdout) {
		t.Errorf("got %+v", got)
	}
}

func TestReadyLine(t *testing.T) {
	t.Parallel()
	line := readyLine{Ready: true, Version: "1.2.3", HTTP: "http://127.0.0.1:8080", NATS: "nats://n", Metrics: "http://m/metrics", Data: "d", TookMS: 7}
	var out bytes.Buffer
	if err := printReady(console{out: &out, json: true}, line); err != nil {
		t.Fatal(err)
	}
	var decoded readyLine
	if err := json.Unmarshal(out.Bytes(), &decoded); err != nil || decoded != line || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("as JSON: %q, %v", out.String(), err)
	}
	out.Reset()
	if err := printReady(console{out: &out}, line); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"weft 1.2.3 is ready after 7 ms\n", "  data     d\n", "  NATS     nats://n\n", "  metrics  http://m/metrics\n", "  HTTP     http://127.0.0.1:8080\n",
		"  docs     http://127.0.0.1:8080/docs\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text %q lacks %q", out.String(), want)
		}
	}
	out.Reset()
	line.HTTP, line.Metrics = "", ""
	if err := printReady(console{out: &out}, line); err != nil || strings.Contains(out.String(), "HTTP") || strings.Contains(out.String(), "metrics") {
		t.Errorf("without gateway and metrics: %q, %v", out.String(), err)
	}
}

func TestServerAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]struct {
		host string
		port int
	}{"127.0.0.1:4222": {"127.0.0.1", 4222}, ":0": {"", -1}, "[::1]:65535": {"::1", 65535}} {
		if host, port, err := serverAddress(address); err != nil || host != want.host || port != want.port {
			t.Errorf("%s gives %q, %d, %v", address, host, port, err)
		}
	}
	for _, address := range []string{"", "127.0.0.1", "127.0.0.1:-1", "127.0.0.1:65536", "a:b"} {
		if _, _, err := serverAddress(address); err == nil {
			t.Errorf("%q is accepted", address)
		}
	}
}

func TestPasswordIsTheFirstLine(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{"secret\nrest": "secret", "secret\r\n": "secret", "secret": "secret", " a b \n": " a b "} { //nolint:gocritic // spaces belong to the password
		if got, err := readPassword(strings.NewReader(input)); err != nil || got != want {
			t.Errorf("%q gives %q, %v", input, got, err)
		}
	}
	if got := weft(t, "short\n", "admin", "create", "not-an-address", "--data", t.TempDir()); got.code != exitUsage || !strings.Contains(got.stderr, "email") {
		t.Errorf("an invalid account: %+v", got)
	}
}

func TestEveryActorIsInTheTable(t *testing.T) {
	t.Parallel()
	ports := map[int]string{gatewayMetricsPort: "gateway"}
	for _, name := range subjects.Actors() {
		entry, ok := actorTable[name]
		if !ok || entry.build == nil || entry.migrations == nil || len(entry.sealed) == 0 {
			t.Errorf("the entry of %s is incomplete", name)
		}
		if other, taken := ports[entry.metricsPort]; taken {
			t.Errorf("%s and %s have the metrics port %d", name, other, entry.metricsPort)
		}
		ports[entry.metricsPort] = name
	}
	if len(actorTable) != len(subjects.Actors()) {
		t.Errorf("the table has %d actors, the contract %d", len(actorTable), len(subjects.Actors()))
	}
}

func TestLogFlushesWarningsWithWhatPrecedesThem(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := newLog(LogConfig{Level: "info"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("below the level")
	log.Info("first")
	log.Warn("second")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"msg":"first"`) || !strings.Contains(lines[1], `"level":"warn"`) {
		t.Errorf("written: %q", lines)
	}
	if _, err := newLog(LogConfig{Level: "loud"}, &out); err == nil {
		t.Error("an unknown level is accepted")
	}
}

func TestDemoMasksTokensAndTruncates(t *testing.T) {
	t.Parallel()
	got := printable(`{"access_token":"eyJ","list":[{"refresh_token":"r"}],"tokens":"<kept>"}`)
	if strings.Contains(got, "eyJ") || strings.Contains(got, `"r"`) || !strings.Contains(got, `"<kept>"`) {
		t.Errorf("got %s", got)
	}
	if got = printable(strings.Repeat("a", maxPrinted+1)); len(got) != maxPrinted+len("\n  …") {
		t.Errorf("a long response has %d bytes", len(got))
	}
	if got = shellQuote("it's"); got != `'it'\''s'` {
		t.Errorf("got %s", got)
	}
}

func TestVersionFlag(t *testing.T) {
	t.Parallel()
	if got, want := weft(t, "", "--version"), weft(t, "", "version"); got != want || got.code != 0 {
		t.Errorf("weft --version: %+v, weft version: %+v", got, want)
	}
}

func TestActorsAreCompleted(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"a": "auth\n", "auth,": "auth,integration\nauth,workflow\nauth,consent\nauth,notification\n", "auth,w": "auth,workflow\n", "x": "",
	} {
		for _, line := range []string{"run --actors", "migrate --actors", "health --actors", "keys rotate --actor"} {
			got := weft(t, "", append(append([]string{"__complete"}, strings.Fields(line)...), typed)...)
			if lines, _, _ := strings.Cut(got.stdout, ":"); got.code != 0 || lines != want {
				t.Errorf("weft %s %s completes to %q, want %q", line, typed, lines, want)
			}
		}
	}
}
