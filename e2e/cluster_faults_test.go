//go:build torture && cluster

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// Bounds of the time without an acknowledged request of one kind, which docs/cluster.md states.
const (
	// actorRecovery is two seconds on an idle machine: a partition of the workflow actor changes its owner in that time.
	actorRecovery  = 5 * time.Second
	serverRecovery = 10 * time.Second
	// cutRecovery is that of a server that is cut off: its clients notice by unanswered pings.
	cutRecovery = 15 * time.Second
	// revocationRecovery is that of clients that revoke rights one after the other: the lease of a guard that has died is five seconds, and a key
	// whose request its process has not answered is in progress until the request's deadline, ten seconds.
	revocationRecovery = 20 * time.Second
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

// inject injects a fault, which has happened when the function returns, keeps it for a third of tortureDuration, mends it, and waits until all kinds of requests are acknowledged again. limit
// bounds the time after which no request is refused any more, counted for requests that began after the fault or its end.
func (f *clusterFaults) inject(name string, limit time.Duration, fault func() (mend func())) {
	f.t.Helper()
	mend := fault()
	began := time.Now()
	first, last := f.recovered(began, tortureDuration(f.t)/3)
	revoked, revokedLast, _ := f.load.recovery(began, revoking)
	mended := time.Now()
	mend()
	_, lastUp := f.recovered(mended, 0)
	f.caughtUp() // a second fault before that leaves some streams without a majority
	round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	f.t.Logf("%s: all is served again after %s, nothing is refused any more after %s, clients that revoke rights are served after %s and not refused after %s; when it has returned, nothing is refused after %s",
		name, round(first), round(last), round(revoked), round(revokedLast), round(lastUp))
	if longest := max(first, last, lastUp); longest > limit {
		f.t.Errorf("%s: requests were refused for %s, which must be less than %s", name, longest, limit)
	}
	if longest := max(revoked, revokedLast); longest > max(limit, revocationRecovery) {
		f.t.Errorf("%s: clients that revoke rights were refused for %s", name, longest)
	}
}

// recovered waits for at least some time and until each kind of requests has been acknowledged and none was refused for a second.
func (f *clusterFaults) recovered(from time.Time, least time.Duration) (first, last time.Duration) {
	f.t.Helper()
	err := eventually(func() (bool, string) {
		var all bool
		first, last, all = f.load.recovery(from, frequent)
		_, lastRevoked, allRevoked := f.load.recovery(from, revoking)
		since := time.Since(from)
		return all && allRevoked && since > least && since-max(last, lastRevoked) > time.Second, fmt.Sprintf("after %s: served %t and %t, refused until %s", since, all, allRevoked, last)
	})
	if err != nil {
		f.t.Error(err)
	}
	return first, last
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

// TestClusterServerFaults kills a NATS server with SIGKILL, and then the one that leads JetStream.
func TestClusterServerFaults(t *testing.T) {
	f := newClusterFaults(t, clusterDatabase(t), onThisMachine, unwrapped)
	kill := func(i int) func() {
		f.running[i].kill()
		return func() { f.restart(i) }
	}
	leader := f.metaLeader()
	f.inject("kill -9 of a server", serverRecovery, func() func() { return kill((leader + 1) % 3) })
	f.inject("kill -9 of the meta leader", serverRecovery, func() func() { return kill(f.metaLeader()) })
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
		restarted := make(chan struct{})
		go func() {
			defer close(restarted)
			if out, err := exec.CommandContext(t.Context(), "../scripts/postgres.sh", "restart", dir).CombinedOutput(); err != nil {
				t.Errorf("restarting PostgreSQL: %v\n%s", err, out)
			}
		}()
		return func() { <-restarted }
	})
	f.end()
}

// nextBinary builds weft as a later version.
var nextBinary = sync.OnceValues(func() (string, error) {
	return build("weft-next", weftCommand, "-ldflags", "-s -w -X main.version=99.0.0")
})

// TestRollingUpgrade replaces the processes of one version by those of another, one after the other, under load: the actors, the gateways, and then
// the NATS servers, which are restarted. Nothing is lost, and no answer is other than 503 with Retry-After.
func TestRollingUpgrade(t *testing.T) {
	next, err := nextBinary()
	if err != nil {
		t.Fatal(err)
	}
	f := newClusterFaults(t, clusterDatabase(t), onThisMachine, unwrapped)
	f.binary = next
	if out := f.command("version"); !strings.Contains(out, "99.0.0") {
		t.Errorf("the later version is %s", out)
	}
	f.command("migrate", "--config", f.settings, "--data", f.dir)
	for _, group := range [][]*running{f.workers, f.gateways} {
		for i := range group {
			began := time.Now()
			if err := group[i].stop(); err != nil {
				t.Error(err)
			}
			program := group[i].program
			program.path = next
			group[i] = f.launch(program)
			first, last := f.recovered(began, 0)
			t.Logf("replaced %s in %s: all served after %s, nothing refused after %s", program.name, time.Since(began).Round(time.Millisecond), first.Round(time.Millisecond), last.Round(time.Millisecond))
		}
	}
	for i := range f.running {
		began := time.Now()
		if err := f.running[i].stop(); err != nil {
			t.Error(err)
		}
		f.restart(i)
		first, last := f.recovered(began, 0)
		t.Logf("restarted %s: all served after %s, nothing refused after %s", f.running[i].name, first.Round(time.Millisecond), last.Round(time.Millisecond))
		f.caughtUp()
	}
	f.balance()
	f.end()
	if n := f.load.failures["504"]; n > 0 {
		t.Errorf("%d requests had no answer in time", n)
	}
}

// balance runs weft nats-balance, and returns its output; with --dry-run it may exit with 3.
func (f *clusterFaults) balance(args ...string) string {
	f.t.Helper()
	c := exec.CommandContext(f.t.Context(), f.binary, append([]string{"nats-balance", "--config", f.settings, "--data", f.dir}, args...)...)
	c.Env = f.env
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) {
		f.t.Errorf("weft nats-balance: %v\n%s", err, out)
	}
	return string(out)
}

// caughtUp returns when every server has every stream.
func (f *clusterFaults) caughtUp() {
	f.t.Helper()
	err := eventually(func() (bool, string) {
		out := f.balance("--dry-run")
		return !strings.Contains(out, "lags behind"), out
	})
	if err != nil {
		f.t.Error(err)
	}
}

// TestClusterPartition stops a server again and again for as long as a slow disk holds up a write, and cuts one off from the others and from its
// clients: it runs in a network namespace whose link is taken down, and connections stay half-open.
func TestClusterPartition(t *testing.T) {
	name := fmt.Sprintf("weft%d", os.Getpid()%100_000)
	hosts := [3]string{"10.213.7.1", "10.213.7.1", "10.213.7.2"}
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v (the test needs the right to make network namespaces): %v\n%s", args, err, out)
		}
	}
	ip("netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
	ip("addr", "add", hosts[0]+"/30", "dev", name)
	ip("link", "set", name, "up")
	ip("-n", name, "addr", "add", hosts[2]+"/30", "dev", "eth0")
	ip("-n", name, "link", "set", "eth0", "up")
	ip("-n", name, "link", "set", "lo", "up")
	f := newClusterFaults(t, clusterDatabase(t), hosts, func(i int) []string {
		if i < 2 {
			return nil
		}
		return []string{"ip", "netns", "exec", name}
	})
	f.inject("a server with a slow disk", serverRecovery, func() func() { return f.slow(f.metaLeader()) })
	f.inject("a server that is cut off", cutRecovery, func() func() {
		ip("link", "set", name, "down")
		return func() { ip("link", "set", name, "up") }
	})
	f.end()
}

// actors returns the program that runs all actors.
func (s *clusterSite) actors(name string) program {
	return s.run(name, "--actors", strings.Join(subjects.Actors(), ","))
}

// openFolders lets other users enter a test's folder, where a server runs as another user.
func openFolders(t testing.TB, dir string) {
	t.Helper()
	for ; strings.HasPrefix(dir, os.TempDir()) && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
}
