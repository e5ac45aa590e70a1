package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

// hasFinding reports whether a finding of a check has the status and a text.
func hasFinding(found []finding, check, status, text string) bool {
	return slices.ContainsFunc(found, func(f finding) bool {
		return f.Check == check && f.Status == status && strings.Contains(f.Detail, text) && (status == "ok" || f.Mend != "")
	})
}

func doctorJSON(t *testing.T, args ...string) (code int, found []finding) {
	t.Helper()
	got := weft(t, "", append([]string{"doctor"}, append(args, "--json")...)...)
	if err := json.Unmarshal([]byte(got.stdout), &found); err != nil {
		t.Fatalf("%v: %+v, %v", args, got, err)
	}
	return got.code, found
}

// TestDoctorChecksNATS checks a server without streams, a complete one, one with too few servers, and one that has stopped.
func TestDoctorChecksNATS(t *testing.T) {
	t.Parallel()
	dir, data := filepath.Join(t.TempDir(), "nats"), t.TempDir()
	if got := weft(t, "", "nats-init", "--listen", "127.0.0.1:0", dir); got.code != 0 {
		t.Fatalf("nats-init: %+v", got)
	}
	server, err := embedded.Start(t.Context(), dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	keys := filepath.Join(dir, "keys")
	where := []string{"--nats", server.ClientURL(), "--keys", keys, "--data", data}
	if code, found := doctorJSON(t, append([]string{"nats"}, where...)...); code != exitFailure || !hasFinding(found, "nats", "failed", "missing: ") {
		t.Errorf("without streams: %d %+v", code, found)
	}
	if got := weft(t, "", append([]string{"migrate", "--streams-only"}, where...)...); got.code != 0 {
		t.Fatalf("migrate: %+v", got)
	}
	if code, found := doctorJSON(t, append([]string{"nats"}, where...)...); code != 0 || !hasFinding(found, "nats", "ok", "as expected, with 1 replicas") || !hasFinding(found, "nats", "ok", "restricted") {
		t.Errorf("a complete server: %d %+v", code, found)
	}
	if code, found := doctorJSON(t, append([]string{"clock"}, where...)...); code != 0 || !hasFinding(found, "clock", "ok", "the clock of NATS") {
		t.Errorf("clocks: %d %+v", code, found)
	}
	three := append([]string{"nats", "--config", configFile(t, "nats: {replicas: 3}\n")}, where...)
	if code, found := doctorJSON(t, three...); code != exitFailure || !hasFinding(found, "nats", "failed", "nats.replicas is 3, and 1 servers are known") || !hasFinding(found, "nats", "failed", "expected 3") {
		t.Errorf("too few replicas: %d %+v", code, found)
	}
	if err := os.Chmod(filepath.Join(keys, "auth.nk"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, found := doctorJSON(t, append([]string{"keys"}, where...)...); code != exitFailure || !hasFinding(found, "keys", "failed", "auth.nk") {
		t.Errorf("a key that others can read: %d %+v", code, found)
	}
	server.Shutdown()
	if code, found := doctorJSON(t, append([]string{"nats"}, where...)...); code != exitFailure || !hasFinding(found, "nats", "failed", "127.0.0.1") {
		t.Errorf("a server that has stopped: %d %+v", code, found)
	}
}

// TestDoctorFindsMissingRestrictions has a NATS server that knows a user and does not restrict it.
func TestDoctorFindsMissingRestrictions(t *testing.T) {
	t.Parallel()
	dir, keys := t.TempDir(), t.TempDir()
	if _, err := embedded.Init(dir, embedded.Options{Port: -1}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{mesh.UserOperator + ".nk", embedded.KeyringFile} {
		text, err := os.ReadFile(filepath.Join(dir, "keys", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(keys, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	seed, err := embedded.LoadSeed(dir, mesh.UserOperator)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	server, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, Nkeys: []*natsserver.NkeyUser{{Nkey: public}}})
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(server.Shutdown)
	if !server.ReadyForConnections(5 * time.Second) {
		t.Fatal("the server does not start")
	}
	if code, found := doctorJSON(t, "nats", "--nats", server.ClientURL(), "--keys", keys); code != exitFailure || !hasFinding(found, "nats", "failed", "does not restrict it") {
		t.Errorf("%d %+v", code, found)
	}
}

// TestDoctorJudges has clocks, disks and settings of PostgreSQL that no test can bring about on its machine.
func TestDoctorJudges(t *testing.T) {
	t.Parallel()
	p, err := newProcess(t.Context(), defaultConfig(), "doctor", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	now := time.Now()
	d := &doctor{p: p, now: time.Now, check: "c"}
	for _, skew := range []time.Duration{0, 2 * time.Second, -time.Minute} {
		d.clocks = append(d.clocks, clock{of: strconv.Itoa(int(skew.Seconds())), now: now.Add(skew), asked: now, answered: now})
	}
	d.clocks = append(d.clocks, clock{of: "Date", now: now.Add(-900 * time.Millisecond), asked: now, answered: now, precision: time.Second})
	d.checkClock(t.Context())
	d.space("low", 100<<30, 1<<30)
	d.space("full", 100<<30, 1<<20)
	d.space("enough", 100<<30, 50<<30)
	d.postgresServer(database.Inspection{Version: 120003, Settings: map[string]string{
		"fsync": "off", "synchronous_commit": "off", "server_encoding": "SQL_ASCII", "max_connections": "20", "superuser_reserved_connections": "3",
	}})
	for text, status := range map[string]string{
		"clock of 0 ": "ok", "clock of 2 ": "warning", "clock of -60 ": "failed", "clock of Date ": "ok", "low has": "warning", "full has": "failed", "enough has": "ok",
		"fsync is off": "failed", "synchronous_commit is off": "failed", "SQL_ASCII": "failed", "17 connections": "failed", "PostgreSQL 12 ": "warning",
	} {
		if !hasFinding(d.found, "c", status, text) {
			t.Errorf("%s is not %s: %+v", text, status, d.found)
		}
	}
}

// TestDoctorChecksTheRest checks a public URL that nobody serves, egress and databases.
func TestDoctorChecksTheRest(t *testing.T) {
	t.Parallel()
	file := configFile(t, "data: "+t.TempDir()+"\nintegration: {public_url: \"http://127.0.0.1:1\"}\n")
	for _, c := range []struct{ check, status, text string }{
		{"url", "failed", "refused"}, {"url", "warning", "has no TLS"}, {"egress", "ok", "127.0.0.1 is refused"}, {"settings", "ok", "are valid"},
		{"database", "warning", "auth.db does not exist"}, {"disk", "ok", "MiB free"},
	} {
		if code, found := doctorJSON(t, c.check, "--config", file); !hasFinding(found, c.check, c.status, c.text) || (code != 0) != (c.check == "url") {
			t.Errorf("%s: %d %+v", c.check, code, found)
		}
	}
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	config := kind.Config(t, "auth")
	before, err := database.Inspect(t.Context(), config, actorTable["auth"].migrations)
	if err != nil || before.Exists || before.Pending == 0 || before.Version < 100000 || before.Settings["fsync"] == "" {
		t.Errorf("before the migration: %+v, %v", before, err)
	}
	actortest.OpenDatabase(t, config, actorTable["auth"].migrations)
	if after, err := database.Inspect(t.Context(), config, actorTable["auth"].migrations); err != nil || !after.Exists || after.Pending != 0 {
		t.Errorf("after the migration: %+v, %v", after, err)
	}
}
