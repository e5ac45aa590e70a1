package dispatch_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/dispatch"
)

// benchRate is how many events a second BenchmarkLatency adds, in transactions of benchTx.
const (
	benchRate   = 2000
	benchTx     = 10
	benchWindow = 3 * time.Second
)

// deadServers returns the URLs of servers that hang, refuse connections, answer after five seconds and answer 500.
func deadServers(b *testing.B) []string {
	b.Helper()
	return []string{
		receiveWith(b, hang), refusing(b),
		receiveWith(b, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}),
		receiveWith(b, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }),
	}
}

// withDead is a bench's endpoints: healthy ones, and dead ones beside nine healthy ones each.
type withDead struct {
	*fixture
	c             *counter
	healthy, dead []dispatch.Endpoint
}

func newWithDead(b *testing.B, kind actortest.Database, dead bool) *withDead {
	b.Helper()
	w := &withDead{fixture: setup(b, kind), c: &counter{}}
	w.healthy, _ = benchEndpointsOn(b, w.fixture, benchEndpoints*9/10, w.c.handler(true))
	if dead {
		servers := deadServers(b)
		for i := range benchEndpoints / 10 {
			w.dead = append(w.dead, w.register(dispatch.Endpoint{
				URL: servers[i%len(servers)], UserID: fmt.Sprintf("user %d", i), Schedule: []time.Duration{time.Minute},
			}))
		}
	}
	return w
}

// drain adds a backlog for every endpoint and returns how many deliveries to healthy ones are made a second.
func (w *withDead) drain(b *testing.B, each int) float64 {
	b.Helper()
	addMany(b, w.fixture, w.healthy, each*len(w.healthy))
	if len(w.dead) > 0 {
		addMany(b, w.fixture, w.dead, each*len(w.dead))
	}
	w.c.n.Store(0)
	n := int64(each * len(w.healthy))
	next := w.again(b)
	begin := time.Now()
	stop := next.run(b)
	for w.c.n.Load() < n {
		<-time.After(time.Millisecond)
	}
	rate := float64(n) / time.Since(begin).Seconds()
	stop()
	return rate
}

// load adds events at a rate for a window, each endpoint in turn, and returns the 95th percentile of the time from an event's creation to
// its arrival at a healthy endpoint, in milliseconds.
func (w *withDead) load(b *testing.B, rate int) float64 {
	b.Helper()
	w.c.mu.Lock()
	w.c.took = nil
	w.c.mu.Unlock()
	w.c.n.Store(0)
	next := w.again(b)
	stop := next.run(b)
	defer stop()
	all := append(append([]dispatch.Endpoint(nil), w.healthy...), w.dead...)
	healthy := int64(0)
	begin := time.Now()
	for i := 0; time.Since(begin) < benchWindow; i += benchTx {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if ahead := time.Until(due); ahead > 0 {
			<-time.After(ahead)
		}
		next.write(b, func(ctx context.Context, tx database.Tx) error {
			for n := i; n < i+benchTx; n++ {
				endpoint := all[n%len(all)]
				e := event(strconv.FormatInt(time.Now().UnixNano(), 10))
				e.UserID = endpoint.UserID
				if err := next.Add(ctx, tx, e, []string{endpoint.ID}); err != nil {
					return err
				}
			}
			return nil
		})
		for n := i; n < i+benchTx; n++ {
			if n%len(all) < len(w.healthy) {
				healthy++
			}
		}
	}
	for w.c.n.Load() < healthy {
		<-time.After(time.Millisecond)
	}
	return float64(w.c.p95().Microseconds()) / 1000
}

// bareLoad is load without a database.
func (w *withDead) bareLoad(b *testing.B, rate int) float64 {
	b.Helper()
	w.c.mu.Lock()
	w.c.took = nil
	w.c.mu.Unlock()
	begin := time.Now()
	var attempts sync.WaitGroup
	for i := 0; time.Since(begin) < benchWindow; i += benchTx {
		if ahead := time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(rate))); ahead > 0 {
			<-time.After(ahead)
		}
		for n := i; n < i+benchTx; n++ {
			e := event(strconv.FormatInt(time.Now().UnixNano(), 10))
			attempts.Go(func() { w.Attempt(b.Context(), w.healthy[n%len(w.healthy)], e) })
		}
	}
	attempts.Wait()
	return float64(w.c.p95().Microseconds()) / 1000
}

// BenchmarkLatency measures the 95th percentile of the time from an event's creation to its arrival, at 2,000 events a second, in turn with
// the same load signed and sent without a database: bare_p95.
func BenchmarkLatency(b *testing.B) {
	for _, kind := range actortest.Databases(b) {
		b.Run(kind.Name, func(b *testing.B) {
			w := newWithDead(b, kind, false)
			var p95s, bare []float64
			for b.Loop() {
				p95s, bare = append(p95s, w.load(b, benchRate)), append(bare, w.bareLoad(b, benchRate))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(p95s), "p95_ms")
			b.ReportMetric(median(bare), "bare_p95_ms")
		})
	}
}

// BenchmarkDeadEndpoints measures what one dead endpoint in ten costs the others: hanging, refusing, slow and failing ones, in turn with a
// site without them. of_none is the throughput with dead ones as a part of that without, p95_of_none the same of the 95th percentile of
// latency at 500 events a second.
func BenchmarkDeadEndpoints(b *testing.B) {
	for _, kind := range actortest.Databases(b) {
		b.Run(kind.Name, func(b *testing.B) {
			none, some := newWithDead(b, kind, false), newWithDead(b, kind, true)
			var rates, deadRates, p95s, deadP95s []float64
			for b.Loop() {
				rates, deadRates = append(rates, none.drain(b, 100)), append(deadRates, some.drain(b, 100))
				for _, dead := range some.dead { // their backlog is no part of the load
					some.write(b, func(ctx context.Context, tx database.Tx) error { return some.DeleteEndpoint(ctx, tx, dead.ID) })
				}
				p95s, deadP95s = append(p95s, none.load(b, 500)), append(deadP95s, some.load(b, 500))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(rates), "none/s")
			b.ReportMetric(median(deadRates), "dead/s")
			b.ReportMetric(median(deadRates)/median(rates), "of_none")
			b.ReportMetric(median(p95s), "p95_ms")
			b.ReportMetric(median(deadP95s)/median(p95s), "p95_of_none")
		})
	}
}

// BenchmarkBacklog measures the heap and the rate while WEFT_BACKLOG deliveries are pending, 100,000 without it, of which one endpoint, which
// hangs, has half.
func BenchmarkBacklog(b *testing.B) {
	n := 100_000
	if text := os.Getenv("WEFT_BACKLOG"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	for _, kind := range actortest.Databases(b) {
		b.Run(kind.Name, func(b *testing.B) {
			f := setup(b, kind)
			c := &counter{}
			endpoints, _ := benchEndpointsOn(b, f, benchEndpoints, c.handler(false))
			dead := f.register(dispatch.Endpoint{URL: receiveWith(b, hang), UserID: "dead"})
			fill(b, f, append(endpoints, dead), dead, n)
			before := heap()
			for b.Loop() {
				c.n.Store(0)
				var most atomic.Uint64
				next := f.again(b)
				stop := next.run(b)
				begin := time.Now()
				var done sync.WaitGroup
				end := make(chan struct{})
				done.Go(func() {
					for {
						select {
						case <-end:
							return
						case <-time.After(500 * time.Millisecond):
							most.Store(max(most.Load(), heap()))
						}
					}
				})
				<-time.After(5 * time.Second)
				rate := float64(c.n.Load()) / time.Since(begin).Seconds()
				close(end)
				done.Wait()
				b.ReportMetric(rate, "deliveries/s")
				b.ReportMetric(float64(int64(most.Load())-int64(before))/(1<<20), "heap_MB")
				stop()
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(n), "pending")
		})
	}
}

// heap is the live heap, in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// fill stores n deliveries of one event for each user, half of them to one endpoint.
func fill(b *testing.B, f *fixture, endpoints []dispatch.Endpoint, half dispatch.Endpoint, n int) {
	b.Helper()
	of := func(i int) dispatch.Endpoint {
		if i%2 == 0 {
			return half
		}
		return endpoints[i%len(endpoints)]
	}
	for from := 0; from < n; from += 5000 {
		f.write(b, func(ctx context.Context, tx database.Tx) error {
			return fillRows(ctx, tx, f, of, 0, from, min(from+5000, n))
		})
	}
}
