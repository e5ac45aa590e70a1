//go:build torture && linux

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// namespace is a network namespace of a test.
type namespace struct{ name string }

// command returns a command that runs in the namespace.
func (n namespace) command(name string, args ...string) *exec.Cmd {
	return exec.CommandContext(context.Background(), "ip", append([]string{"netns", "exec", n.name, name}, args...)...)
}

// must runs a command in the namespace.
func (n namespace) must(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := n.command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v in %s: %v: %s", name, args, n.name, err, out)
	}
}

// Dial dials from the namespace.
func (n namespace) Dial(network, address string) (net.Conn, error) {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	target, err := os.Open("/var/run/netns/" + n.name)
	if err != nil {
		return nil, err
	}
	defer target.Close()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout(network, address, 2*time.Second)
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back == nil { // otherwise the thread ends with its goroutine
		runtime.UnlockOSThread()
	}
	return conn, err
}

// DialContext is Dial for HTTP.
func (n namespace) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	return n.Dial(network, address)
}

// twoNamespaces makes two namespaces with a link between them: 10.231.0.1 in the first, 10.231.0.2 in the second, each on the device line.
func twoNamespaces(t testing.TB) (hub, edge namespace) {
	t.Helper()
	hub, edge = namespace{fmt.Sprintf("weft-hub-%d", os.Getpid())}, namespace{fmt.Sprintf("weft-edge-%d", os.Getpid())}
	for _, n := range []namespace{hub, edge} {
		if out, err := exec.CommandContext(t.Context(), "ip", "netns", "add", n.name).CombinedOutput(); err != nil {
			t.Fatalf("adding a network namespace needs root: %v: %s", err, out)
		}
		t.Cleanup(func() { _ = exec.CommandContext(context.Background(), "ip", "netns", "del", n.name).Run() })
	}
	hub.must(t, "ip", "link", "add", "name", "line", "type", "veth", "peer", "name", "line", "netns", edge.name)
	for n, address := range map[namespace]string{hub: "10.231.0.1/30", edge: "10.231.0.2/30"} {
		n.must(t, "ip", "link", "set", "lo", "up")
		n.must(t, "ip", "address", "add", address, "dev", "line")
		n.must(t, "ip", "link", "set", "line", "up")
	}
	return hub, edge
}

// runIn starts weft in a namespace and returns when it is ready.
func runIn(t testing.TB, n namespace, binary string, args ...string) {
	t.Helper()
	cmd := n.command(binary, append(args, "--json")...)
	cmd.Env = cleanEnvironment("WEFT_AUTH_BCRYPT_COST=4", "WEFT_DURABILITY=interval", "WEFT_GATEWAY_LIMITS_ENABLED=false", "WEFT_METRICS_PORT=-1", "WEFT_LOG_LEVEL=warn")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%v: %s", args, log.String()[max(0, log.Len()-3000):])
		}
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%v is not ready: %v: %s", args, err, log.String())
	}
}

// postIn makes a request from a namespace and returns status and body.
func postIn(client *http.Client, method, url, token, media, body string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", media)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, data, err
}

// TestEdgeThroughABadLine publishes events at an edge node for WEFT_TORTURE_DURATION, over a line that delays, loses, is cut and is open in one
// direction only. Every accepted event reaches the hub once.
func TestEdgeThroughABadLine(t *testing.T) {
	binary, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	hub, edge := twoNamespaces(t)
	dir := t.TempDir()
	runIn(t, hub, binary, "up", "--data", filepath.Join(dir, "hub"), "--http", "127.0.0.1:8080", "--nats", "127.0.0.1:4222", "--leaf", "10.231.0.1:7422")
	atHub := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: hub.DialContext}}
	atEdge := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: edge.DialContext, MaxIdleConnsPerHost: 16}}
	must := func(method, path, token, body string) map[string]any {
		t.Helper()
		status, data, err := postIn(atHub, method, "http://127.0.0.1:8080"+path, token, "application/json", body)
		if err != nil || status >= 300 {
			t.Fatalf("%s: %d %s, %v", path, status, data, err)
		}
		var answer map[string]any
		if err := json.Unmarshal(data, &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	account := `{"email": "ada@example.com", "password": "correct horse battery", "first_name": "Ada", "last_name": "L"}`
	must("POST", "/v1/auth/register", "", account)
	token := must("POST", "/v1/auth/login", "", `{"email": "ada@example.com", "password": "correct horse battery"}`)["access_token"].(string)
	user := must("GET", "/v1/users/me", token, "")["id"].(string)
	credentials := filepath.Join(dir, "box7.edge")
	hub.must(t, binary, "edge", "enroll", "box7", "--data", filepath.Join(dir, "hub"), "--users", user, "--out", credentials)
	line := &badLine{hub: hub, edge: edge}
	line.netem(t, "delay", "20ms", "5ms", "loss", "1%")
	runIn(t, edge, binary, "edge", "--hub", "nats://10.231.0.1:7422", "--credentials", credentials, "--data", filepath.Join(dir, "box"),
		"--http", "127.0.0.1:8080", "--nats", "127.0.0.1:4222")

	accepted := publishThroughFaults(t, line, atEdge, token)
	up := time.Now()
	delivered := awaitDelivered(t, hub, filepath.Join(dir, "hub"), len(accepted))
	t.Logf("%d events were accepted; the hub had the last %s after the line was up", len(accepted), time.Since(up))
	for id, count := range delivered {
		if count != 1 {
			t.Errorf("the event %s was delivered %d times", id, count)
		}
	}
	for id := range accepted {
		if delivered[id] == 0 {
			t.Errorf("the event %s is lost", id)
		}
	}
}

// badLine is the line between two namespaces.
type badLine struct {
	hub, edge namespace
	// plain means that the kernel has no netem, so that the line neither delays nor loses.
	plain bool
}

// netem makes the line delay and lose what the edge sends.
func (l *badLine) netem(t testing.TB, options ...string) {
	t.Helper()
	if l.plain {
		return
	}
	args := append([]string{"qdisc", "replace", "dev", "line", "root", "netem"}, options...)
	out, err := l.edge.command("tc", args...).CombinedOutput()
	switch {
	case err == nil:
	case bytes.Contains(out, []byte("qdisc kind is unknown")):
		t.Log("this kernel has no netem: the line is cut and open in one direction, without delay and loss")
		l.plain = true
	default:
		t.Fatalf("tc %v: %v: %s", args, err, out)
	}
}

// publishThroughFaults publishes events while the line has faults, and returns the ids of those that were accepted.
func publishThroughFaults(t *testing.T, line *badLine, client *http.Client, token string) map[string]bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), tortureDuration(t))
	defer cancel()
	var mu sync.Mutex
	accepted := map[string]bool{}
	var publishers sync.WaitGroup
	for p := range 4 {
		publishers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%d-%d", p, i)
				event := fmt.Sprintf(`{"specversion": "1.0", "id": %q, "source": "torture", "type": "sensor.read", "data": {}}`, id)
				status, _, err := postIn(client, "POST", "http://127.0.0.1:8080/v1/events", token, "application/cloudevents+json", event)
				if err == nil && status == http.StatusAccepted {
					mu.Lock()
					accepted[id] = true
					mu.Unlock()
				}
			}
		})
	}
	pause := func() {
		select {
		case <-ctx.Done():
		case <-time.After(700 * time.Millisecond):
		}
	}
	for i := 0; ctx.Err() == nil; i++ {
		switch i % 4 {
		case 0:
			line.edge.must(t, "ip", "link", "set", "line", "down")
			pause()
			line.edge.must(t, "ip", "link", "set", "line", "up")
		case 1: // what the edge sends arrives, what the hub answers does not
			line.hub.must(t, "ip", "route", "add", "blackhole", "10.231.0.2/32")
			pause()
			line.hub.must(t, "ip", "route", "del", "blackhole", "10.231.0.2/32")
		case 2:
			line.netem(t, "delay", "200ms", "50ms", "loss", "20%")
		case 3:
			line.netem(t, "delay", "5ms")
		}
		pause()
	}
	line.netem(t, "delay", "1ms")
	publishers.Wait()
	return accepted
}

// awaitDelivered reads what the hub has stored of edge nodes until there are count events, and returns how often each was delivered.
func awaitDelivered(t *testing.T, hub namespace, data string, count int) map[string]int {
	t.Helper()
	option, err := nats.NkeyOptionFromSeed(filepath.Join(data, "nats", "keys", "operator.nk"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect("nats://127.0.0.1:4222", option, nats.SetCustomDialer(hub), nats.CustomInboxPrefix(mesh.InboxPrefix("operator")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.OrderedConsumer(t.Context(), subjects.Events.Name, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subjects.EdgeDelivered.Subject}})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	delivered := map[string]int{}
	for deadline := time.Now().Add(waitTimeout); ; {
		wait := time.Second // for repetitions, once all are there
		if len(delivered) < count {
			wait = time.Until(deadline)
		}
		message, err := messages.Next(jetstream.NextMaxWait(wait))
		if err != nil {
			return delivered
		}
		var event subjects.Envelope[subjects.EdgeDelivery]
		var published struct{ ID string }
		if err := json.Unmarshal(message.Data(), &event); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(event.Data.Data, &published); err != nil {
			t.Fatal(err)
		}
		delivered[published.ID]++
	}
}
