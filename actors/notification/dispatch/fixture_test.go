package dispatch_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/notification/dispatch"
	"github.com/weftmesh/weft/subjects"
)

// loopback lets attempts reach the servers of a test.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// fixture is a dispatcher with the endpoints of a test.
type fixture struct {
	*dispatch.Dispatcher
	options dispatch.Options
	db      *database.DB
	clock   *actortest.Clock

	mu        sync.Mutex
	endpoints map[string]dispatch.Endpoint
	outcomes  []dispatch.Outcome
	// outcomeCount is the number of outcomes; more are counted than kept.
	outcomeCount atomic.Int64
}

// setup makes a dispatcher, which does not run yet. Changes may change its options.
func setup(t testing.TB, kind actortest.Database, changes ...func(*dispatch.Options)) *fixture {
	t.Helper()
	return setupOn(t, kind.Open(t, "notification", notification.Migrations), changes...)
}

func setupOn(t testing.TB, db *database.DB, changes ...func(*dispatch.Options)) *fixture {
	t.Helper()
	f := &fixture{db: db, clock: &actortest.Clock{}, endpoints: map[string]dispatch.Endpoint{}}
	f.options = dispatch.Options{
		DB: db, Sealer: actortest.Sealer(t), Log: zap.NewNop(), Metrics: prometheus.NewRegistry(), Now: f.clock.Now, NewID: newID,
		Allow: loopback, AllowHTTP: true, Endpoint: f.endpoint, Record: f.record,
	}
	for _, change := range changes {
		change(&f.options)
	}
	d, err := dispatch.New(f.options)
	if err != nil {
		t.Fatal(err)
	}
	f.Dispatcher = d
	return f
}

func (f *fixture) endpoint(_ context.Context, id string) (dispatch.Endpoint, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.endpoints[id]
	if !ok {
		return e, subjects.Errorf(subjects.CodeNotFound, "no such webhook")
	}
	return e, nil
}

func (f *fixture) record(_ context.Context, _ database.Tx, outcomes []dispatch.Outcome) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.outcomeCount.Add(int64(len(outcomes))) < 10_000 {
		f.outcomes = append(f.outcomes, outcomes...)
	}
	return nil
}

// recorded returns the outcomes so far.
func (f *fixture) recorded() []dispatch.Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]dispatch.Outcome(nil), f.outcomes...)
}

// register adds an endpoint, or changes it.
func (f *fixture) register(e dispatch.Endpoint) dispatch.Endpoint {
	if e.ID == "" {
		e.ID, e.Enabled = newID(), true
	}
	if e.UserID == "" {
		e.UserID = "user"
	}
	if e.Secrets == nil {
		e.Secrets = []string{dispatch.NewSecret()}
	}
	f.mu.Lock()
	f.endpoints[e.ID] = e
	f.mu.Unlock()
	f.Forget(e.ID)
	return e
}

func (f *fixture) unregister(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.endpoints, id)
}

// run runs the dispatcher until the test ends, or until the returned function is called.
func (f *fixture) run(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

// event returns a new event of the user "user".
func event(payload string) dispatch.Event {
	return dispatch.Event{ID: newID(), UserID: "user", Type: "thing.made", At: time.Now(), Payload: []byte(payload)}
}

// add adds an event for endpoints.
func (f *fixture) add(t testing.TB, e dispatch.Event, endpoints ...dispatch.Endpoint) dispatch.Event {
	t.Helper()
	ids := make([]string, len(endpoints))
	for i, endpoint := range endpoints {
		ids[i] = endpoint.ID
	}
	f.write(t, func(ctx context.Context, tx database.Tx) error { return f.Add(ctx, tx, e, ids) })
	return e
}

func (f *fixture) write(t testing.TB, fn func(ctx context.Context, tx database.Tx) error) {
	t.Helper()
	if err := f.db.RunInTx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// deliveries returns all deliveries of an endpoint, newest first.
func (f *fixture) deliveries(t testing.TB, e dispatch.Endpoint) (all []dispatch.Delivery) {
	t.Helper()
	q := dispatch.Query{EndpointID: e.ID, Limit: 100}
	for {
		page, next, err := f.Deliveries(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		q.Cursor = next
	}
}

// statuses counts the deliveries of an endpoint by status.
func (f *fixture) statuses(t testing.TB, e dispatch.Endpoint) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, d := range f.deliveries(t, e) {
		counts[d.Status]++
	}
	return counts
}

// settled waits until no delivery of an endpoint is pending.
func (f *fixture) settled(t testing.TB, e dispatch.Endpoint) map[string]int {
	t.Helper()
	var counts map[string]int
	actortest.Eventually(t, fmt.Sprintf("no delivery of %s is pending", e.ID), func() bool {
		counts = f.statuses(t, e)
		return counts[dispatch.StatusPending] == 0 && len(counts) > 0
	})
	return counts
}

// request is one that a receiver got.
type request struct {
	header http.Header
	body   string
	at     time.Time
}

// receiver is a webhook's server.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []request
}

// receive starts a server that notes requests and answers by a handler, or with 204.
func receive(t testing.TB, handler http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request_ *http.Request) {
		body, _ := io.ReadAll(request_.Body)
		r.mu.Lock()
		r.got = append(r.got, request{request_.Header.Clone(), string(body), time.Now()})
		r.mu.Unlock()
		if handler == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		handler(w, request_)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.got...)
}

// receiveWith starts a server that notes nothing and returns its URL.
func receiveWith(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

// again makes another dispatcher with the same options, as a process that has started again.
func (f *fixture) again(t testing.TB) *fixture {
	t.Helper()
	next := &fixture{db: f.db, clock: f.clock, options: f.options, endpoints: f.endpoints}
	next.options.Metrics = prometheus.NewRegistry()
	d, err := dispatch.New(next.options)
	if err != nil {
		t.Fatal(err)
	}
	next.Dispatcher = d
	return next
}

var migrations = notification.Migrations

// int64Counter counts.
type int64Counter struct{ n atomic.Int64 }

func (c *int64Counter) add()        { c.n.Add(1) }
func (c *int64Counter) load() int64 { return c.n.Load() }
