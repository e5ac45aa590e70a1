package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/dispatch"
)

// chaos is a seeded source of faults that several goroutines use.
type chaos struct {
	mu sync.Mutex
	*rand.Rand
}

func (c *chaos) below(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.IntN(n)
}

// answer is a receiver with faults.
func (c *chaos) answer(w http.ResponseWriter, _ *http.Request) {
	switch c.below(8) {
	case 0, 1:
		w.WriteHeader(http.StatusInternalServerError)
	case 2:
		w.Header().Set("Retry-After", strconv.Itoa(1+c.below(300)))
		w.WriteHeader(http.StatusServiceUnavailable)
	case 3:
		panic(http.ErrAbortHandler)
	case 4:
		if c.below(4) == 0 {
			w.WriteHeader(http.StatusGone)
		}
	}
}

// seenOrder checks the order of outcomes: of an ordering key, no delivery has an attempt before the one before it was final.
type seenOrder struct {
	mu   sync.Mutex
	last map[string]int
	open map[string]bool
	bad  []string
}

// note notes an outcome of the event with the number n of a key.
func (o *seenOrder) note(key string, n int, final bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	last, any := o.last[key]
	if any && (n < last || n > last && o.open[key]) || !any && n != 0 || n > last+1 {
		o.bad = append(o.bad, fmt.Sprintf("%s: %d after %d (open %t)", key, n, last, o.open[key]))
	}
	o.last[key], o.open[key] = n, !final
}

// Whatever receivers, records and the process do, each accepted delivery ends, all its attempts are logged, no more are made than its
// schedule has, and the order of keys is kept. Each round has seeded faults and 288 deliveries.
func TestEngine(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		config := kind.Config(t, "notification")
		config.Durability = database.DurabilityInterval
		db := actortest.OpenDatabase(t, config, migrations)
		for seed := range uint64(engineRounds) {
			engineRound(t, db, seed)
		}
	})
}

func engineRound(t *testing.T, db *database.DB, seed uint64) {
	t.Helper()
	c := &chaos{Rand: rand.New(rand.NewPCG(seed, 17))}
	order := &seenOrder{last: map[string]int{}, open: map[string]bool{}}
	type place struct {
		key string
		n   int
	}
	places := map[string]place{} // of events with a key, by id; written before Run
	var requests sync.Map        // attempts that receivers saw, by event id and path
	f := setupOn(t, db, func(o *dispatch.Options) {
		o.Record = func(_ context.Context, _ database.Tx, list []dispatch.Outcome) error {
			if c.below(10) == 0 {
				return errors.New("cannot record")
			}
			for _, one := range list {
				if p, ok := places[one.EventID]; ok {
					order.note(one.EndpointID+p.key, p.n, one.Final)
				}
			}
			return nil
		}
	})
	server := receiveWith(t, func(w http.ResponseWriter, r *http.Request) {
		count, _ := requests.LoadOrStore(r.URL.Path+r.Header.Get("webhook-id"), new(int64Counter))
		count.(*int64Counter).add()
		c.answer(w, r)
	})
	var endpoints []dispatch.Endpoint
	for i := range 12 {
		e := dispatch.Endpoint{ID: newID(), Enabled: true, Ordered: i%2 == 0, UserID: fmt.Sprintf("user %d", i%3), Schedule: make([]time.Duration, c.below(5))}
		for n := range e.Schedule {
			e.Schedule[n] = time.Duration(1+c.below(3600)) * time.Second
		}
		e.URL = server + "/" + e.ID
		endpoints = append(endpoints, f.register(e))
	}
	f.write(t, func(ctx context.Context, tx database.Tx) error {
		for n := range 24 {
			for _, endpoint := range endpoints {
				e := event(`{}`)
				e.UserID = endpoint.UserID
				if key := n % 4; key < 3 && endpoint.Ordered {
					e.Ordering = fmt.Sprintf("key%d", key)
					places[e.ID] = place{e.Ordering, n / 4}
				}
				if err := f.Add(ctx, tx, e, []string{endpoint.ID}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	process := f
	stop := process.run(t)
	pending := func() int64 {
		n, err := db.NewSelect().TableExpr("webhook_deliveries").Where("status = 'pending'").Count(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	actortest.Eventually(t, "no delivery is pending", func() bool {
		f.clock.Advance(time.Hour)
		process.Wake()
		if c.below(20) == 0 {
			stop()
			process = f.again(t)
			stop = process.run(t)
		}
		return pending() == 0
	})
	stop()
	if len(order.bad) > 0 {
		t.Errorf("seed %d: the order of keys is broken: %v", seed, order.bad[:min(5, len(order.bad))])
	}
	for _, endpoint := range endpoints {
		list := f.deliveries(t, endpoint)
		if len(list) != 24 {
			t.Errorf("seed %d: %d deliveries of 24", seed, len(list))
		}
		for _, d := range list {
			seen := int64(0)
			if count, ok := requests.Load("/" + endpoint.ID + d.EventID); ok {
				seen = count.(*int64Counter).load()
			}
			last := d.Log[len(d.Log)-1]
			switch succeeded := last.Status >= 200 && last.Status < 300; {
			case d.Status != dispatch.StatusSucceeded && d.Status != dispatch.StatusFailed, succeeded != (d.Status == dispatch.StatusSucceeded):
				t.Errorf("seed %d: a delivery is %s after %+v", seed, d.Status, last)
			case d.Attempts != len(d.Log) || int64(d.Attempts) > seen || d.Attempts > len(endpoint.Schedule)+1:
				t.Errorf("seed %d: %d attempts, %d logged, %d seen, %d allowed", seed, d.Attempts, len(d.Log), seen, len(endpoint.Schedule)+1)
			case d.Status == dispatch.StatusFailed && d.Attempts <= len(endpoint.Schedule) && last.Status != http.StatusGone:
				t.Errorf("seed %d: failed after %d of %d attempts: %+v", seed, d.Attempts, len(endpoint.Schedule)+1, last)
			}
		}
	}
}
