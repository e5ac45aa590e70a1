package e2e_test

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// clusterSite is weft on a cluster of three NATS servers with TLS and three replicas, with PostgreSQL.
type clusterSite struct {
	t testing.TB
	// binary is that of weft, dir the folder of the cluster, and settings its weft.yaml.
	binary, dir, settings string
	env                   []string
	// servers are the programs of the NATS servers, and running those that run.
	servers []program
	running []*running
}

// startClusterSite writes a cluster's folders for servers at three hosts, starts the servers, and runs `weft migrate`. before is what runs a
// server: a command that is put before its command line.
func startClusterSite(t testing.TB, binary, database string, hosts [3]string, before func(i int) []string, settings ...string) *clusterSite {
	t.Helper()
	server, err := natsServerBinary()
	if err != nil {
		t.Fatal(err)
	}
	s := &clusterSite{t: t, binary: binary, dir: filepath.Join(t.TempDir(), "cluster")}
	s.settings = filepath.Join(s.dir, "weft.yaml")
	s.env = cleanEnvironment(append(append(testSettings(), "WEFT_METRICS_PORT=-1", "WEFT_LOG_LEVEL=warn", "WEFT_AUTH_ACCESS_TTL=24h", "WEFT_DATABASE_URL="+database,
		"WEFT_EGRESS_ALLOW=127.0.0.0/8", "WEFT_EGRESS_ALLOW_HTTP=true", "WEFT_GATEWAY_LIMITS_ENABLED=false"), settings...)...)
	var members []string
	for i, name := range []string{"a", "b", "c"} {
		client, route := portOf(freePort(t)), portOf(freePort(t))
		members = append(members, fmt.Sprintf("%s=%s:%s/%s", name, hosts[i], client, route))
		p := program{name: "nats-" + name, path: server, args: []string{"-c", filepath.Join(s.dir, name, "nats.conf")}, env: s.env, accepts: net.JoinHostPort(hosts[i], client)}
		if wrapped := before(i); len(wrapped) > 0 {
			p.path, p.args = wrapped[0], append(append(wrapped[1:], server), p.args...)
		}
		s.servers = append(s.servers, p)
	}
	s.command("nats-init", "--cluster", strings.Join(members, ","), "--tls", "on", "--durability", "interval", s.dir)
	for _, p := range s.servers {
		r, err := startInTest(t, p)
		if err != nil {
			t.FailNow()
		}
		s.running = append(s.running, r)
	}
	s.command("migrate", "--config", s.settings, "--data", s.dir)
	return s
}

// onThisMachine are the arguments of startClusterSite for servers on the loopback interface.
var onThisMachine = [3]string{"127.0.0.1", "127.0.0.1", "127.0.0.1"}

func unwrapped(int) []string { return nil }

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// command runs a weft command, which must succeed, and returns its output.
func (s *clusterSite) command(args ...string) string {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), s.binary, args...)
	c.Env = s.env
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("weft %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// gateway returns the program of a gateway, on an address that it keeps when it is started again.
func (s *clusterSite) gateway(name string) program {
	return s.run(name, "--gateway", "--http", freePort(s.t))
}

func (s *clusterSite) run(name string, args ...string) program {
	return program{name: name, path: s.binary, env: s.env, args: append([]string{"run", "--config", s.settings, "--data", s.dir, "--json"}, args...)}
}

// launch starts a program, which is killed when the test ends.
func (s *clusterSite) launch(p program) *running {
	s.t.Helper()
	r, err := startInTest(s.t, p)
	if err != nil {
		s.t.FailNow()
	}
	return r
}
