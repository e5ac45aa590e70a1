package dispatch_test

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/dispatch"
	"github.com/weftmesh/weft/subjects"
)

// An event is delivered once to each endpoint, with its payload as it is, and the attempt is logged.
func TestDeliver(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("thanks")) })
		one, other := f.register(dispatch.Endpoint{URL: r.URL}), f.register(dispatch.Endpoint{URL: r.URL})
		f.run(t)
		e := event(`{"a": 1,  "b":[ ]}`)
		f.add(t, e, one, other)
		f.add(t, e, one)
		for _, endpoint := range []dispatch.Endpoint{one, other} {
			f.settled(t, endpoint)
			list := f.deliveries(t, endpoint)
			if len(list) != 1 || list[0].Status != dispatch.StatusSucceeded || list[0].EventID != e.ID || len(list[0].Log) != 1 || list[0].Attempts != 1 {
				t.Fatalf("%+v", list)
			}
			if a := list[0].Log[0]; a.Number != 1 || a.Status != 200 || a.Error != "" || a.Answer != "thanks" || a.Duration <= 0 {
				t.Errorf("attempt %+v", a)
			}
		}
		got := r.requests()
		if len(got) != 2 {
			t.Fatalf("%d requests, want 2", len(got))
		}
		for _, one := range got {
			if one.body != string(e.Payload) || one.header.Get("webhook-id") != e.ID || one.header.Get("Content-Type") != "application/json" ||
				one.header.Get("User-Agent") != "weft-webhooks" {
				t.Errorf("%+v", one)
			}
		}
		if n := len(f.recorded()); n != 2 {
			t.Errorf("%d outcomes, want 2", n)
		}
	})
}

// A failed attempt is repeated by the schedule, with the same id, until the schedule is used up.
func TestRetry(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		endpoint := f.register(dispatch.Endpoint{URL: r.URL, Schedule: []time.Duration{time.Minute, time.Hour}})
		f.run(t)
		e := f.add(t, event(`{}`), endpoint)
		for n, want := range []time.Duration{time.Minute, time.Hour} {
			var d dispatch.Delivery
			actortest.Eventually(t, "the attempt is recorded", func() bool {
				d = f.deliveries(t, endpoint)[0]
				return d.Attempts == n+1
			})
			delay := d.NextAttemptAt.Sub(d.Log[n].StartedAt)
			if d.Status != dispatch.StatusPending || delay < want*9/10 || delay > want*11/10+time.Second*10 {
				t.Fatalf("%s, next attempt after %s, want about %s", d.Status, delay, want)
			}
			f.clock.Advance(want * 12 / 10)
			f.Wake()
		}
		f.settled(t, endpoint)
		d := f.deliveries(t, endpoint)[0]
		if d.Status != dispatch.StatusFailed || d.Attempts != 3 || len(d.Log) != 3 || d.FinishedAt.IsZero() {
			t.Errorf("%+v", d)
		}
		for _, one := range r.requests() {
			if one.header.Get("webhook-id") != e.ID {
				t.Error("another id")
			}
		}
		outcomes := f.recorded()
		if len(outcomes) != 3 || outcomes[0].Final || !outcomes[2].Final || outcomes[2].Gone {
			t.Errorf("%+v", outcomes)
		}
	})
}

// Events that are added by many goroutines while others are delivered are delivered once each.
func TestConcurrentAdds(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		r := receive(t, nil)
		endpoints := []dispatch.Endpoint{f.register(dispatch.Endpoint{URL: r.URL}), f.register(dispatch.Endpoint{URL: r.URL})}
		f.run(t)
		const adders, each = 4, 40
		var adding sync.WaitGroup
		for range adders {
			adding.Go(func() {
				for range each {
					e := event(`{}`)
					err := f.db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
						return f.Add(ctx, tx, e, []string{endpoints[0].ID, endpoints[1].ID})
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		adding.Wait()
		for _, endpoint := range endpoints {
			if counts := f.settled(t, endpoint); counts[dispatch.StatusSucceeded] != adders*each {
				t.Errorf("%v", counts)
			}
		}
		if n := len(r.requests()); n != 2*adders*each {
			t.Errorf("%d requests, want %d", n, 2*adders*each)
		}
	})
}

// A page ends before its reply is too large, and the next one continues from there.
func TestPagesOfLongAnswers(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write(bytes.Repeat([]byte{1}, dispatch.MaxAnswer)) // each byte takes six in JSON
		})
		endpoint := f.register(dispatch.Endpoint{URL: r.URL, Schedule: []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}})
		f.run(t)
		const n = 60
		for range n {
			f.add(t, event(`{}`), endpoint)
		}
		f.settled(t, endpoint)
		seen, pages := 0, 0
		for q := (dispatch.Query{EndpointID: endpoint.ID, Limit: n}); ; pages++ {
			page, next, err := f.Deliveries(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if reply, err := subjects.Encode(page); err != nil || len(reply) > 1<<20 {
				t.Errorf("a page of %d bytes, %v", len(reply), err)
			}
			seen += len(page)
			if q.Cursor = next; next == "" {
				break
			}
		}
		if seen != n || pages == 0 {
			t.Errorf("%d deliveries on %d pages, want %d on several", seen, pages+1, n)
		}
	})
}
