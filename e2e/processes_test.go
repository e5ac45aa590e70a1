package e2e_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
)

// processes runs weft as several processes with a nats-server and PostgreSQL.
type processes struct {
	t                 testing.TB
	binary, dir, keys string
	// nats is the address of the nats-server.
	nats string
	env  []string
}

// startProcesses starts the nats-server and runs `weft migrate`.
func startProcesses(t testing.TB, binary string, settings ...string) *processes {
	t.Helper()
	server, err := natsServerBinary()
	if err != nil {
		t.Fatal(err)
	}
	var database string
	for _, kind := range actortest.Databases(t) {
		if kind.Name == "postgres" {
			database = postgresSchemas(t, kind)
		}
	}
	if database == "" {
		t.Fatal("the test needs PostgreSQL, because several processes share a database")
	}
	dir, nats := t.TempDir(), freePort(t)
	p := &processes{t: t, binary: binary, dir: dir, nats: nats, keys: filepath.Join(dir, "nats", "keys")}
	p.env = cleanEnvironment(append(append(testSettings(), "WEFT_METRICS_PORT=-1", "WEFT_LOG_LEVEL=warn", "WEFT_AUTH_ACCESS_TTL=24h", "WEFT_DATABASE_URL="+database,
		"WEFT_NATS_URL=nats://"+nats, "WEFT_EGRESS_ALLOW=127.0.0.0/8", "WEFT_EGRESS_ALLOW_HTTP=true"), settings...)...)
	p.command("nats-init", "--listen", nats, filepath.Join(dir, "nats"))
	p.launch(program{name: "nats", path: server, args: []string{"-c", filepath.Join(dir, "nats", "nats.conf")}, env: p.env, accepts: nats})
	p.command("migrate", "--keys", p.keys, "--data", dir)
	return p
}

// command runs a weft command, which must succeed.
func (p *processes) command(args ...string) {
	p.t.Helper()
	c := exec.CommandContext(p.t.Context(), p.binary, args...)
	c.Env = p.env
	if out, err := c.CombinedOutput(); err != nil {
		p.t.Fatalf("weft %v: %v\n%s", args, err, out)
	}
}

// run returns the program `weft run` with arguments.
func (p *processes) run(name string, args ...string) program {
	return program{
		name: name, path: p.binary, env: p.env, args: append([]string{"run", "--keys", p.keys, "--data", p.dir, "--json"}, args...),
	}
}

// launch starts a program, which is killed when the test ends.
func (p *processes) launch(started program) *running {
	p.t.Helper()
	r, err := startInTest(p.t, started)
	if err != nil {
		p.t.FailNow()
	}
	return r
}

// startInTest is launch for any goroutine: it reports an error to the test and returns it.
func startInTest(t testing.TB, p program) (*running, error) {
	r, err := start(p)
	if err != nil {
		t.Error(err)
		return nil, err
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.logTail())
		}
		r.kill()
	})
	return r, nil
}
