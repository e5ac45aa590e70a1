//go:build torture

package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
)

// Bounds of the time without an acknowledged request of one kind, which docs/cluster.md states.
const (
	actorRecovery  = 2 * time.Second
	serverRecovery = 10 * time.Second
)

// clusterFaults is a cluster site under load.
type clusterFaults struct {
	*clusterSite
	load     *clusterLoad
	workers  []*running
	gateways []*running
}

func newClusterFaults(t *testing.T, database string, hosts [3]string, before func(int) []string) *clusterFaults {
	t.Helper()
	binary, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	f := &clusterFaults{clusterSite: startClusterSite(t, binary, database, hosts, before)}
	for i := range 2 {
		f.workers = append(f.workers, f.launch(f.actors(fmt.Sprint("actors-", i))))
	}
	for i := range 2 {
		f.gateways = append(f.gateways, f.launch(f.gateway(fmt.Sprint("gateway-", i))))
	}
	f.load = newClusterLoad(t, f.gateways[0].ready.HTTP, f.gateways[1].ready.HTTP)
	f.load.start()
	<-time.After(500 * time.Millisecond) // load before the first fault
	return f
}

// clusterDatabase returns the URL of PostgreSQL for five actors.
func clusterDatabase(t *testing.T) string {
	t.Helper()
	for _, kind := range actortest.Databases(t) {
		if kind.Name == "postgres" {
			return postgresSchemas(t, kind)
		}
	}
	t.Fatal("the test needs PostgreSQL, because several processes share a database")
	return ""
}

// inject injects a fault, keeps it for a third of tortureDuration, mends it, and waits until all kinds of requests are acknowledged. limit
// bounds the time without an acknowledged request of one kind.
func (f *clusterFaults) inject(name string, limit time.Duration, fault func() (mend func())) {
	f.t.Helper()
	began := time.Now()
	mend := fault()
	f.served(began)
	<-time.After(max(0, tortureDuration(f.t)/3-time.Since(began)))
	down, kind := f.load.gap(began)
	mended := time.Now()
	mend()
	f.served(time.Now())
	up, upKind := f.load.gap(mended)
	f.t.Logf("%s: without %s for at most %s; when it returned, without %s for at most %s", name, kind, down.Round(time.Millisecond), upKind, up.Round(time.Millisecond))
	if longest := max(down, up); longest > limit {
		f.t.Errorf("%s: a kind of requests was not served for %s, which must be less than %s", name, longest, limit)
	}
}

// served returns when a request of each kind was acknowledged after from.
func (f *clusterFaults) served(from time.Time) {
	f.t.Helper()
	err := eventually(func() (bool, string) {
		f.load.mu.Lock()
		defer f.load.mu.Unlock()
		for _, kind := range []string{"workflows", "actions", "notifications", "sign-in", "refused calls"} {
			if all := f.load.successes[kind]; len(all) == 0 || all[len(all)-1].Before(from) {
				return false, kind + " are not served"
			}
		}
		return true, ""
	})
	if err != nil {
		f.t.Error(err)
	}
}

// end stops the load and verifies it.
func (f *clusterFaults) end() {
	f.t.Helper()
	f.load.stop()
	f.load.verify()
}

// restart starts the NATS server i again.
func (f *clusterFaults) restart(i int) {
	f.t.Helper()
	r, err := startInTest(f.t, f.servers[i])
	if err != nil {
		return
	}
	f.running[i] = r
}

// metaLeader returns the index of the server that leads JetStream.
func (f *clusterFaults) metaLeader() int {
	f.t.Helper()
	url := ""
	for _, p := range f.servers {
		url += ",tls://" + p.accepts
	}
	conn, err := dialNATS(url[1:], filepath.Join(f.dir, "keys"), "sys", nats.RootCAs(filepath.Join(f.dir, "keys", "ca.crt")))
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	leader := -1
	err = eventually(func() (bool, string) {
		reply, err := conn.Request("$SYS.REQ.SERVER.PING.JSZ", nil, time.Second)
		if err != nil {
			return false, err.Error()
		}
		name := answer{body: reply.Data}.text(".data.meta_cluster.leader")
		leader = strings.Index("abc", name)
		return name != "" && leader >= 0, string(reply.Data)
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return leader
}

// TestClusterServerFaults kills a NATS server with SIGKILL, then the one that leads JetStream, and stops one again and again for as long as
// a slow disk holds up a write.
func TestClusterServerFaults(t *testing.T) {
	f := newClusterFaults(t, clusterDatabase(t), onThisMachine, unwrapped)
	kill := func(i int) func() {
		f.running[i].kill()
		return func() { f.restart(i) }
	}
	leader := f.metaLeader()
	f.inject("kill -9 of a server", serverRecovery, func() func() { return kill((leader + 1) % 3) })
	f.inject("kill -9 of the meta leader", serverRecovery, func() func() { return kill(f.metaLeader()) })
	f.inject("a server with a slow disk", serverRecovery, func() func() { return f.slow(f.metaLeader()) })
	f.end()
}

// slow stops a server for 200 ms of every 250, as writes to a slow disk do: a server's writes to a stream are made by one goroutine, and the
// raft groups wait for them. The returned function ends it.
func (f *clusterFaults) slow(i int) (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	process := f.running[i].cmd.Process
	go func() {
		defer close(ended)
		defer func() { _ = process.Signal(syscall.SIGCONT) }()
		for {
			_ = process.Signal(syscall.SIGSTOP)
			select {
			case <-done:
				return
			case <-time.After(200 * time.Millisecond):
			}
			_ = process.Signal(syscall.SIGCONT)
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// TestClusterProcessFaults kills one of two processes of the actors, and restarts PostgreSQL.
func TestClusterProcessFaults(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "postgres")
	openFolders(t, filepath.Dir(dir))
	out, err := exec.CommandContext(t.Context(), "../scripts/postgres.sh", "start", dir).Output()
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	t.Cleanup(func() { _ = exec.Command("../scripts/postgres.sh", "stop", dir).Run() })
	f := newClusterFaults(t, strings.TrimSpace(string(out)), onThisMachine, unwrapped)
	f.inject("kill -9 of the actors' process", actorRecovery, func() func() {
		f.workers[0].kill()
		return func() { f.workers[0] = f.launch(f.workers[0].program) }
	})
	f.inject("a restart of PostgreSQL", serverRecovery, func() func() {
		if out, err := exec.CommandContext(t.Context(), "../scripts/postgres.sh", "restart", dir).CombinedOutput(); err != nil {
			t.Errorf("restarting PostgreSQL: %v\n%s", err, out)
		}
		return func() {}
	})
	f.end()
}
