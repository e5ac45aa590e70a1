package e2e_test

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// benchConnections is the number of concurrent clients.
	benchConnections = 64
	// benchWindow is the duration of one measurement of a target.
	benchWindow = 2 * time.Second
)

// BenchmarkAuthenticatedRead measures GET /v1/users/me with an access token on the running binary with all features enabled
// (token verification, limits, validation, metrics, traces, logs), and compares it with a plain HTTP handler and a plain
// bridge from HTTP to a NATS echo. The targets run in processes of their own and are measured in turn with the same load
// generator. The results are medians of the rounds; of_bridge and of_handler are ratios of requests per second, cpu is the
// server's CPU time per request, which other load on the machine affects least.
func BenchmarkAuthenticatedRead(b *testing.B) {
	weft := startWeft(b, b.TempDir(), "WEFT_GATEWAY_LIMITS_GLOBAL=100000000", "WEFT_GATEWAY_LIMITS_PER_USER=100000000",
		"WEFT_GATEWAY_LIMITS_PER_IP=100000000", "WEFT_LOG_LEVEL="+benchLogLevel())
	c, _ := signUp(b, weft.ready.HTTP)
	targets := []*target{
		{name: "handler", server: startBare(b, "handler")},
		{name: "bridge", server: startBare(b, "bridge")},
		{name: "weft", server: weft, token: c.token},
	}
	for _, t := range targets {
		if _, err := t.load(benchWindow / 4); err != nil {
			b.Fatalf("warming up %s: %v", t.name, err)
		}
	}
	for b.Loop() {
		for _, t := range targets {
			if err := t.round(); err != nil {
				b.Fatalf("%s: %v", t.name, err)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, t := range targets {
		b.ReportMetric(median(t.rates), t.name+"_req/s")
		b.ReportMetric(median(t.p50s), t.name+"_p50_µs")
		b.ReportMetric(median(t.p99s), t.name+"_p99_µs")
		b.ReportMetric(median(t.cpu), t.name+"_cpu_µs/req")
	}
	b.ReportMetric(median(targets[2].rates)/median(targets[0].rates), "of_handler")
	b.ReportMetric(median(targets[2].rates)/median(targets[1].rates), "of_bridge")
}

// benchLogLevel returns WEFT_BENCH_LOG_LEVEL, or the default level.
func benchLogLevel() string {
	if level := os.Getenv("WEFT_BENCH_LOG_LEVEL"); level != "" {
		return level
	}
	return "info"
}

// startBare starts a baseline until the benchmark ends.
func startBare(b *testing.B, kind string) *running {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	r, err := start(program{name: kind, path: self, env: cleanEnvironment(bareEnv + "=" + kind)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.kill)
	return r
}

// target is a server under load, with the measurements of each round.
type target struct {
	name, token string
	// message is the request; nil means GET /v1/users/me with token. connections is benchConnections unless set.
	message     []byte
	connections int
	// status is the expected status in the response line, " 200 " unless set.
	status                 string
	server                 *running
	rates, p50s, p99s, cpu []float64
}

// round measures the target for one window.
func (t *target) round() error {
	before, err := cpuTime(t.server.cmd.Process.Pid)
	if err != nil {
		return err
	}
	took, err := t.load(benchWindow)
	if err != nil {
		return err
	}
	after, err := cpuTime(t.server.cmd.Process.Pid)
	if err != nil {
		return err
	}
	t.cpu = append(t.cpu, float64((after-before).Microseconds())/float64(len(took)))
	t.add(took)
	return nil
}

// cpuTime reads the CPU time of a process from Linux's /proc, in ticks of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	ticks, err := statSum(pid, statUser, statSystem)
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of %d: %w", pid, err)
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// Fields of /proc/PID/stat (proc(5)), counted from the state, which is the first after the command name.
const (
	statParent         = 1
	statUser           = 11
	statSystem         = 12
	statChildrenUser   = 13
	statChildrenSystem = 14
)

// statSum returns the sum of fields of /proc/PID/stat.
func statSum(pid int, fields ...int) (sum int, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	all := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // the name may contain any character
	for _, field := range fields {
		n, err := strconv.Atoi(all[field])
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// add records the requests per second and latencies, in microseconds, of a round.
func (t *target) add(took []time.Duration) {
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds())
	}
	t.rates = append(t.rates, float64(len(took))/benchWindow.Seconds())
	t.p50s, t.p99s = append(t.p50s, at(0.5)), append(t.p99s, at(0.99))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// load makes requests on all connections during the window and returns the latency of each.
func (t *target) load(window time.Duration) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	var errs []error
	var wg sync.WaitGroup
	end := time.Now().Add(window)
	for range cmp.Or(t.connections, benchConnections) {
		wg.Go(func() {
			took, err := t.client(end)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

// client makes requests on one connection, each after the response to the one before, until end. It writes and parses HTTP/1.1
// itself, because the load generator shares the machine with the server.
func (t *target) client(end time.Time) ([]time.Duration, error) {
	host := strings.TrimPrefix(t.server.ready.HTTP, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(end.Add(10 * time.Second))
	message := t.message
	if message == nil {
		request := "GET /v1/users/me HTTP/1.1\r\nHost: " + host + "\r\n"
		if t.token != "" {
			request += "Authorization: Bearer " + t.token + "\r\n"
		}
		message = []byte(request + "\r\n")
	}
	reader := bufio.NewReaderSize(conn, 8<<10)
	took := make([]time.Duration, 0, 1<<14)
	for from := time.Now(); from.Before(end); {
		if _, err := conn.Write(message); err != nil {
			return took, fmt.Errorf("sending a request: %w", err)
		}
		if err := readReply(reader, cmp.Or(t.status, " 200 ")); err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(from))
		from = now
	}
	return took, nil
}

// readReply reads one response, which must have the status and a Content-Length.
func readReply(r *bufio.Reader, status string) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("reading a status: %w", err)
	}
	if !bytes.Contains(line, []byte(status)) {
		return fmt.Errorf("the response is %q", line)
	}
	length := -1
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return fmt.Errorf("reading a header: %w", err)
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if textproto.CanonicalMIMEHeaderKey(string(name)) == "Content-Length" {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return fmt.Errorf("reading a length: %w", err)
			}
		}
	}
	if length < 0 {
		return errors.New("a response has no Content-Length")
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return err
}

// BenchmarkColdStart measures the time from the start of the process to its ready line: with an empty data directory, where
// keys, databases and streams are created, and with a used one.
func BenchmarkColdStart(b *testing.B) {
	startWeft(b, b.TempDir()).kill()
	for _, kind := range []string{"first", "again"} {
		b.Run(kind, func(b *testing.B) {
			parent := b.TempDir()
			used := filepath.Join(parent, "used")
			if kind == "again" {
				startWeft(b, used).kill()
			}
			var ms []float64
			for i := 0; b.Loop(); i++ {
				data := used
				if kind == "first" {
					data = filepath.Join(parent, strconv.Itoa(i))
				}
				from := time.Now()
				r := startWeft(b, data)
				ms = append(ms, float64(time.Since(from).Microseconds())/1000)
				r.kill()
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(ms), "ready_ms")
			b.ReportMetric(slices.Max(ms), "slowest_ms")
		})
	}
}

// BenchmarkIdleMemory measures the resident memory of an idle weft ten seconds after its ready line.
func BenchmarkIdleMemory(b *testing.B) {
	var sizes []float64
	for b.Loop() {
		r := startWeft(b, b.TempDir())
		<-time.After(10 * time.Second) // part of the measurement: memory of the start is released by then
		size, err := residentMB(r.cmd.Process.Pid)
		if err != nil {
			b.Fatal(err)
		}
		sizes = append(sizes, size)
		r.kill()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(sizes), "rss_MB")
}

// residentMB reads the resident memory of a process from Linux's /proc, in MB.
func residentMB(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of %d: %w", pid, err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb * 1024 / 1e6, err
		}
	}
	return 0, errors.New("/proc has no VmRSS")
}
