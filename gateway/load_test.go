package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// serving starts a mesh, and a gateway that listens on 127.0.0.1 as in production.
func serving(t *testing.T, change func(*gateway.Config)) *site {
	t.Helper()
	m := actortest.Start(t, actortest.Quiet())
	c := relaxed()
	c.Listen = "127.0.0.1:0"
	change(&c)
	conn := m.Connect(t, mesh.UserGateway)
	telemetry := actortest.Telemetry(t)
	g, err := gateway.New(gateway.Deps{Conn: conn, Verifier: verifier(t, m, conn), Telemetry: telemetry, Now: m.Now}, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	addr, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- g.Run(ctx, func(a string) { addr <- a }) }()
	s := &site{Mesh: m, gateway: g, telemetry: telemetry, url: "http://" + <-addr}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("stopping the gateway: %v", err)
		}
	})
	return s
}

// dial connects to the gateway from an address of this machine.
func (s *site) dial(t *testing.T, from string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// send writes text to a connection.
func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// answer reads the response from a connection.
func answer(t *testing.T, conn net.Conn) (int, string) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

const hookPath = "/v1/hooks/github/01890000-0000-7000-8000-000000000000"

// partial sends a request with a body of 500,000 bytes, of which it sends one.
func (s *site) partial(t *testing.T, from string) net.Conn {
	t.Helper()
	conn := s.dial(t, from)
	send(t, conn, "POST "+hookPath+" HTTP/1.1\r\nHost: weft\r\nContent-Length: 500000\r\n\r\nx")
	return conn
}

// livePeak returns the largest heap that collections find live while f runs, less that before it.
func livePeak(f func()) uint64 {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtime.GC()
	metrics.Read(live)
	before, peak := live[0].Value.Uint64(), uint64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			runtime.GC()
			metrics.Read(live)
			peak = max(peak, live[0].Value.Uint64())
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	f()
	close(stop)
	<-stopped
	return peak - min(peak, before)
}

// TestParallelBodiesTakeTheirBudget is not parallel: it measures the process's memory, to which the clients belong.
func TestParallelBodiesTakeTheirBudget(t *testing.T) {
	const budget, size = 16 << 20, 700_000
	s := serving(t, func(c *gateway.Config) { c.BodyBudget = budget })
	s.actor(t, "integration", actors.Bind(subjects.ReceiveWebhook,
		func(context.Context, subjects.ReceiveWebhookRequest) (subjects.Document, error) {
			return subjects.Document{Body: []byte("{}")}, nil
		}))
	s.actor(t, "workflow", actors.Bind(subjects.StartExecution,
		func(context.Context, subjects.StartExecutionRequest) (subjects.Execution, error) {
			return subjects.Execution{}, nil
		}))
	token := "Authorization: Bearer " + s.Token(t, actortest.User())
	objects := `{"x":[` + strings.Repeat(`{"":0},`, size/7) + `0]}`
	input := `{"input":[` + strings.Repeat(`{"":0},`, size/10) + `0]}`
	var pairs strings.Builder
	for i := 0; pairs.Len() < size; i++ {
		fmt.Fprintf(&pairs, "k%d&", i)
	}
	var mu sync.Mutex
	statuses := map[string]map[int]int{}
	peak := livePeak(func() {
		var clients sync.WaitGroup
		for range 24 {
			for _, c := range []struct{ path, body, header string }{
				{"/v1/auth/login", objects, "X-Test: 1"}, {hookPath, objects, "X-Test: 1"},
				{"/v1/workflows/01890000-0000-7000-8000-000000000000/executions", input, token},
				{"/v1/auth/oauth/google/callback", pairs.String(), "Content-Type: application/x-www-form-urlencoded"},
			} {
				clients.Go(func() {
					response, _ := s.do(t, "POST", c.path, c.body, c.header)
					mu.Lock()
					defer mu.Unlock()
					if statuses[c.path] == nil {
						statuses[c.path] = map[int]int{}
					}
					statuses[c.path][response.StatusCode]++
				})
			}
		}
		clients.Wait()
	})
	t.Logf("96 bodies took %d MiB: %v", peak>>20, statuses)
	if peak > budget+64<<20 {
		t.Errorf("96 bodies of %d bytes took %d bytes, want at most %d", size, peak, budget+64<<20)
	}
	login := statuses["/v1/auth/login"]
	if login[413] == 0 || login[413]+login[429] != 24 || statuses[hookPath][200] == 0 { // login has a rate limit of its own
		t.Errorf("the answers: %v", statuses)
	}
}

func TestABodyIsBoundedByItsEndpoint(t *testing.T) {
	t.Parallel()
	s := serving(t, func(*gateway.Config) {})
	response, body := s.do(t, "POST", "/v1/auth/login", `{"email":"a@b.c","password":"`+strings.Repeat("x", 20_000)+`"}`)
	limit := subjects.Login.Describe().MaxMessage
	if response.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(body, fmt.Sprintf("exceeds %d bytes", limit)) {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	conn := s.dial(t, "127.0.0.1") // without Content-Length
	send(t, conn, "POST /v1/auth/login HTTP/1.1\r\nHost: weft\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"5000\r\n"+strings.Repeat(" ", 0x5000)+"\r\n0\r\n\r\n")
	if status, body := answer(t, conn); status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", status, body)
	}
}

func TestASlowBodyLosesItsPlace(t *testing.T) {
	t.Parallel()
	s := serving(t, func(*gateway.Config) {})
	start := time.Now()
	status, body := answer(t, s.partial(t, "127.0.0.1"))
	if status != http.StatusBadRequest || !strings.Contains(body, "too slowly") || time.Since(start) > 10*time.Second {
		t.Errorf("after %s: %d %s", time.Since(start), status, body)
	}
}

func TestOneClientsBodiesLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	s := serving(t, func(c *gateway.Config) { c.BodyBudget = 1 << 20 }) // two bodies of one client may arrive at a time, eight of all
	for range 2 {
		s.partial(t, "127.0.0.2")
	}
	actortest.Eventually(t, "they hold memory", func() bool { return s.gateway.ArrivingBodies() == 2*(32<<10) })
	status, body := answer(t, s.partial(t, "127.0.0.2"))
	if status != http.StatusTooManyRequests || !strings.Contains(body, `"memory_share"`) || !strings.Contains(body, "gateway.body_budget") {
		t.Errorf("its own third: %d %s", status, body)
	}
	if response, body := s.do(t, "POST", "/v1/auth/login", `{"x":1}`); response.StatusCode != http.StatusBadRequest {
		t.Errorf("a small one: %d %s", response.StatusCode, body)
	}
	large := s.dial(t, "127.0.0.3")
	send(t, large, "POST "+hookPath+" HTTP/1.1\r\nHost: weft\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 100_000))
	if status, body := answer(t, large); status != http.StatusServiceUnavailable || !strings.Contains(body, "no_responders") {
		t.Errorf("another client's: %d %s", status, body) // it was read and sent on
	}
}

func TestIdleConnectionsGiveWay(t *testing.T) {
	t.Parallel()
	s := serving(t, func(c *gateway.Config) { c.Connections = gateway.ConnectionsConfig{Max: 30, PerAddress: 10} })
	const get = "GET /healthz HTTP/1.1\r\nHost: weft\r\n\r\n"
	first := s.dial(t, "127.0.0.2")
	send(t, first, get)
	if status, body := answer(t, first); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	half := s.dial(t, "127.0.0.3")
	send(t, half, "GET /healthz HTTP/1.1\r\nX-Never-") // a header that does not end
	for i := range 4 {
		for range 15 {
			s.dial(t, fmt.Sprintf("127.0.0.%d", 2+i))
		}
	}
	for range 3 {
		conn := s.dial(t, "127.0.0.2")
		send(t, conn, get)
		if status, body := answer(t, conn); status != 200 {
			t.Errorf("%d %s", status, body)
		}
	}
	for _, old := range []net.Conn{first, half} {
		if _, err := old.Read(make([]byte, 1)); err == nil {
			t.Error("an idle connection is still open")
		}
	}
	if open := gathered(t, s.telemetry, "weft_gateway_connections"); open > 30 {
		t.Errorf("%v connections are open", open)
	}
}

// gathered returns the value of a gauge.
func gathered(t *testing.T, telemetry *mesh.Telemetry, name string) float64 {
	t.Helper()
	families, err := telemetry.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func TestHeadersWithManyLinesAreRefused(t *testing.T) {
	t.Parallel()
	s := serving(t, func(*gateway.Config) {})
	conn := s.dial(t, "127.0.0.1")
	send(t, conn, "GET /healthz HTTP/1.1\r\nHost: weft\r\n"+strings.Repeat("a:\r\n", 300)+"\r\n")
	if status, _ := answer(t, conn); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("300 lines: %d", status)
	}
	conn = s.dial(t, "127.0.0.1")
	lines := strings.Repeat("\r\n", 5000)
	for range 2 { // lines of a body do not count, whether it is read or not
		send(t, conn, "POST /v1/auth/login HTTP/1.1\r\nHost: weft\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n"+lines)
		if status, body := answer(t, conn); status != http.StatusBadRequest {
			t.Errorf("a body of 5,000 lines: %d %s", status, body)
		}
		send(t, conn, "POST /none HTTP/1.1\r\nHost: weft\r\nContent-Length: 10000\r\n\r\n"+lines)
		if status, body := answer(t, conn); status != http.StatusNotFound {
			t.Errorf("a body of 5,000 lines that nobody reads: %d %s", status, body)
		}
	}
}
