package dispatch_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/dispatch"
)

// bodies returns what a receiver got, in order.
func bodies(r *receiver) (list []string) {
	for _, one := range r.requests() {
		list = append(list, one.body)
	}
	return list
}

// Deliveries of an ordering key are made one after the other. A failed one holds back those behind it and no others.
func TestOrdered(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		var broken atomic.Bool
		broken.Store(true)
		r := receive(t, func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() && r.Header.Get("webhook-id") == "a3" {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		endpoint := f.register(dispatch.Endpoint{URL: r.URL, Ordered: true, Schedule: []time.Duration{time.Minute, time.Minute}})
		f.run(t)
		f.write(t, func(ctx context.Context, tx database.Tx) error {
			for n := range 6 {
				for _, key := range []string{"a", "b", ""} {
					e := dispatch.Event{ID: fmt.Sprintf("%s%d", key, n), UserID: "user", Type: "t", Ordering: key, Payload: fmt.Appendf(nil, `"%s%d"`, key, n)}
					if err := f.Add(ctx, tx, e, []string{endpoint.ID}); err != nil {
						return err
					}
				}
			}
			return nil
		})
		actortest.Eventually(t, "all but a3 and those behind it", func() bool {
			s := f.statuses(t, endpoint)
			return s[dispatch.StatusSucceeded] == 15 && s[dispatch.StatusPending] == 3
		})
		broken.Store(false)
		f.clock.Advance(2 * time.Minute)
		f.Wake()
		f.settled(t, endpoint)
		var a, b []string
		for _, body := range bodies(r) {
			switch body[1] {
			case 'a':
				a = append(a, body)
			case 'b':
				b = append(b, body)
			}
		}
		if want := []string{`"a0"`, `"a1"`, `"a2"`, `"a3"`, `"a3"`, `"a4"`, `"a5"`}; !slices.Equal(a, want) {
			t.Errorf("a: %v", a)
		}
		if !slices.IsSorted(b) || len(b) != 6 {
			t.Errorf("b: %v", b)
		}
	})
}

// While an endpoint is disabled, its deliveries are kept. They are made in order once it is enabled again, also more than one transaction
// changes.
func TestKeptAndResumed(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		r := receive(t, nil)
		const n = 700
		endpoint := f.register(dispatch.Endpoint{ID: newID(), URL: r.URL, Ordered: true})
		f.run(t)
		f.write(t, func(ctx context.Context, tx database.Tx) error {
			for i := range n {
				e := event(fmt.Sprintf("%d", 10_000+i))
				if i%2 == 0 {
					e.Ordering = fmt.Sprintf("k%d", i%100)
				}
				if err := f.Add(ctx, tx, e, []string{endpoint.ID}); err != nil {
					return err
				}
			}
			return nil
		})
		kept := func() int64 {
			count, err := f.db.NewSelect().TableExpr("webhook_deliveries").Where("status = 'kept'").Count(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return count
		}
		actortest.Eventually(t, "all are kept", func() bool { return kept() == int64(n) })
		if len(r.requests()) != 0 {
			t.Fatal("a disabled endpoint got a request")
		}
		endpoint.Enabled = true
		f.register(endpoint)
		f.write(t, func(ctx context.Context, tx database.Tx) error { return f.Resume(ctx, tx, endpoint.ID) })
		actortest.Eventually(t, "all are delivered", func() bool { return f.outcomeCount.Load() == n })
		last := map[string]string{}
		for _, one := range r.requests() {
			var i int
			_, _ = fmt.Sscan(one.body, &i)
			if i%2 != 0 {
				continue
			}
			key := fmt.Sprintf("k%d", i%100)
			if last[key] >= one.body {
				t.Errorf("%s after %s", one.body, last[key])
			}
			last[key] = one.body
		}
	})
}

// Finished deliveries are replayed by id or by filter, with a new schedule and the same webhook-id; pending ones are not.
func TestReplay(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		var broken atomic.Bool
		broken.Store(true)
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
			if broken.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		endpoint := f.register(dispatch.Endpoint{URL: r.URL})
		f.run(t)
		var events []dispatch.Event
		for range 3 {
			events = append(events, f.add(t, event(`{}`), endpoint))
		}
		f.settled(t, endpoint)
		broken.Store(false)
		replay := func(filter dispatch.Filter, want int) {
			t.Helper()
			f.write(t, func(ctx context.Context, tx database.Tx) error {
				n, err := f.Replay(ctx, tx, endpoint.ID, filter)
				if err == nil && n != want {
					t.Errorf("%d replayed, want %d", n, want)
				}
				return err
			})
			f.settled(t, endpoint)
		}
		list := f.deliveries(t, endpoint) // newest first
		replay(dispatch.Filter{IDs: []string{list[2].ID, "unknown"}}, 1)
		replay(dispatch.Filter{Type: "other"}, 0)
		replay(dispatch.Filter{Since: time.Now().Add(time.Hour)}, 0)
		replay(dispatch.Filter{Limit: 1}, 1)
		if counts := f.statuses(t, endpoint); counts[dispatch.StatusSucceeded] != 2 || counts[dispatch.StatusFailed] != 1 {
			t.Errorf("%v", counts)
		}
		replay(dispatch.Filter{Status: dispatch.StatusFailed}, 1)
		replay(dispatch.Filter{Status: dispatch.StatusSucceeded, Until: time.Now().Add(time.Hour)}, 3)
		perID := map[string]int{}
		for _, one := range r.requests() {
			perID[one.header.Get("webhook-id")]++
		}
		for i, want := range []int{3, 3, 3} {
			if perID[events[i].ID] != want {
				t.Errorf("event %d was sent %d times, want %d", i, perID[events[i].ID], want)
			}
		}
		if d := f.deliveries(t, endpoint)[0]; d.Attempts != 3 || d.Log[2].Number != 3 {
			t.Errorf("%+v", d)
		}
		for _, bad := range []dispatch.Filter{{Status: dispatch.StatusPending}, {IDs: make([]string, dispatch.MaxReplay+1)}} {
			err := f.db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
				_, err := f.Replay(ctx, tx, endpoint.ID, bad)
				return err
			})
			if err == nil {
				t.Errorf("%d ids and status %q were accepted", len(bad.IDs), bad.Status)
			}
		}
	})
}

// rows counts the rows of the package's tables.
func rows(t testing.TB, f *fixture) (events, deliveries, attempts int) {
	t.Helper()
	return actortest.Count(t, f.db, "webhook_events"), actortest.Count(t, f.db, "webhook_deliveries"), actortest.Count(t, f.db, "webhook_attempts")
}

// An event is stored until its last delivery is deleted, with the endpoint, with the user or by age.
func TestDeletion(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		r := receive(t, nil)
		one, two := f.register(dispatch.Endpoint{URL: r.URL}), f.register(dispatch.Endpoint{URL: r.URL})
		theirs := f.register(dispatch.Endpoint{URL: r.URL, UserID: "other"})
		stop := f.run(t)
		f.add(t, event(`{}`), one, two)
		f.add(t, event(`{}`), two)
		e := event(`{}`)
		e.UserID = "other"
		f.add(t, e, theirs)
		for _, endpoint := range []dispatch.Endpoint{one, two, theirs} {
			f.settled(t, endpoint)
		}
		stop()
		want := func(what string, wantEvents, wantDeliveries int) {
			t.Helper()
			if events, deliveries, attempts := rows(t, f); events != wantEvents || deliveries != wantDeliveries || attempts != wantDeliveries {
				t.Errorf("%s: %d events, %d deliveries, %d attempts; want %d, %d", what, events, deliveries, attempts, wantEvents, wantDeliveries)
			}
		}
		want("at first", 3, 4)
		f.write(t, func(ctx context.Context, tx database.Tx) error { return f.DeleteEndpoint(ctx, tx, two.ID) })
		want("without an endpoint", 2, 2)
		f.write(t, func(ctx context.Context, tx database.Tx) error {
			return f.DeleteUsers(ctx, tx, []string{"other", "nobody"})
		})
		want("without a user", 1, 1)
		if n, err := f.Sweep(t.Context()); err != nil || n != 0 {
			t.Errorf("%d swept, %v", n, err)
		}
		f.clock.Advance(31 * 24 * time.Hour)
		if n, err := f.Sweep(t.Context()); err != nil || n != 1 {
			t.Errorf("%d swept, %v", n, err)
		}
		want("after a month", 0, 0)
	})
}

// The deliveries of an endpoint that no longer exists are dropped, with their events.
func TestEndpointWithoutRegistration(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		r := receive(t, nil)
		endpoint := f.register(dispatch.Endpoint{URL: r.URL})
		f.add(t, event(`{}`), endpoint)
		f.add(t, event(`{}`), endpoint)
		f.unregister(endpoint.ID)
		f.run(t)
		actortest.Eventually(t, "all rows are gone", func() bool {
			events, deliveries, attempts := rows(t, f)
			return events+deliveries+attempts == 0
		})
		if len(r.requests()) != 0 {
			t.Error("it got a request")
		}
	})
}

// Pages of deliveries have each one once, newest first, by status, type and time.
func TestDeliveries(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		endpoint := f.register(dispatch.Endpoint{URL: "http://127.0.0.1:1"})
		var want []string
		for n := range 25 {
			e := event(`{}`)
			if n%2 == 0 {
				e.Type = "other"
			}
			want = append(want, f.add(t, e, endpoint).ID)
		}
		slices.Reverse(want)
		var got []string
		q := dispatch.Query{EndpointID: endpoint.ID, Limit: 10}
		for {
			page, next, err := f.Deliveries(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page {
				got = append(got, d.EventID)
			}
			if q.Cursor = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		for _, c := range []struct {
			q    dispatch.Query
			want int
		}{
			{dispatch.Query{Type: "other"}, 13},
			{dispatch.Query{Status: dispatch.StatusFailed}, 0},
			{dispatch.Query{Since: time.Now().Add(time.Minute)}, 0},
			{dispatch.Query{Until: time.Now().Add(time.Minute), Since: time.Now().Add(-time.Minute)}, 25},
		} {
			c.q.EndpointID, c.q.Limit = endpoint.ID, 100
			if page, _, err := f.Deliveries(t.Context(), c.q); err != nil || len(page) != c.want {
				t.Errorf("%+v: %d, %v, want %d", c.q, len(page), err, c.want)
			}
		}
		if _, _, err := f.Deliveries(t.Context(), dispatch.Query{EndpointID: endpoint.ID, Cursor: "%"}); err == nil {
			t.Error("an invalid cursor was accepted")
		}
	})
}
