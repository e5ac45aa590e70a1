package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/dispatch"
)

// Processes that share a database make each attempt once.
func TestTwoProcesses(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		other := f.again(t)
		r := receive(t, nil)
		var endpoints []dispatch.Endpoint
		for range 10 {
			endpoints = append(endpoints, f.register(dispatch.Endpoint{URL: r.URL}))
		}
		f.run(t)
		other.run(t)
		const each = 30
		for i := range each * len(endpoints) {
			process := f
			if i%2 == 0 {
				process = other
			}
			process.add(t, event(fmt.Sprintf("%d", i)), endpoints[i%len(endpoints)])
		}
		for _, endpoint := range endpoints {
			if counts := f.settled(t, endpoint); counts[dispatch.StatusSucceeded] != each {
				t.Errorf("%v", counts)
			}
		}
		if n := len(r.requests()); n != each*len(endpoints) {
			t.Errorf("%d requests, want %d", n, each*len(endpoints))
		}
	})
}

// A process whose lease has expired during an attempt does not undo what another one has recorded. Both attempts are logged.
func TestLateRecord(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		other := f.again(t)
		f.SetLease(time.Second, time.Hour) // a process that does not renew: it is paused
		var requests atomic.Int64
		arrived, release := make(chan struct{}), make(chan struct{})
		free := sync.OnceFunc(func() { close(release) })
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
			if requests.Add(1) == 1 {
				close(arrived)
				<-release
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		t.Cleanup(free)
		endpoint := f.register(dispatch.Endpoint{URL: r.URL, Schedule: []time.Duration{time.Minute}})
		f.run(t)
		f.add(t, event(`{}`), endpoint)
		actortest.Receive(t, "the first attempt", arrived)
		f.Pause()
		other.run(t)
		f.settled(t, endpoint)
		free()
		actortest.Eventually(t, "both attempts are logged", func() bool { return len(f.deliveries(t, endpoint)[0].Log) == 2 })
		d := f.deliveries(t, endpoint)[0]
		if d.Status != dispatch.StatusSucceeded || d.Attempts != 1 || d.Log[0].Number != 1 || d.Log[1].Number != 1 {
			t.Errorf("%+v", d)
		}
		got := r.requests()
		if len(got) != 2 || got[0].header.Get("webhook-id") != got[1].header.Get("webhook-id") {
			t.Errorf("%d requests", len(got))
		}
	})
}

// Attempts that cannot be recorded are recorded later, once each, and no other attempt is made until then.
func TestRecordIsRetried(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		var failures, outcomes atomic.Int64
		failures.Store(3)
		f := setup(t, kind, func(o *dispatch.Options) {
			o.Record = func(_ context.Context, _ database.Tx, list []dispatch.Outcome) error {
				if failures.Add(-1) >= 0 {
					return errors.New("cannot record")
				}
				outcomes.Add(int64(len(list)))
				return nil
			}
		})
		r := receive(t, nil)
		endpoint := f.register(dispatch.Endpoint{URL: r.URL})
		f.run(t)
		f.add(t, event(`1`), endpoint)
		actortest.Eventually(t, "a failed record", func() bool { return failures.Load() < 3 })
		for range 5 {
			f.add(t, event(`2`), endpoint)
		}
		f.settled(t, endpoint)
		if n := len(r.requests()); n != 6 || outcomes.Load() != 6 {
			t.Errorf("%d requests and %d outcomes, want 6", n, outcomes.Load())
		}
		for _, d := range f.deliveries(t, endpoint) {
			if d.Attempts != 1 || len(d.Log) != 1 {
				t.Errorf("%+v", d)
			}
		}
	})
}

// Run records the attempts in flight when it is stopped.
func TestStop(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		arrived, release := make(chan struct{}), make(chan struct{})
		r := receive(t, func(http.ResponseWriter, *http.Request) {
			close(arrived)
			<-release
		})
		endpoint := f.register(dispatch.Endpoint{URL: r.URL})
		stop := f.run(t)
		f.add(t, event(`{}`), endpoint)
		actortest.Receive(t, "the attempt", arrived)
		stopped := make(chan struct{})
		go func() {
			stop()
			close(stopped)
		}()
		close(release)
		actortest.Receive(t, "the end of Run", stopped)
		if d := f.deliveries(t, endpoint)[0]; d.Status != dispatch.StatusSucceeded || len(d.Log) != 1 {
			t.Errorf("%+v", d)
		}
		if n := actortest.Count(t, f.db, "webhook_leases"); n != 0 {
			t.Errorf("%d leases are left", n)
		}
	})
}

// Endpoints that hang, with more deliveries than a process has slots, do not keep another one waiting, of the same user or of another.
func TestHangingEndpointsAreIsolated(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind, func(o *dispatch.Options) { o.InFlight = 12 })
		release := make(chan struct{})
		hanging := receiveWith(t, func(http.ResponseWriter, *http.Request) { <-release })
		free := sync.OnceFunc(func() { close(release) })
		t.Cleanup(free)
		r := receive(t, nil)
		healthy, theirs := f.register(dispatch.Endpoint{URL: r.URL}), f.register(dispatch.Endpoint{URL: r.URL, UserID: "other"})
		f.write(t, func(ctx context.Context, tx database.Tx) error {
			for range 8 {
				dead := f.register(dispatch.Endpoint{URL: hanging})
				for range 4 {
					if err := f.Add(ctx, tx, event(`{}`), []string{dead.ID}); err != nil {
						return err
					}
				}
			}
			for range 50 {
				e := event(`{}`)
				if err := f.Add(ctx, tx, e, []string{healthy.ID}); err != nil {
					return err
				}
				e.UserID = "other"
				if err := f.Add(ctx, tx, e, []string{theirs.ID}); err != nil {
					return err
				}
			}
			return nil
		})
		begin := time.Now()
		stop := f.run(t)
		f.settled(t, healthy)
		f.settled(t, theirs)
		if took := time.Since(begin); took > dispatch.DefaultTimeout-time.Second {
			t.Errorf("the healthy endpoints waited %s, as long as the hanging ones", took)
		}
		free()
		stop()
	})
}

// Endpoints that hang do not keep another one at their host waiting for a connection.
func TestHangingEndpointsOfOneHost(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		release := make(chan struct{})
		var hanging atomic.Int64
		host := receiveWith(t, func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hang" {
				hanging.Add(1)
				<-release
			}
		})
		free := sync.OnceFunc(func() { close(release) })
		t.Cleanup(free)
		const connections = 64
		f.write(t, func(ctx context.Context, tx database.Tx) error {
			for range connections {
				dead := f.register(dispatch.Endpoint{URL: host + "/hang"})
				for range 2 {
					if err := f.Add(ctx, tx, event(`{}`), []string{dead.ID}); err != nil {
						return err
					}
				}
			}
			return nil
		})
		begin := time.Now()
		stop := f.run(t)
		actortest.Eventually(t, "more attempts hang than egress has connections for a host", func() bool { return hanging.Load() > connections })
		theirs := f.register(dispatch.Endpoint{URL: host, UserID: "other"})
		e := event(`{}`)
		e.UserID = "other"
		f.add(t, e, theirs)
		if counts := f.settled(t, theirs); counts[dispatch.StatusSucceeded] != 1 {
			t.Errorf("the endpoint beside them: %v", counts)
		}
		if took := time.Since(begin); took > dispatch.DefaultTimeout-time.Second {
			t.Errorf("the endpoint beside them waited %s, as long as the hanging ones", took)
		}
		free()
		stop()
	})
}

// The backlogs of hundreds of endpoints that hang leave room for the deliveries of another one.
func TestBacklogsOfHangingEndpoints(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind, func(o *dispatch.Options) { o.InFlight = 12 })
		release := make(chan struct{})
		hanging := receiveWith(t, func(http.ResponseWriter, *http.Request) { <-release })
		free := sync.OnceFunc(func() { close(release) })
		t.Cleanup(free)
		dead := make([]dispatch.Endpoint, 540)
		for i := range dead {
			dead[i] = f.register(dispatch.Endpoint{URL: hanging, UserID: fmt.Sprintf("user %d", i)})
		}
		of := func(i int) dispatch.Endpoint { return dead[i%len(dead)] }
		const each = 64 // more than a process loads, together
		for from := 0; from < each*len(dead); from += 5000 {
			f.write(t, func(ctx context.Context, tx database.Tx) error {
				return fillRows(ctx, tx, f, of, 1, from, min(from+5000, each*len(dead)))
			})
		}
		stop := f.run(t)
		actortest.Eventually(t, "all endpoints are loaded", func() bool { return f.Loaded() >= 2*len(dead) })
		r := receive(t, nil)
		healthy := f.register(dispatch.Endpoint{URL: r.URL})
		begin := time.Now()
		f.add(t, event(`{}`), healthy)
		f.settled(t, healthy)
		if took := time.Since(begin); took > dispatch.DefaultTimeout/2 {
			t.Errorf("the healthy endpoint waited %s", took)
		}
		free()
		stop()
	})
}
