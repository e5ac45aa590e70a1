package dispatch_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/dispatch"
)

// The load of the benchmarks.
const (
	benchEndpoints  = 50
	benchDeliveries = 20_000
	benchPayload    = `{"type":"thing.made","timestamp":"2026-11-30T12:00:00Z","data":{"id":"0193797e-64c9-7d5c-a1d1-1f8c5d3f9a10","name":"A thing","count":42}}`
)

// counter is a receiver that counts requests and notes how long the events took from their creation, which their time says.
type counter struct {
	n    atomic.Int64
	mu   sync.Mutex
	took []time.Duration
}

func (c *counter) handler(measure bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if measure {
			if created, err := strconv.ParseInt(string(bytes.TrimRight(body, " ")), 10, 64); err == nil {
				took := time.Since(time.Unix(0, created))
				c.mu.Lock()
				c.took = append(c.took, took)
				c.mu.Unlock()
			}
		}
		c.n.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (c *counter) p95() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.took) == 0 {
		return 0
	}
	slices.Sort(c.took)
	return c.took[len(c.took)*95/100]
}

// bareRate signs and posts without a database: the most that the machine can do.
func bareRate(b *testing.B, urls []string, n int) float64 {
	b.Helper()
	secret := dispatch.NewSecret()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, MaxIdleConns: 1024}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var workers sync.WaitGroup
	begin := time.Now()
	for range 64 {
		workers.Go(func() {
			for {
				i := int(next.Add(1))
				if i > n {
					return
				}
				id, now := newID(), time.Now()
				signature, err := dispatch.Sign([]string{secret}, id, now, []byte(benchPayload))
				if err != nil {
					b.Error(err)
					return
				}
				r, _ := http.NewRequest(http.MethodPost, urls[i%len(urls)], bytes.NewReader([]byte(benchPayload)))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("webhook-id", id)
				r.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
				r.Header.Set("webhook-signature", signature)
				response, err := client.Do(r)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
	workers.Wait()
	return float64(n) / time.Since(begin).Seconds()
}

// addMany adds n events of benchPayload for each in turn of the endpoints, 200 in a transaction.
func addMany(b testing.TB, f *fixture, endpoints []dispatch.Endpoint, n int) {
	b.Helper()
	for from := 0; from < n; from += 200 {
		f.write(b, func(ctx context.Context, tx database.Tx) error {
			for i := from; i < min(from+200, n); i++ {
				e := event(benchPayload)
				e.UserID = endpoints[i%len(endpoints)].UserID
				if err := f.Add(ctx, tx, e, []string{endpoints[i%len(endpoints)].ID}); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// benchEndpointsOn registers endpoints of ten users at servers of their own.
func benchEndpointsOn(b *testing.B, f *fixture, n int, handler http.HandlerFunc) (list []dispatch.Endpoint, urls []string) {
	b.Helper()
	for i := range n {
		r := receiveWith(b, handler)
		urls = append(urls, r)
		list = append(list, f.register(dispatch.Endpoint{
			URL: r, UserID: fmt.Sprintf("user %d", i%10), Schedule: []time.Duration{time.Minute},
		}))
	}
	return list, urls
}

// BenchmarkThroughput measures how many stored deliveries a second are signed, made and logged, beside a loop that signs and posts alone,
// in one run. `make bench` has PostgreSQL sync its log.
func BenchmarkThroughput(b *testing.B) {
	for _, kind := range actortest.Databases(b) {
		b.Run(kind.Name, func(b *testing.B) {
			var rates, bare, cpu, bareCPU, server []float64
			f := setup(b, kind)
			c := &counter{}
			endpoints, urls := benchEndpointsOn(b, f, benchEndpoints, c.handler(false))
			for b.Loop() {
				before := cpuTime(b)
				bare = append(bare, bareRate(b, urls, benchDeliveries))
				bareCPU = append(bareCPU, float64((cpuTime(b)-before).Microseconds())/benchDeliveries)
				addMany(b, f, endpoints, benchDeliveries)
				c.n.Store(0)
				f.outcomeCount.Store(0)
				next := f.again(b)
				before, serverBefore := cpuTime(b), postgresCPU(b, kind, f)
				begin := time.Now()
				stop := next.run(b)
				for f.outcomeCount.Load() < benchDeliveries {
					<-time.After(time.Millisecond)
				}
				rates = append(rates, benchDeliveries/time.Since(begin).Seconds())
				cpu = append(cpu, float64((cpuTime(b)-before).Microseconds())/benchDeliveries)
				server = append(server, float64((postgresCPU(b, kind, f)-serverBefore).Microseconds())/benchDeliveries)
				stop()
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(bare), "bare/s")
			b.ReportMetric(median(rates), "deliveries/s")
			b.ReportMetric(median(rates)/median(bare), "of_bare")
			b.ReportMetric(median(bareCPU), "bare_cpu_µs")
			b.ReportMetric(median(cpu), "cpu_µs")
			if kind.Name == database.DialectPostgres {
				b.ReportMetric(median(server), "postgres_cpu_µs")
			}
		})
	}
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// cpuTime is the CPU time of this process, with the receivers.
func cpuTime(b testing.TB) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// postgresCPU is the CPU time of PostgreSQL's processes that run on this machine.
func postgresCPU(b testing.TB, kind actortest.Database, f *fixture) time.Duration {
	b.Helper()
	if kind.Name != database.DialectPostgres {
		return 0
	}
	var backend int
	if err := f.db.QueryRowContext(b.Context(), "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		b.Fatal(err)
	}
	parent := statOf(backend, 3)
	if parent == 0 {
		return 0
	}
	ticks := statOf(parent, 13, 14, 15, 16)
	all, _ := os.ReadDir("/proc")
	for _, entry := range all {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && statOf(pid, 3) == parent {
			ticks += statOf(pid, 13, 14)
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// statOf adds fields of /proc/PID/stat, counted from 0; 0 if there is no such process.
func statOf(pid int, fields ...int) (sum int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	all := strings.Fields(after)
	for _, field := range fields {
		n, _ := strconv.Atoi(all[field-2])
		sum += n
	}
	return sum
}
