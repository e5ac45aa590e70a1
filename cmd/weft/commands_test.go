package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestAdminCreateAndKeyRotationWorkOffline(t *testing.T) {
	t.Parallel()
	file := configFile(t, "auth: {bcrypt_cost: 4}\nlog: {level: error}\ndata: "+filepath.Join(t.TempDir(), "data")+"\n")
	created := weft(t, "Test123!@#\n", "admin", "create", "root@example.com", "--config", file)
	if want := (result{0, "root@example.com has the role admin now, with the given password\n", ""}); created != want {
		t.Errorf("created: %+v", created)
	}
	promoted := weft(t, "Other123!@#\n", "admin", "create", "root@example.com", "--config", file)
	if want := (result{0, "root@example.com has the role admin now; its password is unchanged\n", ""}); promoted != want {
		t.Errorf("promoted: %+v", promoted)
	}
	if rotated := weft(t, "", "keys", "rotate", "--actor", "auth", "--config", file); rotated.code != 0 || !strings.Contains(rotated.stdout, "auth: ") {
		t.Errorf("rotated: %+v", rotated)
	}
	if migrated := weft(t, "", "migrate", "--databases-only", "--actors", "auth,consent", "--config", file); migrated != (result{
		0, "auth: the database schema is up to date\nconsent: the database schema is up to date\n", "",
	}) {
		t.Errorf("migrated: %+v", migrated)
	}
}

func TestNATSInitKeepsKeysAndNATSContextUsesThem(t *testing.T) {
	dir, home := filepath.Join(t.TempDir(), "nats"), t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	if got := weft(t, "", "nats-init", "--listen", "127.0.0.1:4333", dir); got.code != 0 || !strings.Contains(got.stdout, "nats-server -c "+filepath.Join(dir, "nats.conf")) {
		t.Fatalf("nats-init: %+v", got)
	}
	seed := filepath.Join(dir, "keys", "operator.nk")
	before, err := os.ReadFile(seed)
	if err != nil {
		t.Fatal(err)
	}
	weft(t, "", "nats-init", dir)
	if after, err := os.ReadFile(seed); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a second run replaces the keys: %v", err)
	}
	weft(t, "", "nats-init", "--listen", "127.0.0.1:4333", dir)
	if got := weft(t, "", "nats-context", "--keys", filepath.Join(dir, "keys"), "--name", "prod"); got.code != 0 {
		t.Fatalf("nats-context: %+v", got)
	}
	text, err := os.ReadFile(filepath.Join(home, "nats", "context", "prod.json"))
	if err != nil {
		t.Fatal(err)
	}
	var written map[string]string
	if err := json.Unmarshal(text, &written); err != nil || written["url"] != "nats://127.0.0.1:4333" || written["nkey"] != seed || written["inbox_prefix"] != "_INBOX_operator" {
		t.Errorf("the context is %s, %v", text, err)
	}
	if selected, err := os.ReadFile(filepath.Join(home, "nats", "context.txt")); err != nil || string(selected) != "prod" {
		t.Errorf("%q is selected, %v", selected, err)
	}
	weft(t, "", "nats-context", "--keys", filepath.Join(dir, "keys"), "--name", "other", "--select=false")
	if selected, err := os.ReadFile(filepath.Join(home, "nats", "context.txt")); err != nil || string(selected) != "prod" {
		t.Errorf("with --select=false %q is selected, %v", selected, err)
	}
}

func TestLintReportsFaultsOfEveryReadableFile(t *testing.T) {
	t.Parallel()
	const document = "document: {dsl: '1.0.3', namespace: test, name: a, version: '0.1.0'}\ndo:\n- greet: {call: echo}\n"
	good, faulty := configFile(t, document), configFile(t, strings.Replace(document, "call: echo", "says: hello, set: {a: 1}", 1))
	if got := weft(t, document, "workflow", "lint", good, "-"); got != (result{}) {
		t.Errorf("without faults: %+v", got)
	}
	got := weft(t, "", "workflow", "lint", good, faulty)
	if got.code != exitFailure || got.stderr != "weft: 1 fault\n" || !strings.HasPrefix(got.stdout, faulty+":3:11: unknown_field: ") {
		t.Errorf("a fault: %+v", got)
	}
	if got = weft(t, "", "workflow", "lint", faulty, faulty); got.stderr != "weft: 2 faults\n" {
		t.Errorf("two faults: %+v", got)
	}
	if got = weft(t, "", "workflow", "lint", "nowhere.yaml", faulty); got.code != exitUsage || !strings.Contains(got.stdout, "unknown_field") {
		t.Errorf("an unreadable file: %+v", got)
	}
	var faults []fileFault
	got = weft(t, "", "workflow", "lint", "--json", faulty)
	if err := json.Unmarshal([]byte(got.stdout), &faults); err != nil || len(faults) != 1 || faults[0].File != faulty || faults[0].Line != 3 || faults[0].Code != "unknown_field" {
		t.Errorf("as JSON: %+v, %v", got, err)
	}
	if got = weft(t, "", "workflow", "lint", "--json", good); got != (result{0, "[]\n", ""}) {
		t.Errorf("no faults as JSON: %+v", got)
	}
	if got = weft(t, document, "workflow", "diagram", "-"); got.code != 0 || !strings.HasPrefix(got.stdout, "flowchart TD\n") {
		t.Errorf("diagram: %+v", got)
	}
	if got = weft(t, "", "workflow", "diagram", faulty); got.code != exitFailure || got.stdout != "" || !strings.Contains(got.stderr, ":3:11: unknown_field") {
		t.Errorf("diagram of a faulty document: %+v", got)
	}
}

func TestProviderListFailsIfOneIsDisabled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	got := weft(t, "", "provider", "list", "--dir", dir)
	if got.code != 0 || !regexp.MustCompile(`(?m)^slack +communication +\d+ +weft +valid$`).MatchString(got.stdout) {
		t.Errorf("without a directory: %+v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "slack.yaml"), []byte("id: slack\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got = weft(t, "", "provider", "list", "--dir", dir)
	if got.code != exitFailure || got.stderr != "weft: 1 provider is disabled\n" || !strings.Contains(got.stdout, "\nslack is disabled:\nslack.yaml: ") {
		t.Errorf("with a faulty manifest: %+v", got)
	}
	var listed []listedProvider
	got = weft(t, "", "provider", "list", "--dir", dir, "--json")
	if err := json.Unmarshal([]byte(got.stdout), &listed); err != nil {
		t.Fatalf("%+v: %v", got, err)
	}
	for _, p := range listed {
		if (p.ID == "slack") != (p.Fault != "") {
			t.Errorf("%s has the fault %q", p.ID, p.Fault)
		}
	}
	if got = weft(t, "", "provider", "schema"); got.code != 0 || !json.Valid([]byte(got.stdout)) {
		t.Errorf("schema: exit code %d", got.code)
	}
}

// acmeManifest is a valid provider manifest.
const acmeManifest = `id: acme
name: Acme
category: developer_tools
base_url: https://api.acme.example
auth: [{id: none, kind: none}]
health: {method: GET, path: /me}
actions:
  get: {title: Get, method: GET, safety: read, path: /things, input: {type: object}}
`

func TestProviderLint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := write("acme.yaml", acmeManifest)
	if got := weft(t, acmeManifest, "provider", "lint", good, "-"); got != (result{}) {
		t.Errorf("a valid manifest, and standard input without a file name: %+v", got)
	}
	misnamed := write("other.yaml", acmeManifest)
	if got := weft(t, "", "provider", "lint", misnamed); got.code != exitFailure || !strings.HasPrefix(got.stdout, misnamed+":1:5: /id: ") {
		t.Errorf("an ID that differs from the file's name: %+v", got)
	}
	faulty := write("faulty.yaml", strings.Replace(strings.Replace(acmeManifest, "acme", "faulty", 1), "safety: read", "safety: perhaps", 1))
	var faults []fileFault
	got := weft(t, "", "provider", "lint", "--json", faulty)
	if err := json.Unmarshal([]byte(got.stdout), &faults); err != nil || len(faults) != 1 || faults[0].Pointer != "/actions/get/safety" || faults[0].Line != 8 {
		t.Errorf("an invalid safety: %+v, %v", got, err)
	}
}

func TestDirectoryOverridesBuiltInProviders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "acme.yaml"), []byte(acmeManifest), 0o600); err != nil {
		t.Fatal(err)
	}
	file := configFile(t, "integration: {providers_dir: "+dir+"}")
	if got := weft(t, "", "provider", "list", "--config", file); got.code != 0 || !regexp.MustCompile(`(?m)^acme +developer_tools +1 +acme.yaml +valid$`).MatchString(got.stdout) {
		t.Errorf("the directory of the configuration: %+v", got)
	}
	if got := weft(t, "", "provider", "list", "--config", file, "--dir", t.TempDir()); got.code != 0 || strings.Contains(got.stdout, "acme") {
		t.Errorf("--dir does not override the configuration: %+v", got)
	}
	if got := weft(t, "", "provider", "list", "--dir", filepath.Join(dir, "missing")); got.code != exitFailure {
		t.Errorf("a missing directory: %+v", got)
	}
}

// TestKeysRotateInSteps adds a key, seals with it and retires the old one, as for copies of a keyset on several machines.
func TestKeysRotateInSteps(t *testing.T) {
	t.Parallel()
	file := configFile(t, "auth: {bcrypt_cost: 4}\nlog: {level: error}\ndata: "+filepath.Join(t.TempDir(), "data")+"\n")
	if got := weft(t, "Test123!@#\n", "admin", "create", "root@example.com", "--config", file); got.code != 0 {
		t.Fatalf("admin create: %+v", got)
	}
	var outputs []string
	for range 3 {
		got := weft(t, "", "keys", "rotate", "--step", "--actor", "auth", "--config", file)
		if got.code != 0 || !strings.HasPrefix(got.stdout, "auth: ") {
			t.Fatalf("after %q: %+v", outputs, got)
		}
		outputs = append(outputs, got.stdout)
	}
	if outputs[0] == outputs[1] || outputs[1] == outputs[2] {
		t.Errorf("the steps print %q", outputs)
	}
	if got := weft(t, "Other123!@#\n", "admin", "create", "root@example.com", "--config", file); got.code != 0 {
		t.Errorf("the rotated keys do not open the database: %+v", got)
	}
}

func TestNATSContextConnectsToTheConfiguredServer(t *testing.T) {
	home, data := t.TempDir(), t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	dir := filepath.Join(data, "nats")
	if got := weft(t, "", "nats-init", "--listen", "127.0.0.1:4333", dir); got.code != 0 {
		t.Fatalf("nats-init: %+v", got)
	}
	urlOf := func(args ...string) string {
		if got := weft(t, "", append([]string{"nats-context"}, args...)...); got.code != 0 {
			t.Fatalf("nats-context %q: %+v", args, got)
		}
		text, err := os.ReadFile(filepath.Join(home, "nats", "context", "weft.json"))
		if err != nil {
			t.Fatal(err)
		}
		var written map[string]string
		if err := json.Unmarshal(text, &written); err != nil {
			t.Fatal(err)
		}
		return written["url"]
	}
	configured := configFile(t, "data: "+data+"\nnats: {url: 'nats://nats.internal:4222'}\n")
	for want, args := range map[string][]string{
		"nats://127.0.0.1:4333":     {"--data", data},
		"nats://nats.internal:4222": {"--config", configured},
		"nats://other:4222":         {"--config", configured, "--nats", "nats://other:4222"},
	} {
		if got := urlOf(args...); got != want {
			t.Errorf("nats-context %q connects to %s, want %s", args, got, want)
		}
	}
}

// TestLintChecksActions against the providers that weft includes, and warns without failing.
func TestLintChecksActions(t *testing.T) {
	t.Parallel()
	const head = "document: {dsl: '1.0.3', namespace: test, name: a, version: '0.1.0'}\ndo:\n"
	for tasks, want := range map[string]string{
		"- a: {call: slak.post_mesage, with: {channel: c}}\n": `:3:13: reference: there is no function "slak.post_mesage": did you mean the provider "slack"? It has `,
		"- a: {call: http.gett}\n":                            `:3:13: reference: there is no function "http.gett": did you mean "http.get"?`,
		"- a: {call: github.get_repo, with: {ownr: weft}}\n":  `:3:37: unknown_field: github.get_repo: unknown field "ownr": did you mean "owner"?`,
	} {
		got := weft(t, "", "workflow", "lint", configFile(t, head+tasks))
		if got.code != exitFailure || !strings.Contains(got.stdout, want) {
			t.Errorf("%s: %+v, want %s", tasks, got, want)
		}
	}
	got := weft(t, "", "workflow", "lint", configFile(t, head+"- a: {set: {x: 'Hello ${ .name }!'}}\n"))
	if got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, ":3:16: warning: ") {
		t.Errorf("a warning: %+v", got)
	}
}
